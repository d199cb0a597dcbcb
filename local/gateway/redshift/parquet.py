"""COPY of Parquet as Redshift does it: columns by position, never by name, and without any conversion of types."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from local.gateway.redshift.lexemes import RedshiftError
from local.gateway.redshift.load import Load
from local.gateway.redshift.table import Column

_BATCH_ROWS = 65_536


_PARQUET_TYPES: dict[str, Callable[[pa.DataType], bool]] = {
    "smallint": lambda kind: kind in {pa.int8(), pa.int16(), pa.int32()},
    "integer": lambda kind: kind in {pa.int8(), pa.int16(), pa.int32()},
    "bigint": lambda kind: kind == pa.int64(),
    "real": lambda kind: kind == pa.float32(),
    "double precision": lambda kind: kind == pa.float64(),
    "boolean": lambda kind: kind == pa.bool_(),
    "date": lambda kind: bool(pa.types.is_date(kind)),
    "timestamp without time zone": lambda kind: bool(pa.types.is_timestamp(kind)),
    "timestamp with time zone": lambda kind: bool(pa.types.is_timestamp(kind)),
    "character varying": lambda kind: kind in {pa.string(), pa.large_string()},
    "character": lambda kind: kind in {pa.string(), pa.large_string()},
    "bytea": lambda kind: kind in {pa.binary(), pa.large_binary()},
    "numeric": lambda kind: bool(pa.types.is_decimal(kind)),
    "jsonb": lambda kind: True,  # noqa: ARG005 - SUPER holds anything
}


def load_parquet(load: Load) -> int:
    """Loads one file and returns its number of rows; RedshiftError when a column does not fit."""
    file = f"https://s3.amazonaws.com/{load.bucket}/{load.key}"
    loaded = 0
    with load.objects.filesystem().open_input_file(f"{load.bucket}/{load.key}") as stream:
        try:
            parquet = pq.ParquetFile(stream)
        except pa.ArrowInvalid:
            raise RedshiftError(
                f"Spectrum Scan Error: File '{file}' has an invalid version number: no Parquet"
            ) from None
        schema = parquet.schema_arrow
        if len(schema) != len(load.columns):
            raise RedshiftError(
                "Spectrum Scan Error code: 15007 context: Unmatched number of columns between table and file. "
                f"Table columns: {len(load.columns)}, Data columns: {len(schema)}, File name: {file}"
            )
        for column, parquet_field in zip(load.columns, schema, strict=True):
            _refuse_incompatible(column, parquet_field, file, as_json="SERIALIZETOJSON" in load.options)
        with load.rows() as target:
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS):
                arrays = [
                    _loadable(column, array, file) for column, array in zip(load.columns, batch.columns, strict=True)
                ]
                target.write(_csv(pa.table(arrays, names=[str(index) for index in range(len(arrays))])))
                loaded += batch.num_rows
    return loaded


def _refuse_incompatible(column: Column, parquet_field: pa.Field, file: str, *, as_json: bool) -> None:
    """Redshift reads Parquet without converting: a 32-bit integer is no BIGINT, a decimal has its column's bytes."""
    kind = parquet_field.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    fits = _PARQUET_TYPES.get(column.type, lambda kind: False)(kind)  # noqa: ARG005
    if fits and column.type == "numeric":
        precision, scale = column.precision_and_scale
        fits = kind.scale == scale
        expected, found = _decimal_bytes(precision), _decimal_bytes(kind.precision)
        if fits and expected != found:
            raise RedshiftError(
                f"Spectrum Scan Error code: 15001 context: File '{file}' column '{parquet_field.name}' has an invalid "
                f"type length. Expecting: {expected} len in file: {found}"
            )
    if pa.types.is_nested(kind) and fits and not as_json:
        raise RedshiftError(
            f"File '{file}' has the nested column '{parquet_field.name}'. hint: FORMAT PARQUET SERIALIZETOJSON"
        )
    if not fits:
        raise RedshiftError(
            f"Spectrum Scan Error code: 15007 context: File '{file}' has an incompatible Parquet schema for column "
            f"'{column.name}'. Column type: {column.declared}, Parquet schema: optional {kind} {parquet_field.name}"
        )


def _decimal_bytes(precision: int) -> int:
    """Least number of bytes that hold a signed decimal of this many digits."""
    bits = int(10**precision - 1).bit_length() + 1
    return (bits + 7) // 8


def _loadable(column: Column, array: pa.Array, file: str) -> pa.Array:
    """Checks what Redshift checks before PostgreSQL could, and turns nested values into JSON."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if column.not_null and array.null_count:
        raise RedshiftError(f"Missing data for not-null field: column '{column.name}' of File '{file}'")
    if pa.types.is_nested(array.type):
        return pa.array(
            [None if value is None else json.dumps(value, default=str) for value in array.to_pylist()], pa.string()
        )
    if pa.types.is_binary(array.type):
        return pa.array([None if value is None else f"\\x{value.hex()}" for value in array.to_pylist()], pa.string())
    if column.length is not None:
        longest = pc.max(pc.binary_length(array)).as_py()
        if longest is not None and longest > column.length:
            raise RedshiftError(
                f"Spectrum Scan Error code: 15001 context: The length of the data column {column.name} is longer than "
                f"the length defined in the table. Table: {column.length}, Data: {longest}, File name: {file}"
            )
    return array


def _csv(rows: pa.Table) -> memoryview:
    written = io.BytesIO()
    pa_csv.write_csv(rows, written, pa_csv.WriteOptions(include_header=False))
    return written.getbuffer()
