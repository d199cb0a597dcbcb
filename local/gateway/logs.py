"""Puts what a process printed into a CloudWatch log stream."""

from __future__ import annotations

import contextlib
import time

from moto.logs.exceptions import ResourceAlreadyExistsException
from moto.logs.models import logs_backends

from local.gateway.settings import GatewaySettings


def exists(settings: GatewaySettings, group: str) -> bool:
    """True when there is such a log group."""
    return group in logs_backends[settings.account_id][settings.region].groups


def publish(settings: GatewaySettings, group: str, stream: str, text: str) -> None:
    """Appends a text to a log stream, an event for each line; makes the group and the stream if need be."""
    backend = logs_backends[settings.account_id][settings.region]
    with contextlib.suppress(ResourceAlreadyExistsException):
        backend.create_log_group(group, {}, logGroupClass=None)
    with contextlib.suppress(ResourceAlreadyExistsException):
        backend.create_log_stream(group, stream)
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": line} for line in text.splitlines() if line]
    if events:
        backend.put_log_events(group, stream, events)
