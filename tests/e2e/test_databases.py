"""Databases all the way: MySQL's payments and stock, and PostgreSQL's change log, equal their sources; days are read again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from headwater.client import Client
from headwater.deployment import Deployment
from headwater.ledger import Book
from headwater.runs import books_of
from local import world
from local.demo import footprint
from local.mariadb import is_installed
from local.postgres import free_port
from local.stack import ROOT, Ports, Stack, running

from .pipeline import Pipeline

pytestmark = pytest.mark.skipif(not is_installed(), reason="MariaDB is not installed: apt-get install mariadb-server")

HOUSEHOLDS = 60
STREAMS = ("rds_mysql.payments", "rds_mysql.inventory", "rds_postgres.loyalty_accounts")


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A pipeline over MySQL and over the one PostgreSQL table that is read from the log."""
    ports = Ports(free_port(), free_port(), free_port(), free_port())
    sources = frozenset({"rds_mysql", "rds_postgres"})
    with running(Stack(tmp_path_factory.mktemp("databases"), ports, sources), HOUSEHOLDS) as stack:
        project = stack.project()
        shop = project.sources["rds_postgres"]
        logged = shop.model_copy(update={"streams": {"loyalty_accounts": shop.streams["loyalty_accounts"]}})
        tables = {"payments", "inventory", "loyalty_accounts"}
        project = project.model_copy(
            update={
                "sources": {**project.sources, "rds_postgres": logged},
                "quality": {name: policy for name, policy in project.quality.items() if name in tables},
                "gold": {},
            }
        )
        deployment = Deployment(project, ROOT)
        stack.use()
        stack.deploy(deployment)
        yield Pipeline(stack, Client(deployment))


def books(pipeline: Pipeline, run: dict[str, Any]) -> dict[str, Book]:
    found = {f"{book.source}.{book.stream}": book for book in books_of(pipeline.client.environment, run["run_id"])}
    assert all(book.balances for book in found.values())
    return found


def silver(pipeline: Pipeline, sql: str) -> list[tuple[str, ...]]:
    database = pipeline.client.project.environment.database("silver")
    return [tuple(map(str, row)) for row in pipeline.client.query("athena", sql.format(silver=database)).rows]


def truth(pipeline: Pipeline, sql: str) -> list[tuple[str, ...]]:
    with psycopg.connect(pipeline.stack.rds_dsn) as connection:
        return [tuple(map(str, row)) for row in connection.execute(sql)]  # type: ignore[call-overload]


def not_planted(stream: str, key: str) -> str:
    return f"{key}::text NOT IN (SELECT key FROM truth.defects WHERE stream = '{stream}')"


def check_equality(pipeline: Pipeline) -> None:
    """Silver is the source: counts, money, and what only one kind of database has."""
    columns = "status, method, features, count(*), sum(amount), sum(gateway_ref), sum(attempts), sum(risk_flags), "
    columns += "count(refunded_on), count(deleted_at)"
    by_kind = "GROUP BY status, method, features ORDER BY 1, 2, 3"
    paid_at = "to_char(min(paid_at AT TIME ZONE 'America/New_York'), 'YYYY-MM-DD HH24:MI:SS.MS \"UTC\"')"
    assert silver(pipeline, f"SELECT {columns}, min(paid_at) FROM {{silver}}.payments {by_kind}") == truth(
        pipeline,
        f"SELECT {columns}, {paid_at} FROM payments.payments "
        f"WHERE {not_planted('rds_mysql.payments', 'payment_id')} {by_kind}",
    )
    shelves = (
        "SELECT warehouse, count(*), sum(quantity), count(counted_on), count(deleted_at), min(shelf), max(shelf) FROM "
    )
    by_warehouse = " GROUP BY warehouse ORDER BY 1"
    assert silver(pipeline, f"{shelves} {{silver}}.inventory {by_warehouse}") == truth(
        pipeline,
        f"{shelves} payments.inventory WHERE {not_planted('rds_mysql.inventory', 'inventory_id')} {by_warehouse}",
    )
    accounts = "SELECT account_id, tier, points, balance, length(biography) FROM"
    assert silver(
        pipeline, f"{accounts} {{silver}}.loyalty_accounts WHERE deleted_at IS NULL ORDER BY account_id"
    ) == truth(pipeline, f"{accounts} loyalty.accounts WHERE points >= 0 ORDER BY account_id")
    assert silver(
        pipeline, "SELECT account_id FROM {silver}.loyalty_accounts WHERE deleted_at IS NOT NULL ORDER BY account_id"
    ) == truth(pipeline, "SELECT account_id FROM loyalty.closed ORDER BY account_id")


def test_silver_is_what_the_databases_hold_after_history_and_after_changes(databases: Pipeline) -> None:
    first = books(databases, databases.run_well())
    check_equality(databases)
    told = databases.stack.advance(3, 5)
    second = books(databases, databases.run_well())
    check_equality(databases)
    for stream in STREAMS:
        changed = sum(told.changes.get((stream, kind), 0) for kind in ("insert", "update", "delete"))
        assert second[stream].extracted == changed
        planted = {
            reason: number
            for (name, reason), number in world.defects(databases.stack.rds_dsn).items()
            if name == stream
        }
        found = {reason: first[stream].reasons[reason] + second[stream].reasons.get(reason, 0) for reason in planted}
        assert found == planted
    before = footprint(databases.client)
    databases.run_well()
    assert footprint(databases.client) == before


def test_a_backfill_brings_nothing_new_and_leaves_the_positions(databases: Pipeline) -> None:
    def positions() -> list[Any]:
        return [databases.client.environment.ledger.stream(*stream.split(".")).position() for stream in STREAMS]

    before = positions()
    given = {"mode": "backfill", "window": {"from": "2017-11-01", "to": "2018-01-03"}, "as_of": "2018-01-04"}
    run = databases.client.wait(databases.client.start(given))
    assert run["status"] == "SUCCEEDED", run["cause"]
    found = list(books_of(databases.client.environment, run["run_id"]))
    assert {book.stream for book in found} == {"payments", "inventory", "loyalty_accounts"}
    # An account that has not changed since its snapshot gets a newer place in the log; nothing else about it differs.
    assert all(book.silver_inserted == 0 and book.balances for book in found)
    assert positions() == before
    check_equality(databases)
