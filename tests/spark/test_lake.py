from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.config import JdbcStream, Table
from headwater.lake.silver import SilverCounts, newest
from headwater.lake.tables import REASONS, Lake
from headwater.ledger.entries import DataFile, Manifest
from headwater.quality.predicates import summarize

ROW = "id bigint, city string, updated_at timestamp"
STREAM = JdbcStream.model_validate(
    {
        "table": "people",
        "relation": "shop.people",
        "raw": "all",
        "read": {"kind": "watermark", "column": "updated_at"},
        "partition_column": "id",
    }
)


def people(write: dict[str, Any] | None = None, **changes: Any) -> Table:
    declared = {
        "table": "people",
        "owner": "Shop",
        "note": "One row for each person.",
        "key": ["id"],
        "version": "updated_at",
        "write": write or {"kind": "merge"},
        "columns": {"id": {"type": "bigint"}, "city": {"type": "string"}, "updated_at": {"type": "timestamp"}},
    }
    return Table.model_validate(declared | changes)


def manifest(batch: int, rows: int = 0, slices: tuple[dict[str, str], ...] | None = None) -> Manifest:
    return Manifest(
        source="shop",
        stream="people",
        batch=batch,
        run_id=f"run-{batch}",
        attempt="a",
        created_at=datetime.now(UTC),
        format="parquet",
        files=(),
        rows=rows,
        position_before=None,
        position_after=None,
        slices=slices,
    )


def at(day: int) -> datetime:
    return datetime(2024, 1, day)  # noqa: DTZ001 - Spark's session is in UTC


def frame(spark: SparkSession, rows: Sequence[tuple[Any, ...]], schema: str = ROW) -> DataFrame:
    return spark.createDataFrame(list(rows), schema)


def cities(lake: Lake) -> dict[int, str]:
    return {row.id: row.city for row in lake.table("silver", "people").read().collect()}


def write(lake: Lake, declared: Table, written: Manifest, rows: DataFrame) -> SilverCounts:
    summary = summarize(rows.withColumn(REASONS, F.array().cast("array<string>")), [], declared.key)
    return lake.write_silver(declared, written, rows, summary.bounds)


def test_newest_version_of_a_key_wins(spark: SparkSession) -> None:
    rows = frame(spark, [(1, "Graz", at(1)), (1, "Wien", at(2)), (2, "Linz", at(1))])
    found = {row.id: row.city for row in newest(rows, ["id"], "updated_at").collect()}
    assert found == {1: "Wien", 2: "Linz"}


def test_a_first_batch_counts_its_duplicates(spark: SparkSession, lake: Lake) -> None:
    rows = frame(spark, [(1, "Graz", at(1)), (1, "Wien", at(2)), (2, "Linz", at(1))])
    assert write(lake, people(), manifest(1, 3), rows) == SilverCounts(2, 2, 0, 0)


def test_a_merge_inserts_updates_and_leaves_the_unchanged_alone(spark: SparkSession, lake: Lake) -> None:
    write(lake, people(), manifest(1), frame(spark, [(1, "Graz", at(1)), (2, "Linz", at(1)), (4, "Bonn", at(5))]))
    second = frame(spark, [(1, "Wien", at(2)), (2, "Linz", at(1)), (3, "Ulm", at(2)), (4, "Old", at(1))])
    counts = write(lake, people(), manifest(2), second)
    assert counts == SilverCounts(written_from=4, inserted=1, updated=1, deleted=0)
    assert cities(lake) == {1: "Wien", 2: "Linz", 3: "Ulm", 4: "Bonn"}


def test_a_batch_written_again_changes_nothing_and_counts_the_same(spark: SparkSession, lake: Lake) -> None:
    write(lake, people(), manifest(1), frame(spark, [(1, "Graz", at(1))]))
    rows = frame(spark, [(1, "Wien", at(2)), (2, "Linz", at(2))])
    first = write(lake, people(), manifest(2), rows)
    version = lake.table("silver", "people").version()
    assert write(lake, people(), manifest(2), rows) == first
    assert lake.table("silver", "people").version() == version


def test_insert_keeps_the_row_that_is_there(spark: SparkSession, lake: Lake) -> None:
    declared = people({"kind": "insert"})
    write(lake, declared, manifest(1), frame(spark, [(1, "Graz", at(1))]))
    counts = write(lake, declared, manifest(2), frame(spark, [(1, "Wien", at(2)), (2, "Linz", at(2))]))
    assert counts == SilverCounts(written_from=2, inserted=1, updated=0, deleted=0)
    assert cities(lake) == {1: "Graz", 2: "Linz"}


def test_replace_deletes_rows_that_vanished_from_their_slice_only(spark: SparkSession, lake: Lake) -> None:
    columns = {"account": {"type": "string"}, "day": {"type": "date"}, "ad": {"type": "int"}, "cost": {"type": "int"}}
    declared = people(
        {"kind": "replace", "account": "account", "day": "day"},
        key=["account", "day", "ad"],
        version=None,
        columns=columns,
    )
    schema = "account string, day date, ad int, cost int"
    monday, tuesday = at(1).date(), at(2).date()
    rows = [("a", monday, 1, 10), ("a", monday, 2, 20), ("a", tuesday, 1, 30), ("b", monday, 1, 40)]
    write(lake, declared, manifest(1), frame(spark, rows, schema))
    slices = ({"account": "a", "day": "2024-01-01"},)
    counts = write(lake, declared, manifest(2, 1, slices), frame(spark, [("a", monday, 1, 11)], schema))
    assert counts == SilverCounts(written_from=1, inserted=0, updated=1, deleted=1)
    left = {(row.account, row.day, row.ad, row.cost) for row in lake.table("silver", "people").read().collect()}
    assert left == {("a", monday, 1, 11), ("a", tuesday, 1, 30), ("b", monday, 1, 40)}


def versions(lake: Lake) -> list[tuple[Any, ...]]:
    rows = lake.table("silver", "people").read().collect()
    return sorted((r.id, r.city, r.valid_from.day, r.valid_to.day if r.valid_to else None, r.is_current) for r in rows)


def test_scd2_closes_the_old_version_and_opens_the_new_in_one_commit(spark: SparkSession, lake: Lake) -> None:
    declared = people({"kind": "scd2"})
    write(lake, declared, manifest(1), frame(spark, [(1, "Graz", at(1)), (2, "Linz", at(1))]))
    before = lake.table("silver", "people").version()
    second = frame(spark, [(1, "Wien", at(5)), (1, "Bonn", at(7)), (2, "Linz", at(6)), (3, "Ulm", at(6))])
    counts = write(lake, declared, manifest(2), second)
    assert lake.table("silver", "people").version() == before + 1
    assert (counts.inserted, counts.updated) == (3, 1)
    assert versions(lake) == [
        (1, "Bonn", 7, None, True),
        (1, "Graz", 1, 5, False),
        (1, "Wien", 5, 7, False),
        (2, "Linz", 1, None, True),
        (3, "Ulm", 6, None, True),
    ]


def test_scd2_ignores_a_version_older_than_the_current_one(spark: SparkSession, lake: Lake) -> None:
    declared = people({"kind": "scd2"})
    write(lake, declared, manifest(1), frame(spark, [(1, "Graz", at(5))]))
    write(lake, declared, manifest(2), frame(spark, [(1, "Late", at(2))]))
    assert versions(lake) == [(1, "Graz", 5, None, True)]


def test_a_transaction_tells_the_last_batch_of_its_own_stream_only(spark: SparkSession, lake: Lake) -> None:
    write(lake, people(), manifest(3), frame(spark, [(1, "Graz", at(1))]))
    table = lake.table("silver", "people")
    assert table.transaction("shop.people") == 3
    assert table.transaction("other.people") == 0


@pytest.mark.parametrize("missing", ["silver", "quarantine"])
def test_a_table_that_does_not_exist_has_version_minus_one(lake: Lake, missing: Any) -> None:
    assert lake.table(missing, "nothing").version() == -1


def append(lake: Lake, batch: int, numbers: Sequence[int]) -> Manifest:
    """Puts a batch with these numbers into bronze, as Extract does."""
    folder = Path(lake.root.removeprefix("file://")) / "raw"
    lake.spark.createDataFrame([(number,) for number in numbers], "id bigint").coalesce(1).write.parquet(
        f"file://{folder}/{batch}"
    )
    paths = (folder / str(batch)).glob("*.parquet")
    files = tuple(DataFile(key=f"{batch}/{path.name}", rows=len(numbers), bytes=path.stat().st_size) for path in paths)
    written = manifest(batch, len(numbers)).model_copy(update={"files": files})
    lake.append_bronze(f"file://{folder}", written, STREAM, evolves=False)
    return written


def ids(rows: DataFrame) -> set[int]:
    return {row.id for row in rows.collect()}


def test_a_batch_is_read_from_the_files_of_its_own_commit(lake: Lake) -> None:
    batches = [append(lake, batch, [batch * 10, batch * 10 + 1]) for batch in (1, 2, 3)]
    read = [lake.batch(batch) for batch in batches]
    assert [ids(rows) for rows in read] == [{10, 11}, {20, 21}, {30, 31}]
    files = [set(rows.inputFiles()) for rows in read]
    assert sum(map(len, files)) == len(set().union(*files))
    assert set().union(*files) == set(lake.bronze("shop", "people").read().inputFiles())


def test_a_batch_whose_files_were_compacted_is_read_from_the_new_ones(lake: Lake) -> None:
    first, second = append(lake, 1, [1, 2]), append(lake, 2, [3])
    table = lake.bronze("shop", "people")
    old = set(table.read().inputFiles())
    table.delta().optimize().executeCompaction()
    third = append(lake, 3, [4])
    assert [ids(lake.batch(batch)) for batch in (first, second, third)] == [{1, 2}, {3}, {4}]
    assert not old & set(lake.batch(first).inputFiles())


def test_where_a_source_tells_no_version_the_order_of_arrival_decides(spark: SparkSession, lake: Lake) -> None:
    write(lake, people(), manifest(1), frame(spark, [(1, "Graz", None), (2, "Linz", at(1)), (3, "Bonn", None)]))
    write(lake, people(), manifest(2), frame(spark, [(1, "Wien", None), (2, "Wien", None), (3, "Wien", at(1))]))
    assert cities(lake) == {1: "Wien", 2: "Linz", 3: "Wien"}
