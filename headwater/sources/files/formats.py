"""How the rows of a dropped file are read, one after another; only a workbook leaves some bytes of each row in memory.

Nothing about a file is trusted: its encoding, its header, its size once it is decompressed, or that it is of the format at all. A
file that cannot be read to its end raises BadFileError; a row that cannot be read comes with its problem, and those after it are read.
"""

from __future__ import annotations

import base64
import csv
import gzip
import io
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl.utils.exceptions import InvalidFileException

from headwater.config import CsvFormat, ExcelFormat, FilesStream, JsonLinesFormat, ParquetFormat
from headwater.config.files_source import PUSHED
from headwater.errors import HandledSourceError
from headwater.ledger.raw import Problem
from headwater.ledger.untrusted import read_json, read_object

MEGABYTE = 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_LONGEST_LINE = 16 * MEGABYTE
_LONGEST_FIELD = MEGABYTE
# Beyond this, a compressed file is a bomb, and not a file that compresses well.
_LARGEST_RATIO = 1000
_ROWS_AT_ONCE = 10_000
# Excel writes no more, and openpyxl keeps some 160 bytes for each.
_MOST_SHEET_ROWS = 1_048_576
# What openpyxl raises on a malformed workbook.
_BROKEN_WORKBOOK = (
    AttributeError,
    IndexError,
    InvalidFileException,
    KeyError,
    OSError,
    ParseError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


class BadFileError(HandledSourceError):
    """A file cannot be read to its end; the problem is the reason it has in quarantine."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem = problem


@dataclass(frozen=True)
class FileRow:
    """One row of a file: its number from 1, its fields, or its text and the problem that it has."""

    number: int
    fields: dict[str, Any]
    problem: Problem | None = None
    text: str | None = None


def rows_of(path: Path, stream: FilesStream) -> Iterator[FileRow]:
    """Reads a file's rows; BadFileError when the file is not what the stream declares."""
    largest = stream.largest_megabytes * MEGABYTE
    if path.stat().st_size > largest:
        raise BadFileError("too_large", f"{path.stat().st_size} bytes; {largest} are the most")
    match stream.format:
        case CsvFormat():
            return _csv(path, stream, stream.format, largest)
        case JsonLinesFormat():
            return _json_lines(path, stream, stream.format, largest)
        case ParquetFormat():
            return _parquet(path, stream, largest)
        case ExcelFormat():
            return _excel(path, stream, stream.format, largest)


class _Counted(io.RawIOBase):
    """A decompressed stream that is cut off once it becomes larger than any honest file."""

    def __init__(self, source: gzip.GzipFile | io.BufferedReader, largest: int) -> None:
        self._source = source
        self._left = largest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._source.read(len(buffer))
        self._left -= len(block)
        if self._left < 0:
            raise BadFileError("too_large", "the file is larger than the stream takes, once decompressed")
        buffer[: len(block)] = block
        return len(block)


@contextmanager
def _text(path: Path, encoding: str, largest: int) -> Iterator[io.TextIOWrapper]:
    with path.open("rb") as file:
        packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        file.seek(0)
        limit = min(largest, path.stat().st_size * _LARGEST_RATIO) if packed else largest
        with (
            gzip.GzipFile(fileobj=file) if packed else nullcontext(file) as unpacked,
            io.TextIOWrapper(io.BufferedReader(_Counted(unpacked, limit), MEGABYTE), encoding, newline="") as text,
        ):
            try:
                yield text
            except UnicodeError as error:
                raise BadFileError("bad_encoding", f"not {encoding}: {error}") from None
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise BadFileError("unreadable_file", f"broken gzip: {error}") from None


def _csv(path: Path, stream: FilesStream, declared: CsvFormat, largest: int) -> Iterator[FileRow]:
    csv.field_size_limit(_LONGEST_FIELD)
    with _text(path, declared.encoding, largest) as text:
        lines = _lines(text)
        # Strict: a quote that is never closed must not swallow the rest of the file.
        reader = csv.reader(lines, delimiter=declared.delimiter, quotechar=declared.quote, strict=True)
        try:
            header = _header(next(reader, []), stream)
            for number, cells in enumerate(filter(None, reader), 1):
                if len(cells) == len(header):
                    # A formula stays the text that it is: nothing here evaluates it.
                    yield FileRow(number, dict(zip(header, (cell or None for cell in cells), strict=True)))
                else:
                    yield FileRow(number, {}, "bad_row", _joined(cells, declared))
        except csv.Error as error:
            raise BadFileError("unreadable_file", f"line {reader.line_num}: {error}") from None


def _joined(cells: Sequence[str], declared: CsvFormat) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=declared.delimiter, quotechar=declared.quote, lineterminator="").writerow(cells)
    return out.getvalue()


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise BadFileError("too_large", f"a line is longer than {_LONGEST_LINE} characters")
        yield line


def _header(cells: Sequence[Any], stream: FilesStream) -> list[str]:
    """Checks a header against the declared fields: all there, none twice; more are drift, which has a policy of its own."""
    header = [str(cell).strip() if cell is not None else "" for cell in cells]
    missing = [name for name in stream.raw if name not in header]
    twice = sorted({name for name in header if header.count(name) > 1})
    reserved = [name for name in header if name.startswith("_") or not name]
    if missing or twice or reserved:
        said = {"missing": missing, "twice": twice, "no name": reserved}
        what = "; ".join(f"{what}: {', '.join(map(repr, names))}" for what, names in said.items() if names)
        raise BadFileError("bad_header", f"{what}; declared are {', '.join(stream.raw)}")
    return header


def _json_lines(path: Path, stream: FilesStream, declared: JsonLinesFormat, largest: int) -> Iterator[FileRow]:
    read: Callable[[str], tuple[dict[str, Any], Problem | None]] = (
        read_object if stream.accepts is None else _read_event
    )
    with _text(path, declared.encoding, largest) as text:
        number = 0
        for line in _lines(text):
            if line.strip():
                number += 1
                fields, problem = read(line)
                yield FileRow(number, fields, problem, line.rstrip("\r\n") if problem else None)


def _read_event(line: str) -> tuple[dict[str, Any], Problem | None]:
    """Reads a file that the HTTP API wrote, which knows names of the pipeline's own."""
    try:
        read = read_json(line)
    except ValueError:
        return {}, "not_json"
    known = isinstance(read, dict) and all(name in PUSHED for name in read if name.startswith("_"))
    return (read, None) if known else ({}, "bad_row")


def _parquet(path: Path, stream: FilesStream, largest: int) -> Iterator[FileRow]:
    try:
        with pq.ParquetFile(path) as file:
            header = _header(file.schema_arrow.names, stream)
            about = file.metadata
            size = sum(about.row_group(index).total_byte_size for index in range(about.num_row_groups))
            if size > largest:
                raise BadFileError("too_large", f"{size} bytes once decompressed; {largest} are the most")
            number = 0
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    yield FileRow(number, {name: plain(row[name]) for name in header})
    except (pa.ArrowException, OSError) as error:
        raise BadFileError("unreadable_file", f"not Parquet: {error}") from None


def _excel(path: Path, stream: FilesStream, declared: ExcelFormat, largest: int) -> Iterator[FileRow]:
    _check_zip(path, largest)
    with path.open("rb") as file:
        try:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
            yield from _sheet(book, stream, declared)
        except _BROKEN_WORKBOOK as error:
            raise BadFileError("unreadable_file", f"broken workbook: {type(error).__name__}: {error}") from None


def _sheet(book: openpyxl.Workbook, stream: FilesStream, declared: ExcelFormat) -> Iterator[FileRow]:
    if declared.sheet is not None and declared.sheet not in book.sheetnames:
        raise BadFileError("bad_header", f"no sheet {declared.sheet!r}; there are {', '.join(book.sheetnames)}")
    sheet = book[declared.sheet] if declared.sheet is not None else book.worksheets[0]
    # What a sheet says of its own size is often wrong.
    sheet.reset_dimensions()
    rows = sheet.iter_rows(values_only=True)
    header = _header(_trimmed(next(rows, ())), stream)
    for number, cells in enumerate(map(_trimmed, rows), 1):
        if number >= _MOST_SHEET_ROWS:
            raise BadFileError("too_large", f"more than {_MOST_SHEET_ROWS} rows, which is what a sheet can have")
        if len(cells) > len(header):
            yield FileRow(number, {}, "bad_row", "\t".join("" if cell is None else str(cell) for cell in cells))
        elif cells:
            padded = (*cells, *[None] * (len(header) - len(cells)))
            yield FileRow(number, {name: plain(cell) for name, cell in zip(header, padded, strict=True)})


def _trimmed(cells: Sequence[Any]) -> tuple[Any, ...]:
    end = len(cells)
    while end and cells[end - 1] is None:
        end -= 1
    return tuple(cells[:end])


def _check_zip(path: Path, largest: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise BadFileError("unreadable_file", f"not a workbook: {error}") from None
    size = sum(part.file_size for part in parts)
    if size > min(largest, path.stat().st_size * _LARGEST_RATIO):
        raise BadFileError("too_large", f"{size} bytes once decompressed")
    # Every row of a read-only workbook looks its texts up, so these are in memory as a whole.
    texts = sum(part.file_size for part in parts if part.filename.endswith("sharedStrings.xml"))
    if texts > largest // 4:
        raise BadFileError("too_large", f"{texts} bytes of texts; {largest // 4} are the most")


def plain(value: Any) -> Any:
    """Turns a typed value into one that JSON has: times into ISO 8601, bytes into base64, what is no number into text."""
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case Decimal() if not value.is_finite():
            return str(value)
        case Decimal():
            return value
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {str(name): plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case _:
            return value
