"""EventBridge: events of services in their real form, rules that can be switched off, functions, queues and topics as targets."""

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
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from local.gateway.calls import Asked
from local.gateway.clock import CLOCK
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
            if ":sns:" in target["Arn"]:
                sent = Asked("sns:Publish", target["Arn"], {"aws:SourceArn": (str(self.arn),)})
                if authority.in_service("events.amazonaws.com", sent):
                    topics = sns_backends[self.account_id][self.region_name]
                    topics.publish(message=json.dumps(_input(target, event)), arn=target["Arn"])
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
        _send(account_id, _s3_event(settings, bucket, str(getattr(event_name, "value", event_name)), key))

    Rule.send_to_targets = send_to_targets
    vars(notifications)["_send_event_bridge_message"] = send_event_bridge_message


def tell(
    settings: GatewaySettings, source: str, detail_type: str, resources: list[str], detail: dict[str, Any]
) -> None:
    """Sends an event of one of AWS's services to whatever rules match it."""
    _send(settings.account_id, _event(settings, source, detail_type, resources, detail))


def _send(account_id: str, event: dict[str, Any]) -> None:
    events: EventsBackend = events_backends[account_id][str(event["region"])]
    for bus in events.event_buses.values():
        for rule in bus.rules.values():
            try:
                rule.send_to_targets(event)
            except Exception:  # noqa: BLE001 - it has happened, and the next rule must hear of it, too
                traceback.print_exc(file=sys.stderr)


def _delivered_here(target: dict[str, Any]) -> bool:
    # To a queue, moto sends an event that lacks fields, and to a function or a topic none.
    arn = target["Arn"]
    return ":lambda:" in arn or ":sns:" in arn or (":sqs:" in arn and not arn.endswith(".fifo"))


def _input(target: dict[str, Any], event: dict[str, Any]) -> Any:
    if "Input" in target:
        return json.loads(target["Input"])
    transformer = target.get("InputTransformer")
    if transformer is None:
        return event
    known = {"ingestion-time": event["time"], **event}
    return EventTemplateParser.parse(transformer.get("InputTemplate"), transformer.get("InputPathsMap", {}), known)


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
    detail = {
        "version": "0",
        "bucket": {"name": bucket.name},
        "object": found,
        "request-id": uuid.uuid4().hex[:16].upper(),
        "requester": settings.account_id,
        "source-ip-address": "127.0.0.1",
        "reason": _REASONS.get(name, name.removeprefix("s3:")),
    }
    return _event(settings, "aws.s3", notifications._detail_type(name), [f"arn:aws:s3:::{bucket.name}"], detail)


def _event(
    settings: GatewaySettings, source: str, detail_type: str, resources: list[str], detail: dict[str, Any]
) -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": settings.account_id,
        "time": CLOCK.moment().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": settings.region,
        "resources": resources,
        "detail": detail,
    }
