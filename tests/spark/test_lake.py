"""What a Delta table knows of who has written it, and what of it is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from py4j.protocol import REFL_GET_UNKNOWN_SUB_COMMAND_NAME, REFLECTION_COMMAND_NAME
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.lake.session import having
from headwater.lake.tables import Lake
from headwater.ledger.entries import Manifest
from tests.support import declared

from .shop import SOURCE, STREAM, Shop, at, people


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    return Shop(spark, tmp_path, people())


def test_a_transaction_tells_the_last_batch_of_its_own_stream_only(shop: Shop) -> None:
    for number in (1, 2, 3):
        shop.batch([(number, "Graz", at(1))])
    shop.run()
    table = shop.lake.table("silver", "people")
    assert table.transaction("shop.people") == 3
    assert table.transaction("other.people") == 0


def test_a_transaction_is_told_without_a_job_of_spark(spark: SparkSession, shop: Shop) -> None:
    shop.batch([(1, "Graz", at(1))])
    shop.run()
    table = shop.lake.table("silver", "people")
    spark.sparkContext.setJobGroup("told", "told")
    table.transaction("shop.people")
    table.transaction("other.people")
    assert not spark.sparkContext.statusTracker().getJobIdsForGroup("told")
    table.read().count()
    assert spark.sparkContext.statusTracker().getJobIdsForGroup("told")
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", "")


def test_a_name_in_the_jvm_is_looked_for_once(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    jvm: Any = spark._jvm
    asked = []
    send = jvm._gateway_client.send_command

    def counted(command: str, *arguments: Any, **named: Any) -> Any:
        if command.startswith(REFLECTION_COMMAND_NAME + REFL_GET_UNKNOWN_SUB_COMMAND_NAME):
            asked.append(command.splitlines()[2])
        return send(command, *arguments, **named)

    def use() -> tuple[Any, ...]:
        return F.lit(1), F.upper("a"), jvm.org.apache.spark.sql.delta.DeltaLog, jvm.java.util.HashMap

    use()
    monkeypatch.setattr(jvm._gateway_client, "send_command", counted)
    use()
    assert not asked
    assert jvm.org.apache.spark.sql.delta.DeltaOptions
    assert asked == ["org.apache.spark.sql.delta.DeltaOptions"]


@pytest.mark.parametrize("missing", ["silver", "quarantine"])
def test_a_table_that_does_not_exist_has_version_minus_one(lake: Lake, missing: Any) -> None:
    assert lake.table(missing, "nothing").version() == -1


def append(shop: Shop, *numbers: int) -> Manifest:
    manifest = shop.batch([(number, "Graz", at(1)) for number in numbers])
    shop.append()
    return manifest


def ids(rows: DataFrame) -> list[int]:
    return sorted(int(row.id) for row in rows.collect())


def read(shop: Shop, *batches: Manifest) -> DataFrame:
    return shop.lake.batches(batches, shop.declared)


def test_batches_are_read_from_the_files_of_their_own_commits(shop: Shop) -> None:
    batches = [append(shop, 10 * batch, 10 * batch + 1) for batch in (1, 2, 3)]
    assert [ids(read(shop, batch)) for batch in batches] == [[10, 11], [20, 21], [30, 31]]
    assert ids(read(shop, *batches[1:])) == [20, 21, 30, 31]
    bronze = set(shop.lake.bronze(SOURCE, STREAM).read().inputFiles())
    newest = set(read(shop, batches[-1]).inputFiles())
    assert newest < bronze
    assert set(read(shop, *batches).inputFiles()) == bronze


def test_batches_of_one_commit_are_told_apart(shop: Shop) -> None:
    batches = [shop.batch([(number, "Graz", at(1))]) for number in (1, 2, 3)]
    shop.append()
    append(shop, 4)
    assert [ids(read(shop, batch)) for batch in batches] == [[1], [2], [3]]
    assert ids(read(shop, *batches[:2])) == [1, 2]


def test_batches_whose_files_were_compacted_are_read_from_the_new_ones(shop: Shop) -> None:
    first, second = append(shop, 1, 2), append(shop, 3)
    table = shop.lake.bronze(SOURCE, STREAM)
    old = set(table.read().inputFiles())
    table.delta().optimize().executeCompaction()
    third = append(shop, 4)
    assert [ids(read(shop, batch)) for batch in (first, second, third)] == [[1, 2], [3], [4]]
    assert not old & set(read(shop, first).inputFiles())


def test_a_field_that_was_declared_since_is_null_in_what_bronze_has(spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(spark, tmp_path, people())
    batch = append(shop, 1)
    shop.raw = (*shop.raw, "street")
    shop.__post_init__()
    [row] = read(shop, batch).collect()
    assert row.street is None


def test_fields_that_came_later_are_columns_of_all_batches_that_are_appended_together(
    spark: SparkSession, tmp_path: Path
) -> None:
    shop = Shop(spark, tmp_path, people())
    told: Sequence[tuple[str, ...]] = (shop.raw, (*shop.raw, "street"))
    for number, raw in enumerate(told):
        shop.raw = raw
        shop.batch([(number, "Graz", at(1), "Kai")[: len(raw)]])
    shop.raw = told[0]
    shop.append()
    rows = shop.lake.bronze(SOURCE, STREAM).read().collect()
    assert {row.id: row.street for row in rows} == {"0": None, "1": "Kai"}


def test_what_a_relation_was_not_declared_to_have_when_it_was_read_is_null(shop: Shop) -> None:
    batch = append(shop, 1, 2)
    relation = declared.project().source("rds_postgres").streams["orders"]
    assert relation.raw_fields is not None
    assert not set(relation.raw_fields) & set(shop.raw)
    rows = shop.lake.batches([batch], relation)
    assert ids(rows) == [1, 2]
    assert {value for row in rows.select(*relation.raw_fields).collect() for value in row} == {None}


def test_a_session_has_again_what_it_had_before_a_block_and_not_sparks_defaults(spark: SparkSession) -> None:
    ours, not_set = "spark.sql.shuffle.partitions", "spark.sql.sources.parallelPartitionDiscovery.threshold"
    before = spark.conf.get(ours)
    default = spark.conf.get(not_set)
    assert before != "200"
    with having(spark, {ours: "7", not_set: "8", "spark.headwater.unheard": "9"}):
        assert [spark.conf.get(name) for name in (ours, not_set, "spark.headwater.unheard")] == ["7", "8", "9"]
    assert (spark.conf.get(ours), spark.conf.get(not_set)) == (before, default)
    assert spark.conf.get("spark.headwater.unheard", None) is None
