"""A column of a warehouse that has become of another type keeps the one that bronze has, and no row is held up by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st
from pyspark.sql import Row, SparkSession

from headwater.config import RedshiftSource, Warehouse
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import DataFile, Manifest
from headwater.ledger.positions import BoundedPosition, Overlap
from headwater.ledger.raw import UNREAD
from headwater.ledger.shape import retyped
from headwater.ledger.stream import StreamLedger
from headwater.sources import redshift
from headwater.sources.kept import keep_types, raw_rows
from headwater.sources.watermark import Span
from tests.support.draws import drawn

from .extraction import FolderBucket

NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12)
# What a column was, what it has become, and values that it has now.
CHANGES: dict[str, tuple[str, pa.DataType, st.SearchStrategy[Any]]] = {
    "narrow": ("decimal(9,2)", pa.decimal128(38, 4), NUMBERS),
    "whole": ("int", pa.int64(), st.integers(-(2**63), 2**63 - 1) | st.integers(-(2**31), 2**31 - 1)),
    "number": ("bigint", pa.string(), st.one_of(st.integers().map(str), NUMBERS.map(str), st.text(max_size=5))),
    "text": ("string", pa.float64(), st.floats()),
    "day": ("date", pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(UTC))),
    "flag": ("boolean", pa.string(), st.sampled_from(["true", "no", "2", "maybe", ""])),
}


@dataclass
class Folder:
    """A stream whose raw files are Parquet in a folder."""

    root: Path
    ledger: StreamLedger = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = StreamLedger(FolderBucket(self.root), "redshift", "things")  # type: ignore[arg-type]

    def writer(self, **more: Any) -> BatchWriter:
        return BatchWriter.begin(self.ledger, "run", None, None, **more)

    def put(self, writer: BatchWriter, rows: pa.Table) -> list[DataFile]:
        path = self.root / writer.data_prefix / "0000_part_00.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(rows, path)
        return [DataFile(key=str(path.relative_to(self.root)), rows=rows.num_rows, bytes=path.stat().st_size)]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def is_same(given: Any, made: Any) -> bool:
    """Whether a value says the same as what it was made of."""
    match made:
        case bool():
            return bool(made == (given == "true"))
        case int() | Decimal():
            return bool(Decimal(given) == made)
        case date():
            return bool(given == datetime(made.year, made.month, made.day, tzinfo=UTC))
        case _:
            return bool(float(made) == given or given != given)  # noqa: PLR0124 - NaN


def test_whatever_the_values_are_they_arrive_as_they_are_or_are_told_as_unread(
    spark: SparkSession, folder: Folder
) -> None:
    columns = {name: pa.array([None, *drawn(values, 200)], kind) for name, (_, kind, values) in CHANGES.items()}
    count = min(map(len, columns.values()))
    told = pa.array([None if n else json.dumps({"elsewhere": "0044-03-15 BC"}) for n in range(count)], pa.string())
    table = pa.table({"id": range(count), **{name: values[:count] for name, values in columns.items()}, UNREAD: told})
    writer = folder.writer()
    writer.files += folder.put(writer, table)
    before = {file.key for file in writer.files}
    keep_types(spark, writer, {name: was for name, (was, *_) in CHANGES.items()})
    assert before.isdisjoint(file.key for file in writer.files)
    rows = raw_rows(spark, writer)
    types = {f.name: f.dataType.simpleString() for f in rows.schema.fields}
    assert types == {"id": "bigint", **{name: was for name, (was, *_) in CHANGES.items()}, UNREAD: "string"}
    found: list[Row] = sorted(rows.collect(), key=lambda row: row["id"])
    assert writer.rows == len(found) == count
    assert json.loads(found[0][UNREAD] or "{}") == {"elsewhere": "0044-03-15 BC"}
    for given, row in zip(table.to_pylist(), found, strict=True):
        unread: Mapping[str, str] = json.loads(row[UNREAD] or "{}")
        for name in CHANGES:
            if given[name] is None:
                assert (row[name], name in unread) == (None, False)
            else:
                assert (row[name] is None) == (name in unread)
                assert name in unread or is_same(given[name], row[name]), (name, given[name], row[name])


def test_a_relation_of_redshift_that_changes_its_types_goes_on_and_tells_it_once(
    spark: SparkSession, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = {"kind": "watermark", "column": "at"}
    stream = {"relation": "s.t", "table": "t", "read": read, "row_id": "id", "raw": ["total"]}
    source = RedshiftSource.model_validate({"kind": "redshift", "name": "redshift", "streams": {"t": stream}})
    after = BoundedPosition(
        watermark="2018-01-01 00:00:00",
        overlap=Overlap(rows="1", digest="1"),
        outside=Overlap(rows="0", digest="0"),
    )
    unloaded: dict[str, Any] = {}

    def unload(_client: Any, _warehouse: Any, _stream: Any, writer: BatchWriter, _days: Any) -> Any:
        writer.relation = {"id": "bigint", "total": unloaded["declared"]}
        totals = unloaded["totals"]
        return Span("1 = 1", after, "1 = 1"), folder.put(writer, pa.table({"id": range(len(totals)), "total": totals}))

    monkeypatch.setattr(redshift, "unload", unload)
    monkeypatch.setattr(boto3, "client", lambda _: None)
    warehouse = Warehouse(workgroup="w", database="d", copy_role="arn:aws:iam::123456789012:role/r")

    def extracted(declared: str, *totals: Any) -> tuple[Manifest, list[Any]]:
        unloaded.update(declared=declared, totals=pa.array(totals))
        writer = folder.writer(columns=["id", "total"])
        manifest = redshift.extract(spark, source, "t", writer, None, warehouse)
        assert manifest is not None
        return manifest, [row["total"] for row in raw_rows(spark, writer).orderBy("id").collect()]

    first, rows = extracted("bigint", 7, None)
    assert (rows, first.fields["total"], first.drift) == ([7, None], "bigint", ())
    second, rows = extracted("character varying", "8", "many")
    assert (rows, second.fields["total"]) == ([8, None], "bigint")
    assert [str(change) for change in second.drift] == ["field total was bigint and is character varying"]
    third, rows = extracted("character varying", "9")
    assert (rows, third.drift) == ([9], ())


def test_a_column_that_had_several_types_is_left_as_it_is() -> None:
    now = {"a": "string", "b": "string", "c": "string", "new": "string"}
    assert retyped(now, {"a": "bigint?", "b": "bigint|string", "c": "string?", "gone": "int"}) == {"a": "bigint"}
