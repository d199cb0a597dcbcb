"""Calls that moto 5.2.5 lacks or answers wrongly, and that only Terraform's provider makes, to make and to read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from moto.awslambda.models import LambdaFunction
from moto.budgets.responses import BudgetsResponse
from moto.core.responses import ActionResult
from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto.lakeformation.exceptions import InvalidInput
from moto.lakeformation.models import LakeFormationBackend
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, S3Backend
from moto.s3.responses import S3Response
from moto.sqs.models import Queue

_SIZES = ("ObjectSizeGreaterThan", "ObjectSizeLessThan")


def install() -> None:
    """Adds the missing calls to moto's services."""
    _count_as_encrypted()
    _let_delete_markers_go()
    _name_no_key()
    _deliver_no_access_logs()
    _read_every_principal()
    _keep_lifecycle_sizes()
    _tell_of_event_bridge()
    _keep_dead_letter_config()
    _write_redrive_policy_as_it_came()
    _refuse_to_revoke_nothing()
    BudgetsResponse.describe_subscribers_for_notification = _subscribers


def _count_as_encrypted() -> None:
    # moto looks at no condition of a bucket's policy: the one that refuses connections without TLS would refuse everybody.
    # The gateway listens on 127.0.0.1 alone and counts as encrypted.
    original = IAMPolicyStatement.is_action_permitted

    def is_action_permitted(self: IAMPolicyStatement, *args: Any, **named: Any) -> PermissionResult:
        if self._statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}:
            return PermissionResult.NEUTRAL
        return original(self, *args, **named)

    IAMPolicyStatement.is_action_permitted = is_action_permitted


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


def _keep_dead_letter_config() -> None:
    create, describe, update = (
        LambdaFunction.__init__,
        LambdaFunction.get_configuration,
        LambdaFunction.update_configuration,
    )

    def init(self: LambdaFunction, account_id: str, spec: dict[str, Any], *args: Any, **named: Any) -> None:
        self.dead_letter_config = spec.get("DeadLetterConfig")
        create(self, account_id, spec, *args, **named)

    def get_configuration(self: LambdaFunction, *args: Any, **named: Any) -> dict[str, Any]:
        told: dict[str, Any] = describe(self, *args, **named)
        return told | ({"DeadLetterConfig": self.dead_letter_config} if self.dead_letter_config else {})

    def update_configuration(self: LambdaFunction, config_updates: dict[str, Any]) -> dict[str, Any]:
        self.dead_letter_config = config_updates.get("DeadLetterConfig", self.dead_letter_config)
        told: dict[str, Any] = update(self, config_updates)
        return told

    LambdaFunction.__init__ = init
    LambdaFunction.get_configuration = get_configuration
    LambdaFunction.update_configuration = update_configuration


def _write_redrive_policy_as_it_came() -> None:
    # Compact, as SDKs and Terraform send it: they compare the text.
    describe = Queue.attributes.fget

    def attributes(self: Queue) -> dict[str, Any]:
        told: dict[str, Any] = describe(self)
        if self.redrive_policy:
            told["RedrivePolicy"] = json.dumps(self.redrive_policy, separators=(",", ":"))
        return told

    Queue.attributes = property(attributes)


class _NothingRevokedError(InvalidInput):
    """Lake Formation spells the name of an error's message with a capital; moto does not, and the Go SDK reads no other."""

    def __init__(self) -> None:
        message = "No permissions revoked. Grantee has no permissions on the resource."
        super().__init__(message)
        self.description = json.dumps({"__type": self.error_type, "Message": message})


def _refuse_to_revoke_nothing() -> None:
    # The provider revokes again until it is told that nothing is left to revoke.
    revoke = LakeFormationBackend.revoke_permissions

    def revoke_permissions(
        self: LakeFormationBackend,
        catalog_id: str,
        principal: dict[str, str],
        resource: dict[str, Any],
        *args: Any,
        **named: Any,
    ) -> None:
        granted = self.grants[catalog_id].permissions if catalog_id in self.grants else ()
        if not any(kept.principal == principal and kept.resource == resource for kept in granted):
            raise _NothingRevokedError
        revoke(self, catalog_id, principal, resource, *args, **named)

    LakeFormationBackend.revoke_permissions = revoke_permissions


def _subscribers(self: BudgetsResponse) -> ActionResult:
    budget = self.backend.budgets[self._get_param("AccountId")][self._get_param("BudgetName")]
    asked = self._get_param("Notification")
    told = [kept.subscribers for kept in budget.notifications if asked.items() <= kept.details.items()]
    return ActionResult({"Subscribers": told[0] if told else []})
