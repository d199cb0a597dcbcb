"""What Gold publishes, held to what a warehouse would make of it: after kills, refusals, and whatever was changed meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyspark.sql import SparkSession

from headwater.lake.delta import Table
from headwater.lake.session import having
from headwater.lake.tables import Lake
from headwater.ledger.bucket import Bucket
from headwater.stages.gold import publish_gold
from headwater.warehouse.changes import FIRST, ChangeLog
from tests.support.faulty_s3 import FaultyS3
from tests.support.gold_cases import few_rows


class DiskS3(FaultyS3):
    """An S3 in memory that also lists what Spark has written to the disk."""

    def __init__(self, root: Path) -> None:
        super().__init__(iter(()))
        self.root = root

    def paginate(self, *, Prefix: str, **given: Any) -> Iterator[Mapping[str, Any]]:  # noqa: N803
        yield from super().paginate(Prefix=Prefix, **given)
        found = (
            sorted(path for path in (self.root / Prefix).rglob("*") if path.is_file()) if "/changes/" in Prefix else []
        )
        yield {
            "Contents": [
                {
                    "Key": str(path.relative_to(self.root)),
                    "LastModified": datetime.now(UTC),
                    "Size": path.stat().st_size,
                }
                for path in found
            ]
        }


class Shop:
    """A gold table of names by id, and a warehouse that takes what is published."""

    def __init__(self, lake: Lake, root: Path) -> None:
        self.root = root
        s3 = cast("Any", DiskS3(root))
        self.table = lake.table("gold", "names")
        self.log = ChangeLog(Bucket(s3, "lake-lake"), "names")
        self.job = cast(
            "Any",
            SimpleNamespace(
                spark=lake.spark,
                lake=lake,
                ledger=SimpleNamespace(bucket=Bucket(s3, "lake-raw")),
                project=SimpleNamespace(
                    environment=SimpleNamespace(bucket=lambda zone: f"lake-{zone}"),
                    gold={"names": SimpleNamespace(grain=("id",))},
                ),
                note_schema=lambda *_: None,
            ),
        )
        self.loaded, self.warehouse = FIRST, dict[int, str]()
        self.put({1: "a", 2: "b"})

    def put(self, rows: dict[int, str]) -> None:
        frame = self.table.spark.createDataFrame(list(rows.items()), "id bigint, name string")
        if not self.table.exists():
            frame.write.format("delta").save(self.table.path)
            return
        merge = self.table.delta().alias("t").merge(frame.alias("s"), "t.id = s.id")
        merge.whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()

    def delete(self, *ids: int) -> None:
        self.table.delta().delete(f"id IN ({', '.join(map(str, ids))})")

    def forget(self) -> None:
        """Deletes every file that only older versions need."""
        with having(self.table.spark, {"spark.databricks.delta.retentionDurationCheck.enabled": "false"}):
            self.table.delta().vacuum(0)

    def publish(self) -> None:
        publish_gold(self.job, "names")

    def load(self) -> list[int | None]:
        """Loads as Load does, and says since when each of its files is."""
        changes = self.log.after(self.loaded)
        if changes and changes[0].is_whole:
            self.warehouse = {}
        for change in changes:
            paths = [str(self.root / url.removeprefix("s3://lake-lake/")) for url, _ in change.entries]
            rows = self.table.spark.read.parquet(*paths).collect()
            assert len(rows) == change.rows
            for row in rows:
                assert row["_version"] == change.version
                self.warehouse.pop(row.id, None)
                if row["_change"] == "upsert":
                    self.warehouse[row.id] = row["name"]
            self.loaded = change.version
        assert self.warehouse == contents(self.table)
        return [change.since for change in changes]


def contents(table: Table) -> dict[int, str]:
    return {row.id: row["name"] for row in table.read().collect()}


@pytest.fixture
def shop(spark: SparkSession, lake: Lake, tmp_path: Path) -> Iterator[Shop]:
    with few_rows(spark):
        yield Shop(lake, tmp_path)


def test_a_kill_between_the_commit_and_its_publication_loses_nothing(shop: Shop) -> None:
    shop.publish()
    assert shop.load() == [FIRST]
    shop.put({1: "x", 3: "c"})
    shop.delete(2)
    # Nothing was published of these commits; the next run may find more of them, or nothing new.
    shop.publish()
    assert shop.load() == [0]
    shop.publish()
    assert shop.load() == []


def test_after_a_refusal_the_whole_table_is_published_without_what_is_gone(shop: Shop) -> None:
    shop.publish()
    shop.load()
    shop.put({3: "refused"})
    shop.delete(1)
    shop.publish()
    shop.log.refuse("no")
    shop.put({3: "c"})
    # What the table's change feed held is gone by then.
    shop.forget()
    shop.publish()
    assert shop.load() == [FIRST]
    shop.put({4: "d"})
    shop.publish()
    assert shop.load() == [shop.loaded - 1]


def test_a_table_without_a_row_is_published_whole_too(shop: Shop) -> None:
    shop.publish()
    shop.load()
    shop.log.refuse("no")
    shop.delete(1, 2)
    shop.publish()
    assert shop.load() == [FIRST]
    assert shop.warehouse == {}


def test_who_publishes_late_takes_nothing_away_from_what_is_published(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that was thought dead writes files of the same version once more."""
    with monkeypatch.context() as both:
        both.setattr(ChangeLog, "latest_version", lambda _self: FIRST)
        shop.publish()
        shop.publish()
    assert shop.load() == [FIRST]
