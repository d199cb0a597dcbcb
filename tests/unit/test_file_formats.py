"""Dropped files: what is read of good ones, and why bad ones are refused."""

from __future__ import annotations

import gzip
import io
import json
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl.xml.constants import SHARED_STRINGS, SHEET_MAIN_NS

from headwater.config import FilesStream
from headwater.sources.files import formats
from headwater.sources.files.formats import rows_of
from headwater.sources.files.rows import BadFileError, FileRow, plain

RAW = ("id", "name")


def stream(kind: str, largest_megabytes: int = 1, **options: Any) -> FilesStream:
    return FilesStream.model_validate(
        {
            "table": "t",
            "prefix": "p/",
            "format": {"kind": kind, **options},
            "raw": RAW,
            "largest_megabytes": largest_megabytes,
        }
    )


def read(path: Path, body: bytes, declared: FilesStream) -> list[FileRow]:
    file = path / "file"
    file.write_bytes(body)
    return list(rows_of(file, declared))


def fields(path: Path, body: bytes, declared: FilesStream) -> list[dict[str, Any]]:
    found = read(path, body, declared)
    assert [row.problem for row in found] == [None] * len(found)
    return [row.fields for row in found]


def refused(path: Path, body: bytes, declared: FilesStream) -> str:
    with pytest.raises(BadFileError) as caught:
        read(path, body, declared)
    assert str(caught.value)
    return caught.value.problem


def workbook(*rows: tuple[Any, ...], sheet: str = "Sheet") -> bytes:
    book = openpyxl.Workbook()
    active = book.active
    assert active is not None
    active.title = sheet
    for row in rows:
        active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def parquet(**columns: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_a_csv_file_is_read_in_its_declared_encoding(tmp_path: Path, encoding: str) -> None:
    body = "id;name\r\n1;Zoë\r\n".encode(encoding)
    declared = stream("csv", delimiter=";", encoding=encoding)
    assert fields(tmp_path, body, declared) == [{"id": "1", "name": "Zoë"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_in_another_encoding_is_bad(tmp_path: Path, encoding: str) -> None:
    body = "id,name\n1,Zoë\n".encode("latin-1")
    assert refused(tmp_path, body, stream("csv", encoding=encoding)) == "bad_encoding"


def test_an_encoding_that_breaks_far_into_the_file_is_found_too(tmp_path: Path) -> None:
    body = b"id,name\n" + b"1,a\n" * 100_000 + b"2,\xff\n"
    assert refused(tmp_path, body, stream("csv")) == "bad_encoding"


def test_quoted_cells_keep_delimiters_quotes_and_line_breaks(tmp_path: Path) -> None:
    body = b'id,name\n1,"a, ""b""\nc"\n'
    assert fields(tmp_path, body, stream("csv")) == [{"id": "1", "name": 'a, "b"\nc'}]


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x")'])
def test_a_formula_is_the_text_that_it_is(tmp_path: Path, formula: str) -> None:
    body = f'id,name\n1,"{formula.replace(chr(34), chr(34) * 2)}"\n'.encode()
    assert fields(tmp_path, body, stream("csv")) == [{"id": "1", "name": formula}]


def test_columns_are_found_by_name_and_more_of_them_are_read(tmp_path: Path) -> None:
    assert fields(tmp_path, b"name,more,id\na,b,1\n", stream("csv")) == [{"name": "a", "more": "b", "id": "1"}]


@pytest.mark.parametrize(
    "header", ["", "id", "id;name", "id,id,name", "id,name,", "id,name,_problem", "ID,Name", "\ufeff\ufeffid,name"]
)
def test_a_header_that_is_not_as_declared_is_bad(tmp_path: Path, header: str) -> None:
    assert refused(tmp_path, f"{header}\n1,a\n".encode(), stream("csv")) == "bad_header"


def test_a_row_of_another_length_is_told_and_those_after_it_are_read(tmp_path: Path) -> None:
    short, long, good = read(tmp_path, b'id,name\n1\n2,a,"b,c"\n3,d\n', stream("csv"))
    assert (short.number, short.problem, short.text) == (1, "bad_row", "1")
    assert (long.problem, long.text) == ("bad_row", '2,a,"b,c"')
    assert (good.number, good.fields) == (3, {"id": "3", "name": "d"})


def test_a_quote_that_is_never_closed_does_not_swallow_the_rest(tmp_path: Path) -> None:
    assert refused(tmp_path, b'id,name\n1,"open\n2,b\n', stream("csv")) == "unreadable_file"


def test_an_empty_cell_is_no_value(tmp_path: Path) -> None:
    assert fields(tmp_path, b"id,name\n1,\n", stream("csv")) == [{"id": "1", "name": None}]


def test_compressed_files_are_read_too(tmp_path: Path) -> None:
    assert fields(tmp_path, gzip.compress(b"id,name\n1,a\n"), stream("csv")) == [{"id": "1", "name": "a"}]


def test_a_file_that_is_larger_than_the_stream_takes_is_bad(tmp_path: Path) -> None:
    assert refused(tmp_path, b"x" * (1 << 20) + b"x", stream("csv")) == "too_large"


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_decompression_bomb_is_cut_off_in_flat_memory(tmp_path: Path, kind: str) -> None:
    bomb = gzip.compress(b"0" * (80 << 20))
    tracemalloc.start()
    assert refused(tmp_path, bomb, stream(kind, largest_megabytes=20)) == "too_large"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 << 20


def test_a_line_without_end_is_cut_off(tmp_path: Path) -> None:
    body = b"id,name\n" + b"x" * (17 << 20)
    assert refused(tmp_path, body, stream("csv", largest_megabytes=50)) == "too_large"


def test_broken_gzip_is_bad(tmp_path: Path) -> None:
    body = gzip.compress(b"id,name\n" + b"1,a\n" * 1000)
    assert refused(tmp_path, body[: len(body) // 2], stream("csv")) == "unreadable_file"


def test_json_lines_keep_what_is_nested_and_numbers_as_they_are(tmp_path: Path) -> None:
    body = b'{"id": 1, "name": {"first": "Zo\xc3\xab"}, "cost": 0.1000}\n\n{"id": 2}\n'
    first, second = fields(tmp_path, body, stream("jsonl"))
    assert first == {"id": 1, "name": {"first": "Zoë"}, "cost": Decimal("0.1000")}
    assert second == {"id": 2}


def test_a_line_that_is_no_object_is_told_and_those_after_it_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, b'{"id":\n[1]\n{"_account": "x"}\n{"id": 4}\n', stream("jsonl"))
    assert [row.problem for row in found] == ["not_json", "not_an_object", "bad_row", None]
    assert [row.text for row in found] == ['{"id":', "[1]", '{"_account": "x"}', None]


def test_typed_values_of_parquet_become_json(tmp_path: Path) -> None:
    body = parquet(
        id=pa.array([Decimal("12.50")], pa.decimal128(12, 2)),
        name=pa.array([datetime(2018, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC")),
        day=[date(1, 1, 1)],
        ratio=[float("nan")],
        tags=[["a"]],
        blob=[b"\xff"],
    )
    [row] = fields(tmp_path, body, stream("parquet"))
    assert row == {
        "id": Decimal("12.50"),
        "name": "2018-01-01T00:00:00+00:00",
        "day": "0001-01-01",
        "ratio": "nan",
        "tags": ["a"],
        "blob": "/w==",
    }


def test_parquet_that_is_none_or_lacks_columns_is_bad(tmp_path: Path) -> None:
    assert refused(tmp_path, b"PAR1 nothing", stream("parquet")) == "unreadable_file"
    assert refused(tmp_path, parquet(id=[1], name=["a"])[:-10], stream("parquet")) == "unreadable_file"
    assert refused(tmp_path, parquet(id=[1]), stream("parquet")) == "bad_header"


def test_parquet_that_is_large_once_decompressed_is_bad(tmp_path: Path) -> None:
    out = io.BytesIO()
    table = pa.table({"id": [1] * 40, "name": ["x" * 100_000] * 40})
    pq.write_table(table, out, compression="zstd", use_dictionary=False)
    assert len(out.getvalue()) < 100_000
    assert refused(tmp_path, out.getvalue(), stream("parquet")) == "too_large"


def test_a_workbook_is_read_from_its_declared_sheet(tmp_path: Path) -> None:
    body = workbook(("id", "name"), (1, "Zoë"), (None, None), (2.5, date(2018, 1, 1)), (3,), sheet="Data")
    found = fields(tmp_path, body, stream("excel", sheet="Data"))
    assert found == [
        {"id": 1, "name": "Zoë"},
        {"id": 2.5, "name": "2018-01-01T00:00:00"},
        {"id": 3, "name": None},
    ]
    assert refused(tmp_path, body, stream("excel", sheet="Other")) == "bad_header"


def test_a_workbook_with_a_wrong_header_a_long_row_or_nothing_in_it(tmp_path: Path) -> None:
    assert refused(tmp_path, workbook(("id",), (1,)), stream("excel")) == "bad_header"
    assert refused(tmp_path, workbook(), stream("excel")) == "bad_header"
    [row] = read(tmp_path, workbook(("id", "name"), (1, "a", "b")), stream("excel"))
    assert (row.problem, row.text) == ("bad_row", "1\ta\tb")


def test_what_is_no_workbook_is_bad(tmp_path: Path) -> None:
    assert refused(tmp_path, b"id,name\n", stream("excel")) == "unreadable_file"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("hello.txt", "hello")
    assert refused(tmp_path, out.getvalue(), stream("excel")) == "unreadable_file"


def test_a_workbook_whose_sheet_breaks_off_is_bad(tmp_path: Path) -> None:
    out = io.BytesIO()
    good = zipfile.ZipFile(io.BytesIO(workbook(("id", "name"), *[(n, "a") for n in range(1000)])))
    with zipfile.ZipFile(out, "w") as archive:
        for name in good.namelist():
            part = good.read(name)
            archive.writestr(name, part[: len(part) // 2] if "sheet1" in name else part)
    assert refused(tmp_path, out.getvalue(), stream("excel")) == "unreadable_file"


def test_a_zip_bomb_is_never_opened(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"0" * (60 << 20))
    assert refused(tmp_path, out.getvalue(), stream("excel", largest_megabytes=50)) == "too_large"


def test_a_row_of_a_workbook_leaves_next_to_nothing_in_memory(tmp_path: Path) -> None:
    def peak(length: int) -> int:
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet()
        sheet.append(RAW)
        for number in range(length):
            sheet.append((number, "x"))
        book.save(tmp_path / "file")
        tracemalloc.start()
        assert sum(1 for _ in rows_of(tmp_path / "file", stream("excel", largest_megabytes=100))) == length
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    # An empty element of the parsed sheet, which openpyxl does not let go of.
    assert (peak(5_000) - peak(500)) / 4_500 < 300


def test_every_value_that_a_file_may_hold_can_be_written_as_json() -> None:
    values = [None, True, 1, 1.5, float("inf"), Decimal("NaN"), "a", b"a", [date(1, 1, 1)], {"k": {1: b"x"}}]
    assert json.dumps([plain(value) for value in values])


def test_a_byte_order_mark_is_no_part_of_the_first_name_or_row(tmp_path: Path) -> None:
    assert fields(tmp_path, "\ufeffid,name\n1,a\n".encode(), stream("csv")) == [{"id": "1", "name": "a"}]
    assert fields(tmp_path, '\ufeff{"id":1}\n'.encode(), stream("jsonl")) == [{"id": 1}]


@pytest.mark.parametrize("kind", ["csv", "excel", "parquet"])
def test_a_file_has_a_bounded_number_of_columns_and_is_told_at_once(tmp_path: Path, kind: str) -> None:
    names = [*RAW, *(f"c{number}" for number in range(5_000))]
    if kind == "parquet":
        body = parquet(**{name: ["1"] for name in names})
    else:
        body = workbook(names, names) if kind == "excel" else f"{','.join(names)}\n".encode() * 2
    began = time.monotonic()
    assert refused(tmp_path, body, stream(kind, 50)) == "bad_header"
    assert time.monotonic() - began < 5


def test_a_file_has_a_bounded_number_of_rows_and_of_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"id,name\n" + b"1,a\n" * 10
    with monkeypatch.context() as patch:
        patch.setattr(formats, "MOST_ROWS", 9)
        assert refused(tmp_path, body, stream("csv")) == "too_large"
    monkeypatch.setattr(formats, "MOST_SECONDS", 0.0)
    assert refused(tmp_path, body, stream("csv")) == "too_large"


# Each is one value of a column, beside which others of its kind are good.
BEYOND = {
    "a day beyond the year 9999": pa.array([5_000_000, 0], pa.date32()),
    "a day before the year 1": pa.array([-800_000, 0], pa.date32()),
    "a moment beyond the year 9999": pa.array([253_402_300_800_000_000, 0], pa.timestamp("us")),
    "for ever, in Tokyo": pa.array([253_402_300_799_000_000, 0], pa.timestamp("us", "Asia/Tokyo")),
    "milliseconds beyond every moment": pa.array([2**62, 0], pa.timestamp("ms")),
    "a text that is no UTF-8": pa.array([b"\xff", b"a"], pa.binary()).view(pa.string()),
    "a list with one": pa.array([[b"\xff"], [b"a"]], pa.list_(pa.binary())).cast(pa.list_(pa.binary())),
    "a duration beyond all": pa.array([2**62, 0], pa.duration("s")),
}


@pytest.mark.parametrize("beyond", BEYOND)
def test_a_value_of_parquet_that_nothing_holds_is_its_rows_problem(tmp_path: Path, beyond: str) -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": pa.array([1, 2]), "name": BEYOND[beyond]}), out)
    bad, good = read(tmp_path, out.getvalue(), stream("parquet"))
    if beyond == "a list with one":
        assert (bad.fields, good.fields) == ({"id": 1, "name": ["/w=="]}, {"id": 2, "name": ["YQ=="]})
        return
    assert (bad.number, bad.problem, bad.fields) == (1, "bad_row", {})
    assert bad.text is not None
    assert '"id":"1"' in bad.text
    assert (good.number, good.problem, good.fields["id"]) == (2, None, 2)


def test_a_zone_that_nobody_knows_is_its_rows_problem(tmp_path: Path) -> None:
    body = parquet(id=[1], name=pa.array([0], pa.timestamp("us", "Mars/Olympus")))
    assert [row.problem for row in read(tmp_path, body, stream("parquet"))] == ["bad_row"]


def peak_of(read: Callable[[], object]) -> int:
    """By how many bytes the process grew, at most, while something was read by another of its kind."""
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    tracemalloc.start()
    read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak + pool.bytes_allocated() - before


@pytest.mark.parametrize(
    "bomb",
    [
        {"id": pa.array([1] * 3000), "name": pa.array(["x" * 100_000]).take(pa.array([0] * 3000))},
        {"id": pa.array([1]), "name": pa.array([["x" * 100_000] * 3000])},
        {"id": pa.array([1]), "name": pa.array([{"a": [{"b": "x" * 100_000}] * 3000}])},
        {name: pa.nulls(5_000, pa.int8()) for name in (*RAW, *map(str, range(1_500)))},
        {"id": pa.array([1]), "name": pa.array([[None] * 6_000_000], pa.list_(pa.int8()))},
    ],
    ids=["texts", "list", "struct", "no values", "list of none"],
)
def test_what_parquet_decodes_to_is_known_before_it_is_decoded(tmp_path: Path, bomb: dict[str, pa.Array]) -> None:
    body = parquet(**bomb)
    assert len(body) < 400_000
    declared = stream("parquet", largest_megabytes=5)
    assert peak_of(lambda: refused(tmp_path, body, declared)) < 60 << 20


def test_a_text_of_many_rows_is_decoded_a_few_rows_at_once(tmp_path: Path) -> None:
    names = pa.array(["x" * 100_000]).take(pa.array([0] * 900))
    (tmp_path / "file").write_bytes(parquet(id=pa.array(range(900)), name=names))
    declared = stream("parquet", largest_megabytes=100)

    def count() -> None:
        assert sum(len(row.fields["name"]) for row in rows_of(tmp_path / "file", declared)) == 90_000_000

    assert peak_of(count) < 50 << 20


def test_a_file_that_takes_more_memory_than_there_is_room_for_is_bad_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*_: object) -> Iterator[FileRow]:
        yield FileRow(1, {"size": len(bytearray(400 << 20))})

    monkeypatch.setattr(formats, "MOST_MEMORY", 200 << 20)
    with monkeypatch.context() as patch:
        patch.setattr(formats, "csv_rows", greedy)
        assert refused(tmp_path, b"id,name\n", stream("csv")) == "too_large"
    assert len(bytearray(400 << 20)) == 400 << 20
    assert fields(tmp_path, b"id,name\n1,a\n", stream("csv"))


SHEET = "xl/worksheets/sheet1.xml"


def cell(place: str, value: object, kind: str = "n", formula: str = "") -> str:
    return f'<c r="{place}" t="{kind}">{formula}{"" if value is None else f"<v>{value}</v>"}</c>'


def sheet(*rows: str, **parts: bytes) -> bytes:
    """A workbook whose sheet has rows as they are given, and other parts too."""
    begins = f'<worksheet xmlns="{SHEET_MAIN_NS}"><sheetData>'
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook(RAW))) as good, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in good.namelist():
            part = f"{begins}{''.join(rows)}</sheetData></worksheet>".encode() if name == SHEET else good.read(name)
            archive.writestr(name, parts.get(name, part))
        for name in parts.keys() - {*good.namelist()}:
            archive.writestr(name, parts[name])
    return out.getvalue()


def numbered(number: int, *cells: str) -> str:
    return f'<row r="{number}">{"".join(cells)}</row>'


HEADER = numbered(1, cell("A1", "id", "str"), cell("B1", "name", "str"))


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (cell("B2", None, formula="<f>1+1</f>"), "=1+1"),
        (cell("B2", "#N/A", "e"), "#N/A"),
        (cell("B2", "2024-13-45", "d"), "2024-13-45"),
        (cell("B2", 99, "s"), "99"),
        (cell("B2", "x"), "x"),
        (cell("B2", "1" * 5000), "1111"),
        (cell("A2", 5), "5"),
        (cell("ZZZZ2", 5), "5"),
        (cell("C2", 5), "5"),
    ],
    ids=["formula", "error", "day", "text", "number", "digits", "twice", "no column", "too long"],
)
def test_a_cell_without_a_value_is_its_rows_problem(tmp_path: Path, bad: str, told: str) -> None:
    body = sheet(HEADER, numbered(2, cell("A2", 1), bad), numbered(3, cell("A3", 2), cell("B3", "b", "str")))
    first, second = read(tmp_path, body, stream("excel"))
    assert (first.number, first.problem, first.fields) == (1, "bad_row", {})
    assert told in (first.text or "")
    assert (second.number, second.fields) == (2, {"id": 2, "name": "b"})


def test_a_formula_is_what_excel_computed_last_and_may_be_an_empty_text(tmp_path: Path) -> None:
    body = sheet(
        HEADER,
        numbered(2, cell("A2", 2, formula="<f>1+1</f>"), cell("B2", "", "str", formula='<f>""</f>')),
    )
    assert fields(tmp_path, body, stream("excel")) == [{"id": 2, "name": None}]


@pytest.mark.parametrize("numbers", [(3, 2), (2, 2), (2, 3, 0), (2, 2_000_000_000), (2, -1)])
def test_rows_of_a_sheet_that_are_out_of_order_are_not_lost_in_silence(tmp_path: Path, numbers: Sequence[int]) -> None:
    body = sheet(HEADER, *(numbered(number, cell(f"A{abs(number) % 99}", 1)) for number in numbers))
    assert refused(tmp_path, body, stream("excel")) == "unreadable_file"


def test_a_row_of_a_workbook_that_is_too_long_is_told_of_by_its_beginning(tmp_path: Path) -> None:
    body = sheet(HEADER, numbered(2, cell("A2", 1), cell("ZZZ2", "far", "str")))
    [row] = read(tmp_path, body, stream("excel"))
    assert (row.problem, row.text) == ("bad_row", "1\tfar")


def test_a_row_of_a_workbook_has_a_bounded_number_of_cells(tmp_path: Path) -> None:
    body = sheet(HEADER, numbered(2, *[cell("A2", None)] * 20_000))
    assert refused(tmp_path, body, stream("excel", 50)) == "too_large"


@pytest.mark.parametrize("part", ["xl/styles.xml", "xl/_rels/workbook.xml.rels", "xl/workbook.xml", "xl/texts.xml"])
def test_a_part_of_a_workbook_that_is_read_whole_is_bounded_whatever_it_is_called(tmp_path: Path, part: str) -> None:
    typed = f'<Override PartName="/{part}" ContentType="{SHARED_STRINGS}"/></Types>'.encode()
    with zipfile.ZipFile(io.BytesIO(workbook(RAW))) as good:
        types = good.read("[Content_Types].xml")
    types = types.replace(b"</Types>", typed if part == "xl/texts.xml" else b"</Types>")
    body = sheet(HEADER, **{part: b"<a/>" * (6 << 20), "[Content_Types].xml": types})
    assert refused(tmp_path, body, stream("excel", 60)) == "too_large"


@pytest.mark.parametrize(("at", "value"), [(8, 1), (10, 77), (6, 99), (8, 0x800)])
def test_an_odd_zip_is_bad_or_read(tmp_path: Path, at: int, value: int) -> None:
    body = bytearray(workbook(RAW, (1, "a")))
    entry = -1
    while (entry := body.find(b"PK\x01\x02", entry + 1)) >= 0:
        body[entry + at : entry + at + 2] = value.to_bytes(2, "little")
    if value == 0x800:
        assert fields(tmp_path, bytes(body), stream("excel")) == [{"id": 1, "name": "a"}]
    else:
        assert refused(tmp_path, bytes(body), stream("excel")) == "unreadable_file"


def test_a_day_number_is_a_number_and_a_day_where_the_cell_says_so(tmp_path: Path) -> None:
    declared = stream("excel")
    assert fields(tmp_path, workbook(RAW, (45292, date(2024, 1, 1))), declared) == [
        {"id": 45292, "name": "2024-01-01T00:00:00"}
    ]
