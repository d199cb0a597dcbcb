"""How rows of Parquet files are read: what is decoded of them is known before it is, however small it is packed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headwater.config import FilesStream
from headwater.ledger.raw import to_line
from headwater.ledger.untrusted import MOST_FIELDS, MOST_LEVELS
from headwater.log import shortened
from headwater.sources.files.rows import MEGABYTE, BadFileError, FileRow, header_of, plain

_ROWS_AT_ONCE = 10_000
_BYTES_AT_ONCE = 16 * MEGABYTE
_SHOWN = 1000


def parquet_rows(path: Path, stream: FilesStream, largest: int) -> Iterator[FileRow]:
    """Reads the rows of all columns, which are found by name."""
    about = pq.read_metadata(path)
    if about.num_columns > MOST_FIELDS:
        raise BadFileError("bad_header", f"{about.num_columns} columns; {MOST_FIELDS} are the most")
    columns = [about.schema.column(index) for index in range(about.num_columns)]
    if any(column.path.count(".") >= MOST_LEVELS for column in columns):
        raise BadFileError("unreadable_file", f"a column is nested more than {MOST_LEVELS} levels deep")
    # A text that stands in many rows is in memory once, as it is in the file, which a few bytes can give any number of rows.
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    with pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False) as file:
        header = header_of(file.schema_arrow.names, stream)
        number, left = 0, largest
        for batch in file.iter_batches(_ROWS_AT_ONCE, use_threads=False):
            left -= _decoded(batch)
            if left < 0:
                raise BadFileError("too_large", f"more than {largest} bytes once decoded")
            for part in _parts(batch):
                for fields in _fields(part, header):
                    number += 1
                    yield (
                        FileRow(number, fields) if isinstance(fields, dict) else FileRow(number, {}, "bad_row", fields)
                    )


def _decoded(batch: pa.RecordBatch) -> int:
    # A value that takes no room, such as NULL, takes time.
    cells: int = batch.num_rows * batch.num_columns
    return cells + sum(_bytes_of(column) for column in batch.columns)


def _bytes_of(array: pa.Array) -> int:
    """How many bytes an array's values are, those of a dictionary counted as often as they stand there."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(array.dictionary).cast(pa.int64())
        return int(pc.sum(lengths.take(array.indices)).as_py() or 0)
    if pa.types.is_map(kind):
        return _bytes_of(array.keys) + _bytes_of(array.items) + len(array)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _bytes_of(array.flatten()) + len(array)
    if pa.types.is_struct(kind):
        return sum(map(_bytes_of, array.flatten())) + len(array)
    return int(array.nbytes)


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Halves a batch until each part can be decoded at once."""
    if batch.num_rows <= 1 or _decoded(batch) <= _BYTES_AT_ONCE:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _parts(batch.slice(0, half))
    yield from _parts(batch.slice(half))


def _fields(part: pa.RecordBatch, header: list[str]) -> Iterator[dict[str, Any] | str]:
    """The fields of each row; of a row with a value that Python cannot hold, what can be told of it as text."""
    try:
        rows = part.to_pylist()
    except Exception:  # noqa: BLE001 - whatever a value is that cannot be read, it is its row's problem
        if part.num_rows == 1:
            yield to_line({name: _told(part.column(name)[0]) for name in part.schema.names})
        else:
            for index in range(part.num_rows):
                yield from _fields(part.slice(index, 1), header)
        return
    for row in rows:
        yield {name: plain(row[column]) for name, column in zip(header, part.schema.names, strict=True)}


def _told(value: pa.Scalar) -> str:
    try:
        return shortened(str(plain(value.as_py())), _SHOWN)
    except Exception as error:  # noqa: BLE001 - as above
        return f"{value.type}: {type(error).__name__}: {shortened(str(error), _SHOWN)}"
