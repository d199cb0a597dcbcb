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
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from headwater.config import (
    BearerAuth,
    CursorPaging,
    HeadersAuth,
    HttpSource,
    HttpStream,
    OAuth,
    OnePage,
    Rate,
    ReplaceWrite,
)
from headwater.errors import ClosedAccountError, ExpiredCursorError, FatalSourceError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import Manifest
from headwater.ledger.positions import DaysPosition
from headwater.ledger.raw import ACCOUNT, PARSER, Row
from headwater.ledger.shape import Learned
from headwater.log import get_logger
from headwater.sources.http.client import (
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
)
from headwater.sources.http.oauth import RefreshedTokens, Save

_PLACEHOLDER = re.compile(r"\{(account|since|until|since_epoch|api_version|raw)\}")
_ACCOUNT = "{account}"
_DAY = timedelta(days=1)
_TOKEN_RATE = Rate(calls=5)
READ_TRIES = 3
"""How often a part is read from its beginning because its cursor ran out."""

log = get_logger(__name__)


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
    """What YAML cannot say of a source: how it refuses, how full it is, how it is signed to, how a stream is read.

    `sign` makes parameters of the secret, `headers` headers beside those of the auth.
    """

    classify: Classify = classify_by_status
    usage: Usage | None = None
    sign: Sign | None = None
    headers: Sign | None = None
    readers: Mapping[str, Reader] = field(default_factory=dict)


@dataclass(frozen=True)
class Extraction:
    """What one run found: the position after it, and the slices it covers."""

    position_after: DaysPosition | None
    slices: tuple[dict[str, str], ...]


def api_of(source: str) -> Api:
    """Finds a source's `API` in headwater/sources/apis/; one that follows HTTP's own rules if it has no module there."""
    module = f"headwater.sources.apis.{source}"
    if importlib.util.find_spec(module) is None:
        return Api()
    api = importlib.import_module(module).API
    assert isinstance(api, Api)  # noqa: S101 - a slip of ours, not of a user's
    return api


@contextmanager
def open_client(
    source: HttpSource,
    secret: Mapping[str, str],
    save: Save,
    sleep: Sleep = time.sleep,
    clock: Clock = time.monotonic,
) -> Iterator[Client]:
    """Opens a client for a source as its YAML says; FatalSourceError when the secret lacks what its auth needs.

    `save` gets the whole secret when the provider has rotated a part of it.
    """
    api = api_of(source.name)
    wire = Wire(source.timeout_seconds)

    def connect(base_url: str, rate: Rate, credentials: Credentials) -> Client:
        return Client(
            name=source.name,
            base_url=base_url,
            send=wire,
            limit=RateLimit(rate, source.retry.longest_wait_seconds, sleep, clock),
            limits={
                ending: RateLimit(own, source.retry.longest_wait_seconds, sleep, clock)
                for ending, own in source.rates.items()
            },
            backoff=Backoff(source.retry),
            credentials=credentials,
            classify=api.classify,
            usage=api.usage,
            sleep=sleep,
            clock=clock,
        )

    secrets = tuple(str(value) for value in secret.values())
    tokens = None
    if isinstance(source.auth, OAuth):
        url = urlsplit(source.auth.token_url)
        base_url = f"{url.scheme}://{url.netloc}" if url.netloc else source.base_url
        grant = source.auth.model_copy(update={"token_url": url.path})
        asking = replace(connect(base_url, _TOKEN_RATE, Credentials(secrets=secrets)), classify=classify_by_status)
        tokens = RefreshedTokens(asking, grant, secret, save)
    params = api.sign(secret) if api.sign else {}
    fixed = {**_fixed(source, secret), **(api.headers(secret) if api.headers else {})}
    try:
        yield connect(source.base_url, source.rate, Credentials(fixed, params, secrets, tokens))
    finally:
        wire.close()


def _fixed(source: HttpSource, secret: Mapping[str, str]) -> dict[str, str]:
    """Headers from the secret that every request has."""
    match source.auth:
        case BearerAuth(token=key):
            return {"Authorization": f"Bearer {_of(source, secret, key)}"}
        case HeadersAuth(headers=headers):
            return {header: _of(source, secret, key) for header, key in headers.items() if _ACCOUNT not in key}
        case _:
            return {}


def _fixed_of_account(source: HttpSource, secret: Mapping[str, str], account: str) -> dict[str, str]:
    """Headers from the secret that are an account's own."""
    if not isinstance(source.auth, HeadersAuth):
        return {}
    own = {header: key for header, key in source.auth.headers.items() if _ACCOUNT in key}
    return {header: _of(source, secret, key.replace(_ACCOUNT, account)) for header, key in own.items()}


def _of(source: HttpSource, secret: Mapping[str, str], key: str) -> str:
    if not secret.get(key):
        raise FatalSourceError(f"{source.name}: secret {source.secret!r} has no {key!r}. hint: add it")
    return secret[key]


def extract(
    source: HttpSource,
    stream: str,
    writer: BatchWriter,
    window: tuple[date, date] | None,
    as_of: date,
    secret: Mapping[str, str],
    save: Save,
) -> Manifest | None:
    """Extracts one batch of an HTTP stream; None when nothing is new or reads differently.

    `save` gets the whole secret when the provider has rotated a part of it.
    """
    parsers = rolled_out(source, stream)
    in_use = {parsers.get(account) for account in source.accounts or ("",)}
    # Fields of a shape that is not rolled out yet are as unexpected as any.
    writer.declared -= _foreign(source.streams[stream], in_use)
    with open_client(source, secret, save) as client:
        found = read(source, stream, secret, writer, writer.before(DaysPosition), as_of, window, client)
    return None if found is None else writer.commit(found.position_after, found.slices)


def read(
    source: HttpSource,
    name: str,
    secret: Mapping[str, str],
    writer: BatchWriter,
    position: DaysPosition | None,
    as_of: date,
    window: tuple[date, date] | None,
    client: Client,
) -> Extraction | None:
    """Adds to `writer` every slice that is new or reads differently; None, and nothing added, when there is none.

    Reads from the position, less the days that the source restates, to `as_of` (UTC); an account without position from
    the start of its history. With `window` (first and last day) it reads just that, and the position stays.
    """
    stream = source.streams[name]
    reread = timedelta(days=stream.window.reread_days)
    until = _until(position, as_of)
    spans = []
    for account in source.accounts or ("",):
        if window is not None:
            spans.append(_Span(account, *window, window[1] if stream.window.field else date.max, None))
        elif position is None or account not in position.accounts:
            history = timedelta(days=stream.window.history_days)
            spans.append(_Span(account, as_of - history, until, date.max, None))
        else:
            known = {key: digest for key, digest in position.slices.items() if _split(key)[0] == account}
            since = position.until - reread + _DAY
            spans.append(_Span(account, since, until, date.max, known))
    reading = _Reading(source, name, secret, client, writer)
    reading.read(spans)
    if source.accounts and reading.closed == {*source.accounts}:
        raise FatalSourceError(f"{source.name}: none of the accounts is served: {', '.join(source.accounts)}")
    if not reading.slices:
        return None
    slices = tuple({"account": account, "day": day} for account, day in sorted(map(_split, reading.slices)))
    return Extraction(position if window is not None else reading.position(until), slices)


def _until(position: DaysPosition | None, as_of: date) -> date:
    """The last day to read: a run for an earlier date than the position's does not take the position back."""
    return as_of if position is None else max(as_of, position.until)


def _key(account: str, day: date) -> str:
    return f"{account}|{day.isoformat()}"


def _split(key: str) -> tuple[str, str]:
    account, _, day = key.rpartition("|")
    return account, day


def rolled_out(source: HttpSource, name: str) -> dict[str, str]:
    """Tells which accounts a stream's other parser reads, by account; the order of accounts that share grows along is fixed."""
    rollout = source.rollout.get(name)
    if rollout is None:
        return {}
    order = sorted(source.accounts or ("",), key=lambda account: hashlib.sha256(account.encode()).digest())
    return dict.fromkeys(order[: math.ceil(rollout.share * len(order))], rollout.parser)


def _foreign(stream: HttpStream, parsers: Iterable[str | None]) -> frozenset[str]:
    """Declared fields that none of these parsers' rows have."""
    own = {name for parser in parsers for name in (stream.parsers[parser].raw if parser else None) or stream.raw}
    return frozenset(stream.raw_fields) - own


def _parsed_by(source: HttpSource, name: str, parser: str) -> HttpSource:
    """The source as it is for the accounts that another parser reads."""
    shape = source.streams[name].parsers[parser]
    changed = {field: getattr(shape, field) for field in ("path", "params", "records", "raw")}
    stream = source.streams[name].model_copy(update={k: value for k, value in changed.items() if value is not None})
    version = source.api_version if shape.api_version is None else shape.api_version
    return source.model_copy(update={"streams": {**source.streams, name: stream}, "api_version": version})


@dataclass(frozen=True)
class _Span:
    """The days of one account that a run reads.

    Rows of days after `until`, up to `latest`, are taken where the source gives them unasked: a clock that goes wrong at
    the source must not hide a row. `known` holds digests of slices as they read last; None when nothing is known.
    """

    account: str
    since: date
    until: date
    latest: date
    known: Mapping[str, str] | None


@dataclass(frozen=True)
class _Piece:
    """One part to read, the days whose rows it takes, and what is known of them."""

    part: Part
    first: date
    last: date
    known: Mapping[str, str] | None

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last


@dataclass
class _Chunk:
    """The rows of one part in a file, the digest of each slice among them, and what they taught."""

    path: Path
    learned: Learned
    digests: dict[str, int]
    rows: int


class _Reading:
    """Reads the parts of one stream, some at a time, and remembers what was found."""

    def __init__(
        self, source: HttpSource, name: str, secret: Mapping[str, str], client: Client, writer: BatchWriter
    ) -> None:
        self.source = source
        self.stream = source.streams[name]
        self.slices: set[str] = set()
        self.closed: set[str] = set()
        self._name = name
        self._where = f"{source.name}.{name}"
        self._reader = api_of(source.name).readers.get(name, read_pages)
        self._secret = secret
        self._client = client
        self._writer = writer
        self._digests: dict[str, int] = {}
        self._parsers = rolled_out(source, name)
        self._failed = threading.Event()

    def position(self, until: date) -> DaysPosition:
        """Makes the position after: how far, for which accounts, and the digests that the next run compares with."""
        first = (until - timedelta(days=self.stream.window.reread_days) + _DAY).isoformat()
        # A closed account is not remembered: when it is served again, its history is read as that of a new one.
        accounts = [account for account in self.source.accounts or ("",) if account not in self.closed]
        kept = {
            key: f"{digest:032x}"
            for key, digest in self._digests.items()
            if _split(key)[1] >= first and _split(key)[0] in accounts
        }
        return DaysPosition(until=until, accounts=tuple(accounts), slices=dict(sorted(kept.items())))

    def read(self, spans: Iterable[_Span]) -> None:
        """Reads every span and adds what differs from what is known of it; without that, everything."""
        pieces = [piece for span in spans for piece in self._pieces(span)]
        with (
            TemporaryDirectory() as folder,
            ThreadPoolExecutor(self.source.rate.concurrent, thread_name_prefix=self._where) as pool,
        ):
            waiting: deque[tuple[_Piece, Future[_Chunk]]] = deque()
            try:
                for number, piece in enumerate(pieces):
                    spool = Path(folder) / f"{number}.jsonl.gz"
                    context = copy_context()
                    waiting.append((piece, pool.submit(context.run, self._spool, piece, spool)))
                    # Files wait on disk for their turn: no more of them than there are readers.
                    if len(waiting) > self.source.rate.concurrent:
                        self._take(*waiting.popleft())
                while waiting:
                    self._take(*waiting.popleft())
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _pieces(self, span: _Span) -> Iterator[_Piece]:
        parser = self._parsers.get(span.account)
        source = self.source if parser is None else _parsed_by(self.source, self._name, parser)
        length = timedelta(days=self.stream.window.chunk_days or (span.until - span.since).days + 1)
        since = span.since
        while since <= span.until:
            last = min(since + length - _DAY, span.until)
            part = Part(source, source.streams[self._name], span.account, since, last)
            yield _Piece(part, since, span.latest if last == span.until else last, span.known)
            since = last + _DAY

    def _take(self, piece: _Piece, read: Future[_Chunk]) -> None:
        account = piece.part.account
        try:
            chunk = read.result()
        except ClosedAccountError as error:
            if account not in self.closed:
                log.warning("account is not served, the others are read on", account=account, error=str(error))
            self.closed.add(account)
            return
        self._add(piece, chunk, _changed(chunk, piece.known))
        self.slices |= self._covered(piece, chunk)
        self._digests.update(chunk.digests)
        self._writer.learned.merge(chunk.learned)
        chunk.path.unlink()

    def _spool(self, piece: _Piece, path: Path) -> _Chunk:
        """Reads a part into a file, from its beginning once more when its cursor runs out."""
        # Once one part has failed nothing of the batch will count: the source is not asked for the others.
        if self._failed.is_set():
            raise CancelledError
        try:
            for _ in range(READ_TRIES - 1):
                try:
                    return self._spool_once(piece, path)
                except ExpiredCursorError as error:
                    log.warning("a cursor has run out, reading from the beginning", error=str(error))
            return self._spool_once(piece, path)
        except ClosedAccountError:
            raise
        except BaseException:
            self._failed.set()
            raise

    def _spool_once(self, piece: _Piece, path: Path) -> _Chunk:
        account = piece.part.account
        client = self._client
        own = _fixed_of_account(self.source, self._secret, account)
        if own:
            fixed = {**client.credentials.fixed, **own}
            client = replace(client, credentials=replace(client.credentials, fixed=fixed))
        parser = self._parsers.get(account)
        digests: dict[str, int] = {}
        with self._writer.open_rows(path) as file:
            file.without(_foreign(self.stream, [parser]))
            for row in self._reader(client, piece.part):
                day = self._day(row)
                # Every day belongs to just one part, so a source that answers with more than it was asked for doubles
                # nothing, and a slice is whole.
                if day not in piece:
                    continue
                line = file.write(row, **{ACCOUNT: account, PARSER: parser})
                key = _key(account, day)
                digest = int.from_bytes(hashlib.sha256(line.encode()).digest()[:16], "big")
                digests[key] = (digests.get(key, 0) + digest) % 2**128
        return _Chunk(path, file.learned, digests, file.rows)

    def _day(self, row: object) -> date:
        name = self.stream.window.field
        if not isinstance(row, Mapping):
            raise FatalSourceError(f"{self._where}: a row is {type(row).__name__}, not an object")
        if name is None:
            return date.max
        value = row.get(name)
        if value is None:
            raise FatalSourceError(f"{self._where}: a row lacks `{name}`, by which its day is known: {_excerpt(row)}")
        try:
            return day_of(value)
        except (TypeError, ValueError):
            raise FatalSourceError(
                f"{self._where}: `{name}` is {value!r}, neither an ISO date nor an ISO time"
            ) from None

    def _covered(self, piece: _Piece, chunk: _Chunk) -> set[str]:
        changed = _changed(chunk, piece.known)
        if piece.known is None:
            # Nothing tells what silver holds of these days, so a replacing stream speaks for all of them.
            part = piece.part
            every = (part.since + _DAY * number for number in range((part.until - part.since).days + 1))
            replaces = isinstance(self.stream.write, ReplaceWrite)
            return changed | ({_key(part.account, day) for day in every} if replaces else set())
        gone = piece.known.keys() - chunk.digests.keys()
        return changed | {key for key in gone if date.fromisoformat(_split(key)[1]) in piece}

    def _add(self, piece: _Piece, chunk: _Chunk, changed: set[str]) -> None:
        if not changed:
            return
        if len(changed) == len(chunk.digests):
            self._writer.add(chunk.path, chunk.rows)
            return
        path = chunk.path.with_name("changed.jsonl.gz")
        rows = 0
        with gzip.open(path, "wt", encoding="ascii", compresslevel=6) as file:
            for line in _lines(chunk.path):
                if _key(piece.part.account, self._day(json.loads(line))) in changed:
                    file.write(line)
                    rows += 1
        self._writer.add(path, rows)


def _changed(chunk: _Chunk, known: Mapping[str, str] | None) -> set[str]:
    known = known or {}
    return {key for key, digest in chunk.digests.items() if known.get(key) != f"{digest:032x}"}


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
