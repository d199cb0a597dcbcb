"""How rows of text files are read: CSV and JSON lines, packed by gzip or not."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from headwater.config import CsvFormat, FilesStream, JsonLinesFormat
from headwater.config.files_source import PUSHED
from headwater.ledger.untrusted import read_object
from headwater.sources.files.rows import LARGEST_RATIO, MEGABYTE, BadFileError, FileRow, header_of

_GZIP_MAGIC = b"\x1f\x8b"
_LONGEST_LINE = 16 * MEGABYTE
_LONGEST_FIELD = MEGABYTE
# UTF-8 has no need of a byte order mark, and Excel writes it all the same.
_ENCODINGS = {"utf-8": "utf-8-sig"}


def csv_rows(path: Path, stream: FilesStream, declared: CsvFormat, largest: int) -> Iterator[FileRow]:
    """Reads the rows below a header line; every value is text."""
    csv.field_size_limit(_LONGEST_FIELD)
    with _text(path, declared.encoding, largest) as text:
        lines = _lines(text)
        # Strict: a quote that is never closed must not swallow the rest of the file.
        reader = csv.reader(lines, delimiter=declared.delimiter, quotechar=declared.quote, strict=True)
        try:
            header = header_of(next(reader, []), stream)
            for number, cells in enumerate(filter(None, reader), 1):
                if len(cells) == len(header):
                    # A formula stays the text that it is: nothing here evaluates it.
                    yield FileRow(number, dict(zip(header, (cell or None for cell in cells), strict=True)))
                else:
                    yield FileRow(number, {}, "bad_row", _joined(cells, declared))
        except csv.Error as error:
            raise BadFileError("unreadable_file", f"line {reader.line_num}: {error}") from None


def json_rows(path: Path, stream: FilesStream, declared: JsonLinesFormat, largest: int) -> Iterator[FileRow]:
    """Reads one JSON object a line; what the HTTP API wrote knows names of the pipeline's own."""
    own = () if stream.accepts is None else PUSHED
    with _text(path, declared.encoding, largest) as text:
        number = 0
        for line in _lines(text):
            if line.strip():
                number += 1
                fields, problem = read_object(line, own)
                yield FileRow(number, fields, problem, line.rstrip("\r\n") if problem else None)


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
        limit = min(largest, path.stat().st_size * LARGEST_RATIO) if packed else largest
        with (
            gzip.GzipFile(fileobj=file) if packed else nullcontext(file) as unpacked,
            io.BufferedReader(_Counted(unpacked, limit), MEGABYTE) as counted,
            io.TextIOWrapper(counted, _ENCODINGS.get(encoding, encoding), newline="") as text,
        ):
            try:
                yield text
            except UnicodeError as error:
                raise BadFileError("bad_encoding", f"not {encoding}: {error}") from None
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise BadFileError("unreadable_file", f"broken gzip: {error}") from None


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise BadFileError("too_large", f"a line is longer than {_LONGEST_LINE} characters")
        yield line


def _joined(cells: Sequence[str], declared: CsvFormat) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=declared.delimiter, quotechar=declared.quote, lineterminator="").writerow(cells)
    return out.getvalue()
