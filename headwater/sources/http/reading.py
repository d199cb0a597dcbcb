"""Reads the parts of one stream, some at a time, and keeps the account days that read otherwise than before."""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextvars import copy_context
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from headwater.config import HttpSource, ReplaceWrite, Table, WholeRead
from headwater.errors import ClosedAccountError, ConfigError, ExpiredCursorError, FatalSourceError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.raw import ACCOUNT, PARSER, Row
from headwater.ledger.untrusted import read_json
from headwater.log import get_logger
from headwater.sources.apis import api_of
from headwater.sources.http.client import HttpClient
from headwater.sources.http.conditional import NotModifiedError
from headwater.sources.http.connect import for_account
from headwater.sources.http.messages import shorten
from headwater.sources.http.rollout import foreign, rolled_out
from headwater.sources.http.source import AccountDay, Part, read_pages
from headwater.sources.http.spool import Spool
from headwater.sources.http.updates import Recent, SincePart, recent_of

READ_TRIES = 3
"""How often a part is read from its beginning because its cursor ran out."""

log = get_logger(__name__)


class Reading:
    """Reads parts into the writer, and remembers what was found.

    `covered` are the account days that the batch covers, `digests` those of all that was read, `closed` the accounts
    that the source does not serve, `recent` the newest changes of each account whose changes are read.
    """

    def __init__(
        self,
        source: HttpSource,
        name: str,
        table: Table,
        secret: Mapping[str, str],
        client: HttpClient,
        writer: BatchWriter,
    ) -> None:
        self.covered: set[AccountDay] = set()
        self.digests: dict[AccountDay, int] = {}
        self.closed: set[str] = set()
        self.recent: dict[str, Recent] = {}
        self._source = source
        self._stream = source.streams[name]
        self._replaces = isinstance(table.write, ReplaceWrite)
        self._where = f"{source.name}.{name}"
        self._reader = api_of(source.name).readers.get(name, read_pages)
        read = self._stream.read
        if isinstance(read, WholeRead) and read.conditional and self._reader is not read_pages:
            raise ConfigError(f"{self._where}: read.conditional is for streams that no Python reads")
        self._parsers = rolled_out(source, name)
        self._secret = secret
        self._client = client
        self._writer = writer
        self._failed = threading.Event()

    def read(self, parts: Iterable[Part]) -> None:
        """Reads every part and adds what differs from what is known of it; without that, everything."""
        concurrent = self._source.rate.concurrent
        with TemporaryDirectory() as folder, ThreadPoolExecutor(concurrent, thread_name_prefix=self._where) as pool:
            waiting: deque[tuple[Part, Future[Spool]]] = deque()
            try:
                for number, part in enumerate(parts):
                    path = Path(folder) / f"{number}.jsonl.gz"
                    context = copy_context()
                    waiting.append((part, pool.submit(context.run, self._spool, part, path)))
                    # Files wait on disk for their turn: no more of them than there are readers.
                    if len(waiting) > concurrent:
                        self._take(*waiting.popleft())
                while waiting:
                    self._take(*waiting.popleft())
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _spool(self, part: Part, path: Path) -> Spool:
        """Reads a part into a file, from its beginning once more when its cursor runs out."""
        # Once one part has failed the batch is lost: the source is not asked for the others.
        if self._failed.is_set():
            raise CancelledError
        try:
            for _ in range(READ_TRIES - 1):
                try:
                    return self._spool_once(part, path)
                except ExpiredCursorError as error:
                    log.warning("a cursor has run out, reading from the beginning", error=str(error))
            return self._spool_once(part, path)
        except ClosedAccountError:
            raise
        except BaseException:
            self._failed.set()
            raise

    def _spool_once(self, part: Part, path: Path) -> Spool:
        client = for_account(self._client, self._source, self._secret, part.account)
        parser = self._parsers.get(part.account)
        began = time.monotonic()
        digests: dict[AccountDay, int] = {}
        recent = recent_of(part) if isinstance(part, SincePart) else None
        with self._writer.open_rows(path) as file:
            file.without(foreign(self._stream, [parser]))
            try:
                for row in self._rows(client, part):
                    day = self._day(part, row)
                    # Every day belongs to just one part, so a source that answers with more than it was asked for doubles
                    # nothing, and an account day is whole.
                    if day not in part:
                        continue
                    line = file.write(row, **{ACCOUNT: part.account, PARSER: parser})
                    key = AccountDay(part.account, day)
                    digest = int.from_bytes(hashlib.sha256(line.encode()).digest()[:16], "big")
                    digests[key] = (digests.get(key, 0) + digest) % 2**128
                    if recent is not None:
                        recent.add(part.moment_of(row), digest)
            except NotModifiedError:
                digests = {day: int(digest, 16) for day, digest in (part.known or {}).items()}
        return Spool(path, file.learned, digests, file.rows, time.monotonic() - began, recent)

    def _rows(self, client: HttpClient, part: Part) -> Iterator[Row]:
        """The rows of a part; FatalSourceError for an answer that is JSON, but of no form that its API's reader knows."""
        try:
            yield from self._reader(client, part)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            said = shorten(client.auth.strike_out(f"{type(error).__name__}: {error}"))
            raise FatalSourceError(
                f"{self._where}: an answer is not of the form that is read: {said}. "
                "hint: look whether the API has changed; the API's version is in the source's file"
            ) from error

    def _day(self, part: Part, row: object) -> date:
        """The day of a row; FatalSourceError when it tells none."""
        if not isinstance(row, Mapping):
            raise FatalSourceError(f"{self._where}: a row is {type(row).__name__}, not an object")
        name = getattr(self._stream.read, "field", "")
        try:
            return part.day_of(row)
        except KeyError:
            fields = ", ".join(sorted(row))
            raise FatalSourceError(
                f"{self._where}: a row lacks `{name}`, by which its day is known: its fields are {fields}"
            ) from None
        except (TypeError, ValueError, OverflowError, OSError):
            raise FatalSourceError(
                f"{self._where}: `{name}` is {row[name]!r}, neither an ISO date or time nor seconds since 1970"
            ) from None

    def _take(self, part: Part, read: Future[Spool]) -> None:
        """Takes what a part was read to, in the parts' order."""
        try:
            spool = read.result()
        except ClosedAccountError as error:
            if part.account not in self.closed:
                log.warning("account is not served, the others are read on", account=part.account, error=str(error))
            self.closed.add(part.account)
            return
        self._writer.has_read(f"{part.account} {part.since} to {part.until}".lstrip(), spool.rows, spool.seconds)
        changed = spool.changed(part.known)
        self._add(part, spool, changed)
        self.covered |= changed | self._emptied(part, spool)
        self.digests.update(spool.digests)
        if spool.recent is not None:
            self.recent[part.account] = spool.recent
        self._writer.learned.merge(spool.learned)
        spool.path.unlink()

    def _add(self, part: Part, spool: Spool, changed: set[AccountDay]) -> None:
        if not changed:
            return
        if len(changed) == len(spool.digests):
            self._writer.add(spool.path, spool.rows)
            return
        path = spool.path.with_name("changed.jsonl.gz")
        rows = 0
        with gzip.open(path, "wt", encoding="ascii", compresslevel=6) as file:
            for line in spool.lines():
                if AccountDay(part.account, self._day(part, read_json(line))) in changed:
                    file.write(line)
                    rows += 1
        self._writer.add(path, rows)

    def _emptied(self, part: Part, spool: Spool) -> set[AccountDay]:
        """Account days that the batch covers although it may have no row of them."""
        if part.known is None:
            # It is unknown what silver holds of these days, so a replacing stream covers all of them.
            return set(part.days) if self._replaces else set()
        return {gone for gone in part.known.keys() - spool.digests.keys() if gone.day in part}
