from __future__ import annotations

import pytest

from headwater.errors import ConfigError
from headwater.ledger.stream import Ledger
from headwater.warehouse.changes import ChangeFile, ChangeLog
from headwater.warehouse.load import load_of

ROLE = "arn:aws:iam::123456789012:role/copy"


def change(version: int, table: str = "sales", columns: tuple[str, ...] = ("id", "total")) -> ChangeFile:
    return ChangeFile(table, ("id",), columns, version, ((f"s3://lake/load/{version}.parquet", 10),))


def test_a_load_stages_upserts_and_writes_its_ledger_row_last() -> None:
    load = load_of([change(3), change(5)], "s3://lake/m.json", ROLE, "run-1")
    verbs = [sql.split()[0] for sql in load.sqls]
    assert verbs == ["CREATE", "COPY", "DELETE", "INSERT", "INSERT", "DROP"]
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


def test_published_changes_are_read_in_order_and_the_first_publication_stands(ledger: Ledger) -> None:
    changes = ChangeLog(ledger.bucket.s3, ledger.bucket.name, "sales")
    assert (changes.latest_version(), changes.since(-1)) == (-1, [])
    for version in (3, 12):
        changes.publish(change(version))
    changes.publish(change(12, columns=("other",)))
    assert changes.latest_version() == 12
    assert changes.since(-1) == [change(3), change(12)]
    assert changes.since(3) == [change(12)]
