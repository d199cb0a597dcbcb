"""Sampled rows as Spark sees them: through the production code that types rows and judges them, on a session of this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any, cast

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.config import JsonStream, KafkaStream, Policy, Stream, Table
from headwater.errors import ConfigError
from headwater.explore.found import Field, Sample
from headwater.lake.columns import BATCH, FILE, REASONS, ROW
from headwater.lake.tables import text_columns
from headwater.ledger.batch import BatchWriter
from headwater.ledger.raw import ADDED, to_line
from headwater.quality.predicates import judge_rows, row_predicates
from headwater.quality.typed import typed

_RECORD = (
    "key binary, value binary, topic string, partition int, offset bigint, milliseconds bigint, "
    "headers array<struct<key: string, value: binary>>"
)


def bronze(spark: SparkSession, stream: Stream, sample: Sample) -> DataFrame:
    """The sampled rows as bronze would have them."""
    if isinstance(stream, JsonStream):
        lines = _lines(spark, stream, sample)
        rows = text_columns(lines, [*stream.raw_fields, *ADDED])
    else:
        rows = _columns(spark, sample)
    place = (F.lit(1).alias(BATCH), F.lit("sample").alias(FILE), F.lit(None).cast("bigint").alias(ROW))
    return rows.select(*place, *[F.col(f"`{name}`") for name in rows.columns])


def judged(stream: Stream, table: Table, policy: Policy | None, raw: DataFrame) -> list[dict[str, Any]]:
    """Types raw rows and says of each for which reasons it would be quarantined, as text."""
    texts = [F.col(f"`{name}`").cast("string").alias(name) for name in table.columns]
    try:
        rows = judge_rows(typed(stream, table, raw), row_predicates(stream, table, policy), {})
    except (AnalysisException, ParseException) as error:
        said = str(error).strip().splitlines()[0]
        raise ConfigError(f"table {stream.table}: Spark refuses a column or a check: {said}") from None
    return [row.asDict() for row in rows.select(*texts, F.array_join(REASONS, ", ").alias("quarantined for")).collect()]


def left_out(policy: Policy | None) -> list[str]:
    """Lists the checks that need a table which may not exist yet."""
    return [check.id for check in policy.known] if policy else []


def _lines(spark: SparkSession, stream: JsonStream, sample: Sample) -> DataFrame:
    if isinstance(stream, KafkaStream):
        # It needs pyspark's Avro, which only Kafka's streams do.
        from headwater.sources.kafka.records import as_rows, readable, timed

        fields = ("key", "value", "topic", "partition", "offset", "milliseconds", "headers")
        told = [tuple(record[name] for name in fields) for record in sample.records or ()]
        records = timed(spark.createDataFrame(cast("Any", told), _RECORD), {}, datetime.now(UTC))
        return as_rows(records, stream, readable(spark, sample.schemas), _unwritten()).select(
            F.col("line").alias("value")
        )
    lines = [(to_line(_json(row)),) for row in sample.rows]
    return spark.createDataFrame(cast("Any", lines), "value string")


def _unwritten() -> BatchWriter:
    """A batch that nothing is written to: rows are not held against those before."""
    return BatchWriter(cast("Any", None), 1, "sample", "sample", "jsonl", None)


def _json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _columns(spark: SparkSession, sample: Sample) -> DataFrame:
    fields = sample.fields or ()
    rows = [tuple(_value(field, row[field.name]) for field in fields) for row in sample.rows]
    schema = ", ".join(f"`{field.name}` {'binary' if field.type == 'binary' else 'string'}" for field in fields)
    frame = spark.createDataFrame(cast("Any", rows), schema)
    return frame.select(*[F.col(f"`{field.name}`").cast(field.type).alias(field.name) for field in fields])


def _value(field: Field, value: Any) -> Any:
    """A driver's value as text that Spark casts to the field's type; bytes as they are."""
    if value is None:
        return None
    if field.type == "binary":
        return bytearray(value)
    if isinstance(value, bytes) and field.type in {"boolean", "bigint"}:
        # Bits, of MySQL.
        value = int.from_bytes(value, "big")
    if field.type == "boolean":
        return str(bool(value)).lower()
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case dict() | list():
            return json.dumps(value, default=str)
        case _:
            return str(value)
