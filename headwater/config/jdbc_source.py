"""Relational databases read over JDBC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from headwater.config.relation import RelationStream
from headwater.config.secret_name import SecretName
from headwater.config.stream import Disagreement, Order, SourceBase
from headwater.config.strict import Name, Strict
from headwater.config.table import InsertWrite, Table

CHANGE = ("_change", "_lsn", "_committed_at")
"""What a raw row of a change log has beside the relation's columns; LogRead says what each holds."""


class WatermarkRead(Strict):
    """Reads rows whose `column` moved past the position, less an overlap for late commits."""

    kind: Literal["watermark"]
    column: Name
    overlap_minutes: int = Field(10, ge=1)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that reading goes by."""
        return (self.column,)

    @property
    def position_note(self) -> str:
        """What the position is, in words."""
        return f"`{self.column}`, {self.overlap_minutes} min of overlap"


class BookmarkRead(Strict):
    """Reads rows beyond the Glue job bookmark's keys: for append-only relations with a growing key."""

    kind: Literal["bookmark"]
    keys: tuple[Name, ...] = Field(min_length=1, max_length=1)
    overlap_rows: int = Field(
        10_000,
        ge=1,
        description="Rows with the highest keys that are compared at every run, and read again where others have come in between: "
        "more than are committed while a transaction is open that has taken its key.",
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that reading goes by."""
        return self.keys

    @property
    def position_note(self) -> str:
        """What the position is, in words."""
        return f"`{self.keys[0]}`, by the Glue bookmark, {self.overlap_rows:,} rows of overlap"


class LogRead(Strict):
    """Reads every change, deletes included, from PostgreSQL's write-ahead log, after one snapshot of the relation.

    Raw rows have the relation's columns and `_change` (snapshot, insert, update, delete), `_lsn` (grows with every change of a
    key) and `_committed_at` (UTC).
    """

    kind: Literal["log"]
    slot: Name = Field(description="Replication slot of this stream alone; another name reads a new snapshot.")
    publication: Name = Field(description="Publication that holds the relation; its owner creates it.")

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that reading goes by: none, as the log tells whole rows."""
        return ()

    @property
    def position_note(self) -> str:
        """What the position is, in words."""
        return f"log sequence number, slot `{self.slot}`"


Read = Annotated[WatermarkRead | BookmarkRead | LogRead, Field(discriminator="kind")]


class JdbcStream(RelationStream):
    """A stream read from one relation of a database."""

    read: Read
    partition_column: Name = Field(description="Numeric, indexed column that parallel reads are split by.")
    partitions: int = Field(2, ge=1, le=16, description="Parallel connections.")
    day: Name | None = Field(
        None, description="Column of the relation that a backfill's days are about; the watermark's column if absent."
    )

    grows: Name | None = Field(
        None,
        description="Column whose numbers grow as rows are made, such as the key of a sequence: by it a read by watermark finds rows "
        "that are committed, or dated, later than its overlap.",
    )

    @property
    def order(self) -> Order:
        """What makes one row of a key newer than another: a log has an order of its own."""
        return "version" if isinstance(self.read, LogRead) else super().order

    @property
    def position_note(self) -> str:
        """What the position is, in words."""
        return self.read.position_note

    @property
    def backfill_note(self) -> str:
        """How the stream is read again, in words."""
        return "no: read a new snapshot" if self.backfill_column is None else super().backfill_note

    @property
    def backfill_column(self) -> str | None:
        """The column that a backfill's days are about; None where a stream cannot be read by days."""
        return self.day or (self.read.column if isinstance(self.read, WatermarkRead) else None)

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that reading itself needs: what it goes by, what it is split by, and what a backfill's days are about."""
        also = [name for name in (self.backfill_column, self.grows) if name is not None]
        return (*self.read.columns, self.partition_column, *also)

    @property
    def raw_fields(self) -> tuple[str, ...] | None:
        """Fields that a raw row has: the columns that are read, and what the change log adds to them."""
        fields = super().raw_fields
        return (*fields, *CHANGE) if fields is not None and isinstance(self.read, LogRead) else fields

    def disagreements(self, table: Table) -> Iterator[Disagreement]:
        """Says where the stream contradicts the table that it feeds."""
        yield from super().disagreements(table)
        if isinstance(self.read, LogRead) and "_lsn" not in (self.columns.get(table.version or "") or ""):
            yield "read", f"log needs the version of table {table.table} to be a column made of _lsn"
        if isinstance(self.read, LogRead) and isinstance(table.write, InsertWrite):
            yield "read", f"log tells changes, and table {table.table} has write: insert, by which no row changes"

    @model_validator(mode="after")
    def _only_a_watermark_misses_rows(self) -> JdbcStream:
        if self.grows is not None and not isinstance(self.read, WatermarkRead):
            raise ValueError("grows: only a read by watermark needs it. hint: leave it out")
        return self

    @model_validator(mode="after")
    def _log_has_every_change(self) -> JdbcStream:
        if isinstance(self.read, LogRead) and self.where is not None:
            raise ValueError(
                "where: the change log tells every change, and a row that no longer meets a condition would not be told as "
                "gone. hint: leave the rows out in gold, or read by watermark"
            )
        return self


class JdbcSource(SourceBase):
    """A relational database read over JDBC; its secret holds host, port, dbname, username and password."""

    kind: Literal["jdbc"]
    engine: Literal["postgresql", "mysql"]
    secret: SecretName
    fetch_size: int = Field(10_000, gt=0)
    streams: dict[Name, JdbcStream] = Field(min_length=1)

    @property
    def speaks(self) -> str:
        """Its protocol, in words."""
        return f"JDBC, {self.engine}"

    def limits(self) -> Iterator[str]:
        """The declared bounds, in words."""
        yield f"{self.fetch_size:,} rows at a time over a connection"

    @model_validator(mode="after")
    def _engine_has_a_log(self) -> JdbcSource:
        logs = [name for name, stream in self.streams.items() if isinstance(stream.read, LogRead)]
        if logs and self.engine != "postgresql":
            raise ValueError(f"{', '.join(logs)}: read: log is for engine postgresql, not {self.engine}")
        return self
