"""Reads records through the Kafka client on the driver, for the sake of times that Spark's own reader has no type for.

Spark makes a timestamp of each record's milliseconds, and where one is beyond its microseconds (a producer that sends
nanoseconds) the whole read fails. The client hands out the number as it is. The records pass through here as JSON that
Jackson makes of them, poll by poll, and Spark reads that; no value is looked at in Python.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors.exceptions.base import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.errors import RetriableSourceError
from headwater.sources.kafka.cluster import Cluster, source_error
from headwater.sources.kafka.offsets import Slice, Topic

MOST_POLLED = 20_000
"""Offsets of one batch that is read so: its records are in the driver's memory at once."""

_POLL_SECONDS = 5
_SILENT_SECONDS = 120
_HEADER = "struct<key: string, keyBuffer: string, value: string, valueBuffer: string>"
_RECORD = (
    "struct<topic: string, partition: int, offset: bigint, timestamp: bigint, key: string, value: string, "
    f"headers: struct<headers: array<{_HEADER}>>>"
)
_POLL = f"struct<records: map<string, array<{_RECORD}>>>"


def is_beyond_spark(error: Exception) -> bool:
    """True when Spark's reader met a time that it has no type for."""
    return isinstance(error, PySparkException | Py4JJavaError) and "ArithmeticException: long overflow" in str(error)


def polled(cluster: Cluster, topic: Topic, piece: Slice) -> DataFrame:
    """Reads the committed records of a slice with the columns that Spark's reader has, and their time in `milliseconds`."""
    polls, where = list(_polls(cluster, topic, piece)), cluster.where
    records = F.flatten(F.map_values(F.from_json("polled", _POLL)["records"]))
    # A text that did not read would be records that vanish.
    whole = F.when(F.size(records) == F.col("records"), records).otherwise(
        F.raise_error(F.lit(f"{where}: a poll is cut"))
    )
    record = cluster.spark.createDataFrame(polls, "polled string, records int").select(F.explode(whole).alias("record"))
    ends = F.create_map(*[F.lit(told) for p, end in piece.ends.items() for told in (p, end)])
    headers = F.transform(
        "headers.headers",
        lambda header: F.struct(
            F.coalesce(header["key"], F.decode(F.unbase64(header["keyBuffer"]), "UTF-8")).alias("key"),
            F.unbase64(F.coalesce(header["value"], header["valueBuffer"])).alias("value"),
        ),
    )
    return (
        record.select("record.*")
        .where(F.col("offset") < ends[F.col("partition")])
        .select(
            F.unbase64("key").alias("key"),
            F.unbase64("value").alias("value"),
            "topic",
            "partition",
            "offset",
            F.when(F.size("headers.headers") > 0, headers).alias("headers"),
            F.col("timestamp").alias("milliseconds"),
        )
    )


def _polls(cluster: Cluster, topic: Topic, piece: Slice) -> Iterator[tuple[str, int]]:
    """Yields what each poll brought, as JSON, and how many records that are, until the slice has been read."""
    jvm: Any = cluster.spark._jvm
    properties = jvm.java.util.Properties()
    for name, value in {**cluster.options, "isolation.level": "read_committed", "enable.auto.commit": "false"}.items():
        properties.setProperty(name, value)
    bytes_as_they_are = jvm.org.apache.kafka.common.serialization.ByteArrayDeserializer
    consumer = jvm.org.apache.kafka.clients.consumer.KafkaConsumer(properties, bytes_as_they_are(), bytes_as_they_are())
    try:
        left = _assigned(jvm, consumer, topic, piece)
        mapper, deadline = _mapper(jvm), time.monotonic() + _SILENT_SECONDS
        while left:
            records = consumer.poll(jvm.java.time.Duration.ofSeconds(_POLL_SECONDS))
            if records.count():
                deadline = time.monotonic() + _SILENT_SECONDS
                yield mapper.writeValueAsString(records), records.count()
            elif time.monotonic() > deadline:
                raise RetriableSourceError(
                    f"{cluster.where}: no record for {_SILENT_SECONDS} s. hint: are the brokers up?"
                )
            left = [(place, end) for place, end in left if consumer.position(place) < end]
    except Py4JJavaError as error:
        raise source_error(cluster.where, error.java_exception) from None
    finally:
        consumer.close()


def _assigned(jvm: Any, consumer: Any, topic: Topic, piece: Slice) -> list[tuple[Any, int]]:
    """Puts the consumer at the beginning of what is to be read; returns the partitions, each with its end."""
    places = jvm.java.util.ArrayList()
    left = []
    for partition, end in sorted(piece.ends.items()):
        if end > piece.begins[partition]:
            place = jvm.org.apache.kafka.common.TopicPartition(topic.name, partition)
            places.add(place)
            left.append((place, end))
    consumer.assign(places)
    for place, _ in left:
        consumer.seek(place, piece.begins[place.partition()])
    return left


def _mapper(jvm: Any) -> Any:
    """Jackson's writer of whatever has fields, which records have instead of properties."""
    jackson = jvm.com.fasterxml.jackson
    mapper = jackson.databind.ObjectMapper()
    mapper.setVisibility(jackson.annotation.PropertyAccessor.FIELD, jackson.annotation.JsonAutoDetect.Visibility.ANY)
    # Inside of Java's own classes nobody may look.
    mapper.configOverride(jvm.java.lang.Class.forName("java.util.Optional")).setIsIgnoredType(True)
    return mapper
