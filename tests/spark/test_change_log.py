"""PostgreSQL's change log: snapshot and changes fit together, deletes are seen, and nothing is lost or doubled by a death."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyspark.sql import Row, SparkSession

from headwater.config import JdbcSource
from headwater.errors import FatalSourceError
from headwater.ledger.positions import LogPosition
from headwater.sources.jdbc import change_log
from headwater.sources.jdbc.pgoutput import parse_lsn
from local.postgres import PostgresServer, free_port

from .extraction import Extraction

SLOT = "accounts_slot"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres") / "data", free_port()) as running:
        yield running


class Accounts:
    """A table `accounts` in PostgreSQL, and the extraction of its changes."""

    def __init__(self, server: PostgresServer, spark: SparkSession, root: Path) -> None:
        self.server = server
        self.execute(
            f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE '{SLOT}%'",
            "DROP TABLE IF EXISTS accounts",
            "CREATE TABLE accounts (id bigint PRIMARY KEY, name text, balance numeric(12,2), active boolean, story text, "
            "stamp bytea, joined timestamptz DEFAULT '2018-01-01 12:00:00.5+00', doc jsonb)",
            "ALTER TABLE accounts REPLICA IDENTITY FULL",
            "DROP PUBLICATION IF EXISTS headwater",
            "CREATE PUBLICATION headwater FOR TABLE accounts",
        )
        self.extraction = Extraction(spark, self.source(SLOT), self.secret, root)

    def source(self, slot: str, **changes: Any) -> JdbcSource:
        stream = {
            "table": "accounts",
            "columns": {"lsn": "_lsn"},
            "raw": "all",
            "relation": "public.accounts",
            "read": {"kind": "log", "slot": slot, "publication": "headwater"},
            "day": "joined",
            "partition_column": "id",
            **changes,
        }
        return JdbcSource.model_validate(
            {"kind": "jdbc", "name": "shop", "engine": "postgresql", "secret": "s", "streams": {"accounts": stream}}
        )

    @property
    def secret(self) -> dict[str, str]:
        server = self.server
        where = {"host": "127.0.0.1", "port": str(server.port), "dbname": server.database}
        return where | {"username": server.user, "password": server.password}

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            connection.execute("SET synchronous_commit = on")
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]

    def one(self, query: str) -> Any:
        with psycopg.connect(self.server.dsn) as connection:
            return connection.execute(query).fetchone()[0]  # type: ignore[call-overload, index]

    def insert(self, *ids: int) -> None:
        self.execute(
            *[f"INSERT INTO accounts (id, name, balance, active) VALUES ({i}, 'n{i}', {i}.50, true)" for i in ids]
        )

    def run(self, **how: Any) -> list[tuple[str, int]] | None:
        """Extracts one batch; (change, id) in the log's order."""
        rows = self.rows(**how)
        return None if rows is None else [(row["_change"], row["id"]) for row in rows]

    def rows(self, **how: Any) -> list[Row] | None:
        rows = self.extraction.run("accounts", **how)
        return None if rows is None else sorted(rows, key=lambda row: (row["_lsn"], row["id"]))

    @property
    def position(self) -> LogPosition:
        position = self.extraction.ledger("accounts").position()
        assert isinstance(position, LogPosition)
        return position

    @property
    def slot_stands(self) -> int:
        return parse_lsn(self.one(f"SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{SLOT}'"))


@pytest.fixture
def accounts(server: PostgresServer, spark: SparkSession, tmp_path: Path) -> Accounts:
    return Accounts(server, spark, tmp_path)


def test_a_snapshot_is_followed_by_every_change_in_order(accounts: Accounts) -> None:
    accounts.insert(1, 2)
    assert accounts.run() == [("snapshot", 1), ("snapshot", 2)]
    accounts.execute(
        "UPDATE accounts SET balance = 9 WHERE id = 1",
        "INSERT INTO accounts (id) VALUES (3)",
        "UPDATE accounts SET balance = 10 WHERE id = 1",
        "DELETE FROM accounts WHERE id = 2",
        "UPDATE accounts SET id = 4 WHERE id = 3",
    )
    changed = [("update", 1), ("insert", 3), ("update", 1), ("delete", 2), ("delete", 3), ("insert", 4)]
    assert accounts.run() == changed
    assert accounts.run() is None


def test_changes_have_the_types_and_values_of_the_relation(accounts: Accounts) -> None:
    accounts.insert(1)
    story = 'it\'s "long"\n\t🎁 \\x ' + "".join(chr(0x4E00 + n) for n in range(9000))
    accounts.execute(
        "UPDATE accounts SET name = NULL, balance = -0.01, active = false, stamp = '\\x00ff', "
        f"doc = '{{\"a\": [1]}}', story = '{story.replace(chr(39), chr(39) * 2)}' WHERE id = 1"
    )
    [before] = accounts.rows() or []
    accounts.execute("UPDATE accounts SET name = 'new' WHERE id = 1", "DELETE FROM accounts WHERE id = 1")
    [updated, deleted] = accounts.rows() or []
    known = {name: before[name] for name in ("id", "balance", "active", "story", "stamp", "joined", "doc")}
    assert known["story"] == story
    assert known["balance"] == Decimal("-0.01")
    assert known["joined"] == datetime.fromisoformat("2018-01-01 12:00:00.500000")
    for row in (updated, deleted):
        assert {name: row[name] for name in known} == known
        assert row["name"] == "new"
        assert abs((row["_committed_at"].replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()) < 600


def test_a_run_that_dies_is_read_again_by_the_next(accounts: Accounts) -> None:
    accounts.insert(1)
    accounts.run(dies=True)
    accounts.insert(2)
    # What happened between the dead run and this one is in the snapshot, and not once more among the changes.
    assert accounts.run() == [("snapshot", 1), ("snapshot", 2)]
    accounts.insert(3)
    accounts.run(dies=True)
    accounts.execute("DELETE FROM accounts WHERE id = 1")
    assert accounts.run() == [("insert", 3), ("delete", 1)]
    assert accounts.run() is None


def test_a_transaction_open_during_the_snapshot_comes_with_the_changes(accounts: Accounts) -> None:
    accounts.insert(1)
    accounts.run(dies=True)
    with psycopg.connect(accounts.server.dsn) as connection:
        connection.execute("INSERT INTO accounts (id) VALUES (2)")
        accounts.insert(3)
        assert accounts.run() == [("snapshot", 1), ("snapshot", 3)]
    accounts.insert(4)
    assert accounts.run() == [("insert", 2), ("insert", 4)]


def test_the_slot_follows_the_ledger_one_run_behind(accounts: Accounts) -> None:
    accounts.insert(1)
    accounts.run()
    accounts.insert(2)
    accounts.run()
    second = parse_lsn(accounts.position.lsn)
    assert accounts.slot_stands < second
    accounts.insert(3)
    accounts.run()
    assert accounts.slot_stands == second


def test_a_quiet_relation_in_a_busy_database_lets_the_log_go(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.insert(1)
    accounts.run()
    accounts.execute("CREATE TABLE IF NOT EXISTS noise (n int)", "INSERT INTO noise SELECT generate_series(1, 100)")
    assert accounts.run() is None
    monkeypatch.setattr(change_log, "QUIET_BYTES", 1)
    assert accounts.run() == []
    moved = parse_lsn(accounts.position.lsn)
    accounts.insert(2)
    assert accounts.run() == [("insert", 2)]
    assert accounts.slot_stands == moved


def test_a_slot_that_is_gone_is_an_error_until_another_is_declared(accounts: Accounts) -> None:
    accounts.insert(1)
    accounts.run()
    accounts.execute(f"SELECT pg_drop_replication_slot('{SLOT}')")
    accounts.insert(2)
    for _ in range(2):
        with pytest.raises(FatalSourceError, match=f"slot {SLOT} is gone, and with it the changes after"):
            accounts.run()
    accounts.extraction.source = accounts.source(f"{SLOT}_2")
    assert accounts.run() == [("snapshot", 1), ("snapshot", 2)]
    accounts.insert(3)
    assert accounts.run() == [("insert", 3)]


def test_a_slot_that_somebody_else_has_moved_is_an_error(accounts: Accounts) -> None:
    accounts.insert(1)
    accounts.run()
    accounts.insert(2)
    accounts.execute(f"SELECT pg_replication_slot_advance('{SLOT}', pg_current_wal_flush_lsn())")
    with pytest.raises(FatalSourceError, match="somebody else has moved it"):
        accounts.run()


def test_a_slot_of_another_kind_is_not_ours(accounts: Accounts) -> None:
    accounts.execute(f"SELECT pg_create_physical_replication_slot('{SLOT}')")
    with pytest.raises(FatalSourceError, match="of another database"):
        accounts.run()


@pytest.mark.parametrize(
    ("undo", "said"),
    [
        ("ALTER PUBLICATION headwater DROP TABLE accounts", "CREATE PUBLICATION headwater FOR TABLE public.accounts"),
        ("ALTER TABLE accounts REPLICA IDENTITY DEFAULT", "ALTER TABLE public.accounts REPLICA IDENTITY FULL"),
        ("ALTER TABLE accounts DROP CONSTRAINT accounts_pkey", "has no primary key"),
    ],
)
def test_what_is_not_set_up_is_named_before_anything_is_read(accounts: Accounts, undo: str, said: str) -> None:
    accounts.execute(undo)
    with pytest.raises(FatalSourceError, match=said):
        accounts.run()
    assert accounts.one(f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{SLOT}'") == 0


def test_days_of_a_log_stream_are_read_again_and_later_changes_still_win(accounts: Accounts) -> None:
    accounts.insert(1, 2)
    accounts.execute("UPDATE accounts SET joined = '2018-01-02 00:00:00+00' WHERE id = 2")
    accounts.run()
    accounts.execute("UPDATE accounts SET name = 'before' WHERE id = 1")
    before = accounts.position
    [again] = accounts.rows(window=(date(2018, 1, 1), date(2018, 1, 1))) or []
    assert (again["id"], again["name"], accounts.position) == (1, "before", before)
    accounts.execute("UPDATE accounts SET name = 'after' WHERE id = 1")
    places = [row["_lsn"] for row in accounts.rows() or []]
    assert places[0] < again["_lsn"] <= places[1]


def test_columns_that_are_not_declared_are_dropped_before_anything_is_written(accounts: Accounts) -> None:
    accounts.execute('ALTER TABLE accounts ADD "Order" int DEFAULT 7')
    accounts.extraction.source = accounts.source(SLOT, raw=["Order", "name"], day="joined")
    accounts.insert(1, 2)
    kept = {"Order", "name", "id", "joined", "_change", "_lsn", "_committed_at", "_unread"}
    assert [row.asDict().keys() for row in accounts.rows() or []] == [kept, kept]
    accounts.execute("UPDATE accounts SET story = 'secret' WHERE id = 1", "DELETE FROM accounts WHERE id = 2")
    rows = accounts.rows() or []
    assert [(row["_change"], row["id"], row["name"], row["Order"]) for row in rows] == [
        ("update", 1, "n1", 7),
        ("delete", 2, "n2", 7),
    ]
    assert [row.asDict().keys() for row in rows] == [kept, kept]
    [row] = accounts.rows(window=(date(2018, 1, 1), date(2018, 1, 1))) or []
    assert (row["id"], row.asDict().keys()) == (1, kept)
    assert [manifest.drift for manifest in accounts.extraction.ledger("accounts").since(0)] == [(), (), ()]
    accounts.execute("ALTER TABLE accounts DROP name", "UPDATE accounts SET balance = 1 WHERE id = 1")
    with pytest.raises(FatalSourceError, match=r"public\.accounts has no column name; known: id, balance"):
        accounts.rows()


def test_a_stream_that_read_all_reads_on_with_what_it_declares(accounts: Accounts) -> None:
    accounts.insert(1)
    assert accounts.run() == [("snapshot", 1)]
    accounts.extraction.source = accounts.source(SLOT, raw=["name", "balance"])
    accounts.execute("UPDATE accounts SET balance = 9 WHERE id = 1")
    [row] = accounts.rows() or []
    assert row.asDict().keys() == {"name", "balance", "id", "joined", "_change", "_lsn", "_committed_at", "_unread"}
    newest = accounts.extraction.ledger("accounts").latest()
    assert newest is not None
    assert (newest.drift, "story" in newest.fields) == ((), False)
