"""What every source must keep to. A source is held to it by being declared in config/sources/."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from headwater.config import HttpSource, WindowRead
from headwater.ledger.raw import to_line
from headwater.sources.http.client import HttpClient
from headwater.sources.http.connect import open_client
from headwater.sources.http.messages import HttpRequest, HttpResponse
from headwater.sources.http.stream import Extraction, HttpPosition
from headwater.sources.http.stream import read as read_stream
from local import world
from local.counterparts import credentials
from local.stack import Ports, Stack
from tests.support import declared
from tests.support.declared import table
from tests.support.http_fakes import KeptFiles
from tests.support.simulators import Simulators, own_world

Edit = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]

_REALLY_SLEPT = 0.02
_PARTS = 4

HTTP_SOURCES = tuple(
    name for name, source in declared.project("local").sources.items() if isinstance(source, HttpSource)
)
HTTP_STREAMS = tuple(
    (name, stream) for name in HTTP_SOURCES for stream in declared.project("local").sources[name].streams
)


@dataclass
class Wait:
    """Waits that pass at once, on the clock as well."""

    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        time.sleep(min(seconds, _REALLY_SLEPT))

    def clock(self) -> float:
        return time.monotonic() + sum(self.slept)


@dataclass
class Tampering:
    """Edits the rows of every answer on its way, whatever the source's envelope is."""

    send: Callable[[HttpRequest], HttpResponse]
    edit: Edit
    edited: int = 0

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.send(request)
        try:
            answer = response.json()
        except Exception:  # noqa: BLE001 - what is not JSON is none of our business here
            return response
        return replace(response, body=to_line(self._edited(answer)).encode())

    def _edited(self, value: Any) -> Any:
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            self.edited += 1
            return self.edit(value)
        if isinstance(value, Mapping):
            return {
                name: self._edited(item) if name not in {"errors", "paging"} else item for name, item in value.items()
            }
        return value


class Reader:
    """Reads streams of one source from its simulator."""

    def __init__(self, source: HttpSource, simulators: Simulators, clock: date) -> None:
        self.source = source
        self.simulators = simulators
        self.today = clock
        self.waits = Wait()
        self.saved: list[Mapping[str, str]] = []

    @property
    def stream(self) -> str:
        """The stream that faults are tried on: the one with the longest history."""
        return max(self.source.streams, key=lambda name: getattr(self.source.streams[name].read, "history_days", 0))

    def read(
        self,
        stream: str | None = None,
        position: HttpPosition | None = None,
        as_of: date | None = None,
        edit: Edit | None = None,
        window: tuple[date, date] | None = None,
        **changes: Any,
    ) -> tuple[Extraction | None, KeptFiles]:
        source = self.source.model_copy(update=changes)
        files = KeptFiles()
        secret = credentials(source.secret)
        with open_client(source, secret, self.saved.append, self.waits.sleep, self.waits.clock) as client:
            tampering = Tampering(client.send, edit) if edit else None
            asking: HttpClient = replace(client, send=tampering) if tampering else client
            name, day = stream or self.stream, as_of or self.today
            into = table(source.streams[name].table)
            found = read_stream(source, name, into, secret, files, position, day, window, asking)  # type: ignore[arg-type]
        if tampering and not tampering.edited:
            pytest.skip(f"{source.name}: the provider's rows are no objects, so none can be edited")
        return found, files

    def misbehave(self, kind: str, **rule: Any) -> None:
        """Switches a fault on, or skips the test where it has no meaning for the source."""
        answer = self.simulators.try_misbehave(source=self.source.name, kind=kind, **rule)
        if "means nothing" in answer:
            pytest.skip(answer)

    def asked(self) -> int:
        listed = self.simulators.admin("requests", "GET")["requests"]
        return sum(request["source"] == self.source.name for request in listed)


def with_short_histories(source: HttpSource) -> HttpSource:
    """A history that is read in parts, of which a few are enough to see them put together."""
    shorter = {}
    for name, stream in source.streams.items():
        read = stream.read
        if isinstance(read, WindowRead):
            days = min(read.history_days, _PARTS * (read.chunk_days or read.history_days))
            read = read.model_copy(update={"history_days": days})
        shorter[name] = stream.model_copy(update={"read": read})
    return source.model_copy(update={"streams": shorter})


def content(files: KeptFiles) -> list[str]:
    """The rows, whatever their order."""
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in files.rows)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulators]:
    with own_world(tmp_path_factory.mktemp("simulators")) as simulators:
        yield simulators


@pytest.fixture(params=HTTP_SOURCES)
def reader(request: pytest.FixtureRequest, running: Simulators, tmp_path: Path) -> Iterator[Reader]:
    """One HTTP source after another, its simulator well-behaved and with an empty request log."""
    running.admin("misbehave", "DELETE")
    running.admin("requests", "DELETE")
    stack = Stack(tmp_path, replace(Ports(), simulators=int(running.url.rsplit(":", 1)[1])))
    source = stack.project().source(request.param)
    assert isinstance(source, HttpSource)
    yield Reader(with_short_histories(source), running, world.clock(running.dsn))
    running.admin("misbehave", "DELETE")
