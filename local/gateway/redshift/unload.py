"""UNLOAD of the local warehouse: what a query finds, to typed Parquet files in S3."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import botocore.exceptions
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem

from local.gateway.redshift.assumed import refuse_others
from local.gateway.redshift.lexemes import RedshiftError, lex
from local.gateway.redshift.options import (
    Options,
    bucket_and_key,
    need_authorization,
    parse_options,
    string_of,
)
from local.gateway.redshift.sql import translate
from local.gateway.redshift.table import Session
from local.gateway.s3_objects import S3Objects

_BATCH_ROWS = 65_536


_UNLOADED_TYPES = {
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "bytea": pa.binary(),
    # Of which Spark reads none.
    "time": pa.time64("us"),
    "timetz": pa.time64("us"),
}


_UNLOAD_OPTIONS = {
    "MANIFEST",
    "VERBOSE",
    "ALLOWOVERWRITE",
    "CLEANPATH",
    "PARALLEL",
    "MAXFILESIZE",
    "PARTITION",
    "INCLUDE",
}


def unload(session: Session, command: str, objects: S3Objects) -> int:
    """Carries out an UNLOAD to typed Parquet files and returns the number of rows written."""
    words = lex(command)
    if [word.kind for word in words[1:4]] != ["sign", "string", "sign"] or words[4].upper != "TO":
        raise RedshiftError("syntax error: UNLOAD ('select …') TO 's3://…'")
    query = translate(string_of(words[2])).sql[0]
    target = string_of(words[5])
    options = parse_options(words[6:])
    need_authorization(options, "UNLOAD")
    if role := options.values.get("IAM_ROLE"):
        refuse_others(session, role, "UNLOAD")
        objects = objects.of_role(role)
    if options.format != "PARQUET":
        raise RedshiftError(f"UNLOAD FORMAT {options.format or 'TEXT'}: the local warehouse writes PARQUET")
    options.refuse_others_than(_UNLOAD_OPTIONS, "UNLOAD")
    bucket, prefix = bucket_and_key(target)
    with objects.client() as client:
        _make_room(client, bucket, prefix, options)
        writer = _ParquetUnload(objects.filesystem(), bucket, prefix, options)
        with session.cursor(name="unload") as cursor:
            cursor.execute(query.encode())
            writer.write(cursor)
        if "MANIFEST" in options:
            manifest = writer.manifest(verbose="VERBOSE" in options)
            client.put_object(Bucket=bucket, Key=f"{prefix}manifest", Body=json.dumps(manifest).encode())
    return writer.rows


def _make_room(client: Any, bucket: str, prefix: str, options: Options) -> None:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    try:
        taken = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    except botocore.exceptions.ClientError as error:
        raise RedshiftError(f"S3ServiceException: {error.response['Error']['Message']}: s3://{bucket}") from None
    if taken and not {"ALLOWOVERWRITE", "CLEANPATH"} & set(options.values):
        raise RedshiftError(
            "Specified unload destination on S3 is not empty. Consider using a different bucket / prefix, manually "
            f"removing the target files in S3, or using the ALLOWOVERWRITE option: s3://{bucket}/{prefix}"
        )
    if "CLEANPATH" in options:
        for key in taken:
            client.delete_object(Bucket=bucket, Key=key)


class _ParquetUnload:
    """Writes rows to Parquet files named as Redshift does, `<prefix>0000_part_00.parquet`, below `column=value/` if asked."""

    def __init__(self, filesystem: FileSystem, bucket: str, prefix: str, options: Options) -> None:
        self.rows = 0
        self._filesystem = filesystem
        self._root = f"{bucket}/{prefix}"
        self._options = options
        self._single = options.values.get("PARALLEL", "ON").upper() in {"OFF", "FALSE"}
        self._largest = _bytes(options.values.get("MAXFILESIZE", "6200MB"))
        self._files: list[dict[str, Any]] = []
        self._open: dict[str, tuple[Any, pq.ParquetWriter, str, list[int]]] = {}
        self._parts: dict[str, int] = {}

    def write(self, cursor: psycopg.ServerCursor[tuple[Any, ...]]) -> None:
        """Writes all rows of a cursor; the types of the files are those of its columns."""
        schema = pa.schema([pa.field(column.name, _arrow_type(column)) for column in cursor.description or []])
        if missing := [name for name in self._options.partition_by if name not in schema.names]:
            raise RedshiftError(f'UNLOAD: partition column "{missing[0]}" is not in the result')
        kept = [name for name in schema.names if name not in self._options.partition_by or "INCLUDE" in self._options]
        try:
            while rows := cursor.fetchmany(_BATCH_ROWS):
                self.rows += len(rows)
                columns = [
                    pa.array([_plain_value(row[index]) for row in rows], column.type)
                    for index, column in enumerate(schema)
                ]
                table = pa.Table.from_arrays(columns, schema=schema)
                for folder, part in self._by_partition(table):
                    self._append(folder, part.select(kept))
        finally:
            for folder in list(self._open):
                self._close(folder)

    def manifest(self, *, verbose: bool) -> dict[str, Any]:
        """The document that UNLOAD … MANIFEST leaves beside the files, fit for COPY … MANIFEST; VERBOSE counts rows too."""
        entries: list[dict[str, Any]] = [
            {"url": file["url"], "meta": {"content_length": file["bytes"]}} for file in self._files
        ]
        if not verbose:
            return {"entries": entries}
        for entry, file in zip(entries, self._files, strict=True):
            entry["meta"]["record_count"] = file["rows"]
        sizes = sum(file["bytes"] for file in self._files)
        return {"entries": entries, "meta": {"content_length": sizes, "record_count": self.rows}}

    def _by_partition(self, table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        names = self._options.partition_by
        if not names:
            yield "", table
            return
        for key in table.select(names).group_by(names).aggregate([]).to_pylist():
            mask: Any = pa.array([True] * table.num_rows)
            for name, value in key.items():
                same = (
                    pc.is_null(table[name])
                    if value is None
                    else pc.equal(table[name], pa.scalar(value, table[name].type))
                )
                mask = pc.and_(mask, pc.fill_null(same, False))
            said = (f"{name}={'__HIVE_DEFAULT_PARTITION__' if value is None else value}" for name, value in key.items())
            yield "".join(f"{part}/" for part in said), table.filter(mask)

    def _append(self, folder: str, rows: pa.Table) -> None:
        if folder not in self._open:
            number = self._parts.get(folder, 0)
            self._parts[folder] = number + 1
            name = f"{number:03}.parquet" if self._single else f"0000_part_{number:02}.parquet"
            path = f"{self._root}{folder}{name}"
            stream = self._filesystem.open_output_stream(path)
            self._open[folder] = (stream, pq.ParquetWriter(stream, rows.schema), path, [0])
        stream, writer, _, count = self._open[folder]
        writer.write_table(rows)
        count[0] += rows.num_rows
        if stream.tell() >= self._largest:
            self._close(folder)

    def _close(self, folder: str) -> None:
        stream, writer, path, count = self._open.pop(folder)
        writer.close()
        self._files.append({"url": f"s3://{path}", "bytes": stream.tell(), "rows": count[0]})
        stream.close()


def _bytes(size: str) -> int:
    number = float(re.sub(r"[^\d.]", "", size))
    return int(number * (1 << 30 if size.upper().endswith("GB") else 1 << 20))


def _arrow_type(column: psycopg.Column) -> pa.DataType:
    kind = column.type_display.split("(", maxsplit=1)[0]
    if kind == "numeric":
        # PostgreSQL loses precision and scale in arithmetic; Redshift always has some.
        return pa.decimal128(column.precision or 38, column.scale if column.precision else 10)
    return _UNLOADED_TYPES.get(kind, pa.string())


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, int | float | str | bool | bytes | Decimal | date | datetime | time | None):
        return value
    return str(value)
