"""What stands in for the wire, the clock and the batch writer, so that tests patch nothing and wait for nothing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from headwater.config import HttpSource, Rate, Retry, Table
from headwater.ledger.raw import RowFile
from headwater.ledger.shape import Learned
from headwater.sources.http.auth import Auth
from headwater.sources.http.client import HttpClient
from headwater.sources.http.limits import Backoff, RateLimit
from headwater.sources.http.messages import HttpRequest, HttpResponse

Handler = Callable[[HttpRequest], HttpResponse]


class FakeClock:
    """Time that passes only while someone sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class FakeSend:
    """Answers from a script, or by a handler once the script is used up; an exception in the script is raised."""

    def __init__(self, *script: HttpResponse | Exception, handler: Handler | None = None) -> None:
        self.script = list(script)
        self.handler = handler
        self.requests: list[HttpRequest] = []

    def __call__(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        if self.script:
            step = self.script.pop(0)
            if isinstance(step, Exception):
                raise step
            return step
        assert self.handler is not None, f"no answer left for {request.method} {request.url}"
        return self.handler(request)


def answer(body: Any, status: int = 200, **headers: str) -> HttpResponse:
    """Makes an answer; a body that is not bytes becomes JSON, and `_` in header names becomes `-`."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


def always(response: HttpResponse) -> FakeSend:
    """Gives the same answer without end."""
    return FakeSend(handler=lambda request: response)


def client(send: FakeSend, clock: FakeClock | None = None, retry: Retry | None = None, **changes: Any) -> HttpClient:
    """Makes a client whose jitter always draws the longest wait."""
    clock = clock or FakeClock()
    retry = retry or Retry()
    settings: dict[str, Any] = {
        "name": "shop",
        "base_url": "https://api.example.com/base",
        "send": send,
        "limit": RateLimit(Rate(calls=1_000_000), retry.longest_wait_seconds, clock.sleep, clock),
        "backoff": Backoff(retry, draw=lambda: 1.0),
        "auth": Auth(),
        "sleep": clock.sleep,
        "clock": clock,
    }
    return HttpClient(**{**settings, **changes})


def table(**changes: Any) -> Table:
    """The silver table of the shop's sales, of which each account's day is replaced as a whole."""
    return Table.model_validate(
        {
            "table": "sales",
            "owner": "Shop",
            "note": "One row for each sale.",
            "key": ["account", "id"],
            "write": {"kind": "replace", "account": "account", "day": "day"},
            "columns": {"account": {"type": "string"}, "id": {"type": "bigint"}, "day": {"type": "date"}},
            **changes,
        }
    )


def source(**changes: Any) -> HttpSource:
    """Two accounts of a shop whose sales are restated for three days, read four days at a time."""
    stream = {
        "table": "sales",
        "path": "/accounts/{account}/sales",
        "params": {"range": '{"since":"{since}","until":"{until}"}', "fields": "{raw}"},
        "records": "data",
        "read": {"kind": "window", "field": "day", "history_days": 9, "reread_days": 3, "chunk_days": 4},
        "raw": ["id", "day", "amount"],
        "columns": {"account": "_account"},
        **changes.pop("stream", {}),
    }
    declared = {
        "kind": "http",
        "name": "shop",
        "base_url": "https://api.example.com",
        "rate": {"calls": 1000},
        "paging": {"kind": "cursor", "cursor": "after", "more": "after"},
        "accounts": ["1", "2"],
        "streams": {"sales": stream},
        **changes,
    }
    return HttpSource.model_validate(declared)


class KeptFiles:
    """A batch writer that keeps each file's rows in memory."""

    def __init__(self) -> None:
        self.files: list[list[dict[str, Any]]] = []
        self.suffixes: list[str] = []
        self.learned = Learned()
        self.reads: list[tuple[str, int]] = []

    def has_read(self, what: str, rows: int, seconds: float) -> None:
        assert seconds >= 0
        self.reads.append((what, rows))

    def open_rows(self, path: Path) -> RowFile:
        return RowFile(path, {}, frozenset())

    def add(self, path: Path, rows: int) -> None:
        with gzip.open(path, "rt") as file:
            lines = [json.loads(line, parse_float=Decimal) for line in file]
        assert len(lines) == rows
        self.files.append(lines)
        self.suffixes.append("".join(path.suffixes))

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for file in self.files for row in file]


def never_saved(secret: Mapping[str, str]) -> None:
    """Takes a secret that must not have changed."""
    raise AssertionError("a secret was written back that nothing had rotated")
