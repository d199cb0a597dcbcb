from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import ConfigError
from headwater.ledger.bucket import Bucket
from headwater.ledger.stream import Ledger
from headwater.warehouse.changes import FIRST, ChangeFile, ChangeLog
from headwater.warehouse.load import load_of
from tests.support.faulty_s3 import FaultyS3

ROLE = "arn:aws:iam::123456789012:role/copy"


def change(version: int, table: str = "sales", columns: tuple[str, ...] = ("id", "total")) -> ChangeFile:
    return ChangeFile(table, ("id",), columns, version, ((f"s3://lake/load/{version}.parquet", 10),))


def test_a_load_stages_upserts_and_writes_its_ledger_row_last() -> None:
    load = load_of([change(3), change(5)], "s3://lake/m.json", ROLE, "run-1")
    verbs = [sql.split()[0] for sql in load.sqls]
    assert verbs == ["UPDATE", "SELECT", "CREATE", "COPY", "SELECT", "SELECT", "DELETE", "INSERT", "INSERT", "DROP"]
    assert load.load_id == "sales@5"
    assert [entry["url"] for entry in load.manifest["entries"]] == [
        "s3://lake/load/3.parquet",
        "s3://lake/load/5.parquet",
    ]


def test_every_statement_that_changes_a_table_asks_the_ledger_first() -> None:
    load = load_of([change(3)], "s3://lake/m.json", ROLE, "run-1")
    writing = [sql for sql in load.sqls if sql.startswith(("DELETE FROM analytics", "INSERT"))]
    assert len(writing) == 3
    unseen = "NOT EXISTS (SELECT 1 FROM etl.load_ledger WHERE table_name = 'sales' AND version >= 3)"
    assert all(unseen in sql for sql in writing)


def test_no_load_truncates_because_truncate_commits_in_redshift() -> None:
    assert not any("TRUNCATE" in sql for sql in load_of([change(3)], "s3://lake/m.json", ROLE, "run-1").sqls)


@pytest.mark.parametrize("name", ["total; DROP TABLE x", "To tal", "x'y", ""])
def test_a_name_that_is_no_identifier_never_reaches_sql(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a column or table name"):
        load_of([change(1, columns=("id", name))], "s3://lake/m.json", ROLE, "run-1")


def test_a_run_id_that_would_break_out_of_its_quotes_is_refused() -> None:
    with pytest.raises(ConfigError, match="do not belong in SQL"):
        load_of([change(1)], "s3://lake/m.json", ROLE, "run'; DELETE FROM analytics.sales; --")


def test_a_load_takes_its_turn_before_anything_else() -> None:
    """Redshift takes a transaction's snapshot at its first statement, so this has to be the one that is refused."""
    first, *_ = load_of([change(3)], "s3://lake/m.json", ROLE, "run-1").sqls
    assert first == "UPDATE etl.load_turn SET run_id = 'run-1', taken_at = GETDATE()"


def test_what_is_staged_is_counted_only_where_all_of_it_was() -> None:
    def checks(*changes: ChangeFile) -> list[str]:
        return [
            sql for sql in load_of(changes, "s3://lake/m.json", ROLE, "r").sqls if "incoming" in sql and "1 / " in sql
        ]

    counted = [replace(change(version), rows=version) for version in (3, 5)]
    assert "COUNT(*) = 8 THEN" in checks(*counted)[0]
    assert len(checks(change(3), counted[1])) == len(checks(*counted)) - 1


def test_published_changes_are_read_in_order_and_the_first_publication_stands(ledger: Ledger) -> None:
    changes = ChangeLog(ledger.bucket, "sales")
    assert (changes.latest_version(), changes.after(FIRST)) == (FIRST, [])
    for version in (3, 12):
        changes.publish(change(version))
    changes.publish(change(12, columns=("other",)))
    assert changes.latest_version() == 12
    # As an earlier version of Headwater has published them: each holds what changed since the one before.
    first, second = replace(change(3), since=FIRST), replace(change(12), since=3)
    assert changes.after(FIRST) == [first, second]
    assert changes.after(3) == [second]
    assert changes.after(12) == []


def test_a_publication_of_an_earlier_version_of_headwater_is_read(ledger: Ledger) -> None:
    key = "load/sales/published/999999996.json"
    earlier = {
        "table": "sales",
        "grain": ["id"],
        "columns": ["id", "total"],
        "version": 3,
        "entries": [["s3://lake/x", 10]],
    }
    ledger.bucket.write(key, json.dumps(earlier).encode())
    assert ChangeLog(ledger.bucket, "sales").after(FIRST) == [
        ChangeFile("sales", ("id",), ("id", "total"), 3, (("s3://lake/x", 10),), since=FIRST)
    ]


def in_memory() -> Bucket:
    return Bucket(cast("Any", FaultyS3(iter(()))), "lake")


@pytest.fixture
def quick() -> Ledger:
    """A ledger in memory."""
    return Ledger(in_memory())


class Published:
    """A change log, and what each of its publications holds: the versions that it covers."""

    def __init__(self, ledger: Ledger) -> None:
        self.log = ChangeLog(ledger.bucket, "sales")

    def publish(self, version: int) -> None:
        since, number = self.log.next_since(self.log.latest_version(), change(version).columns)
        self.log.publish(replace(change(version, self.log.table), since=since, number=number))


@settings(max_examples=300, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=12), lacks=st.integers(-1, 30))
def test_the_files_after_a_version_cover_all_that_came_after_it_and_none_is_to_spare(
    steps: list[tuple[int, bool]], lacks: int
) -> None:
    published, version = Published(Ledger(in_memory())), -1
    for step, refused in steps:
        version += step
        published.publish(version)
        if refused:
            published.log.refuse("no")
    files = published.log.after(lacks)
    assert [file.version for file in files][-1:] == ([version] if version > lacks else [])
    # Each goes on where the one before it ends, and only the first begins at or before what the warehouse has.
    assert all(later.since == file.version for file, later in pairwise(files))
    assert [file.since is not None and file.since <= lacks for file in files] == [True, *[False] * 99][: len(files)]


def test_what_was_refused_is_in_the_next_publication_which_waits_for_nothing_before_it(quick: Ledger) -> None:
    published = Published(quick)
    for version in (0, 1, 2):
        published.publish(version)
    published.log.refuse("String length exceeds DDL length")
    published.publish(3)
    published.publish(4)
    assert [(file.since, file.version) for file in published.log.after(1)] == [(FIRST, 3), (3, 4)]


def test_120_publications_reach_an_empty_warehouse_and_it_reads_few_of_them(quick: Ledger) -> None:
    published = Published(quick)
    for version in range(120):
        published.publish(version)
    files = published.log.after(FIRST)
    assert [(file.since, file.version) for file in files[:2]] == [(FIRST, 100), (100, 101)]
    assert (len(files), files[-1].version) == (20, 119)


def test_1200_publications_of_an_earlier_version_of_headwater_are_all_loaded(quick: Ledger) -> None:
    log = ChangeLog(quick.bucket, "sales")
    for version in range(1200):
        log.publish(change(version))
    assert [file.version for file in log.after(FIRST)] == [*range(1200)]
    assert [file.version for file in log.after(1100)] == [*range(1101, 1200)]
    # After so many the next holds the whole table.
    assert log.next_since(1199, change(1199).columns) == (FIRST, 0)
