"""Reads one Kafka topic into raw JSON lines: from the position's offsets to the ends as they were when the run first looked.

Records that the topic has lost before they were read are an error with a way out, never a silent reset.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from headwater.config import KafkaSource, KafkaStream
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import Days, Manifest
from headwater.ledger.positions import OffsetsPosition
from headwater.sources.days import DAY, midnight
from headwater.sources.kafka.cluster import Cluster, client_options
from headwater.sources.kafka.offsets import Slice, frozen_ends, position_of, sliced, starts
from headwater.sources.kafka.records import Schemas, as_rows, learn, readable, schema_ids
from headwater.sources.kafka.registry import open_registry


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
    declared, where = source.streams[stream], f"{source.name}.{stream}"
    cluster = Cluster(spark, where, client_options(where, source.security, secret))
    with cluster.admin() as admin:
        topic = admin.topic(declared.topic)
        if days is not None:
            # Before the first record of that time there is none. After the last one there may be more: timestamps are
            # the producers' and in no order.
            ends = topic.ends
            slices = [Slice(admin.offsets_at(topic, midnight(days[0])), ends)]
        else:
            position = writer.before(OffsetsPosition)
            begins = starts(where, topic, position, declared.resume)
            ends = frozen_ends(where, topic, position, writer.run_id)
            slices = list(sliced(begins, ends, declared.max_records))
    for piece in slices:
        records = cluster.records(topic, piece)
        if records is not None and days is not None:
            records = records.where(_within(days))
        if records is not None and _write(records, declared, where, secret, writer):
            return writer.commit(None if days else position_of(topic, piece.ends, writer.run_id, ends))
        # All offsets of the slice are gaps: compacted away, aborted, or the broker's own marks.
    return None


def _within(days: Days) -> Column:
    since, until = (F.timestamp_seconds(F.lit(int(midnight(day).timestamp()))) for day in (days[0], days[1] + DAY))
    return (F.col("timestamp") >= since) & (F.col("timestamp") < until)


def _write(records: DataFrame, stream: KafkaStream, where: str, secret: Mapping[str, str], writer: BatchWriter) -> bool:
    """Writes records as raw rows; False, and nothing written, when there is none."""
    records = records.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        if records.isEmpty():
            return False
        schemas = _schemas(records, where, secret) if stream.format == "avro" else {}
        rows = as_rows(records, stream, schemas, writer)
        observation = Observation()
        observed = rows.observe(observation, F.count(F.lit(1)).alias("rows"), F.count("document").alias("documents"))
        with writer.reading(stream.topic):
            observed.select("line").write.mode("append").option("compression", "gzip").text(writer.data_uri)
            measured = observation.get
            writer.adopt(int(measured["rows"]))
        writer.learned.merge(learn(rows, int(measured["documents"]), writer.learned.expected))
    finally:
        records.unpersist()
    return True


def _schemas(records: DataFrame, where: str, secret: Mapping[str, str]) -> Schemas:
    """Fetches the schema of each id that occurs; one that Spark cannot read by, such as one that is within itself, is bad."""
    ids = schema_ids(records)
    if not ids:
        return {}
    with open_registry(where, secret) as registry:
        schemas = {schema_id: registry.schema(schema_id) for schema_id in ids}
    return readable(records.sparkSession, schemas)
