"""Reads a part of a relation through Spark, in parallel, and writes it as raw Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from headwater.config import JdbcSource, JdbcStream
from headwater.ledger.batch import BatchWriter
from headwater.ledger.shape import Learned
from headwater.log import get_logger
from headwater.sources.jdbc.columns import Column
from headwater.sources.jdbc.engine import Engine, Snapshot
from headwater.sources.jdbc.session import Database, Session
from headwater.sources.jdbc.typed import typed_rows, types_of
from headwater.sources.relation import selected
from headwater.sources.watermark import Span

SPLIT = "headwater_split"
"""The number by which parallel reads are split, where the column itself is a text on its way."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Extent:
    """How many rows a part of a relation has, and what their partition column adds up to."""

    rows: int
    total: Decimal

    @classmethod
    def of(cls, rows: Any, total: Any) -> Extent:
        """Makes it from a database's or Spark's count and sum."""
        return cls(int(rows), Decimal(str(total or 0)))


@dataclass(frozen=True)
class Relation:
    """A relation as a stream reads it: `rows` is SQL that stands after FROM, `columns` are those that travel."""

    rows: str
    columns: tuple[Column, ...]
    engine: Engine

    @property
    def names(self) -> list[str]:
        """The columns as the database calls them."""
        return [column.name for column in self.columns]

    def reading(self, where: str | None = None, split: str | None = None) -> str:
        """SQL of the rows that meet a condition, as they travel; with `split`, a number by that column stands beside."""
        quoted = self.engine.quoted
        told = [f"{column.text or quoted(column.name)} AS {quoted(column.raw)}" for column in self.columns]
        told += [] if split is None else [f"{self.engine.split(quoted(split))} AS {SPLIT}"]
        return f"(SELECT {', '.join(told)} FROM {self.rows}{'' if where is None else f' WHERE {where}'}) AS t"

    def travels_as_text(self, name: str) -> bool:
        """Whether a column is a text on its way, by which no read can be split."""
        return any(column.name == name and column.text is not None for column in self.columns)


def relation_of(stream: JdbcStream, engine: Engine, session: Session, writer: BatchWriter) -> Relation:
    """The relation as a stream reads it, by name: what is not declared is told, and stays where it is.

    FatalSourceError names the declared columns that it lacks.
    """
    there = engine.columns(session, stream.relation)
    rows = selected(stream, engine.quoted, {column.name: column.name for column in there})
    writer.relation = {column.raw: column.declared for column in there}
    read = (
        there if stream.read_columns is None else [c for name in stream.read_columns for c in there if c.name == name]
    )
    taken: dict[str, Column] = {}
    for column in read:
        if taken.setdefault(column.raw.casefold(), column) is not column:
            log.warning("column left out: another one has its name in raw rows", column=column.name, raw=column.raw)
    return Relation(rows, tuple(taken.values()), engine)


def read_joined(
    spark: SparkSession,
    source: JdbcSource,
    stream: JdbcStream,
    relation: Relation,
    database: Database,
    view: Snapshot,
    where: str,
) -> DataFrame | None:
    """Reads the rows that meet a condition through parallel connections that join a snapshot; None when there are none."""
    engine, column = relation.engine, stream.partition_column
    as_text = relation.travels_as_text(column)
    number = engine.split(engine.quoted(column)) if as_text else engine.quoted(column)
    low, high, rows = view.row(
        f"SELECT {engine.text(f'min({number})')}, {engine.text(f'max({number})')}, count(*) "
        f"FROM {relation.rows} WHERE {where}"
    )
    if int(rows or 0) == 0:
        return None
    splits = stream.partitions > 1 and low is not None and high is not None
    sql = relation.reading(where, column if splits and as_text else None)
    reader = _reader(spark, source, sql, database).option("sessionInitStatement", view.join)
    if splits:
        reader = (
            reader.option("partitionColumn", SPLIT if as_text else column)
            .option("lowerBound", low)
            .option("upperBound", high)
            .option("numPartitions", stream.partitions)
        )
    loaded: DataFrame = reader.load()
    return loaded.drop(SPLIT)


def extract_rows(
    spark: SparkSession,
    source: JdbcSource,
    stream: JdbcStream,
    relation: Relation,
    database: Database,
    view: Snapshot,
    span: Span,
    writer: BatchWriter,
) -> None:
    """Writes the rows of a span as they all are at one moment.

    Where snapshots cannot be shared, what parallel connections read must
    be what the snapshot has; if rows have changed meanwhile, one statement, which sees one moment, reads all again without
    the upper bound: a row that has moved past it is in the batch too, and comes again with the next.
    """
    if view.shared:
        rows = read_joined(spark, source, stream, relation, database, view, span.where)
        if rows is not None:
            write_rows(typed_rows(rows, relation.columns, writer.known), writer)
        return
    expected = extent(view, relation, stream.partition_column, span.where)
    if expected.rows == 0:
        return
    if stream.partitions > 1:
        before = len(writer.files)
        rows = read_joined(spark, source, stream, relation, database, view, span.where)
        if rows is not None:
            typed = typed_rows(rows, relation.columns, writer.known)
            if write_rows(typed, writer, stream.partition_column, "parallel/") == expected:
                return
        log.info("rows changed while they were read in parallel: reading by one statement", rows=expected.rows)
        del writer.files[before:]
    whole = _reader(spark, source, relation.reading(span.open_ended), database).load()
    write_rows(typed_rows(whole, relation.columns, writer.known), writer, subfolder="whole/")


def extent(view: Snapshot, relation: Relation, column: str, where: str) -> Extent:
    """Measures the rows of a relation that meet a condition, as a snapshot has them, by a numeric column."""
    quoted = relation.engine.quoted(column)
    return Extent.of(*view.row(f"SELECT count(*), sum({quoted}) FROM {relation.rows} WHERE {where}"))


def write_rows(rows: DataFrame, writer: BatchWriter, measured: str | None = None, subfolder: str = "rows/") -> Extent:
    """Writes rows into the batch; returns how many, and what column `measured` adds up to."""
    observation = Observation()
    total = F.sum(F.col(f"`{measured}`").cast("decimal(38,0)") if measured else F.lit(None).cast("decimal(38,0)"))
    observed = rows.observe(observation, F.count(F.lit(1)).alias("rows"), total.alias("total"))
    uri = f"{writer.data_uri}/{subfolder}".rstrip("/")
    observed.write.mode("append").option("compression", "zstd").parquet(uri)
    found: dict[str, Any] = observation.get
    writer.adopt(int(found["rows"]), subfolder)
    writer.learned = Learned.of_columns(types_of(rows))
    return Extent.of(found["rows"], found["total"])


def _reader(spark: SparkSession, source: JdbcSource, sql: str, database: Database) -> Any:
    return (
        spark.read.format("jdbc")
        .options(**database.options)
        .option("driver", database.driver)
        .option("dbtable", sql)
        .option("fetchsize", source.fetch_size)
    )
