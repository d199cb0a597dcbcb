"""EventBridge: S3's notifications in their real form, rules that can be switched off, functions and queues as targets."""

from __future__ import annotations

import json
import sys
import traceback
import uuid
from datetime import UTC, datetime
from itertools import count
from typing import Any

from moto.awslambda.models import lambda_backends
from moto.events.models import EventsBackend, Rule, events_backends
from moto.events.utils import EventTemplateParser
from moto.s3 import notifications
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey
from moto.sqs.models import sqs_backends

from local.gateway.calls import Asked
from local.gateway.iam.authority import Authority
from local.gateway.lambdas.runtime import LambdaRuntime
from local.gateway.settings import GatewaySettings

_REASONS = {
    "s3:ObjectCreated:Put": "PutObject",
    "s3:ObjectCreated:Post": "POST Object",
    "s3:ObjectCreated:Copy": "CopyObject",
    "s3:ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
    "s3:ObjectRemoved:Delete": "DeleteObject",
}
_sequence = count(1)


def install(settings: GatewaySettings, runtime: LambdaRuntime, authority: Authority) -> None:
    """Delivers what buckets and PutEvents send to the rules' targets."""
    send = Rule.send_to_targets

    def send_to_targets(self: Rule, original_event: Any, transform_input: bool = True) -> None:
        if self.state == "DISABLED" or not self.event_pattern.matches_event(original_event):
            return
        event = {**original_event, "time": _time(original_event["time"])}
        ours = [target for target in self.targets if _delivered_here(target)]
        for target in ours:
            if ":sqs:" in target["Arn"]:
                sent = Asked("sqs:SendMessage", target["Arn"], {"aws:SourceArn": (str(self.arn),)})
                if not authority.in_service("events.amazonaws.com", sent):
                    continue
                name = target["Arn"].rpartition(":")[2]
                queues = sqs_backends[self.account_id][self.region_name]
                queues.send_message(name, json.dumps(_input(target, event)))
                continue
            function = lambda_backends[self.account_id][self.region_name]._lambdas.get_arn(target["Arn"])
            if function is not None:
                runtime.deliver(function, _input(target, event))
        others = Rule.__new__(Rule)
        vars(others).update(vars(self), targets=[target for target in self.targets if target not in ours])
        # moto counts seconds where the event has a text.
        seconds = datetime.fromisoformat(event["time"]).timestamp()
        send(others, {"ingestion-time": seconds, **event, "time": seconds}, transform_input)

    def send_event_bridge_message(
        account_id: str, bucket: FakeBucket, event_name: Any, key: FakeKey | FakeDeleteMarker
    ) -> None:
        events: EventsBackend = events_backends[account_id][settings.region]
        event = _s3_event(settings, bucket, str(getattr(event_name, "value", event_name)), key)
        for bus in events.event_buses.values():
            for rule in bus.rules.values():
                try:
                    rule.send_to_targets(event)
                except Exception:  # noqa: BLE001 - the upload is done, and the next rule must hear of it, too
                    traceback.print_exc(file=sys.stderr)

    Rule.send_to_targets = send_to_targets
    vars(notifications)["_send_event_bridge_message"] = send_event_bridge_message


def _delivered_here(target: dict[str, Any]) -> bool:
    # To a queue, moto sends an event that lacks fields, and to a function none.
    arn = target["Arn"]
    return ":lambda:" in arn or (":sqs:" in arn and not arn.endswith(".fifo"))


def _input(target: dict[str, Any], event: dict[str, Any]) -> Any:
    if "Input" in target:
        return json.loads(target["Input"])
    transformer = target.get("InputTransformer")
    if transformer is None:
        return event
    return EventTemplateParser.parse(transformer.get("InputTemplate"), transformer.get("InputPathsMap", {}), event)


def _time(value: Any) -> str:
    if isinstance(value, str):
        return value
    return datetime.fromtimestamp(float(value), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _s3_event(
    settings: GatewaySettings, bucket: FakeBucket, name: str, key: FakeKey | FakeDeleteMarker
) -> dict[str, Any]:
    found: dict[str, Any] = {"key": key.name, "sequencer": f"{next(_sequence):018X}"}
    if isinstance(key, FakeKey):
        found |= {"size": key.size, "etag": key.etag.strip('"')}
    if bucket.is_versioned:
        found["version-id"] = key.version_id
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": notifications._detail_type(name),
        "source": "aws.s3",
        "account": settings.account_id,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": settings.region,
        "resources": [f"arn:aws:s3:::{bucket.name}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket.name},
            "object": found,
            "request-id": uuid.uuid4().hex[:16].upper(),
            "requester": settings.account_id,
            "source-ip-address": "127.0.0.1",
            "reason": _REASONS.get(name, name.removeprefix("s3:")),
        },
    }
