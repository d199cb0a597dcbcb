"""Reads one Kafka topic into raw JSON lines: from the position's offsets to the ends as they were when the run first looked.

Records that the topic has lost before they were read are an error with a way out, never a silent reset. Within a partition
offsets order the records, whatever their times say: `_reached` grows with them (docs/adr/0037).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from headwater.config import KafkaSource, KafkaStream
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import Days, Manifest
from headwater.ledger.positions import OffsetsPosition
from headwater.log import get_logger
from headwater.sources.days import DAY, midnight
from headwater.sources.kafka.cluster import Cluster, client_options
from headwater.sources.kafka.offsets import (
    Reached,
    Slice,
    Topic,
    frozen_ends,
    position_of,
    reached_before,
    sliced,
    starts,
)
from headwater.sources.kafka.polled import MOST_POLLED, is_beyond_spark, polled
from headwater.sources.kafka.records import Schemas, as_rows, learn, readable, schema_ids, timed
from headwater.sources.kafka.registry import open_registry

log = get_logger(__name__)


def extract(
    spark: SparkSession,
    source: KafkaSource,
    stream: str,
    writer: BatchWriter,
    days: Days | None,
    secret: Mapping[str, str],
) -> Manifest | None:
    """Extracts one batch of at most `max_records` offsets; None when there is nothing new.

    A backfill reads every record whose timestamp lies within the days (UTC), whatever their number.
    """
    declared, where, now = source.streams[stream], f"{source.name}.{stream}", datetime.now(UTC)
    cluster = Cluster(spark, where, client_options(where, source.security, secret))
    with cluster.admin() as admin:
        topic = admin.topic(declared.topic)
        if days is not None:
            # Before the first record of that time there is none. After the last one there may be more: timestamps are
            # the producers' and in no order.
            ends, reached = topic.ends, Reached()
            slices = [Slice(admin.offsets_at(topic, midnight(days[0])), ends)]
        else:
            position = writer.before(OffsetsPosition)
            begins = starts(where, topic, position, declared.resume)
            ends, reached = frozen_ends(where, topic, position, writer.run_id), reached_before(topic, position)
            slices = list(sliced(begins, ends, declared.max_records))
    for whole in slices:
        with _read(cluster, topic, whole, reached, now, days) as (records, piece):
            if records is None:
                # All offsets of the slice are gaps: compacted away, aborted, or the broker's own marks.
                continue
            _write(records, declared, where, secret, writer)
            if days is not None:
                return writer.commit(None)
            return writer.commit(position_of(topic, piece.ends, writer.run_id, ends, reached | _reached(records)))
    return None


@contextmanager
def _read(
    cluster: Cluster, topic: Topic, piece: Slice, reached: Reached, now: datetime, days: Days | None
) -> Iterator[tuple[DataFrame | None, Slice]]:
    """Reads a slice, or its beginning where Spark's own reader cannot; None where there is no record."""
    records, known = cluster.records(topic, piece), reached
    if records is None:
        yield None, piece
        return
    kept = _kept(records, known, now, days)
    try:
        try:
            rows = kept.count()
        except Exception as error:
            if not is_beyond_spark(error):
                raise
            log.warning("a record's time is beyond what Spark reads: its slice is read by the client")
            kept.unpersist()
            # A backfill is one batch, however many records it has.
            piece = piece if days is not None else next(sliced(piece.begins, piece.ends, MOST_POLLED))
            kept = _kept(polled(cluster, topic, piece), known, now, days)
            rows = kept.count()
        yield kept if rows else None, piece
    finally:
        kept.unpersist()


def _kept(records: DataFrame, reached: Reached, now: datetime, days: Days | None) -> DataFrame:
    records = timed(records, reached, now)
    return (records if days is None else records.where(_within(days))).persist(StorageLevel.MEMORY_AND_DISK)


def _reached(records: DataFrame) -> Reached:
    """The greatest time of each partition after its records."""
    found = records.groupBy("partition").agg(F.max("reached").alias("at")).where("at IS NOT NULL").collect()
    return {row.partition: row["at"] for row in found}


def _within(days: Days) -> Column:
    since, until = (int(midnight(day).timestamp() * 1000) for day in (days[0], days[1] + DAY))
    return (F.col("milliseconds") >= since) & (F.col("milliseconds") < until)


def _write(records: DataFrame, stream: KafkaStream, where: str, secret: Mapping[str, str], writer: BatchWriter) -> None:
    """Writes records as raw rows."""
    schemas = _schemas(records, where, secret) if stream.format == "avro" else {}
    rows = as_rows(records, stream, schemas, writer)
    observation = Observation()
    observed = rows.observe(observation, F.count(F.lit(1)).alias("rows"), F.count("document").alias("documents"))
    with writer.reading(stream.topic):
        observed.select("line").write.mode("append").option("compression", "gzip").text(writer.data_uri)
        measured = observation.get
        writer.adopt(int(measured["rows"]))
    writer.learned.merge(learn(rows, int(measured["documents"]), writer.learned.expected))


def _schemas(records: DataFrame, where: str, secret: Mapping[str, str]) -> Schemas:
    """Fetches the schema of each id that occurs; one that Spark cannot read by, such as one that is within itself, is bad."""
    ids = schema_ids(records)
    if not ids:
        return {}
    with open_registry(where, secret) as registry:
        schemas = {schema_id: registry.schema(schema_id) for schema_id in ids}
    return readable(records.sparkSession, schemas)
