"""One PostgreSQL server for the tests of the world, and a small shop in it."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from local import world
from local.postgres import PostgresServer, free_port


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres") / "data", free_port()) as running:
        yield running


@pytest.fixture(scope="session")
def seeded(server: PostgresServer) -> str:
    """The name of a database with a shop of fifty households, seeded with 7; to be copied, not changed."""
    server.create_database("seeded")
    world.seed(server.dsn_of("seeded"), 7, households=50)
    return "seeded"


@pytest.fixture
def small_shop(server: PostgresServer, seeded: str) -> str:
    """The DSN of a fresh copy of the seeded shop."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("drop database if exists small with (force)")
        connection.execute(f"create database small template {seeded}")
    return server.dsn_of("small")


@pytest.fixture
def another_database(server: PostgresServer) -> str:
    server.create_database("another")
    return server.dsn_of("another")
