"""Reading MySQL: types that other databases do not have, one moment for a batch, late commits, days, bookmarks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from headwater.config import JdbcSource
from headwater.errors import FatalSourceError, RetriableSourceError, SourceError
from headwater.ledger.positions import BoundedPosition
from headwater.sources.jdbc import read
from headwater.sources.jdbc.mysql import MySql
from headwater.sources.jdbc.session import connect
from local.mariadb import MariaDbServer
from local.postgres import free_port
from tests.support.rds_proxy import passed_on

from .extraction import Extraction


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDbServer]:
    with MariaDbServer(tmp_path_factory.mktemp("mysql") / "data", free_port()) as running:
        yield running


class Shop:
    """A table `sales` on MariaDB, and the extraction of it."""

    def __init__(self, server: MariaDbServer, spark: SparkSession, root: Path, **stream: Any) -> None:
        self.server = server
        self.execute("DROP TABLE IF EXISTS sales")
        self.execute("CREATE TABLE sales (id bigint unsigned PRIMARY KEY, note varchar(50), at timestamp(6) NOT NULL)")
        declared = {
            "table": "sales",
            "raw": "all",
            "relation": "payments.sales",
            "read": {"kind": "watermark", "column": "at", "overlap_minutes": 10},
            "partition_column": "id",
        }
        source = JdbcSource.model_validate(
            {"kind": "jdbc", "name": "mysql", "engine": "mysql", "secret": "s", "streams": {"sales": declared | stream}}
        )
        secret = {
            "host": "127.0.0.1",
            "port": str(server.port),
            "dbname": server.database,
            "username": server.user,
            "password": server.password,
        }
        self.extraction = Extraction(spark, source, secret, root)

    def execute(self, *statements: str) -> None:
        with self.server.connect(autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def sell(self, *ids: int, at: str = "2018-01-01 12:00:00") -> None:
        self.execute(*[f"REPLACE INTO sales VALUES ({i}, 'at {at}', '{at}')" for i in ids])

    def ids(self, window: tuple[date, date] | None = None) -> list[int] | None:
        rows = self.extraction.run("sales", window)
        return None if rows is None else sorted(int(row.id) for row in rows)


@pytest.fixture
def shop(server: MariaDbServer, spark: SparkSession, tmp_path: Path) -> Shop:
    return Shop(server, spark, tmp_path)


def test_types_that_only_mysql_has_arrive_as_they_are(shop: Shop) -> None:
    shop.execute(
        "DROP TABLE sales",
        """CREATE TABLE sales (
            id bigint unsigned PRIMARY KEY, small tinyint(1), uint int unsigned, ref bigint unsigned, kind enum('a', 'b'),
            tags set('x', 'y'), one bit(1), eight bit(8), doc json, text varchar(100), wall datetime(6), day date NOT NULL,
            old datetime, year year, at timestamp(6) NOT NULL) CHARSET utf8mb4""",
        """INSERT INTO sales VALUES (1, 7, 4294967295, 18446744073709551615, 'b', 'x,y', b'1', b'10000001', '{"a": 1}',
            '🎁 “ü” ありがとう', '2017-11-20 10:00:00.5', '0000-00-00', '0000-00-00 00:00:00', 2017,
            '2018-01-01 12:00:00.123456')""",
    )
    [row] = shop.extraction.run("sales") or []
    assert row.asDict() == {
        "id": Decimal(1),
        "small": 7,
        "uint": 4294967295,
        "ref": Decimal(18446744073709551615),
        "kind": "b",
        "tags": "x,y",
        "one": True,
        "eight": 129,
        "doc": '{"a": 1}',
        "text": "🎁 “ü” ありがとう",
        "wall": datetime.fromisoformat("2017-11-20 10:00:00.500000"),
        "day": None,
        "old": None,
        "year": 2017,
        "at": datetime.fromisoformat("2018-01-01 12:00:00.123456"),
        "_unread": None,
    }


def test_the_servers_zone_moves_no_moment(shop: Shop) -> None:
    with shop.server.connect(autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SET time_zone = DEFAULT")
        cursor.execute("SELECT @@time_zone")
        assert cursor.fetchone() == ("-05:00",)
        cursor.execute("INSERT INTO sales VALUES (1, 'written in the server\\'s zone', '2018-01-01 07:00:00')")
    [row] = shop.extraction.run("sales") or []
    assert row["at"] == datetime.fromisoformat("2018-01-01 12:00:00")


def test_a_second_run_reads_what_changed_and_a_third_nothing(shop: Shop) -> None:
    shop.sell(1, 2, at="2018-01-01 11:00:00")
    shop.sell(3)
    assert shop.ids() == [1, 2, 3]
    shop.sell(2, 4, at="2018-01-01 12:30:00")
    assert shop.ids() == [2, 4]
    assert shop.ids() is None


def test_a_row_committed_late_behind_the_watermark_is_read(shop: Shop) -> None:
    shop.sell(1, 2)
    shop.ids()
    shop.sell(3, at="2018-01-01 11:55:00")
    assert 3 in (shop.ids() or [])
    assert shop.ids() is None


def test_a_row_that_is_made_later_than_the_overlap_is_read_by_its_key(
    server: MariaDbServer, spark: SparkSession, tmp_path: Path
) -> None:
    shop = Shop(server, spark, tmp_path, grows="id")
    shop.sell(1, 2, 5)
    assert shop.ids() == [1, 2, 5]
    shop.sell(6, at="2015-03-01 00:00:00")
    assert shop.ids() == [6]
    # A key of those that are compared: any of their rows may be it.
    shop.sell(4, at="2016-03-01 00:00:00")
    assert shop.ids() == [4, 6]
    assert shop.ids() is None


def test_a_value_changed_without_its_time_is_seen_within_the_overlap(shop: Shop) -> None:
    shop.sell(1, 2)
    shop.ids()
    shop.execute("UPDATE sales SET note = NULL, at = at WHERE id = 2")
    assert shop.ids() == [1, 2]


def test_rows_that_change_while_they_are_read_in_parallel_are_in_the_batch_and_come_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.sell(*range(1, 100), at="2018-01-01 11:00:00")
    shop.sell(100)
    honest = read.read_joined

    def meanwhile(*given: Any) -> Any:
        # The snapshot has been taken, the parallel connections have not begun.
        shop.sell(7, 101, at="2018-01-01 12:00:01")
        return honest(*given)

    monkeypatch.setattr(read, "read_joined", meanwhile)
    assert shop.ids() == [*range(1, 102)]
    monkeypatch.undo()
    assert shop.ids() == [7, 101]
    assert shop.ids() is None


def test_a_connection_that_is_cut_while_rows_are_read_leaves_no_batch_and_the_next_run_reads_all(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.sell(*range(1, 100))
    honest = read.read_joined

    def cut(*given: Any) -> Any:
        with shop.server.connect(autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE id <> connection_id()")
            for (number,) in cursor.fetchall():
                cursor.execute(f"KILL {number}")
        return honest(*given)

    monkeypatch.setattr(read, "read_joined", cut)
    with pytest.raises((RetriableSourceError, Py4JJavaError)) as caught:
        shop.ids()
    assert isinstance(caught.value, RetriableSourceError)
    monkeypatch.undo()
    assert shop.ids() == [*range(1, 100)]
    assert shop.ids() is None


def test_days_are_read_again_without_moving_the_position(shop: Shop) -> None:
    shop.sell(1, at="2018-01-01 00:00:00")
    shop.sell(2, at="2018-01-01 23:59:59.999999")
    shop.sell(3, at="2018-01-02 00:00:00")
    shop.ids()
    before = shop.extraction.ledger("sales").position()
    assert shop.ids((date(2018, 1, 1), date(2018, 1, 1))) == [1, 2]
    assert isinstance(before, BoundedPosition)
    assert shop.extraction.ledger("sales").position() == before.doubted()
    # Silver has what the backfill found, so the overlap is read again.
    assert shop.ids() == [2, 3]
    assert shop.ids() is None
    assert shop.ids((date(2017, 1, 1), date(2017, 12, 31))) is None


def test_rows_from_the_future_are_read_and_hide_nothing(shop: Shop) -> None:
    shop.sell(1)
    assert shop.ids() == [1]
    shop.sell(2, at="2037-01-01 12:00:00")
    assert shop.ids() == [2]
    assert shop.ids() is None
    shop.sell(3, at="2018-02-01 12:00:00")
    assert shop.ids() == [3]
    shop.execute("REPLACE INTO sales VALUES (2, 'another note', '2037-01-01 12:00:00')")
    assert shop.ids() == [2]
    shop.execute("INSERT INTO sales VALUES (4, 'now', now(6))")
    assert shop.ids() == [4]
    assert shop.ids() is None


def test_rows_without_a_watermark_are_read_once(shop: Shop) -> None:
    shop.execute("ALTER TABLE sales MODIFY at timestamp(6) NULL", "INSERT INTO sales VALUES (1, 'undated', NULL)")
    shop.sell(2)
    assert shop.ids() == [1, 2]
    assert shop.ids() is None
    shop.execute("INSERT INTO sales VALUES (3, 'undated', NULL)")
    assert shop.ids() == [1, 3]
    assert shop.ids() is None


def test_a_bookmark_behind_the_ledger_doubles_nothing(
    server: MariaDbServer, spark: SparkSession, tmp_path: Path
) -> None:
    shop = Shop(server, spark, tmp_path, read={"kind": "bookmark", "keys": ["id"]})
    shop.sell(1, 2, 3)
    assert shop.ids() == [1, 2, 3]
    shop.sell(4)
    # There is no Glue job here, so no bookmark: every read begins at the first row.
    assert shop.ids() == [4]
    assert shop.ids() is None


def test_a_key_that_was_taken_before_a_read_and_committed_after_it_is_read_by_bookmark(
    server: MariaDbServer, spark: SparkSession, tmp_path: Path
) -> None:
    shop = Shop(server, spark, tmp_path, read={"kind": "bookmark", "keys": ["id"], "overlap_rows": 3})
    shop.execute("ALTER TABLE sales MODIFY id bigint NOT NULL")
    shop.sell(-5, 0, 1, 2, 3)
    with shop.server.connect(autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO sales VALUES (4, 'taken first', '2018-01-01')")
        shop.sell(5)
        assert shop.ids() == [-5, 0, 1, 2, 3, 5]
        assert shop.ids() is None
        connection.commit()
    shop.sell(6)
    assert shop.ids() == [2, 3, 4, 5, 6]
    assert shop.ids() is None


def test_a_key_that_came_late_is_read_beside_a_bookmark_that_is_ahead(
    server: MariaDbServer, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(server, spark, tmp_path, read={"kind": "bookmark", "keys": ["id"], "overlap_rows": 3})
    shop.sell(1, 2, 3, 5)
    shop.ids()
    shop.sell(4, 6)
    ahead = shop.extraction.spark.createDataFrame([], "id decimal(20,0), note string, at timestamp")
    monkeypatch.setattr("local.awsglue.jdbc.read", lambda *_: ahead)
    assert shop.ids() == [2, 3, 4, 5, 6]
    assert shop.ids() is None


def test_overlaps_that_change_while_they_are_read_cost_no_new_row(
    server: MariaDbServer, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(server, spark, tmp_path, read={"kind": "bookmark", "keys": ["id"], "overlap_rows": 5})
    shop.sell(1, 2, 3, 5, 7)
    shop.ids()
    honest = read.read_joined

    def meanwhile(*given: Any) -> Any:
        shop.sell(4)
        return honest(*given)

    shop.sell(6, 8)
    monkeypatch.setattr(read, "read_joined", meanwhile)
    assert shop.ids() == [1, 2, 3, 4, 5, 6, 7, 8]
    monkeypatch.undo()
    assert shop.ids() == [3, 4, 5, 6, 7, 8]
    assert shop.ids() is None


def test_a_bookmark_ahead_of_the_ledger_loses_nothing(
    server: MariaDbServer, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(server, spark, tmp_path, read={"kind": "bookmark", "keys": ["id"]})
    shop.sell(1, 2, 3)
    shop.ids()
    shop.sell(4, 5, 6)
    ahead = shop.extraction.spark.createDataFrame([], "id decimal(20,0), note string, at timestamp")
    monkeypatch.setattr("local.awsglue.jdbc.read", lambda *_: ahead)
    assert shop.ids() == [4, 5, 6]


def test_wrong_credentials_are_for_a_person_and_a_silent_server_for_time(shop: Shop) -> None:
    shop.sell(1)
    good = shop.extraction.secret
    shop.extraction.secret = good | {"password": "not-the-password"}
    with pytest.raises(FatalSourceError, match="Access denied") as refused:
        shop.ids()
    assert "not-the-password" not in str(refused.value)
    shop.extraction.secret = good | {"port": str(free_port())}
    with pytest.raises(RetriableSourceError, match="run again"):
        shop.ids()


def test_just_what_is_declared_is_read_by_whatever_way(
    server: MariaDbServer, spark: SparkSession, tmp_path: Path
) -> None:
    declared = {"raw": ["order", "the-ref", "it's"], "where": "note LIKE 'good%' OR note = \"it's\" -- so"}
    days = (date(2018, 1, 1), date(2018, 1, 1))
    for partitions in (1, 3):
        shop = Shop(server, spark, tmp_path / str(partitions), **declared, partitions=partitions)
        shop.execute(
            "ALTER TABLE sales ADD `order` int DEFAULT 7, ADD `the-ref` int DEFAULT 8, ADD `it's` int DEFAULT 9",
            "INSERT INTO sales (id, note, at) VALUES (1, 'good', '2018-01-01 12:00:00'), (2, 'bad', '2018-01-01 12:00:00'), "
            "(3, 'it\\'s', '2018-01-01 12:00:00'), (4, 'bad', '2018-01-01 13:00:00')",
        )
        rows = shop.extraction.run("sales") or []
        assert {(int(row["id"]), row["order"], row["the-ref"], row["it's"]) for row in rows} == {
            (1, 7, 8, 9),
            (3, 7, 8, 9),
        }
        assert {name for row in rows for name in row.asDict()} == {"order", "the-ref", "it's", "at", "id", "_unread"}
        # What is left out neither moves the position nor is it a change.
        shop.execute("UPDATE sales SET note = 'still bad', at = '2018-01-01 14:00:00' WHERE id = 4")
        assert shop.ids() is None
        assert shop.ids(days) == [1, 3]
        assert [manifest.drift for manifest in shop.extraction.ledger("sales").since(0)] == [(), ()]


def test_a_change_in_a_column_that_is_not_declared_is_no_change(
    server: MariaDbServer, spark: SparkSession, tmp_path: Path
) -> None:
    shop = Shop(server, spark, tmp_path, raw=["id"])
    shop.sell(1, 2)
    assert shop.ids() == [1, 2]
    shop.execute("UPDATE sales SET note = 'another', at = at WHERE id = 2")
    assert shop.ids() is None


def test_a_declared_column_that_is_gone_is_named(server: MariaDbServer, spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(server, spark, tmp_path, raw=["id", "note"])
    shop.sell(1)
    assert shop.ids() == [1]
    shop.execute("ALTER TABLE sales DROP note")
    with pytest.raises(FatalSourceError, match=r"payments\.sales has no column note; known: id, at"):
        shop.ids()


def test_beyond_this_machine_there_is_no_session_but_over_tls_with_a_server_that_proves_to_be_its_host(
    server: MariaDbServer, spark: SparkSession
) -> None:
    # 127.0.0.2 is this machine as well, but not by a name for which encryption may be left out; MariaDB signs its certificate itself.
    secret = {"username": server.user, "password": server.password, "dbname": server.database}
    for host, opens in {"127.0.0.1": True, "127.0.0.2": False}.items():
        with passed_on(host, server.port) as port:
            database = MySql().database({**secret, "host": host, "port": str(port)})
            refused: Any = (
                nullcontext() if opens else pytest.raises(SourceError, match=r"Communications link|SSL|certif")
            )
            with refused, connect(spark, database) as session:
                assert session.row("SELECT 1") == ("1",)
