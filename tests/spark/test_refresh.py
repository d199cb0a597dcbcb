"""Gold as a whole: what waits stays as it was, what fails keeps none of the others from theirs, and what was stale catches up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import SparkSession

from headwater.config import GoldTable, Project
from headwater.errors import HeadwaterError, LedgerError
from headwater.lake.tables import Lake
from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import Held
from headwater.ledger.held import Holds
from headwater.stages import refresh
from headwater.stages.refresh import refresh_gold
from tests.support import declared
from tests.support.faulty_s3 import FaultyS3
from tests.support.gold_cases import few_rows

READS = ("counted", "bought", "both")
FEEDS = {"fx_rates": "fx_rates.rates", "orders": "rds_postgres.orders"}


@pytest.fixture(scope="module", autouse=True)
def quick(spark: SparkSession) -> Iterator[None]:
    with few_rows(spark):
        yield


def _table(*inputs: str) -> GoldTable:
    """How many rows some silver tables have, by id."""
    told = {
        "purpose": "counts",
        "owner": "tests",
        "grain": ["id"],
        "distribution": "AUTO",
        "sort_key": ["id"],
        "columns": {"id": {"type": "BIGINT", "note": "id"}, "found": {"type": "BIGINT", "note": "how many"}},
        "inputs": inputs,
        "affected": " UNION ".join(f"SELECT id FROM changed_{name}" for name in inputs),
        "rows": "SELECT id, count(*) AS found FROM (SELECT id FROM "
        + " UNION ALL SELECT id FROM ".join(inputs)
        + ") WHERE id IN (SELECT id FROM affected) GROUP BY id",
    }
    return GoldTable.model_validate(told)


@dataclass
class Gold:
    """Three small gold tables over two silver ones, of which streams may be held back."""

    lake: Lake
    bucket: Bucket
    project: Project
    published: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    @property
    def holds(self) -> Holds:
        return Holds(self.bucket)

    def put(self, *ids: int) -> None:
        """Adds rows to both silver tables."""
        rows = self.lake.spark.createDataFrame([(i,) for i in ids], "id bigint")
        for name in FEEDS:
            rows.write.format("delta").mode("append").save(self.lake.table("silver", name).path)

    def hold(self, *tables: str) -> None:
        """Holds back the streams that feed silver tables, and no others."""
        why = Held(run_id="run-0", stage="Extract", error="FatalSourceError", cause="gone")
        self.holds.hold_streams({FEEDS[table]: {"Extract": why} for table in tables})

    def refresh(self) -> None:
        job: Any = SimpleNamespace(
            project=self.project,
            lake=self.lake,
            spark=self.lake.spark,
            run_id="run-1",
            job_run_id="jr_1",
            rebuild=frozenset(),
            ledger=SimpleNamespace(bucket=self.bucket),
            lease=self._lease,
        )
        self.published.clear()
        refresh_gold(job)

    @contextmanager
    def _lease(self, name: str) -> Iterator[Any]:
        if name in self.refused:
            raise LedgerError(f"{name}: held, token=hunter2")
        yield SimpleNamespace(check=lambda: None)

    def rows(self) -> dict[str, dict[int, int]]:
        """What each gold table has that is there."""
        tables = {name: self.lake.table("gold", name) for name in READS}
        return {
            name: {r.id: r.found for r in table.read().collect()} for name, table in tables.items() if table.exists()
        }

    def stale(self) -> dict[str, str]:
        return {name: f"{why.error}: {why.cause}" for name, why in self.holds.tables().items()}


@pytest.fixture
def gold(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Gold:
    tables = {"counted": _table("fx_rates"), "bought": _table("orders"), "both": _table("fx_rates", "orders")}
    project = declared.project().model_copy(update={"gold": tables, "identities": {}})
    s3: Any = FaultyS3(iter(()))
    made = Gold(lake, Bucket(s3, "raw"), project)

    def publish(_job: Any, table: str) -> None:
        made.published.append(table)

    monkeypatch.setattr(refresh, "publish_gold", publish)
    return made


def test_what_waits_stays_as_it_was_and_catches_up_by_itself(gold: Gold) -> None:
    gold.put(1, 2)
    gold.refresh()
    assert gold.rows() == {"counted": {1: 1, 2: 1}, "bought": {1: 1, 2: 1}, "both": {1: 2, 2: 2}}
    assert gold.stale() == {}
    gold.hold("orders")
    for ids in ((2, 3), (3,)):
        gold.put(*ids)
        gold.refresh()
        assert gold.published == ["counted"]
        assert gold.stale() == {
            "bought": "Held: waits for rds_postgres.orders",
            "both": "Held: waits for rds_postgres.orders",
        }
    assert gold.rows() == {"counted": {1: 1, 2: 2, 3: 2}, "bought": {1: 1, 2: 1}, "both": {1: 2, 2: 2}}
    gold.hold()
    gold.refresh()
    assert gold.rows() == {"counted": {1: 1, 2: 2, 3: 2}, "bought": {1: 1, 2: 2, 3: 2}, "both": {1: 2, 2: 4, 3: 4}}
    assert (gold.published, gold.stale()) == (["counted", "bought", "both"], {})


def test_a_table_that_fails_keeps_none_of_the_others(gold: Gold) -> None:
    gold.put(1)
    gold.refused = {"gold/bought"}
    with pytest.raises(HeadwaterError, match=r"^bought: LedgerError: gold/bought: held, token=\*\*\*$"):
        gold.refresh()
    assert gold.published == ["counted", "both"]
    assert gold.stale() == {"bought": "LedgerError: LedgerError: gold/bought: held, token=***"}
    gold.refused = set()
    gold.refresh()
    assert (gold.rows()["bought"], gold.stale()) == ({1: 1}, {})


def test_where_everything_waits_gold_does_nothing(gold: Gold) -> None:
    gold.put(1)
    gold.hold("orders", "fx_rates")
    gold.refresh()
    assert (gold.rows(), gold.published) == ({}, [])
    assert gold.stale()["both"] == "Held: waits for fx_rates.rates, rds_postgres.orders"


def test_what_reads_who_is_whom_is_stale_where_that_fails(gold: Gold) -> None:
    who = declared.project().identities["customer_identities"]
    persons = gold.project.gold["counted"].model_copy(update={"inputs": ("customer_identities",)})
    tables = {"persons": persons, "counted": gold.project.gold["counted"]}
    gold.project = gold.project.model_copy(update={"identities": {"customer_identities": who}, "gold": tables})
    gold.put(1)
    gold.refused = {"silver/customer_identities"}
    with pytest.raises(HeadwaterError, match="persons: HeadwaterError: reads customer_identities, which failed"):
        gold.refresh()
    assert (gold.published, {*gold.stale()}) == (["counted"], {"customer_identities", "persons"})


def test_after_a_kill_nobody_takes_a_table_for_fresh(gold: Gold, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise SystemExit

    gold.put(1)
    monkeypatch.setattr(refresh, "publish_gold", killed)
    with pytest.raises(SystemExit):
        gold.refresh()
    assert set(gold.stale()) == set(READS)
