"""What stands in for the wire, the clock and the batch writer, so that tests patch nothing and wait for nothing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from headwater.config import Rate, Retry
from headwater.ledger.raw import RowFile
from headwater.ledger.shape import Learned
from headwater.sources.http.client import Backoff, Client, Credentials, RateLimit, Request, Response

Handler = Callable[[Request], Response]


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

    def __init__(self, *script: Response | Exception, handler: Handler | None = None) -> None:
        self.script = list(script)
        self.handler = handler
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        if self.script:
            step = self.script.pop(0)
            if isinstance(step, Exception):
                raise step
            return step
        assert self.handler is not None, f"no answer left for {request.method} {request.url}"
        return self.handler(request)


def answer(body: Any, status: int = 200, **headers: str) -> Response:
    """Makes an answer; a body that is not bytes becomes JSON, and `_` in header names becomes `-`."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


def always(response: Response) -> FakeSend:
    """Gives the same answer for ever."""
    return FakeSend(handler=lambda request: response)


def client(send: FakeSend, clock: FakeClock | None = None, retry: Retry | None = None, **changes: Any) -> Client:
    """Makes a client whose jitter always draws the longest wait."""
    clock = clock or FakeClock()
    retry = retry or Retry()
    settings: dict[str, Any] = {
        "name": "shop",
        "base_url": "https://api.example.com/base",
        "send": send,
        "limit": RateLimit(Rate(calls=1_000_000), retry.longest_wait_seconds, clock.sleep, clock),
        "backoff": Backoff(retry, draw=lambda: 1.0),
        "credentials": Credentials(),
        "sleep": clock.sleep,
        "clock": clock,
    }
    return Client(**{**settings, **changes})


class KeptFiles:
    """A batch writer that keeps each file's rows in memory."""

    def __init__(self) -> None:
        self.files: list[list[dict[str, Any]]] = []
        self.suffixes: list[str] = []
        self.learned = Learned()

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
