"""Reads one stream of an HTTP source: the days that are new, and again those that the source may have restated.

A *slice* is one account's day. The position keeps a digest of every slice that the next run will read again; a slice
that reads as before is dropped, so a run over a window that has not changed produces nothing at all. Memory stays flat:
rows go page by page into a compressed file.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import importlib.util
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headwater.config import BearerAuth, CursorPaging, HttpSource, HttpStream, OnePage, ReplaceWrite
from headwater.errors import FatalSourceError
from headwater.http import (
    Backoff,
    Classify,
    Client,
    Clock,
    Credentials,
    RateLimit,
    Sleep,
    Usage,
    Wire,
    classify_by_status,
    dig,
    to_line,
)
from headwater.ledger import BatchWriter, Position

ACCOUNT = "_account"
_PLACEHOLDER = re.compile(r"\{(account|since|until|since_epoch|api_version|raw)\}")
_DAY = timedelta(days=1)

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """What is asked of a source at once: one account's days from `since` to `until`, both included."""

    source: HttpSource
    stream: HttpStream
    account: str
    since: date
    until: date

    @property
    def path(self) -> str:
        """Path under base_url."""
        return self.fill(self.stream.path)

    @property
    def params(self) -> dict[str, str]:
        """Parameters of the request."""
        return {name: self.fill(value) for name, value in self.stream.params.items()}

    @property
    def paging(self) -> OnePage | CursorPaging:
        """How the answer is paged."""
        return self.stream.paging or self.source.paging

    def fill(self, text: str) -> str:
        """Puts values in the place of {account}, {since} and the like; other braces stay."""
        midnight = datetime(self.since.year, self.since.month, self.since.day, tzinfo=UTC)
        values = {
            "account": self.account,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "since_epoch": str(int(midnight.timestamp()) - 1),
            "api_version": self.source.api_version,
            "raw": ",".join(self.stream.raw),
        }
        return _PLACEHOLDER.sub(lambda found: values[found[1]], text)

    def rows(self, answer: Any) -> list[Any]:
        """Finds the rows at the stream's `records`; FatalSourceError when the answer has none there."""
        found = dig(answer, self.stream.records) if self.stream.records else answer
        if not isinstance(found, list):
            raise FatalSourceError(
                f"{self.source.name}: {self.path}: the answer has no list at `{self.stream.records}`"
            )
        return found

    def halves(self) -> tuple[Part, Part]:
        """Splits the days in two; there must be two at least."""
        middle = self.since + (self.until - self.since) // 2
        return replace(self, until=middle), replace(self, since=middle + _DAY)


Reader = Callable[[Client, Part], Iterator[Row]]
Sign = Callable[[Mapping[str, str]], dict[str, str]]


def read_pages(client: Client, part: Part) -> Iterator[Row]:
    """Reads a part as its YAML says, page by page."""
    for page in client.pages(part.path, part.params, part.paging, part.rows):
        yield from page.rows


@dataclass(frozen=True)
class Api:
    """What YAML cannot say of a source: how it refuses, how full it is, how it is signed to, how a stream is read."""

    classify: Classify = classify_by_status
    usage: Usage | None = None
    sign: Sign | None = None
    readers: Mapping[str, Reader] = field(default_factory=dict)


@dataclass(frozen=True)
class Extraction:
    """What one run found: the position after it, the slices it covers, and the fields its rows came with."""

    position_after: Position | None
    slices: tuple[dict[str, str], ...]
    fields: tuple[str, ...]


def api_of(source: str) -> Api:
    """Finds a source's `API` in headwater/sources/; one that follows HTTP's own rules if it has no module there."""
    module = f"headwater.sources.{source}"
    if importlib.util.find_spec(module) is None:
        return Api()
    api = importlib.import_module(module).API
    assert isinstance(api, Api)  # noqa: S101 - a slip of ours, not of a user's
    return api


@contextmanager
def open_client(
    source: HttpSource,
    secret: Mapping[str, str],
    sleep: Sleep = time.sleep,
    clock: Clock = time.monotonic,
) -> Iterator[Client]:
    """Opens a client for a source as its YAML says; FatalSourceError when the secret lacks the token of its auth."""
    api = api_of(source.name)
    headers = {}
    if isinstance(source.auth, BearerAuth):
        if not secret.get(source.auth.token):
            raise FatalSourceError(
                f"{source.name}: secret {source.secret!r} has no {source.auth.token!r}. hint: add it"
            )
        headers["Authorization"] = f"Bearer {secret[source.auth.token]}"
    wire = Wire(source.timeout_seconds, clock=clock)
    try:
        yield Client(
            name=source.name,
            base_url=source.base_url,
            send=wire,
            limit=RateLimit(source.rate, source.retry.longest_wait_seconds, sleep, clock),
            backoff=Backoff(source.retry),
            credentials=Credentials(
                headers=headers,
                params=api.sign(secret) if api.sign else {},
                secrets=tuple(str(value) for value in secret.values()),
            ),
            classify=api.classify,
            usage=api.usage,
            sleep=sleep,
            clock=clock,
        )
    finally:
        wire.close()


def extract(
    source: HttpSource,
    name: str,
    secret: Mapping[str, str],
    writer: BatchWriter,
    position: Position | None,
    as_of: date,
    window: tuple[date, date] | None,
    client: Client | None = None,
) -> Extraction | None:
    """Adds to `writer` every slice that is new or reads differently; None, and nothing added, when there is none.

    Reads from the position, less the days that the source restates, to `as_of` (UTC); an account without position from
    the start of its history. With `window` (first and last day) it reads just that, and the position stays.
    """
    if client is None:
        with open_client(source, secret) as opened:
            return extract(source, name, secret, writer, position, as_of, window, opened)
    reading = _Reading(source, name, api_of(source.name).readers.get(name, read_pages), client, writer)
    for account in source.accounts or ("",):
        if window is not None:
            reading.read(account, *window, window[1], known=None)
        elif position is None or account not in position["accounts"]:
            history = timedelta(days=reading.stream.window.history_days)
            reading.read(account, as_of - history, _until(position, as_of), date.max, known=None)
        else:
            known = {key: digest for key, digest in position["slices"].items() if _split(key)[0] == account}
            since = date.fromisoformat(position["until"]) - reading.reread + _DAY
            reading.read(account, since, _until(position, as_of), date.max, known)
    if not reading.slices:
        return None
    after = position if window is not None else reading.position(_until(position, as_of))
    slices = tuple({"account": account, "day": day} for account, day in sorted(map(_split, reading.slices)))
    return Extraction(after, slices, tuple(sorted(reading.fields)))


def _until(position: Position | None, as_of: date) -> date:
    """The last day to read: a run for an earlier date than the position's does not take the position back."""
    return as_of if position is None else max(as_of, date.fromisoformat(position["until"]))


def _key(account: str, day: date) -> str:
    return f"{account}|{day.isoformat()}"


def _split(key: str) -> tuple[str, str]:
    account, _, day = key.rpartition("|")
    return account, day


@dataclass(frozen=True)
class _Days:
    """Days from the first to the last, both included."""

    first: date
    last: date

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last


@dataclass
class _Chunk:
    """The rows of one part in a file, and the digest of each slice among them."""

    path: Path
    digests: dict[str, int] = field(default_factory=dict)
    rows: int = 0


class _Reading:
    """Reads the accounts of one stream, one part after another, and remembers what was found."""

    def __init__(self, source: HttpSource, name: str, reader: Reader, client: Client, writer: BatchWriter) -> None:
        self.source = source
        self.stream = source.streams[name]
        self.reread = timedelta(days=self.stream.window.reread_days)
        self.slices: set[str] = set()
        self.fields: set[str] = set()
        self._where = f"{source.name}.{name}"
        self._reader = reader
        self._client = client
        self._writer = writer
        self._digests: dict[str, int] = {}

    def position(self, until: date) -> Position:
        """Makes the position after: how far, for which accounts, and the digests that the next run compares with."""
        first = (until - self.reread + _DAY).isoformat()
        kept = {key: f"{digest:032x}" for key, digest in self._digests.items() if _split(key)[1] >= first}
        return {
            "until": until.isoformat(),
            "accounts": list(self.source.accounts or ("",)),
            "slices": dict(sorted(kept.items())),
        }

    def read(self, account: str, since: date, until: date, latest: date, known: Mapping[str, str] | None) -> None:
        """Reads an account's days and adds what differs from `known`; without it, everything.

        Rows of days after `until`, up to `latest`, are taken where the source gives them unasked: a clock that goes
        wrong at the source must not hide a row.
        """
        length = timedelta(days=self.stream.window.chunk_days or (until - since).days + 1)
        while since <= until:
            last = min(since + length - _DAY, until)
            part = Part(self.source, self.stream, account, since, last)
            days = _Days(since, latest if last == until else last)
            with TemporaryDirectory() as folder:
                chunk = self._spool(part, days, Path(folder) / "rows.jsonl.gz")
                self._add(part, chunk, self._changed(chunk, known))
            self.slices |= self._covered(part, days, chunk, known)
            self._digests.update(chunk.digests)
            since = last + _DAY

    def _spool(self, part: Part, days: _Days, path: Path) -> _Chunk:
        chunk = _Chunk(path)
        with gzip.open(path, "wt", encoding="ascii", compresslevel=6) as file:
            for row in self._reader(self._client, part):
                day = self._day(row)
                # Every day belongs to just one part, so a source that answers with more than it was asked for doubles
                # nothing, and a slice is whole.
                if day not in days:
                    continue
                self.fields.update(row)
                line = to_line({**row, ACCOUNT: part.account} if part.account else row)
                file.write(f"{line}\n")
                key = _key(part.account, day)
                digest = int.from_bytes(hashlib.sha256(line.encode()).digest()[:16], "big")
                chunk.digests[key] = (chunk.digests.get(key, 0) + digest) % 2**128
                chunk.rows += 1
        return chunk

    def _day(self, row: object) -> date:
        name = self.stream.window.field
        if not isinstance(row, Mapping):
            raise FatalSourceError(f"{self._where}: a row is {type(row).__name__}, not an object")
        value = row.get(name)
        if value is None:
            raise FatalSourceError(f"{self._where}: a row lacks `{name}`, by which its day is known: {_excerpt(row)}")
        try:
            return day_of(value)
        except (TypeError, ValueError):
            raise FatalSourceError(
                f"{self._where}: `{name}` is {value!r}, neither an ISO date nor an ISO time"
            ) from None

    def _changed(self, chunk: _Chunk, known: Mapping[str, str] | None) -> set[str]:
        known = known or {}
        return {key for key, digest in chunk.digests.items() if known.get(key) != f"{digest:032x}"}

    def _covered(self, part: Part, days: _Days, chunk: _Chunk, known: Mapping[str, str] | None) -> set[str]:
        changed = self._changed(chunk, known)
        if known is None:
            # Nothing tells what silver holds of these days, so a replacing stream speaks for all of them.
            every = (part.since + _DAY * number for number in range((part.until - part.since).days + 1))
            return changed | ({_key(part.account, day) for day in every} if self._replaces else set())
        gone = known.keys() - chunk.digests.keys()
        return changed | {key for key in gone if date.fromisoformat(_split(key)[1]) in days}

    @property
    def _replaces(self) -> bool:
        return isinstance(self.stream.write, ReplaceWrite)

    def _add(self, part: Part, chunk: _Chunk, changed: set[str]) -> None:
        if not changed:
            return
        if len(changed) == len(chunk.digests):
            self._writer.add(chunk.path, chunk.rows)
            return
        path = chunk.path.with_name("changed.jsonl.gz")
        rows = 0
        with gzip.open(path, "wt", encoding="ascii", compresslevel=6) as file:
            for line in _lines(chunk.path):
                if _key(part.account, self._day(json.loads(line))) in changed:
                    file.write(line)
                    rows += 1
        self._writer.add(path, rows)


def _lines(path: Path) -> Iterable[str]:
    with gzip.open(path, "rt", encoding="ascii") as file:
        yield from file


def _excerpt(row: Mapping[str, Any]) -> str:
    return f"its fields are {', '.join(sorted(row))}"


@lru_cache(maxsize=4096)
def day_of(text: str) -> date:
    """The UTC day of an ISO date or time; a time without zone is taken as UTC."""
    moment = datetime.fromisoformat(text)
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date()
