"""The batch that is being extracted: its raw files and what they taught, until its manifest makes it exist."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from headwater.errors import ConfigError, SchemaDriftError
from headwater.ledger.entries import DataFile, Days, Manifest, SetAside, SourceRead, TakenFile
from headwater.ledger.positions import AnyPosition, Position
from headwater.ledger.raw import RowFile
from headwater.ledger.shape import Fields, Learned, relation_changes
from headwater.ledger.stream import FIRST_BATCH, StreamLedger
from headwater.log import get_logger

log = get_logger(__name__)


@dataclass
class BatchWriter:
    """Collects the raw files of the batch that is being extracted; nothing exists until `commit`.

    `before_at` is when the batch before was committed. `known` is what earlier batches taught of the rows' fields, `learned` what
    this one's do, `declared` are the fields that config names, and with `flag` rows of another shape are marked for quarantine.
    `relation` are all columns of a database's relation, by name and type there, and `relation_before` those of the batch before.
    """

    ledger: StreamLedger
    batch: int
    run_id: str
    attempt: str
    format: Literal["jsonl", "parquet"]
    position_before: Position | None
    before_at: datetime | None = None
    window: Days | None = None
    known: Fields = field(default_factory=dict)
    declared: frozenset[str] = frozenset()
    flag: bool = False
    learned: Learned = field(default_factory=Learned)
    relation_before: Mapping[str, str] | None = None
    relation: dict[str, str] | None = None
    files: list[DataFile] = field(default_factory=list)
    taken: list[TakenFile] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    reads: list[SourceRead] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(
        cls,
        ledger: StreamLedger,
        run_id: str,
        json_fields: Iterable[str] | None,
        window: Days | None = None,
        *,
        columns: Iterable[str] | None = None,
        flag: bool = False,
    ) -> Self:
        """Begins the batch after the newest: JSON lines of some declared fields, or Parquet where there are none.

        With `window` it is a backfill's batch, and with `flag` rows of another shape are marked for quarantine. `columns` are all
        that is read of a relation: what earlier batches had besides was left out on purpose.
        """
        latest = ledger.latest()
        known = latest.fields if latest else {}
        if columns is not None:
            columns = frozenset(columns)
            known = {name: kind for name, kind in known.items() if name in columns}
        declared = frozenset(json_fields or columns or ())
        return cls(
            ledger=ledger,
            batch=latest.batch + 1 if latest else FIRST_BATCH,
            run_id=run_id,
            attempt=uuid.uuid4().hex[:12],
            format="parquet" if json_fields is None else "jsonl",
            position_before=latest.position_after if latest else None,
            before_at=latest.created_at if latest else None,
            window=window,
            known=known,
            declared=declared,
            learned=Learned.beside(known, declared),
            relation_before=latest.relation if latest else None,
            flag=flag,
        )

    @property
    def data_prefix(self) -> str:
        """Key prefix of this attempt's raw files."""
        return f"{self.ledger.prefix}/data/{self.batch:09d}/{self.attempt}"

    @property
    def data_uri(self) -> str:
        """S3 URI of this attempt's raw files, for Spark."""
        return f"{self.ledger.bucket.uri}/{self.data_prefix}"

    def before(
        self, kind: type[AnyPosition], ahead: Callable[[AnyPosition, datetime], bool] | None = None
    ) -> AnyPosition | None:
        """The position before the batch; ConfigError when the stream was read in another way until now.

        One that was `ahead` of the moment at which its batch was committed hides what came between: then it is the newest
        that was not, and None where there is none.
        """
        position, at = self._of(kind, self.position_before), self.before_at
        if ahead is None or position is None or at is None or not ahead(position, at):
            return position
        log.warning("the position was ahead of its time: reading from the newest that was not", position=str(position))
        for batch in range(self.batch - 2, 0, -1):
            manifest = self.ledger.manifest(batch)
            position = self._of(kind, manifest.position_after)
            if position is None or not ahead(position, manifest.created_at):
                return position
        return None

    def _of(self, kind: type[AnyPosition], position: Position | None) -> AnyPosition | None:
        if position is not None and not isinstance(position, kind):
            raise ConfigError(
                f"{self.ledger.prefix}: has been read with a {type(position).__name__}, not with a "
                f"{kind.__name__}. hint: declare the stream as it was, or under another name, with its history read again"
            )
        return position

    def add(self, path: Path, rows: int) -> None:
        """Uploads one finished raw file."""
        key = f"{self.data_prefix}/part-{len(self.files):05d}{''.join(path.suffixes)}"
        self.ledger.bucket.upload(path, key)
        self.files.append(DataFile(key=key, rows=rows, bytes=path.stat().st_size))

    def adopt(self, rows: int, subfolder: str = "") -> None:
        """Lists the files that Spark wrote below `data_uri`/`subfolder`; `rows` is their number of rows together."""
        listed = [
            (key, size)
            for key, _, size in self.ledger.bucket.keys(f"{self.data_prefix}/{subfolder}")
            if not key.rsplit("/", 1)[-1].startswith(("_", "."))
        ]
        # Spark counts the rows of all files, not of each: the first stands for all.
        self.files += [
            DataFile(key=key, rows=rows if index == 0 else 0, bytes=size) for index, (key, size) in enumerate(listed)
        ]

    @property
    def rows(self) -> int:
        """The rows that are in the batch so far."""
        return sum(file.rows for file in self.files)

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Times what is asked of the source meanwhile; the rows that are added answered it."""
        before, began = self.rows, time.monotonic()
        yield
        self.has_read(what, self.rows - before, time.monotonic() - began)

    def has_read(self, what: str, rows: int, seconds: float) -> None:
        """Notes in the log, and for the manifest, how many rows the source gave for something, and how long it took."""
        read = SourceRead(what=what, rows=rows, seconds=round(seconds, 3))
        self.reads.append(read)
        log.info("read", **dict(read))

    def open_rows(self, path: Path) -> RowFile:
        """Opens a file for JSON rows, to be given to `add` when it is closed."""
        return RowFile(path, self.known, self.declared, self.flag, Learned.beside(self.known, self.declared))

    def commit(self, position_after: Position | None, slices: tuple[dict[str, str], ...] | None = None) -> Manifest:
        """Writes the manifest, last and create-only: from here on the batch exists.

        A backfill's position stays where it is, and doubts what it knows: silver has what the backfill read now, to which
        the source may go back from what the position knows.
        SchemaDriftError when a typed column has become of another type, which no table could take.
        """
        if self.window and position_after is None and self.position_before is not None:
            position_after = self.position_before.doubted()
        drift = self.learned.changes(self.known, self.declared)
        retyped = [str(change) for change in drift if change.change == "retyped"]
        if self.format == "parquet" and retyped:
            raise SchemaDriftError(
                f"{self.ledger.prefix}: {'; '.join(retyped)}; nothing of this batch counts. hint: have the source changed "
                "back, or declare the stream under another name, with its history read again"
            )
        told, read = relation_changes(self.relation_before, self.relation), self.declared or self.learned.seen.keys()
        manifest = Manifest(
            source=self.ledger.source,
            stream=self.ledger.stream,
            batch=self.batch,
            run_id=self.run_id,
            attempt=self.attempt,
            created_at=datetime.now(UTC),
            mode="backfill" if self.window else "incremental",
            format=self.format,
            files=tuple(self.files),
            rows=self.rows,
            position_before=self.position_before,
            position_after=position_after,
            slices=slices,
            window=self.window,
            fields=self.learned.fields(self.known),
            drift=drift + tuple(change for change in told if change.field in read and change.change == "retyped"),
            relation=self.relation,
            beside=tuple(change for change in told if change.field not in read),
            left_out=self.learned.left_out,
            taken=tuple(self.taken),
            set_aside=tuple(self.set_aside),
            seconds=round(time.monotonic() - self.begun, 3),
            reads=tuple(self.reads),
        )
        self.ledger.commit(manifest)
        return manifest
