"""Proofs that the pipeline's numbers are the sources' numbers: gold against DuckDB on the source database, ad cost against the
simulator's ledger, quarantine against the planted defects, both query engines against each other."""

from __future__ import annotations

import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg

from headwater.client import Client, Engine, RunState
from headwater.desk import frames
from headwater.run.alert import IN_PART
from local import world
from local.stack import Stack
from local.world.google_ads import google_ledger

ENGINES: tuple[Engine, ...] = ("athena", "redshift")
Gold = dict[str, dict[Engine, list[tuple[str, ...]]]]
_SAMPLE = 3
_BARE_IN_TRUTH = {"rds_postgres", "facebook_ads", "fx_rates"}
"""Sources whose streams the world's truth names without their source."""

# The truth about revenue: the shop's own rows, less those that are quarantined, by the definition of sql/gold.
_TRUTH_TABLES = {
    "order_items": "SELECT order_item_id, order_id, product_id, sales_value, ordered_at::timestamp AS ordered_at FROM shop.order_items",
    "orders": "SELECT order_id, status, deleted_at IS NOT NULL AS deleted FROM shop.orders",
    "products": "SELECT product_id, product_category FROM shop.products",
    "bad": "SELECT DISTINCT stream, key FROM truth.defects WHERE stream IN ('order_items', 'orders')",
}
_REVENUE = """
    SELECT
        strftime(date_trunc('month', items.ordered_at), '%Y-%m-%d') AS month,
        coalesce(products.product_category, 'UNKNOWN') AS category,
        sum(items.sales_value) AS revenue
    FROM order_items AS items
    JOIN orders ON orders.order_id = items.order_id
    JOIN products ON products.product_id = items.product_id
    WHERE orders.status = 'completed'
      AND NOT orders.deleted
      AND items.order_item_id NOT IN (SELECT CAST(key AS BIGINT) FROM bad WHERE stream = 'order_items')
      AND orders.order_id NOT IN (SELECT CAST(key AS BIGINT) FROM bad WHERE stream = 'orders')
    GROUP BY 1, 2
"""


def went_well(run: RunState) -> bool:
    """True when a run left nothing undone but files: with each of its steps the world drops some that nobody could read."""
    set_aside = run.error == IN_PART and json.loads(run.cause or "{}")["Cause"].startswith("set aside: ")
    return run.status == "SUCCEEDED" or set_aside


@dataclass(frozen=True)
class Proof:
    """One comparison: what the truth says, what the pipeline says, and whether they are the same."""

    name: str
    expected: str
    found: str
    ok: bool


def prove(stack: Stack, client: Client, gold: Gold) -> list[Proof]:
    """Compares everything that can be compared; `gold` is what `read_gold` has read, which lacks what no source feeds."""
    revenue = _revenue(stack, client) if "business_metrics" in gold else []
    ad_cost = _ad_cost(stack, client) if "marketing_performance" in gold else []
    return [*revenue, *ad_cost, *_same_answers(gold)]


def read_gold(client: Client) -> Gold:
    """Reads every gold table in both engines: sorted rows, numbers written in one way."""
    return {
        table: {
            engine: sorted(
                tuple(_plain(cell) for cell in row)
                for row in client.query(engine, f"SELECT * FROM {gold_table(client, engine, table)}").rows
            )
            for engine in ENGINES
        }
        for table in client.project.gold
    }


def gold_table(client: Client, engine: Engine, table: str) -> str:
    """Names a gold table as one engine knows it."""
    return f"analytics.{table}" if engine == "redshift" else f"{client.project.environment.database('gold')}.{table}"


def _revenue(stack: Stack, client: Client) -> list[Proof]:
    with tempfile.TemporaryDirectory() as folder, psycopg.connect(stack.rds_dsn) as source, duckdb.connect() as truth:
        source.execute("SET TimeZone = 'UTC'")
        for table, query in _TRUTH_TABLES.items():
            path = Path(folder) / f"{table}.csv"
            with path.open("wb") as out, source.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)") as rows:
                out.writelines(rows)
            types = {"sales_value": "DECIMAL(12,2)", "key": "VARCHAR"} if table in {"order_items", "bad"} else {}
            known = {name: kind for name, kind in types.items() if name in query}
            truth.read_csv(str(path), header=True, dtype=known).create(table)
        expected = {(month, category): revenue for month, category, revenue in truth.execute(_REVENUE).fetchall()}
    proofs = []
    for engine in ENGINES:
        table = gold_table(client, engine, "business_metrics")
        sql = f"SELECT CAST(month AS VARCHAR) AS month, category, revenue FROM {table}"
        answer = client.query(engine, sql).rows
        found = {(str(month)[:10], str(category)): Decimal(str(revenue)) for month, category, revenue in answer}
        proofs.append(_compare(f"Revenue by month and category, {engine}", expected, found))
    return proofs


def _ad_cost(stack: Stack, client: Client) -> list[Proof]:
    expected: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for day in world.ads_ledger(stack.rds_dsn) if stack.holds("facebook_ads") else ():
        if day.rows:
            expected[("facebook", f"{day.account_id} {day.day}")] += day.cost
    for entry in google_ledger(stack.rds_dsn) if stack.holds("google_ads") else ():
        if entry.rows:
            expected[("google", f"{entry.customer_id} {entry.day}")] += entry.cost
    proofs = []
    for engine in ENGINES:
        table = gold_table(client, engine, "marketing_performance")
        sql = (
            f"SELECT platform, account_id, CAST(date AS VARCHAR) AS date, SUM(cost) AS cost FROM {table} "
            "GROUP BY platform, account_id, date"
        )
        found = {
            (str(platform), f"{account} {str(day)[:10]}"): Decimal(str(cost))
            for platform, account, day, cost in client.query(engine, sql).rows
        }
        proofs.append(_compare(f"Ad cost by platform, account and day, {engine}", expected, found))
    return proofs


def _same_answers(gold: Gold) -> list[Proof]:
    proofs = []
    for table, answers in gold.items():
        athena, redshift = (answers[engine] for engine in ENGINES)
        differing = len(set(athena) ^ set(redshift))
        proofs.append(
            Proof(
                f"{table} is the same in both engines",
                f"{len(athena)} rows in Athena",
                f"{len(redshift)} rows in Redshift, {differing} differ",
                athena == redshift and bool(athena),
            )
        )
    return proofs


def _plain(cell: str | None) -> str:
    if cell is None:
        return ""
    try:
        number = Decimal(cell)
    except ArithmeticError:
        return cell
    return format(number.normalize(), "f")


def _compare(name: str, expected: Mapping[tuple[str, str], Decimal], found: Mapping[tuple[str, str], Decimal]) -> Proof:
    wrong = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
    sample = "; ".join(f"{' '.join(key)}: {expected.get(key)} ≠ {found.get(key)}" for key in wrong[:_SAMPLE])
    return Proof(
        name,
        f"{sum(expected.values()):,.2f} in {len(expected)} groups",
        f"{sum(found.values()):,.2f} in {len(found)} groups" + (f"; {len(wrong)} differ: {sample}" if wrong else ""),
        not wrong and bool(expected),
    )


def quarantine(stack: Stack, client: Client) -> list[dict[str, object]]:
    """Compares the planted defects with the rows that are quarantined, by table and reason.

    A defect of a row that is read again stands in quarantine once for each time it was read, so distinct rows are compared.
    """
    streams = [
        (source.name, name, stream.table)
        for source in client.project.sources.values()
        for name, stream in source.streams.items()
    ]
    tables = {f"{source}.{name}": table for source, name, table in streams}
    tables |= {name: table for source, name, table in streams if source in _BARE_IN_TRUTH}
    planted: Counter[tuple[str, str]] = Counter()
    for (stream, reason), count in world.defects(stack.rds_dsn).items():
        # The world holds what every source could tell, also those that this stack does without.
        if stream in tables:
            planted[tables[stream], reason] += count
    found = _quarantined(client, sorted({table for table, _ in planted}))
    return [
        {
            "table": table,
            "reason": reason,
            "planted": planted.get((table, reason), 0),
            "quarantined": found.get((table, reason), 0),
            "matches": planted.get((table, reason), 0) == found.get((table, reason), 0),
        }
        for table, reason in sorted(planted.keys() | found.keys())
    ]


def _quarantined(client: Client, tables: list[str]) -> dict[tuple[str, str], int]:
    database = client.project.environment.database("quarantine")
    counted: dict[tuple[str, str], int] = {}
    for table in tables:
        keys = client.project.tables[table].key
        key = " || '|' || ".join(f"coalesce(json_extract_scalar(\"row\", '$.{name}'), '')" for name in keys)
        sql = (
            f'SELECT reason, COUNT(DISTINCT {key}) AS found FROM {database}."{table}" '
            "CROSS JOIN UNNEST(reasons) AS t (reason) GROUP BY reason"
        )
        for row in frames.read(client, sql).to_pylist():
            counted[(table, row["reason"])] = row["found"]
    return counted
