"""How a Kafka record becomes a raw row: the record's value as JSON, with an envelope beside the value's own fields.

    _topic, _partition, _offset   where the record is; unique, and read once, since the position moves with the batch
    _timestamp                    of the record, UTC; the number that the record has where that is no time in milliseconds
    _reached                      the greatest time that its partition had up to this record, UTC: grows as offsets do
    _key, _key_encoding           the key as text; `base64` where it is not UTF-8
    _headers                      [{key, value, encoding}]
    _tombstone                    true for a record without value
    _schema_id                    of an Avro value, in its registry
    _value, _value_encoding       the value as it was sent, of Avro in Base64; of JSON only where it cannot be read, since a
                                  value that can is in the line character by character (but for space around its tokens)

Everything is a column expression: nothing passes through Python, and a value that breaks a parser breaks no job.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.avro.functions import from_avro

from headwater.config.kafka_source import ENVELOPE, KafkaStream
from headwater.lake.columns import MICROSECONDS
from headwater.ledger.batch import BatchWriter
from headwater.ledger.raw import ADDED, PROBLEM, Problem, to_line
from headwater.ledger.shape import LONGEST_NAME, MOST_NEW, Learned
from headwater.ledger.untrusted import MOST_FIELDS
from headwater.sources.kafka.cluster import spark_reads_by
from headwater.sources.kafka.offsets import FIRST_TIME, LAST_TIME, NO_TIME, Reached

_GUID_HEADER = "__value_schema_id"
_TO_THE_END = 2**31 - 1
MOST_SCHEMAS = 100
"""Of one batch: the registry is asked for each, and each is a part of what Spark computes for a record."""
Schemas = Mapping[int, Mapping[str, Any] | Problem]
"""The Avro schema of each id, or why no value can be read by it."""
_TYPES = ("array", "boolean", "null", "number", "object", "string")


def timed(records: DataFrame, before: Reached, now: datetime) -> DataFrame:
    """Adds `reached` to records: the greatest time in `milliseconds` of their partition up to each, of those that have been.

    `before` is what the partitions had reached before the first of them. A time later than `now` is not believed, or
    nothing in another partition would ever be newer.
    """
    time = F.col("milliseconds")
    believed = F.when(time.between(FIRST_TIME, min(int(now.timestamp() * 1000), LAST_TIME)), time)
    so_far = Window.partitionBy("partition").orderBy("offset").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    reached = F.max(believed).over(so_far)
    if before:
        known = F.create_map(*[F.lit(told) for partition, at in before.items() for told in (partition, at)])
        reached = F.greatest(reached, known[F.col("partition")])
    return records.withColumn("reached", reached)


def as_rows(records: DataFrame, stream: KafkaStream, schemas: Schemas, writer: BatchWriter) -> DataFrame:
    """Adds to records, with their times, what becomes of them: `line`, the raw row.

    `document` is the value as JSON text, NULL without value or with a problem; `fields` are the document's, with their
    JSON types. `schemas` are those of the ids that were looked up.
    """
    avro = stream.format == "avro"
    read = _read_avro(records, schemas) if avro else _read_json(records)
    if stream.tombstones == "refuse":
        read = read.withColumn(PROBLEM, F.when(F.col("value").isNull(), "tombstone").otherwise(F.col(PROBLEM)))
    read = read.withColumn("fields", _fields())
    if writer.flag:
        drifts = F.col("document").isNotNull() & _deviates(writer)
        read = read.withColumn(PROBLEM, F.when(drifts, "schema_drift").otherwise(F.col(PROBLEM)))
    return read.withColumn("line", _line(avro=avro))


def schema_ids(records: DataFrame) -> list[int]:
    """Lists the schema ids in the frames of the records' values: of very many those that stand in most records."""
    found = records.select(_schema_id().alias("id")).where("id IS NOT NULL").groupBy("id").count()
    return sorted(int(row.id) for row in found.orderBy(F.desc("count"), "id").limit(MOST_SCHEMAS).collect())


def learn(rows: DataFrame, documents: int, expected: Collection[str]) -> Learned:
    """Gathers what so many documents taught of their fields, of those that are not expected what most documents have."""
    learned = Learned(frozenset(expected), rows=documents)
    counted = rows.select(F.explode("fields").alias("field")).groupBy("field.name", "field.type").count()
    first = counted.orderBy(F.desc(F.col("name").isin(sorted(expected))), F.desc("count"), "name", "type")
    for name, kind, count in first.limit(len(_TYPES) * (len(expected) + MOST_NEW)).collect():
        if len(name) > LONGEST_NAME:
            learned.left_out += count
            continue
        learned.seen[name] = learned.seen.get(name, 0) + count
        learned.types.setdefault(name, set()).add(kind)
    return learned


def _is_text(value: Column) -> Column:
    """True when bytes are UTF-8: only then do they survive being decoded."""
    return F.encode(F.decode(value, "UTF-8"), "UTF-8") == value


def _moment(milliseconds: Column) -> Column:
    """A time as text; what is none in milliseconds stays the number that it is, which no cast to a timestamp takes."""
    is_one = milliseconds.between(FIRST_TIME, LAST_TIME)
    text = F.date_format(F.timestamp_millis(F.when(is_one, milliseconds)), MICROSECONDS["timestampFormat"])
    return F.when(is_one, text).when(milliseconds != NO_TIME, milliseconds.cast("string"))


def _text(value: Column) -> Column:
    return F.when(_is_text(value), F.decode(value, "UTF-8")).otherwise(_base64(value))


def _base64(value: Column) -> Column:
    # Some versions of Spark break the text into lines.
    return F.translate(F.base64(value), "\r\n", "")


def _encoding(value: Column) -> Column:
    return F.when(value.isNotNull() & ~_is_text(value), "base64")


def _read_json(records: DataFrame) -> DataFrame:
    """Adds `document`, `schema_id` and the problem of each JSON value."""
    value = F.col("value")
    text = F.decode(value, "UTF-8")
    # A parser stops where the first value ends. The digest behind it is read only if nothing else is between them, and no
    # value can hold its own digest.
    digest = F.sha2(value, 256)
    strict = {"allowSingleQuotes": "false", "allowNonNumericNumbers": "false"}
    parsed = F.from_json(F.concat(F.lit("["), text, F.lit(',"'), digest, F.lit('"]')), "array<string>", strict)
    whole = F.coalesce(F.element_at(parsed, 2) == digest, F.lit(False))
    problem = (
        F.when(value.isNull(), None)
        .when(~_is_text(value), "bad_encoding")
        .when(~whole, "not_json")
        .when(F.json_object_keys(text).isNull(), "not_an_object")
        # The type of each field is found by a look through the whole document.
        .when(F.size(F.json_object_keys(text)) > MOST_FIELDS, "too_large")
    )
    # In a valid document, line breaks are but space between tokens; in a file of lines they would end the row.
    line = F.rtrim(F.translate(text, "\t\n\r", "   "))
    return records.withColumns({PROBLEM: problem, "schema_id": F.lit(None).cast("bigint")}).withColumn(
        "document", F.when(F.col(PROBLEM).isNull(), line)
    )


def _schema_id() -> Column:
    """The schema id in the frame of a record's value: a zero byte, and the id in four; NULL without frame."""
    framed = F.expr("length(value) >= 5 AND substring(value, 1, 1) = X'00'") & ~_has_guid()
    return F.when(framed, F.expr("conv(hex(substring(value, 2, 4)), 16, 10)").cast("bigint"))


def _has_guid() -> Column:
    return F.coalesce(F.exists("headers", lambda header: header["key"] == _GUID_HEADER), F.lit(False))


def _read_avro(records: DataFrame, schemas: Schemas) -> DataFrame:
    """Adds `document`, `schema_id` and the problem of each Avro value."""
    records = records.withColumn("schema_id", _schema_id())
    document = F.lit(None).cast("string")
    unreadable = F.lit(None).cast("string")
    for schema_id, schema in schemas.items():
        written_by = F.col("schema_id") == schema_id
        if isinstance(schema, str):
            unreadable = F.when(written_by, schema).otherwise(unreadable)
        else:
            document = F.when(written_by, _decoded(schema)).otherwise(document)
    problem = (
        F.when(F.col("value").isNull(), None)
        .when(_has_guid(), "schema_by_guid")
        .when(F.col("schema_id").isNull(), "not_framed")
        .when(~F.col("schema_id").isin([*schemas]), "too_many_schemas")
        .when(unreadable.isNotNull(), unreadable)
        .when(F.col("document").isNull(), "bad_avro")
    )
    return records.withColumn("document", document).withColumn(PROBLEM, problem)


def readable(spark: SparkSession, schemas: Schemas) -> Schemas:
    """The schemas that Spark can read by; one that it cannot, such as one that is within itself, is bad."""
    return {
        schema_id: schema if isinstance(schema, str) or spark_reads_by(spark, _with_end(schema)) else "bad_schema"
        for schema_id, schema in schemas.items()
    }


def _with_end(schema: Mapping[str, Any]) -> str:
    """The schema of a value and a text behind it, as JSON."""
    fields = [{"name": "value", "type": schema}, {"name": "end", "type": "string"}]
    return to_line({"type": "record", "name": "headwater_value_and_end", "fields": fields})


def _decoded(schema: Mapping[str, Any]) -> Column:
    """Decodes a framed value and writes it as JSON; NULL unless the schema reads all of it and no more.

    A digest is put behind the value and read with it: whatever is read differently than it was written does not end right
    before it.
    """
    digest = F.sha2("value", 256)
    # An Avro string is its length, here 64 as a variable-length integer, and its bytes.
    framed = F.concat(F.expr("substring(value, 6)"), F.expr("X'8001'"), F.encode(digest, "UTF-8"))
    read = from_avro(framed, _with_end(schema), {"mode": "PERMISSIVE"})
    json_text = F.to_json(read["value"], {"ignoreNullFields": "false", **MICROSECONDS})
    return F.when(read["end"] == digest, json_text)


def _fields() -> Column:
    """The fields of a document and the JSON type of each; NULL without document.

    Found through a wildcard, which leaves strings in their quotes: the first character then gives the type.
    """
    return F.expr(
        """
        transform(json_object_keys(document), name -> named_struct('name', name, 'type',
            CASE coalesce(left(get_json_object(concat('[', document, ']'), concat('$[*][\\'', name, '\\']')), 1), 'n')
                WHEN 'n' THEN 'null' WHEN '"' THEN 'string' WHEN '{' THEN 'object' WHEN '[' THEN 'array'
                WHEN 't' THEN 'boolean' WHEN 'f' THEN 'boolean' ELSE 'number' END))
        """
    )


def _deviates(writer: BatchWriter) -> Column:
    """True when a document has another shape than those before, as headwater.ledger.shape.deviates does for one row."""
    names = F.transform("fields", lambda field: field["name"])

    def fits(field: Column) -> Column:
        fit = field["name"].isin(sorted(writer.declared - writer.known.keys()))
        for name, kind in writer.known.items():
            types = {*kind.rstrip("?").split("|")} - {"null", ""}
            fit = fit | ((field["name"] == name) & field["type"].isin([*types, "null"] if types else list(_TYPES)))
        return fit

    deviates = F.exists("fields", lambda field: ~fits(field))
    for name, kind in writer.known.items():
        if not kind.endswith("?"):
            deviates = deviates | ~F.array_contains(names, name)
    return deviates


def _line(*, avro: bool) -> Column:
    """The raw row as one line: the document's text with the envelope before its closing brace.

    At the end and with its nulls, since the last of two fields of the same name counts: no value can pass for the pipeline.
    """
    value = F.col("value")
    kept = value if avro else F.when(F.col("document").isNull(), value)
    envelope = {
        "_topic": F.col("topic"),
        "_partition": F.col("partition"),
        "_offset": F.col("offset"),
        "_timestamp": _moment(F.col("milliseconds")),
        "_reached": _moment(F.coalesce("reached", F.lit(FIRST_TIME))),
        "_key": _text(F.col("key")),
        "_key_encoding": _encoding(F.col("key")),
        "_headers": F.transform(
            "headers",
            lambda header: F.struct(
                header["key"].alias("key"),
                _text(header["value"]).alias("value"),
                _encoding(header["value"]).alias("encoding"),
            ),
        ),
        "_tombstone": F.when(value.isNull(), F.lit(True)),
        "_schema_id": F.col("schema_id"),
        "_value": _base64(kept) if avro else _text(kept),
        "_value_encoding": F.when(kept.isNotNull(), "base64") if avro else _encoding(kept),
    }
    assert tuple(envelope) == ENVELOPE  # noqa: S101 - config names the same fields
    columns = [column.alias(name) for name, column in envelope.items()]
    added = [F.lit(None).cast("string").alias(name) for name in ADDED if name != PROBLEM]
    options = {"ignoreNullFields": "false", **MICROSECONDS}
    beside = F.to_json(F.struct(*columns, *added, F.col(PROBLEM)), options)
    opened = F.expr("substring(document, 1, length(document) - 1)")
    comma = F.when(F.size("fields") > 0, ",").otherwise("")
    spliced = F.concat(opened, comma, F.substring(beside, 2, _TO_THE_END))
    return F.when(F.col("document").isNotNull(), spliced).otherwise(beside)
