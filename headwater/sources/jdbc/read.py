"""Reads a part of a relation through Spark, in parallel, and writes it as raw Parquet.

A `relation` is SQL that stands after FROM, as headwater/sources/relation.py makes it.
"""

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
from headwater.sources.jdbc.engine import Engine, Snapshot
from headwater.sources.jdbc.session import Database, Session
from headwater.sources.relation import selected
from headwater.sources.watermark import Span

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


def relation_of(stream: JdbcStream, engine: Engine, session: Session) -> str:
    """The relation as a stream reads it; FatalSourceError names the declared columns that it lacks."""
    there = [] if stream.read_columns is None else engine.columns(session, stream.relation)
    return selected(stream, engine.quoted, {name: name for name in there})


def empty(spark: SparkSession, source: JdbcSource, relation: str, database: Database) -> DataFrame:
    """The relation without its rows, for its columns and types."""
    none: DataFrame = _reader(spark, source, relation, database, "1 = 0").load()
    return none


def read_joined(
    spark: SparkSession,
    source: JdbcSource,
    stream: JdbcStream,
    relation: str,
    engine: Engine,
    database: Database,
    view: Snapshot,
    where: str,
) -> DataFrame | None:
    """Reads the rows that meet a condition through parallel connections that join a snapshot; None when there are none."""
    column = stream.partition_column
    low, high, rows = view.row(
        f"SELECT {engine.text(f'min({column})')}, {engine.text(f'max({column})')}, count(*) "
        f"FROM {relation} WHERE {where}"
    )
    if int(rows or 0) == 0:
        return None
    reader = _reader(spark, source, relation, database, where).option("sessionInitStatement", view.join)
    if stream.partitions > 1 and low is not None and high is not None:
        reader = (
            reader.option("partitionColumn", column)
            .option("lowerBound", low)
            .option("upperBound", high)
            .option("numPartitions", stream.partitions)
        )
    loaded: DataFrame = reader.load()
    return loaded


def extract_rows(
    spark: SparkSession,
    source: JdbcSource,
    stream: JdbcStream,
    relation: str,
    engine: Engine,
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
        rows = read_joined(spark, source, stream, relation, engine, database, view, span.where)
        if rows is not None:
            write_rows(rows, writer)
        return
    expected = extent(view, relation, stream.partition_column, span.where)
    if expected.rows == 0:
        return
    if stream.partitions > 1:
        before = len(writer.files)
        rows = read_joined(spark, source, stream, relation, engine, database, view, span.where)
        if rows is not None and write_rows(rows, writer, stream.partition_column, "parallel/") == expected:
            return
        log.info("rows changed while they were read in parallel: reading by one statement", rows=expected.rows)
        del writer.files[before:]
    write_rows(_reader(spark, source, relation, database, span.open_ended).load(), writer, subfolder="whole/")


def extent(view: Snapshot, relation: str, column: str, where: str) -> Extent:
    """Measures the rows of a relation that meet a condition, as a snapshot has them, by a numeric column."""
    return Extent.of(*view.row(f"SELECT count(*), sum({column}) FROM {relation} WHERE {where}"))


def write_rows(rows: DataFrame, writer: BatchWriter, measured: str | None = None, subfolder: str = "rows/") -> Extent:
    """Writes rows into the batch; returns how many, and what column `measured` adds up to."""
    observation = Observation()
    total = F.sum(F.col(measured).cast("decimal(38,0)") if measured else F.lit(None).cast("decimal(38,0)"))
    observed = rows.observe(observation, F.count(F.lit(1)).alias("rows"), total.alias("total"))
    uri = f"{writer.data_uri}/{subfolder}".rstrip("/")
    observed.write.mode("append").option("compression", "zstd").parquet(uri)
    found: dict[str, Any] = observation.get
    writer.adopt(int(found["rows"]), subfolder)
    writer.learned = Learned.of_columns({field.name: field.dataType.simpleString() for field in rows.schema.fields})
    return Extent.of(found["rows"], found["total"])


def _reader(spark: SparkSession, source: JdbcSource, relation: str, database: Database, where: str) -> Any:
    return (
        spark.read.format("jdbc")
        .options(**database.options)
        .option("driver", database.driver)
        .option("dbtable", f"(SELECT * FROM {relation} WHERE {where}) AS t")
        .option("fetchsize", source.fetch_size)
    )
