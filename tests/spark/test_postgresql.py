"""Reading PostgreSQL by watermark and by bookmark: just the declared columns, and just the rows that a condition lets through."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyspark.sql import SparkSession

from headwater.config import JdbcSource
from headwater.errors import FatalSourceError, SourceError
from headwater.sources.jdbc.postgresql import PostgreSql
from headwater.sources.jdbc.session import Database, connect
from local.postgres import PostgresServer, free_port
from tests.support.certificates import self_signed
from tests.support.rds_proxy import rds_proxy

from .extraction import Extraction

# Of this machine as well, but not by a name for which encryption may be left out.
AWAY = "127.0.0.2"
DAY = (date(2018, 1, 1), date(2018, 1, 1))
WHERE = "note LIKE 'good%' OR note = 'it''s' -- or so"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres") / "data", free_port()) as running:
        yield running


class Shop:
    """A table `sales` in PostgreSQL, and the extraction of it."""

    def __init__(
        self, server: PostgresServer, spark: SparkSession, root: Path, port: int | None = None, **stream: Any
    ) -> None:
        self.server = server
        declared = {
            "table": "sales",
            "relation": "public.sales",
            "raw": ["Order", "the-ref", "group"],
            "read": {"kind": "watermark", "column": "at", "overlap_minutes": 10},
            "partition_column": "id",
            **stream,
        }
        source = JdbcSource.model_validate(
            {"kind": "jdbc", "name": "shop", "engine": "postgresql", "secret": "s", "streams": {"sales": declared}}
        )
        where = {"host": "127.0.0.1", "port": str(port or server.port), "dbname": server.database}
        self.extraction = Extraction(
            spark, source, where | {"username": server.user, "password": server.password}, root
        )
        self.execute(
            "DROP TABLE IF EXISTS sales",
            'CREATE TABLE sales (id bigint PRIMARY KEY, note text, secret text, at timestamptz, "Order" int DEFAULT 7, '
            '"the-ref" int DEFAULT 8, "group" int DEFAULT 9)',
        )
        for key, note in enumerate(("good", "bad", "it''s", "good, too"), 1):
            self.sell(key, note)

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]

    def sell(self, key: int, note: str, at: str = "2018-01-01 12:00:00+00") -> None:
        self.execute(f"INSERT INTO sales (id, note, at) VALUES ({key}, '{note}', '{at}')")

    def ids(self, window: tuple[date, date] | None = None) -> list[int] | None:
        rows = self.extraction.run("sales", window)
        return None if rows is None else sorted(row.id for row in rows)


@pytest.mark.parametrize("read", ["watermark", "bookmark"])
def test_it_is_read_through_an_rds_proxy(
    server: PostgresServer, spark: SparkSession, tmp_path: Path, read: str
) -> None:
    how = {"watermark": {"kind": "watermark", "column": "at"}, "bookmark": {"kind": "bookmark", "keys": ["id"]}}
    with rds_proxy(server.port) as door:
        shop = Shop(server, spark, tmp_path, partitions=3, read=how[read], port=door.port)
        assert shop.ids() == [1, 2, 3, 4]


def test_beyond_this_machine_there_is_no_session_but_over_tls_with_a_server_that_proves_to_be_its_host(
    server: PostgresServer, spark: SparkSession, tmp_path: Path
) -> None:
    mine, others = self_signed(AWAY, tmp_path), self_signed("db.example", tmp_path)
    cases = {
        "in the clear": (None, "", "SSL"),
        "a certificate that nobody has signed": (mine.context, "", "certification path"),
        "another's certificate": (others.context, mine.pem, "certification path"),
        "another host's certificate": (others.context, others.pem, "verif"),
    }
    for case, (tls, trusted, said) in cases.items():
        with rds_proxy(server.port, AWAY, tls) as door:
            with pytest.raises(SourceError) as refused, connect(spark, away(server, door.port, trusted)):
                pass
            assert said in str(refused.value), case
            assert door.entered == [], case
    with rds_proxy(server.port, AWAY, mine.context) as door:
        with connect(spark, away(server, door.port, mine.pem)) as session:
            assert session.row("SELECT 1") == ("1",)
        assert len(door.entered) == 1


def away(server: PostgresServer, port: int, certificate: str) -> Database:
    secret = {"host": AWAY, "port": str(port), "dbname": server.database, "certificate": certificate}
    return PostgreSql().database(secret | {"username": server.user, "password": server.password})


def test_a_session_works_in_utc_and_gives_up_in_time(server: PostgresServer, spark: SparkSession) -> None:
    secret = {"host": "127.0.0.1", "port": str(server.port), "dbname": server.database}
    database = PostgreSql().database(secret | {"username": server.user, "password": server.password})
    with connect(spark, database) as session:
        assert session.row("SHOW TIME ZONE") == ("UTC",)
        assert session.row("SHOW statement_timeout") == ("30min",)


def test_the_door_refuses_who_brings_options(server: PostgresServer) -> None:
    with (
        rds_proxy(server.port) as door,
        pytest.raises(psycopg.OperationalError, match="command-line options"),
    ):
        psycopg.connect(server.dsn, port=door.port, options="-c TimeZone=UTC")


@pytest.mark.parametrize("partitions", [1, 3])
def test_just_what_is_declared_is_read_by_watermark(
    server: PostgresServer, spark: SparkSession, tmp_path: Path, partitions: int
) -> None:
    shop = Shop(server, spark, tmp_path, where=WHERE, partitions=partitions)
    rows = shop.extraction.run("sales") or []
    assert sorted(row.id for row in rows) == [1, 3, 4]
    assert {(row["Order"], row["the-ref"], row["group"]) for row in rows} == {(7, 8, 9)}
    assert {frozenset(row.asDict()) for row in rows} == {
        frozenset({"Order", "the-ref", "group", "at", "id", "_unread"})
    }
    # What is left out neither moves the position nor is it a change.
    shop.execute("UPDATE sales SET at = '2018-02-01' WHERE id = 2", "UPDATE sales SET secret = 'new' WHERE id = 1")
    assert shop.ids() is None
    shop.sell(5, "bad")
    assert shop.ids() is None
    shop.sell(6, "good", at="2018-01-01 11:55:00+00")
    assert shop.ids() == [1, 3, 4, 6]
    assert shop.ids(DAY) == [1, 3, 4, 6]
    assert [manifest.drift for manifest in shop.extraction.ledger("sales").since(0)] == [(), (), ()]


def test_just_what_is_declared_is_read_by_bookmark(server: PostgresServer, spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(server, spark, tmp_path, where=WHERE, read={"kind": "bookmark", "keys": ["id"]}, day="at")
    rows = shop.extraction.run("sales") or []
    assert sorted(row.id for row in rows) == [1, 3, 4]
    assert {frozenset(row.asDict()) for row in rows} == {
        frozenset({"Order", "the-ref", "group", "at", "id", "_unread"})
    }
    shop.sell(5, "bad")
    assert shop.ids() is None
    shop.sell(6, "good")
    assert shop.ids() == [6]
    assert shop.ids(DAY) == [1, 3, 4, 6]


def test_a_key_that_was_taken_before_a_read_and_committed_after_it_is_read_by_bookmark(
    server: PostgresServer, spark: SparkSession, tmp_path: Path
) -> None:
    read = {"kind": "bookmark", "keys": ["id"], "overlap_rows": 3}
    shop = Shop(server, spark, tmp_path, read=read, day="at", partitions=3)
    shop.sell(-5, "before the first")
    with psycopg.connect(server.dsn) as open_for_long:
        open_for_long.execute("INSERT INTO sales (id, note) VALUES (5, 'taken first')")
        shop.sell(6, "committed first")
        assert shop.ids() == [-5, 1, 2, 3, 4, 6]
        assert shop.ids() is None
    assert shop.ids() == [3, 4, 5, 6]
    assert shop.ids() is None
    with psycopg.connect(server.dsn) as open_for_long:
        open_for_long.execute("INSERT INTO sales (id, note) VALUES (7, 'taken first')")
        shop.sell(8, "committed first")
        assert shop.ids() == [8]
    shop.sell(9, "new")
    assert shop.ids() == [5, 6, 7, 8, 9]
    # A backfill leaves the key, and what it has overtaken is read again.
    assert shop.ids(DAY) == [-5, 1, 2, 3, 4, 6, 8, 9]
    assert shop.ids() == [7, 8, 9]
    assert shop.ids() is None


def test_keys_below_the_first_that_was_read_are_read_while_the_overlap_has_all(
    server: PostgresServer, spark: SparkSession, tmp_path: Path
) -> None:
    shop = Shop(server, spark, tmp_path, read={"kind": "bookmark", "keys": ["id"], "overlap_rows": 5})
    assert shop.ids() == [1, 2, 3, 4]
    shop.sell(-1, "taken first")
    assert shop.ids() == [-1, 1, 2, 3, 4]
    assert shop.ids() is None


def test_rows_from_the_future_are_read_and_hide_nothing(
    server: PostgresServer, spark: SparkSession, tmp_path: Path
) -> None:
    shop = Shop(server, spark, tmp_path, partitions=3)
    assert shop.ids() == [1, 2, 3, 4]
    shop.sell(5, "far", at="9999-12-31 00:00:00+00")
    shop.sell(6, "for ever", at="infinity")
    assert shop.ids() == [5, 6]
    assert shop.ids() is None
    shop.sell(7, "real", at="2018-02-01 12:00:00+00")
    assert shop.ids() == [7]
    shop.execute("INSERT INTO sales (id, note, at) VALUES (8, 'now', now())")
    assert shop.ids() == [8]
    assert shop.ids() is None


def test_rows_without_a_watermark_are_read_once(server: PostgresServer, spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(server, spark, tmp_path)
    shop.execute("INSERT INTO sales (id) VALUES (5)")
    assert shop.ids() == [1, 2, 3, 4, 5]
    assert shop.ids() is None
    shop.execute("INSERT INTO sales (id) VALUES (6)")
    assert shop.ids() == [5, 6]
    assert shop.ids() is None


def test_columns_that_the_user_may_not_read_are_no_hindrance(
    server: PostgresServer, spark: SparkSession, tmp_path: Path
) -> None:
    shop = Shop(server, spark, tmp_path)
    shop.execute(
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN PASSWORD 'reader'",
        'GRANT SELECT (id, at, "Order", "the-ref", "group") ON sales TO reader',
    )
    shop.extraction.secret |= {"username": "reader", "password": "reader"}
    assert shop.ids() == [1, 2, 3, 4]
    shop.execute("DROP OWNED BY reader", "DROP ROLE reader")


def test_a_declared_column_that_is_gone_is_named(server: PostgresServer, spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(server, spark, tmp_path)
    shop.execute('ALTER TABLE sales DROP "the-ref"')
    with pytest.raises(FatalSourceError, match=r"public\.sales has no column the-ref; known: id, note, secret, at, "):
        shop.ids()


def test_a_condition_that_the_database_does_not_understand_is_told_in_its_words(
    server: PostgresServer, spark: SparkSession, tmp_path: Path
) -> None:
    shop = Shop(server, spark, tmp_path, where="nothing = 1")
    with pytest.raises(FatalSourceError, match='column "nothing" does not exist'):
        shop.ids()
