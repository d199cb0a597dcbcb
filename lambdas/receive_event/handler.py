"""Receives pushed events."""

from typing import Any

from headwater.brief import told_briefly
from headwater.callers import Fresh
from headwater.open_project import OpenProject
from headwater.receive.event import PushReceiver, PushRequest

# A new key or a new schema counts within a minute.
PROJECTS = Fresh[OpenProject](60)
SECRETS = Fresh[dict[str, str]](60)


@told_briefly()
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Returns 202, or a 4xx that says why."""
    return PushReceiver.deployed(PROJECTS, SECRETS).receive(PushRequest.of(event)).render()
