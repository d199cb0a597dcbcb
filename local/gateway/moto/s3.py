"""S3: what moto 5.2.5 lacks or answers wrongly."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, S3Backend
from moto.s3.responses import S3Response

_SIZES = ("ObjectSizeGreaterThan", "ObjectSizeLessThan")


def install() -> None:
    """Makes conditional writes atomic, and buckets and objects answer as Terraform's provider and S3A read them."""
    _serialise_conditional_writes()
    _let_delete_markers_go()
    _name_no_key()
    _deliver_no_access_logs()
    _read_every_principal()
    _leave_policies_to_the_authority()
    _keep_lifecycle_sizes()
    _tell_of_event_bridge()


def _serialise_conditional_writes() -> None:
    # moto looks and then writes; between the two another thread may write, and If-None-Match would let both through.
    original = S3Response.put_object
    locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def put_object(self: S3Response, *args: Any, **named: Any) -> Any:
        if not (self.headers.get("If-None-Match") or self.headers.get("If-Match")):
            return original(self, *args, **named)
        with locks[self.path]:
            return original(self, *args, **named)

    S3Response.put_object = put_object


def _let_delete_markers_go() -> None:
    # Terraform suspends a bucket's versioning before it empties it; moto then throws away all versions of a key at once, and asks
    # markers to give back what they do not hold.
    def dispose(self: FakeDeleteMarker, garbage: bool = False) -> None:
        """A marker holds nothing."""

    FakeDeleteMarker.dispose = dispose


def _name_no_key() -> None:
    # Nothing is encrypted here. S3A would ask for the same key where it copies an object, and the SDK does that over TLS alone.
    describe = FakeKey.response_dict.fget

    def response_dict(self: FakeKey) -> dict[str, Any]:
        told: dict[str, Any] = describe(self)
        told.pop("x-amz-server-side-encryption-aws-kms-key-id", None)
        return told

    FakeKey.response_dict = property(response_dict)


def _deliver_no_access_logs() -> None:
    # S3 delivers them within hours, many requests in one object. moto writes an object for each request before it answers.
    def log_incoming_request(self: S3Backend, request: Any, bucket_name: str) -> None:
        """Nobody reads them here."""

    S3Backend.log_incoming_request = log_incoming_request


def _read_every_principal() -> None:
    # Looking for the logging service among a policy's principals, moto trips over "*", which is a string.
    original = FakeBucket._log_permissions_enabled_policy

    def log_permissions_enabled_policy(target_bucket: FakeBucket, target_prefix: str | None) -> bool:
        if not target_bucket.policy:
            return False
        policy = json.loads(target_bucket.policy)
        named = [statement for statement in policy["Statement"] if isinstance(statement.get("Principal"), dict)]
        whole, target_bucket.policy = target_bucket.policy, json.dumps({**policy, "Statement": named}).encode()
        try:
            return bool(original(target_bucket, target_prefix))
        finally:
            target_bucket.policy = whole

    FakeBucket._log_permissions_enabled_policy = staticmethod(log_permissions_enabled_policy)


def _leave_policies_to_the_authority() -> None:
    # moto denies what a statement denies everybody, whatever its conditions; the authority has judged the request with them.
    FakeBucket.get_permission = lambda _bucket, _action, _resource: PermissionResult.NEUTRAL


def _keep_lifecycle_sizes() -> None:
    # moto forgets for which sizes of objects a rule is.
    keep, tell = FakeBucket.set_lifecycle, S3Response.get_bucket_lifecycle

    def set_lifecycle(self: FakeBucket, rules: list[dict[str, Any]]) -> None:
        keep(self, rules)
        for kept, given in zip(self.rules, rules, strict=True):
            chosen = given.get("Filter") or {}
            kept.sizes = {name: chosen[name] for name in _SIZES if name in chosen}
            kept.sizes_with_others = {name: chosen["And"][name] for name in _SIZES if name in (chosen.get("And") or {})}

    def get_bucket_lifecycle(self: S3Response) -> Any:
        def add(told: dict[str, Any]) -> None:
            for kept, rule in zip(self.backend.get_bucket_lifecycle(self.bucket_name), told["Rules"], strict=True):
                if kept.sizes:
                    # moto shows an empty "And" where the only condition is one that it does not know.
                    rule["Filter"] = kept.sizes
                elif kept.sizes_with_others:
                    rule["Filter"]["And"] |= kept.sizes_with_others

        return _telling_more(self, tell, add)

    FakeBucket.set_lifecycle = set_lifecycle
    S3Response.get_bucket_lifecycle = get_bucket_lifecycle


def _tell_of_event_bridge() -> None:
    # moto sends the events, but does not tell that it does.
    tell = S3Response.get_bucket_notification

    def get_bucket_notification(self: S3Response) -> Any:
        def add(told: dict[str, Any]) -> None:
            kept = self.backend.get_bucket_notification_configuration(self.bucket_name)
            if kept is not None and kept.event_bridge is not None:
                told["EventBridgeConfiguration"] = {}

        return _telling_more(self, tell, add)

    S3Response.get_bucket_notification = get_bucket_notification


def _telling_more(
    response: S3Response, tell: Callable[[S3Response], Any], add: Callable[[dict[str, Any]], None]
) -> Any:
    serialized = response.serialized

    def with_more(result: ActionResult) -> Any:
        if isinstance(result.result, dict):
            add(result.result)
        return serialized(result)

    # The object answers one request and is then thrown away.
    response.serialized = with_more
    return tell(response)
