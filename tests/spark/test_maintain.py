"""Maintain arranges files and changes nothing else: rows, change feed, transaction ids and old versions stay."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from pyspark.sql import SparkSession

from headwater.config import Project
from headwater.deploy.gold_sql import gold_table
from headwater.deploy.project import restricted
from headwater.errors import BooksError, LedgerError
from headwater.lake.delta import Table
from headwater.lake.tables import Lake
from headwater.ledger.bucket import Bucket
from headwater.ledger.lease import Lease, hold_lease
from headwater.ledger.stream import Ledger
from headwater.stages import maintain
from headwater.stages.gold import build_gold, publish_gold
from headwater.stages.maintain import maintain_tables
from headwater.warehouse.changes import ChangeLog
from tests.support import declared
from tests.support.gold_cases import THOUSANDS

from .extraction import FolderBucket


@pytest.fixture(scope="module")
def project() -> Project:
    project = restricted(declared.project("local"), frozenset({"fx_rates"}))
    return project.model_copy(update={"gold": {"thousands": gold_table("thousands", THOUSANDS)}})


class Maintained:
    """A lake of the exchange rates' tables with a real ledger, and Maintain over it."""

    def __init__(self, project: Project, lake: Lake, root: Path) -> None:
        self.ledger = Ledger(FolderBucket(root / "ledger"))  # type: ignore[arg-type]
        self.rates, self.refused = lake.table("silver", "fx_rates"), lake.table("quarantine", "fx_rates")
        self.job: Any = SimpleNamespace(
            project=project,
            lake=lake,
            spark=lake.spark,
            lease=self._lease,
            run_id="this run",
            rebuild=frozenset(),
            note_schema=lambda _zone, _table: None,
        )

    def _lease(self, name: str) -> AbstractContextManager[Lease]:
        return hold_lease(self.ledger.bucket, name, "maintain", "this run", lambda _job, _run: False, wait_seconds=0)

    def run(self) -> None:
        maintain_tables(self.job)


@pytest.fixture
def maintained(project: Project, lake: Lake, tmp_path: Path) -> Maintained:
    return Maintained(project, lake, tmp_path)


@pytest.fixture(scope="module")
def twice(project: Project, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Maintained:
    """Versions 0 and 1 are batches, 2 is Maintain's, 3 and 4 are batches, 5 is Maintain's."""
    folder = tmp_path_factory.mktemp("twice")
    maintained = Maintained(project, Lake(spark, f"file://{folder}"), folder)
    for batch in (1, 2, 3, 4):
        append(maintained.rates, batch)
        if batch % 2 == 0:
            maintained.run()
    return maintained


def append(table: Table, batch: int, rows: int = 10) -> None:
    with table.transact("fx_rates.rates", batch, rows=rows):
        numbers = table.spark.range(batch * 1000, batch * 1000 + rows, numPartitions=1)
        numbers.write.format("delta").mode("append").save(table.path)


def ids(table: Table) -> list[int]:
    return sorted(row.id for row in table.read().collect())


def files(table: Table) -> dict[str, int]:
    paths = [path.removeprefix("file:") for path in table.read().inputFiles()]
    return {path: Path(path).stat().st_size for path in paths}


def test_small_files_become_one_and_every_row_and_change_stays(twice: Maintained) -> None:
    written = [batch * 1000 + row for batch in (1, 2, 3, 4) for row in range(10)]
    assert len(files(twice.rates)) == 1
    assert ids(twice.rates) == written
    assert sorted(row.id for row in twice.rates.changes(0).collect()) == written


def test_only_commits_that_changed_rows_count_as_new_data(twice: Maintained) -> None:
    assert twice.rates.version() == 5
    assert [twice.rates.data_version(since) for since in (-1, 1, 4, 5)] == [4, 4, 4, 5]
    assert twice.rates.changes(2).count() == 20


def test_a_replayed_batch_is_skipped_and_its_commit_found_after_maintain(twice: Maintained) -> None:
    before = ids(twice.rates)
    append(twice.rates, 2)
    assert ids(twice.rates) == before
    assert twice.rates.transaction("fx_rates.rates") == 4
    assert twice.rates.commit_of("fx_rates.rates", 2).version == 1
    assert twice.rates.latest_metadata()["transaction"] == 4


def test_a_table_with_nothing_new_gets_no_commit(twice: Maintained) -> None:
    version = twice.rates.version()
    twice.run()
    assert twice.rates.version() == version


def test_a_file_that_is_large_enough_is_never_rewritten(
    maintained: Maintained, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(maintained.rates, 1, rows=5000)
    [(large, size)] = files(maintained.rates).items()
    monkeypatch.setattr(maintain, "FULL_BYTES", 2 * size)
    append(maintained.rates, 2)
    append(maintained.rates, 3)
    maintained.run()
    left = files(maintained.rates)
    assert (len(left), left[large]) == (2, size)


def test_a_table_that_was_made_anew_does_not_pass_for_the_old_one(maintained: Maintained) -> None:
    append(maintained.rates, 1)
    assert maintained.rates.data_version(9) == 0
    assert maintained.refused.data_version(9) == -1


def test_a_commit_that_the_log_has_forgotten_counts_as_new_data(maintained: Maintained) -> None:
    append(maintained.rates, 1)
    append(maintained.rates, 2)
    maintained.run()
    maintained.rates._log().checkpoint()
    Path(maintained.rates.path.removeprefix("file://"), "_delta_log", f"{1:020d}.json").unlink()
    assert maintained.rates.data_version(0) == 1


@pytest.mark.parametrize(("old_versions", "days"), [(30, 30), (1, 7)])
def test_files_that_a_killed_writer_left_are_deleted_once_they_are_old_enough(
    old_versions: int, days: int, maintained: Maintained, project: Project
) -> None:
    environment = project.environment
    retention = environment.retention.model_copy(update={"old_versions": old_versions})
    environment = environment.model_copy(update={"retention": retention})
    maintained.job.project = project.model_copy(update={"environment": environment})
    append(maintained.rates, 1)
    folder = Path(maintained.rates.path.removeprefix("file://"))
    for name, age in (("old.parquet", days + 1), ("young.parquet", days - 1)):
        (folder / name).touch()
        modified = (datetime.now(UTC) - timedelta(days=age)).timestamp()
        os.utime(folder / name, (modified, modified))
    maintained.run()
    assert not (folder / "old.parquet").exists()
    assert (folder / "young.parquet").exists()


def test_what_was_replaced_within_the_retention_can_still_be_read(maintained: Maintained, spark: SparkSession) -> None:
    rates = maintained.rates
    append(rates, 1)
    append(rates, 2)
    rates.delta().delete("id < 2000")
    maintained.run()
    assert ids(rates) == list(range(2000, 2010))
    assert spark.read.format("delta").option("versionAsOf", 1).load(rates.path).count() == 20
    assert rates.changes(2).where("_change_type = 'delete'").count() == 10


def test_a_table_that_another_run_holds_stops_no_other_and_is_named(maintained: Maintained, lake: Lake) -> None:
    bronze = lake.bronze("fx_rates", "rates")
    for table in (bronze, maintained.rates):
        append(table, 1)
        append(table, 2)
    with (
        hold_lease(maintained.ledger.bucket, "bronze/fx_rates/rates", "extract", "other", lambda _job, _run: False),
        pytest.raises(LedgerError, match="bronze/fx_rates/rates: still written by run other of extract"),
    ):
        maintained.run()
    assert len(files(bronze)) == 2
    assert len(files(maintained.rates)) == 1


def test_quarantine_is_left_alone_while_silver_is_written(maintained: Maintained) -> None:
    append(maintained.refused, 1)
    append(maintained.refused, 2)
    with (
        hold_lease(maintained.ledger.bucket, "silver/fx_rates", "silver", "other", lambda _job, _run: False),
        pytest.raises(LedgerError, match="silver/fx_rates"),
    ):
        maintained.run()
    assert len(files(maintained.refused)) == 2


def test_gold_has_nothing_to_do_after_maintain_and_goes_on_with_what_comes_next(
    maintained: Maintained, project: Project
) -> None:
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket=project.environment.bucket("lake"))
        maintained.job.ledger = SimpleNamespace(bucket=SimpleNamespace(s3=s3))
        published = ChangeLog(Bucket(s3, project.environment.bucket("lake")), "thousands").latest_version
        gold = maintained.job.lake.table("gold", "thousands")

        def run_gold() -> None:
            with maintained.job.lease("gold/thousands") as lease:
                build_gold(maintained.job, "thousands", lease)
            publish_gold(maintained.job, "thousands")

        for batch in (1, 2):
            append(maintained.rates, batch)
            run_gold()
        assert published() == 1
        maintained.run()
        assert (maintained.rates.version(), gold.version()) == (2, 2)
        run_gold()
        assert (gold.version(), published()) == (2, 1)
        append(maintained.rates, 3)
        run_gold()
        assert (gold.version(), published()) == (3, 3)
        assert gold.changes(2).count() == 1


# What Gold has built is held to what it should have.


class Compared(Maintained):
    """A gold table over the exchange rates' ids, of which Maintain draws groups."""

    def __init__(self, project: Project, lake: Lake, root: Path) -> None:
        super().__init__(project, lake, root)
        self.gold = lake.table("gold", "thousands")
        for batch in (1, 2, 3):
            append(self.rates, batch)
            build_gold(self.job, "thousands", SimpleNamespace(check=lambda: None))  # type: ignore[arg-type]

    def spoil(self, sql: str) -> None:
        self.job.spark.sql(sql.format(f"delta.`{self.gold.path}`"))


@pytest.fixture
def compared(project: Project, lake: Lake, tmp_path: Path) -> Compared:
    return Compared(project, lake, tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        "UPDATE {} SET rates = rates + 1 WHERE thousand = 2",
        "DELETE FROM {} WHERE thousand = 2",
        "INSERT INTO {} VALUES (9, 1)",
    ],
    ids=["altered", "lost", "invented"],
)
def test_a_gold_table_that_is_not_what_silver_makes_of_it_is_named_and_all_others_are_maintained(
    compared: Compared, wrong: str
) -> None:
    compared.run()
    append(compared.refused, 1)
    append(compared.refused, 2)
    compared.spoil(wrong)
    with pytest.raises(
        BooksError, match=r"gold table thousands: of . groups that were drawn .*headwater rebuild thousands"
    ):
        compared.run()
    assert len(files(compared.refused)) == 1


def test_gold_that_silver_has_gone_on_from_is_not_compared(compared: Compared) -> None:
    compared.spoil("DELETE FROM {} WHERE thousand = 2")
    append(compared.rates, 4)
    compared.run()


def test_gold_of_another_definition_is_not_compared(compared: Compared, project: Project) -> None:
    tenfold = gold_table("thousands", THOUSANDS.replace("count(*)", "count(*) * 10"))
    compared.job.project = project.model_copy(update={"gold": {"thousands": tenfold}})
    compared.run()
