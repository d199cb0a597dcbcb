"""What differs between database engines when a relation is read at one moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from pyspark.sql import SparkSession

from headwater.sources.jdbc.columns import Column
from headwater.sources.jdbc.session import Database, Session, connect

STATEMENT_TIMEOUT_MS = 30 * 60 * 1000


@dataclass(frozen=True)
class Snapshot:
    """A read-only transaction that sees the database at one moment.

    `join` is the SQL with which another connection begins; where snapshots are `shared`, it then sees the same moment.
    """

    session: Session
    join: str
    shared: bool

    def row(self, sql: str) -> tuple[str | None, ...]:
        """Runs a query of one row and reads its columns as text."""
        return self.session.row(sql)


class Engine(Protocol):
    """One database engine."""

    @property
    def now(self) -> str:
        """SQL of the time by the database's own clock when a statement begins."""
        ...

    def database(self, secret: Mapping[str, str]) -> Database:
        """Makes the address from a secret in the form that RDS keeps it."""
        ...

    def begin(self, session: Session) -> Snapshot:
        """Begins a read-only transaction that sees the database at one moment."""
        ...

    def text(self, expression: str) -> str:
        """SQL that writes a value as text that `moment` and the readers' bounds understand."""
        ...

    def moment(self, text: str) -> str:
        """SQL of a moment in UTC, from the text of a watermark or from `YYYY-MM-DD HH:MM:SS`."""
        ...

    def earlier(self, moment: str, minutes: int) -> str:
        """SQL of a moment some minutes earlier."""
        ...

    def columns(self, session: Session, relation: str) -> list[Column]:
        """Lists the columns of a relation; FatalSourceError when it does not exist."""
        ...

    def quoted(self, name: str) -> str:
        """An identifier as it stands in SQL."""
        ...

    def split(self, quoted: str) -> str:
        """SQL of a number as a 64-bit integer, NULL where it is none: what parallel reads are split by."""
        ...

    def digest(self, columns: Sequence[str]) -> str:
        """SQL of an aggregate over rows of `t`, which has these columns, that differs between different sets of rows."""
        ...


@contextmanager
def snapshot(spark: SparkSession, engine: Engine, database: Database) -> Iterator[Snapshot]:
    """Opens a snapshot for the length of the block."""
    with connect(spark, database) as session:
        session.connection.setReadOnly(True)
        session.connection.setAutoCommit(False)
        yield engine.begin(session)
        # After an error the connection may be gone, whose own error would hide the first; closing it ends the transaction too.
        session.connection.rollback()
