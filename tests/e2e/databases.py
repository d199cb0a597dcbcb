"""What the databases hold, and what silver has of it: MySQL's payments and stock, and the table read from PostgreSQL's log."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import psycopg

from headwater.client import Client
from local.stack import Stack

STREAMS = ("rds_mysql.payments", "rds_mysql.inventory", "rds_postgres.loyalty_accounts")


def differing(stack: Stack, client: Client) -> list[Any]:
    """Rows that silver and its source do not have alike: counts, money, and what only one kind of database has."""
    columns = "status, method, features, count(*), sum(amount), sum(gateway_ref), sum(attempts), sum(risk_flags), "
    columns += "count(refunded_on), count(deleted_at)"
    by_kind = "GROUP BY status, method, features ORDER BY 1, 2, 3"
    paid_at = "to_char(min(paid_at AT TIME ZONE 'America/New_York'), 'YYYY-MM-DD HH24:MI:SS.MS \"UTC\"')"
    shelves = "warehouse, count(*), sum(quantity), count(counted_on), count(deleted_at), min(shelf), max(shelf)"
    by_warehouse = "GROUP BY warehouse ORDER BY 1"
    accounts = "account_id, tier, points, balance, length(biography)"
    asked = [
        (
            f"{columns}, min(paid_at) FROM {{silver}}.payments {by_kind}",
            f"{columns}, {paid_at} FROM payments.payments WHERE {_sound('rds_mysql.payments', 'payment_id')} {by_kind}",
        ),
        (
            f"{shelves} FROM {{silver}}.inventory {by_warehouse}",
            f"{shelves} FROM payments.inventory WHERE {_sound('rds_mysql.inventory', 'inventory_id')} {by_warehouse}",
        ),
        (
            f"{accounts} FROM {{silver}}.loyalty_accounts WHERE deleted_at IS NULL ORDER BY account_id",
            f"{accounts} FROM loyalty.accounts WHERE points >= 0 ORDER BY account_id",
        ),
        (
            "account_id FROM {silver}.loyalty_accounts WHERE deleted_at IS NOT NULL ORDER BY account_id",
            "account_id FROM loyalty.closed ORDER BY account_id",
        ),
    ]
    database = client.project.environment.database("silver")
    unlike: list[Any] = []
    with psycopg.connect(stack.rds_dsn) as connection:
        for in_silver, in_source in asked:
            found = _texts(client.query("athena", f"SELECT {in_silver.format(silver=database)}").rows)
            expected = _texts(connection.execute(f"SELECT {in_source}"))  # type: ignore[call-overload]
            unlike += [pair for pair in zip_longest(found, expected) if pair[0] != pair[1]]
    return unlike


def _sound(stream: str, key: str) -> str:
    return f"{key}::text NOT IN (SELECT key FROM truth.defects WHERE stream = '{stream}')"


def _texts(rows: Any) -> list[tuple[str, ...]]:
    return [tuple(map(str, row)) for row in rows]
