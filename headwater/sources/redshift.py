"""Reads one relation of the warehouse into raw Parquet: Redshift unloads what is new to S3 itself, and no row passes through here.

UNLOAD is one statement, so the rows of one batch are those of one moment; the watermark and the fingerprint of the overlap are read
by statements before it (watermark.py says why nothing is lost in between). UNLOAD's own manifest says which files there are
and how many rows each has. An UNLOAD that dies half-way, or that goes on after its job has died, leaves files that no manifest of
the ledger names, and that are swept.

The fingerprint is made of each row's id and watermark: it sees rows that are added, changed or removed in the overlap, as long as
a change moves the watermark.

Where a column has become of another type, and there alone, Spark writes the files anew (kept.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import boto3

from headwater.config import RedshiftSource, RedshiftStream, Warehouse
from headwater.errors import FatalSourceError, QueryError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import DataFile, Days, Manifest
from headwater.ledger.raw import UNREAD
from headwater.ledger.shape import Learned, retyped
from headwater.ledger.untrusted import read_json
from headwater.log import get_logger
from headwater.sources import watermark
from headwater.sources.jdbc.typed import types_of
from headwater.sources.kept import keep_types, raw_rows
from headwater.sources.redshift_columns import Column, declared, quoted, travelling
from headwater.sources.relation import double_quoted, selected
from headwater.sources.watermark import Span
from headwater.warehouse import data_api

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_QUERY_SECONDS = 10 * 60.0
_UNLOAD_SECONDS = 50 * 60.0
_MARK_FORMAT = "YYYY-MM-DD HH24:MI:SS.US"
_FILE_MB = 256

log = get_logger(__name__)


class Redshift:
    """How Redshift writes moments; sessions of the Data API work in UTC."""

    def moment(self, text: str) -> str:
        """SQL of a moment in UTC."""
        return f"'{text}'::TIMESTAMPTZ"

    def earlier(self, moment: str, minutes: int) -> str:
        """SQL of a moment some minutes earlier."""
        return f"DATEADD(minute, -{minutes}, {moment})"


def extract(
    spark: SparkSession,
    source: RedshiftSource,
    name: str,
    writer: BatchWriter,
    days: Days | None,
    warehouse: Warehouse,
) -> Manifest | None:
    """Extracts one batch of a relation as raw Parquet; None when there is nothing new.

    FatalSourceError when Redshift refuses a statement or does not finish it in time.
    """
    client = boto3.client("redshift-data")
    began = time.monotonic()
    try:
        unloaded = unload(client, warehouse, source.streams[name], writer, days)
    except QueryError as error:
        raise FatalSourceError(f"{source.name}.{name}, {source.streams[name].relation}: {error}") from None
    if unloaded is None or not unloaded[1]:
        return None
    span, files = unloaded
    writer.files += files
    writer.has_read(source.streams[name].relation, writer.rows, time.monotonic() - began)
    types = types_of(raw_rows(spark, writer))
    if changed := retyped(types, writer.known):
        keep_types(spark, writer, changed)
    writer.learned = Learned.of_columns({**types, **changed})
    return writer.commit(span.after)


def unload(
    client: Any, warehouse: Warehouse, stream: RedshiftStream, writer: BatchWriter, days: Days | None
) -> tuple[Span, list[DataFile]] | None:
    """Unloads the rows of the days asked for, or those that are new, below the batch's raw prefix; None when there are none."""
    columns = columns_of(client, warehouse, stream, writer)
    relation = selected(stream, double_quoted, {column.name: column.name for column in columns})
    span = _span(client, warehouse, stream, relation, writer, days)
    if span is None:
        return None
    read = columns if stream.read_columns is None else [c for c in columns if c.name in stream.read_columns]
    select = f"SELECT {travelling(read)} FROM {relation} WHERE {span.where}"
    # Days without rows, or whose rows have all changed meanwhile, unload nothing and leave no manifest.
    data_api.query(
        client,
        warehouse,
        f"UNLOAD ({quoted(select)}) TO {quoted(f'{writer.data_uri}/')} IAM_ROLE {quoted(warehouse.copy_role)} "
        f"FORMAT AS PARQUET MANIFEST VERBOSE MAXFILESIZE {_FILE_MB} MB",
        _UNLOAD_SECONDS,
    )
    body = writer.ledger.bucket.read(f"{writer.data_prefix}/manifest")
    return span, [] if body is None else _files(read_json(body.decode()), writer.ledger.bucket.name)


def _span(
    client: Any, warehouse: Warehouse, stream: RedshiftStream, relation: str, writer: BatchWriter, days: Days | None
) -> Span | None:
    dialect, column = Redshift(), stream.read.column
    if days is not None:
        return watermark.of_days(column, dialect, days)

    def row(sql: str) -> tuple[str | None, ...]:
        [found] = data_api.query(client, warehouse, sql, _QUERY_SECONDS).rows
        return found

    # What a statement sees was committed before it began, which is its SYSDATE; GETDATE() is cut to seconds.
    now, high = row(
        f"SELECT TO_CHAR(SYSDATE, '{_MARK_FORMAT}'), TO_CHAR(MAX({column})::TIMESTAMPTZ, '{_MARK_FORMAT}') "
        f"FROM {relation} WHERE {column} <= SYSDATE"
    )

    def fingerprint(where: str) -> tuple[str, str]:
        told = f"{stream.row_id}::VARCHAR || ' ' || COALESCE({column}::VARCHAR, '')"
        bits = f"STRTOL(LEFT(MD5({told}), 15), 16)"
        rows, digest = row(f"SELECT COUNT(*), COALESCE(SUM({bits}::DECIMAL(38,0)), 0) FROM {relation} WHERE {where}")
        return str(rows), str(digest)

    return watermark.news(
        stream.read, dialect, watermark.position_before(writer, str(now)), str(now), high, fingerprint
    )


def columns_of(client: Any, warehouse: Warehouse, stream: RedshiftStream, writer: BatchWriter) -> list[Column]:
    """The columns of the stream's relation that this user may read, of which the batch takes note; FatalSourceError without any."""
    schema, _, table = stream.relation.rpartition(".")
    within = quoted(schema.lower()) if schema else "current_schema()"
    found = data_api.query(
        client,
        warehouse,
        "SELECT column_name, data_type, numeric_precision, numeric_scale FROM svv_columns "
        f"WHERE table_schema = {within} AND table_name = {quoted(table.lower())} ORDER BY ordinal_position",
        _QUERY_SECONDS,
    )
    there = [Column(str(name), declared(str(type_), *sizes)) for name, type_, *sizes in found.rows]
    if not there:
        raise FatalSourceError(
            f"{stream.relation} does not exist, or this user may not read it. hint: GRANT SELECT ON {stream.relation}"
        )
    writer.relation = {column.raw: column.declared for column in there}
    if stream.read_columns is not None:
        return there
    taken: dict[str, Column] = {}
    for column in there:
        if column.raw == UNREAD or taken.setdefault(column.raw.casefold(), column) is not column:
            log.warning("column left out: another one has its name in raw rows", column=column.name, raw=column.raw)
    return list(taken.values())


def _files(manifest: Mapping[str, Any], bucket: str) -> list[DataFile]:
    """Reads UNLOAD's verbose manifest; files without rows are left out."""
    entries = [(entry["url"].removeprefix(f"s3://{bucket}/"), entry["meta"]) for entry in manifest["entries"]]
    return [
        DataFile(key=key, rows=int(meta["record_count"]), bytes=int(meta["content_length"]))
        for key, meta in entries
        if int(meta["record_count"])
    ]
