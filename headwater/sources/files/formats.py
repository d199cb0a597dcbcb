"""How the rows of a dropped file are read, one after another, whatever its format.

Nothing about a file is trusted: its encoding, its header, its size once it is decompressed, or that it is of the format at all. A
file that cannot be read to its end raises BadFileError, and nothing else does; a row that cannot be read comes with its problem, and
those after it are read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from headwater.config import CsvFormat, ExcelFormat, FilesStream, JsonLinesFormat, ParquetFormat
from headwater.log import shortened
from headwater.sources.files.memory import bounded_memory
from headwater.sources.files.parquet import parquet_rows
from headwater.sources.files.rows import MEGABYTE, BadFileError, FileRow
from headwater.sources.files.texts import csv_rows, json_rows
from headwater.sources.files.workbook import workbook_rows

MOST_ROWS = 20_000_000
MOST_SECONDS = 900.0
"""From a file's first row to its last, with all that is done with them."""
MOST_MEMORY = 2048 * MEGABYTE
_SHOWN = 1000


def rows_of(path: Path, stream: FilesStream) -> Iterator[FileRow]:
    """Reads a file's rows; BadFileError when the file is not what the stream declares, or is more than anyone would read."""
    try:
        with bounded_memory(MOST_MEMORY):
            yield from _bounded(_rows(path, stream))
    except BadFileError:
        raise
    except MemoryError:
        raise BadFileError("too_large", f"takes more than {MOST_MEMORY} bytes of memory") from None
    except Exception as error:  # noqa: BLE001 - whatever a library makes of a bad file, it is the file's problem
        said = shortened(str(error), _SHOWN)
        raise BadFileError("unreadable_file", f"not {stream.format.kind}: {type(error).__name__}: {said}") from None


def _bounded(rows: Iterator[FileRow]) -> Iterator[FileRow]:
    until = time.monotonic() + MOST_SECONDS
    for number, row in enumerate(rows, 1):
        if number > MOST_ROWS:
            raise BadFileError("too_large", f"more than {MOST_ROWS} rows")
        if time.monotonic() > until:
            raise BadFileError("too_large", f"row {number} is not reached within {MOST_SECONDS:g} s")
        yield row


def _rows(path: Path, stream: FilesStream) -> Iterator[FileRow]:
    largest = stream.largest_megabytes * MEGABYTE
    if path.stat().st_size > largest:
        raise BadFileError("too_large", f"{path.stat().st_size} bytes; {largest} are the most")
    match stream.format:
        case CsvFormat():
            return csv_rows(path, stream, stream.format, largest)
        case JsonLinesFormat():
            return json_rows(path, stream, stream.format, largest)
        case ParquetFormat():
            return parquet_rows(path, stream, largest)
        case ExcelFormat():
            return workbook_rows(path, stream, stream.format, largest)
