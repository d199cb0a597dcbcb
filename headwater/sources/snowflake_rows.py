"""What becomes of Snowflake's columns and values in raw Parquet files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from snowflake.connector.constants import FIELD_ID_TO_NAME

from headwater.config.relation import raw_name
from headwater.errors import FatalSourceError
from headwater.ledger.raw import UNREAD
from headwater.log import get_logger

if TYPE_CHECKING:
    from snowflake.connector.cursor import ResultMetadata

FILE_BYTES = 128 << 20
"""Size at which a raw file ends and the next one begins."""

_ROWS_A_GROUP = 100_000
_LONGEST_INT64 = 18
_TEXTS = {"TEXT", "VARIANT", "OBJECT", "ARRAY", "MAP", "GEOGRAPHY", "GEOMETRY", "TIME"}
_OTHERS = {
    "REAL": pa.float64(),
    "DATE": pa.date32(),
    "BOOLEAN": pa.bool_(),
    "BINARY": pa.binary(),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP_TZ"), pa.timestamp("us", "UTC")),
    **dict.fromkeys(_TEXTS, pa.string()),
}
_SPARK_TYPES = {
    "int64": "bigint",
    "double": "double",
    "date32[day]": "date",
    "bool": "boolean",
    "binary": "binary",
    "timestamp[us, tz=UTC]": "timestamp",
    "string": "string",
}
# The first and the last moment that is read, and the same of days.
_YEARS = (
    (datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
    (date(1, 1, 1), date(9999, 12, 31)),
)

log = get_logger(__name__)


def schema_of(columns: Sequence[ResultMetadata]) -> pa.Schema:
    """The Parquet schema of a result: names as raw rows have them, in lower case, and types that no batch's values change.

    FatalSourceError for a type that has no place in Parquet.
    """
    fields = [pa.field(raw_name(column.name.lower()), _type_of(column)) for column in columns]
    return pa.schema([*fields, pa.field(UNREAD, pa.string())])


def named(there: Sequence[ResultMetadata], *, every: bool) -> dict[str, str]:
    """What Snowflake calls the columns that can be read, by their name in lower case.

    Of names that differ by case alone it is the one that nobody had to quote, and none where all were. Where `every` column
    is read, those are left out that no raw row can have.
    """
    alike: dict[str, list[ResultMetadata]] = {}
    for column in there:
        alike.setdefault(column.name.lower(), []).append(column)
    taken: dict[str, str] = {}
    raw = {UNREAD}
    for name, columns in alike.items():
        plain = columns if len(columns) == 1 else [column for column in columns if column.name == column.name.upper()]
        if len(plain) < len(columns):
            log.warning("columns left out: their names differ by case alone", column=name)
        for column in plain:
            if every and (raw_name(name) in raw or kind_of(column) not in {"FIXED", *_OTHERS}):
                log.warning("column left out: no raw row can have it", column=column.name, type=kind_of(column))
            else:
                taken[name] = column.name
                raw.add(raw_name(name))
    return taken


def kind_of(column: ResultMetadata) -> str:
    """A type as Snowflake calls it, or its number where the connector is older than the type."""
    return FIELD_ID_TO_NAME[column.type_code] or str(column.type_code)


def _type_of(column: ResultMetadata) -> pa.DataType:
    kind = kind_of(column)
    if kind == "FIXED":
        precision, scale = column.precision or 38, column.scale or 0
        return pa.int64() if scale == 0 and precision <= _LONGEST_INT64 else pa.decimal128(precision, scale)
    if kind not in _OTHERS:
        raise FatalSourceError(f"{column.name}: type {kind} cannot be read. hint: read a view that casts it")
    return _OTHERS[kind]


def spark_type(arrow: str) -> str:
    """The Spark SQL type of a type of Arrow, both by their names."""
    return arrow.replace("decimal128", "decimal") if arrow.startswith("decimal") else _SPARK_TYPES[arrow]


def parquet_files(batches: Iterator[pa.Table], schema: pa.Schema, folder: Path) -> Iterator[tuple[Path, int]]:
    """Writes batches to Parquet files of about FILE_BYTES, and yields path and rows of each; holds one batch at a time."""
    number = 0
    while True:
        path = folder / f"{number}.parquet"
        rows = _fill(path, batches, schema)
        if not rows:
            return
        yield path, rows
        number += 1


def _fill(path: Path, batches: Iterator[pa.Table], schema: pa.Schema) -> int:
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_table(_cast(batch, schema), row_group_size=_ROWS_A_GROUP)
            rows += batch.num_rows
            if path.stat().st_size >= FILE_BYTES:
                break
    return rows


def _cast(batch: pa.Table, schema: pa.Schema) -> pa.Table:
    """Casts a batch to the schema: Snowflake sends each with the narrowest types that hold its values."""
    columns: list[pa.ChunkedArray] = []
    unread: dict[int, dict[str, str]] = {}
    for given, field in zip(batch.columns, list(schema)[:-1], strict=True):
        # Only moments may lose something: what is below the microsecond.
        column = given.cast(field.type, safe=not pa.types.is_timestamp(field.type))
        if pa.types.is_temporal(field.type):
            first, last = (pa.scalar(end, field.type) for end in _YEARS[pa.types.is_date(field.type)])
            beyond = pc.or_(pc.less(column, first), pc.greater(column, last))
            for row in pc.indices_nonzero(pc.fill_null(beyond, False)).to_pylist():
                unread.setdefault(row, {})[field.name] = column[row].cast(pa.string()).as_py()
            column = pc.if_else(pc.fill_null(beyond, False), pa.scalar(None, field.type), column)
        columns.append(column)
    told = [json.dumps(unread[row]) if row in unread else None for row in range(batch.num_rows)] if unread else None
    columns.append(pa.array(told, pa.string()) if told else pa.nulls(batch.num_rows, pa.string()))
    return pa.Table.from_arrays(columns, schema=schema)
