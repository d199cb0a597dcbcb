"""How rows of workbooks are read: one sheet, row after row, each cell what Excel computed last.

Of the workbook only that sheet is unpacked, its texts, and what says where they are and which numbers are dates. A cell that has no
value that could be told, such as an error, a day beyond all days or a formula that was never computed, is its row's problem.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast
from xml.etree.ElementTree import Element, iterparse

from openpyxl.packaging.manifest import Manifest
from openpyxl.reader.excel import ExcelReader
from openpyxl.styles.stylesheet import apply_stylesheet
from openpyxl.worksheet._reader import (
    CELL_TAG,
    DATA_TAG,
    FORMULA_TAG,
    INLINE_STRING,
    ROW_TAG,
    VALUE_TAG,
    WorkSheetParser,
)
from openpyxl.xml.constants import ARC_CONTENT_TYPES, ARC_STYLE, SHARED_STRINGS, WORKSHEET_TYPE
from openpyxl.xml.functions import fromstring

from headwater.config import ExcelFormat, FilesStream
from headwater.ledger.untrusted import MOST_FIELDS
from headwater.log import shortened
from headwater.sources.files.rows import LARGEST_RATIO, MEGABYTE, BadFileError, FileRow, header_of, plain

# Excel writes no more.
_MOST_ROWS = 1_048_576
_MOST_CELLS = 16_384
# Of styles, relations and the like, which are in memory as a whole, and many times as large there.
_LARGEST_PART = 16 * MEGABYTE
_ENCRYPTED = 1
_SHOWN = 1000

_Cell = Mapping[str, Any]


def workbook_rows(path: Path, stream: FilesStream, declared: ExcelFormat, largest: int) -> Iterator[FileRow]:
    """Reads the rows below a sheet's first row, which is its header."""
    if not zipfile.is_zipfile(path):
        raise BadFileError("unreadable_file", "not a workbook (.xlsx)")
    with path.open("rb") as file:
        reader = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
        _check(reader.archive, path.stat().st_size, largest)
        with _unwarned():
            reader.read_manifest()
            reader.read_strings()
            reader.read_workbook()
            apply_stylesheet(reader.archive, reader.wb)
            part = _sheet(reader, declared)
        with reader.archive.open(part) as sheet:
            yield from _rows(sheet, _Parser(sheet, reader), stream)


@contextmanager
def _unwarned() -> Iterator[None]:
    """Keeps openpyxl's warnings out of the log, of which a file can have any number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _check(archive: zipfile.ZipFile, packed: int, largest: int) -> None:
    parts = {part.filename: part for part in archive.infolist()}
    size = sum(part.file_size for part in archive.infolist())
    if size > min(largest, packed * LARGEST_RATIO):
        raise BadFileError("too_large", f"{size} bytes once decompressed")
    if any(part.flag_bits & _ENCRYPTED for part in parts.values()):
        raise BadFileError("unreadable_file", "a part of the workbook is encrypted")
    bounds = dict.fromkeys((name for name in parts if name.endswith(".rels")), _LARGEST_PART)
    bounds[ARC_CONTENT_TYPES] = bounds[ARC_STYLE] = _LARGEST_PART
    _bound(parts, bounds)
    manifest: Any = Manifest.from_tree(cast("Any", fromstring(archive.read(ARC_CONTENT_TYPES))))
    for named in manifest.Override:
        large = {WORKSHEET_TYPE: largest, SHARED_STRINGS: largest // 4}.get(named.ContentType, _LARGEST_PART)
        name = named.PartName.lstrip("/")
        bounds[name] = min(large, bounds.get(name, largest))
    _bound(parts, bounds)


def _bound(parts: Mapping[str, zipfile.ZipInfo], bounds: Mapping[str, int]) -> None:
    for name, most in bounds.items():
        if name in parts and parts[name].file_size > most:
            raise BadFileError("too_large", f"{parts[name].file_size} bytes in {name!r}; {most} are the most")


def _sheet(reader: ExcelReader, declared: ExcelFormat) -> str:
    """Finds the part of the workbook that is the declared sheet, or the first."""
    sheets = {sheet.name: at.target for sheet, at in reader.parser.find_sheets() if not at.Type.endswith("/chartsheet")}
    if declared.sheet is None and sheets:
        return str(next(iter(sheets.values())))
    if declared.sheet not in sheets:
        there = ", ".join(shortened(str(name), 100) for name in [*sheets][:10])
        raise BadFileError("bad_header", f"no sheet {declared.sheet!r}; there are {there}")
    return str(sheets[declared.sheet])


class _Parser(WorkSheetParser):
    """Reads cells as openpyxl does, but for those that have no value: their type is `e`, and their value a text that tells of them."""

    def __init__(self, source: IO[bytes], reader: ExcelReader) -> None:
        book: Any = reader.wb
        dates: dict[str, Any] = {"date_formats": book._date_formats, "timedelta_formats": book._timedelta_formats}  # noqa: SLF001 - as its own reader does
        super().__init__(source, reader.shared_strings, data_only=True, epoch=book.epoch, **dates)

    def parse_cell(self, element: Element) -> dict[str, Any]:
        """Reads one cell."""
        formula = element.find(FORMULA_TAG)
        if formula is not None and element.find(VALUE_TAG) is None and element.find(INLINE_STRING) is None:
            return self._bad(element, f"={formula.text or ''}")
        try:
            return super().parse_cell(element)
        except Exception:  # noqa: BLE001 - whatever a cell is that cannot be read, it is its row's problem
            return self._bad(element, element.findtext(VALUE_TAG) or "")

    def _bad(self, element: Element, told: str) -> dict[str, Any]:
        return {"row": self.row_counter, "column": None, "data_type": "e", "value": f"{element.get('r', '')}: {told}"}


def _rows(sheet: IO[bytes], parser: _Parser, stream: FilesStream) -> Iterator[FileRow]:
    header: list[str] = []
    above = 0
    for number, cells in _parsed(sheet, parser):
        if not above < number <= _MOST_ROWS:
            raise BadFileError("unreadable_file", f"row {number} comes after row {above}, of {_MOST_ROWS} at most")
        if above == 0:
            first = _placed(cells, MOST_FIELDS + 1) if number == 1 else ()
            header = header_of([] if first is None else first, stream)
        elif (placed := _placed(cells, len(header))) is None:
            yield FileRow(number - 1, {}, "bad_row", "\t".join(map(_told, cells[: len(header) + 1])))
        elif placed:
            padded = (*placed, *[None] * (len(header) - len(placed)))
            yield FileRow(number - 1, {name: plain(cell) for name, cell in zip(header, padded, strict=True)})
        above = number
    if above == 0:
        header_of([], stream)


def _parsed(sheet: IO[bytes], parser: _Parser) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The rows of a sheet by their numbers; none leaves anything in memory, and none is there before it is known how long it is."""
    rows: Element | None = None
    cells = 0
    for event, element in iterparse(sheet, ("start", "end")):  # noqa: S314 - expat bounds entities, and knows no other file
        if event == "start":
            cells += element.tag == CELL_TAG
            if element.tag == DATA_TAG:
                rows = element
            elif cells > _MOST_CELLS:
                raise BadFileError("too_large", f"a row has more than {_MOST_CELLS} cells")
        elif element.tag == ROW_TAG and rows is not None:
            with _unwarned():
                row = parser.parse_row(element)
            rows.clear()
            cells = 0
            yield row
        elif element.tag == DATA_TAG:
            return


def _placed(cells: Sequence[_Cell], most: int) -> tuple[Any, ...] | None:
    """The values of a row by their columns, up to the last that there is; None when one has no value, or no column of its own."""
    values = {cell["column"]: cell["value"] for cell in cells}
    if len(values) < len(cells) or any(cell["data_type"] == "e" for cell in cells):
        return None
    last = max((column for column, value in values.items() if value is not None), default=0)
    return None if last > most else tuple(values.get(column) for column in range(1, last + 1))


def _told(cell: _Cell) -> str:
    return "" if cell["value"] is None else shortened(str(cell["value"]), _SHOWN)
