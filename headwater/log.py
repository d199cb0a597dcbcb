"""Structured logs: one JSON object a line, with run, source and stage bound once, and secrets struck out."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from headwater.redaction import redact

# Terraform's metric filters look for these in the jobs' logs, and alarms count them: a test holds the two together.
STARTED = "started"
APPENDED = "appended to bronze"
CLOSED = "closed"
EXPIRING = "token runs out"
# People look for this one themselves: etl.run_audit counts it.
LINEAGE_LOST = "lineage was not taken"

_bound: ContextVar[dict[str, Any]] = ContextVar("bound", default={})  # noqa: B039 - never mutated, only replaced


def error_text(error: BaseException) -> str:
    """What an error is and says, secrets struck out."""
    return redact(f"{type(error).__name__}: {error}")


def shortened(text: str, most: int) -> str:
    """Cuts a text off after so many characters, and shows that it did; struck out before, since a secret cut in two is not found."""
    text = redact(text)
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
        self._logger.log(level, "%s", json.dumps(line, default=str))


def _struck(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """Makes a record, a library's as well as our own, whose message and traceback have no secret in them."""
    record = logging.LogRecord(*args, **kwargs)
    try:
        said = record.getMessage()
    except (TypeError, ValueError):
        said = f"{record.msg} {record.args}"
    record.msg, record.args = redact(said), ()
    if record.exc_info and record.exc_info[1] is not None:
        # A formatter takes the text of a traceback that is there, and makes none.
        record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
    return record


def get_logger(name: str) -> Logger:
    """Makes the logger of one module; from then on no logger of the process says a secret."""
    logging.setLogRecordFactory(_struck)
    root = logging.getLogger("headwater")
    if not root.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        root.addHandler(handler)
        root.setLevel(logging.INFO)
    return Logger(name)
