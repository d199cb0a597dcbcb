"""What SNS would have mailed: each message that is published to a topic becomes one JSON file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.sns.models import Topic

from local.gateway.settings import GatewaySettings


class Outbox:
    """The folder of published messages, oldest first by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, message_id: str, document: dict[str, Any]) -> None:
        """Keeps one message."""
        now = datetime.now(UTC)
        path = self._folder / f"{now:%Y%m%dT%H%M%S%f}-{message_id}.json"
        path.write_text(json.dumps({"id": message_id, "time": now.isoformat(), **document}, indent=1))

    def messages(self) -> list[dict[str, Any]]:
        """Reads every message, oldest first."""
        return [json.loads(path.read_text()) for path in sorted(self._folder.glob("*.json"))]


def install(settings: GatewaySettings) -> Outbox:
    """Puts a copy of everything that is published to a topic into `<home>/outbox`."""
    outbox = Outbox(settings.home / "outbox")
    original = Topic.publish

    def publish(
        self: Topic,
        message: str,
        subject: str | None = None,
        message_attributes: dict[str, Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> str:
        message_id: str = original(self, message, subject, message_attributes, *args, **kwargs)
        attributes = {name: str(value.get("Value")) for name, value in (message_attributes or {}).items()}
        document = {"topic": self.arn, "subject": subject, "message": message, "attributes": attributes}
        outbox.put(message_id, document)
        return message_id

    Topic.publish = publish
    return outbox
