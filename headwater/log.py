"""Structured logs: one JSON object a line, with run, source and stage bound once, and secrets struck out."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

# Terraform's metric filters look for these in the jobs' logs, and alarms count them: a test holds the two together.
STARTED = "started"
APPENDED = "appended to bronze"
CLOSED = "closed"
EXPIRING = "token runs out"

_bound: ContextVar[dict[str, Any]] = ContextVar("bound", default={})  # noqa: B039 - never mutated, only replaced
_SECRET = re.compile(
    r"(?i)((?:access_token|refresh_token|client_secret|app_secret|appsecret_proof|passcode|password|passwd|pwd|token"
    # A backslash before a quote is how JSON within JSON writes the quote: a line without it could be read by nobody.
    r"|authorization)\\*[\"']?\s*[=:]\s*\\*[\"']?(?:bearer\s+)?)((?:[^\s\"'&,;})\\]|\\+(?![\\\"']))+)"
)


def redact(text: str) -> str:
    """Replaces the values of everything that is named like a secret by ***."""
    return _SECRET.sub(r"\1***", text)


def error_text(error: BaseException) -> str:
    """What an error is and says, secrets struck out."""
    return redact(f"{type(error).__name__}: {error}")


def shortened(text: str, most: int) -> str:
    """Cuts a text off after so many characters, and shows that it did."""
    return text if len(text) <= most else f"{text[:most]} …"


@contextmanager
def bind(**fields: object) -> Iterator[None]:
    """Adds fields to every log line of the block."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


class Logger:
    """Writes one JSON line for each event."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def info(self, event: str, **fields: object) -> None:
        """Logs what happened."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Logs what someone may want to look at."""
        self._write(logging.WARNING, event, fields)

    def _write(self, level: int, event: str, fields: dict[str, object]) -> None:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": logging.getLevelName(level).lower(),
            "event": event,
            **_bound.get(),
            **fields,
        }
        self._logger.log(level, redact(json.dumps(line, default=str)))


def get_logger(name: str) -> Logger:
    """Makes the logger of one module."""
    root = logging.getLogger("headwater")
    if not root.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        root.addHandler(handler)
        root.setLevel(logging.INFO)
    return Logger(name)
