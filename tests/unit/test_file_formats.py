"""Dropped files: what is read of good ones, and why bad ones are refused."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.config import FilesStream
from headwater.sources.files.formats import BadFileError, FileRow, plain, rows_of

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
    "header", ["", "id", "id;name", "id,id,name", "id,name,", "id,name,_problem", "ID,Name", "\ufeffid,name"]
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
