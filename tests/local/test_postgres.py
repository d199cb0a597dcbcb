"""The embedded PostgreSQL: starts from nothing, serves TCP with a password, and stops."""

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from headwater.config import JdbcSource
from headwater.deploy.project import load_source
from headwater.explore.databases import Postgres, open_database
from headwater.explore.found import SECONDS
from headwater.explore.secret import Secret
from local.postgres import PostgresError, PostgresServer, free_port
from tests.support.paths import ROOT
from tests.support.rds_proxy import rds_proxy


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres") / "data", free_port()) as started:
        yield started


def one(server: PostgresServer, query: bytes) -> object:
    with psycopg.connect(server.dsn) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_a_new_cluster_starts_within_seconds(tmp_path: Path) -> None:
    began = time.monotonic()
    with PostgresServer(tmp_path / "data", free_port()) as server:
        assert one(server, b"SELECT 1") == 1
    assert time.monotonic() - began < 15


def test_the_server_speaks_utc_and_sorts_by_code_point(server: PostgresServer) -> None:
    assert one(server, b"SHOW timezone") == "UTC"
    assert one(server, b"SELECT datcollate FROM pg_database WHERE datname = current_database()") == "C.UTF-8"


def test_logical_decoding_is_possible(server: PostgresServer) -> None:
    assert one(server, b"SHOW wal_level") == "logical"


def test_a_wrong_password_is_refused(server: PostgresServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.dsn.replace("password=headwater", "password=wrong"))


def test_creating_a_database_twice_does_no_harm(server: PostgresServer) -> None:
    server.create_database("shop")
    server.create_database("shop")
    with psycopg.connect(server.dsn_of("shop")) as connection:
        assert connection.info.dbname == "shop"


def test_starting_a_running_server_does_nothing(server: PostgresServer) -> None:
    server.start()
    assert server.is_running()


def test_a_second_port_for_a_running_cluster_is_refused(server: PostgresServer) -> None:
    with pytest.raises(PostgresError, match=f"already runs here on port {server.port}"):
        PostgresServer(server.data_dir, free_port()).start()


def test_a_stopped_cluster_keeps_its_rows(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "data", free_port())
    with server, psycopg.connect(server.dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    assert not server.is_running()
    with server:
        assert one(server, b"SELECT n FROM kept") == 7


def test_a_taken_port_is_explained(server: PostgresServer, tmp_path: Path) -> None:
    with pytest.raises(PostgresError, match="Address already in use"):
        PostgresServer(tmp_path / "data", server.port).start()


def test_a_look_at_the_database_goes_through_an_rds_proxy_and_changes_nothing(server: PostgresServer) -> None:
    source = load_source(ROOT, "rds_postgres")
    assert isinstance(source, JdbcSource)
    with rds_proxy(server.port) as door:
        values = {"host": "127.0.0.1", "port": str(door.port), "dbname": server.database}
        secret = Secret(values | {"username": server.user, "password": server.password}, lambda new: None)
        with open_database(source, secret) as explorer:
            assert isinstance(explorer.dialect, Postgres)
            session = explorer.dialect.connection
            assert session.execute("SHOW timezone").fetchone() == ("UTC",)
            assert session.execute("SHOW statement_timeout").fetchone() == (f"{SECONDS}s",)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                session.execute("CREATE TABLE t (id int)")
