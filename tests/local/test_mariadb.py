"""The local MariaDB: starts from nothing in another zone than UTC, stops by its own pid, and says how to get it."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import mariadb_programs
from local.mariadb import MariaDbServer
from local.mariadb_programs import MariaDbError
from local.postgres import free_port


def one(server: MariaDbServer, query: str) -> object:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(query)
        [found] = cursor.fetchone()
        return found


def test_a_server_keeps_its_rows_over_a_restart_and_its_own_zone(tmp_path: Path) -> None:
    server = MariaDbServer(tmp_path / "data", free_port())
    with server:
        server.start()
        assert one(server, "SELECT @@global.time_zone") == "-05:00"
        with server.connect(autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept AS SELECT 7 AS n")
    assert not server.is_running()
    with server:
        assert one(server, "SELECT n FROM kept") == 7


def test_a_pid_file_that_another_process_has_inherited_stops_nobody(tmp_path: Path) -> None:
    server = MariaDbServer(tmp_path / "data", free_port())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "server.pid").write_text("1")
    assert not server.is_running()
    server.stop()


def test_a_taken_port_is_explained(tmp_path: Path) -> None:
    with MariaDbServer(tmp_path / "first", free_port()) as first:
        second = MariaDbServer(tmp_path / "second", first.port, password="another")
        with pytest.raises(MariaDbError, match="Address already in use"):
            second.start()


def test_without_mariadb_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mariadb_programs, "_PATH", "/nowhere")
    monkeypatch.setenv("HEADWATER_IVY", str(tmp_path / "nowhere" / "ivy"))
    with pytest.raises(MariaDbError, match="hint: make setup fetches one; apt-get install mariadb-server"):
        MariaDbServer(tmp_path / "data", free_port()).start()
