"""Reads one relation of a database into raw Parquet: what is new since the position, or some days, at one moment.

The driver opens a snapshot and takes the bounds from it; Spark's parallel connections join it where the engine can
share it (docs/adr/0006 says what happens where it cannot).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.config import BookmarkRead, JdbcSource, JdbcStream, LogRead, WatermarkRead
from headwater.errors import ConfigError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import Days, Manifest
from headwater.ledger.positions import KeyPosition, Position, WatermarkPosition
from headwater.log import get_logger
from headwater.sources.jdbc.change_log import extract_changes, log_end, log_relation, snapshot_columns
from headwater.sources.jdbc.engine import Engine, Snapshot, snapshot
from headwater.sources.jdbc.growing import Growing, watched
from headwater.sources.jdbc.mysql import MySql
from headwater.sources.jdbc.pgoutput import parse_lsn
from headwater.sources.jdbc.postgresql import PostgreSql
from headwater.sources.jdbc.read import Relation, extent, extract_rows, read_joined, relation_of, write_rows
from headwater.sources.jdbc.session import Database, connect
from headwater.sources.jdbc.typed import typed_rows
from headwater.sources.keys import Keys
from headwater.sources.keys import news as key_news
from headwater.sources.watermark import Span, news, of_days, position_before

NewRows = Callable[[str, Mapping[str, Any], str], DataFrame]
ENGINES: dict[str, Engine] = {"postgresql": PostgreSql(), "mysql": MySql()}

log = get_logger(__name__)


def extract(
    spark: SparkSession,
    source: JdbcSource,
    name: str,
    writer: BatchWriter,
    days: Days | None,
    secret: Mapping[str, str],
    new_rows: NewRows,
) -> Manifest | None:
    """Extracts one batch of a relation as raw Parquet; None when there is nothing new.

    `new_rows` reads, over the connection of an engine with some options, what is new to the job's bookmark of a context.
    """
    stream, engine = source.streams[name], ENGINES[source.engine]
    relation = _Relation(spark, source, name, stream, engine, engine.database(secret), writer, new_rows)
    if days is not None:
        with writer.reading(stream.relation):
            relation.by_days(days)
        return writer.commit(None) if writer.files else None
    with writer.reading(stream.relation):
        after = relation.new()
    # The change log may have gone on without a change of this relation: its batch is then empty.
    return writer.commit(after) if after is not None and (writer.files or isinstance(stream.read, LogRead)) else None


@dataclass(frozen=True)
class _Relation:
    """A stream's relation, on its way into one batch."""

    spark: SparkSession
    source: JdbcSource
    name: str
    stream: JdbcStream
    engine: Engine
    database: Database
    writer: BatchWriter
    new_rows: NewRows

    def new(self) -> Position | None:
        """Writes what is new since the position; returns the position after, or None when there is nothing new."""
        match self.stream.read:
            case LogRead() as read:
                return extract_changes(self.spark, self.source, self.stream, read, self.database, self.writer)
            case WatermarkRead() as read:
                with snapshot(self.spark, self.engine, self.database) as view:
                    return self._by_watermark(read, view)
            case BookmarkRead() as read:
                with snapshot(self.spark, self.engine, self.database) as view:
                    return self._by_bookmark(read, view)

    def by_days(self, days: Days) -> None:
        """Writes the rows of some days, the last included, whatever the position is."""
        column = self.stream.backfill_column
        if column is None:
            raise ConfigError(
                f"{self.source.name}.{self.name}: cannot be read by days. hint: declare `day`, the column that has them"
            )
        asked, spark = of_days(self.engine.quoted(column), self.engine, days), self.spark
        if not isinstance(self.stream.read, LogRead):
            with snapshot(spark, self.engine, self.database) as view:
                self._extract(view, relation_of(self.stream, self.engine, view.session, self.writer), asked)
            return
        # Before the snapshot, so that every change that it lacks is later in the log than its rows.
        with connect(spark, self.database) as session:
            place = parse_lsn(log_end(session))
        with snapshot(spark, self.engine, self.database) as view:
            relation = log_relation(self.stream, view.session, self.writer)
            rows = read_joined(spark, self.source, self.stream, relation, self.database, view, asked.where)
            if rows is not None:
                typed = typed_rows(rows, relation.columns, self.writer.known)
                write_rows(snapshot_columns(typed, place), self.writer)

    def _by_watermark(self, read: WatermarkRead, view: Snapshot) -> WatermarkPosition | None:
        relation = relation_of(self.stream, self.engine, view.session, self.writer)
        read = read.model_copy(update={"column": self.engine.quoted(read.column)})
        digest = self.engine.digest(relation.names)

        def fingerprint(where: str) -> tuple[str, str]:
            rows, total = view.row(f"SELECT count(*), {digest} FROM (SELECT * FROM {relation.rows} WHERE {where}) AS t")
            return str(rows), str(total)

        clock, newest = self.engine.text(self.engine.now), self.engine.text(f"max({read.column})")
        now, high = view.row(f"SELECT {clock}, {newest} FROM {relation.rows} WHERE {read.column} <= {self.engine.now}")
        position = position_before(self.writer, str(now))
        if self.stream.grows is None:
            span = news(read, self.engine, position, str(now), high, fingerprint)
        else:
            growing = Growing(relation, view, self.stream.grows)
            span = watched(growing, read, position, str(now), high, fingerprint)
        if span is not None:
            self._extract(view, relation, span)
        return span.after if span is not None else None

    def _by_bookmark(self, read: BookmarkRead, view: Snapshot) -> KeyPosition | None:
        [name] = read.keys
        relation = relation_of(self.stream, self.engine, view.session, self.writer)
        growing = Growing(relation, view, name, read.overlap_rows)
        keys = key_news(self.writer.before(KeyPosition), growing.highest(), growing.below, growing.fingerprint)
        if keys is None:
            return None
        if not self._through_bookmark(growing, keys):
            log.warning("the bookmark is not where the ledger is: reading by the ledger's position", keys=str(keys))
            self._extract(view, relation, _of_keys(growing, keys.since, keys.high))
        elif keys.late:
            assert keys.low is not None  # noqa: S101 - what is late lies behind something
            self._extract(view, relation, _of_keys(growing, keys.since, keys.low))
        return keys.after

    def _through_bookmark(self, growing: Growing, keys: Keys) -> bool:
        """Writes the rows with new keys, as the job's bookmark finds them; False, and none written, when those are others.

        The bookmark spares reading what was read; the ledger decides what is new. A bookmark behind the ledger (a run died
        between the manifest and job.commit()) must not double rows, one ahead of it (it was moved by hand, or Glue's
        connections saw rows that the snapshot lacks) must not lose any.
        """
        if keys.low == keys.high:
            return True
        partition, relation, view, key = self.stream.partition_column, growing.relation, growing.view, growing.name
        expected = extent(view, relation, partition, growing.between(keys.low, keys.high))
        options = {
            **self.database.options,
            "dbtable": relation.reading(),
            "jobBookmarkKeys": [key],
            "jobBookmarkKeysSortOrder": "asc",
            "hashexpression": partition,
            "hashpartitions": str(self.stream.partitions),
        }
        rows = self.new_rows(self.source.engine, options, f"{self.name}_rows")
        if key not in rows.columns:
            return False
        new = typed_rows(rows, relation.columns, self.writer.known).where(F.col(key) <= keys.high)
        if keys.low is not None:
            new = new.where(F.col(key) > keys.low)
        if write_rows(new, self.writer, partition, "bookmark/") == expected:
            return True
        self.writer.files.clear()
        return False

    def _extract(self, view: Snapshot, relation: Relation, span: Span) -> None:
        extract_rows(self.spark, self.source, self.stream, relation, self.database, view, span, self.writer)


def _of_keys(growing: Growing, since: int | None, high: int) -> Span:
    where = growing.between(since, high)
    return Span(where, None, where)
