"""What gold should be, told by the sources' own tables: each query gives columns of its gold table, one row of each grain."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import duckdb
import pytest

from local.postgres import PostgresServer
from local.source_tables import source_tables
from local.world import mismatched_orders
from tests.support import declared
from tests.support.paths import ROOT

TRUTHS = {path.stem: path.read_text() for path in sorted((ROOT / "local" / "truths").glob("*.sql"))}


@pytest.fixture(scope="module")
def tables(server: PostgresServer, seeded: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with source_tables(server.dsn_of(seeded), declared.project("local").sources) as found:
        yield found


@pytest.mark.parametrize("name", TRUTHS)
def test_a_truth_tells_columns_of_its_gold_table_and_each_row_of_it_once(
    name: str, tables: duckdb.DuckDBPyConnection
) -> None:
    gold, truth = declared.project().gold[name], tables.sql(TRUTHS[name])
    assert set(gold.grain) <= set(truth.columns) <= set(gold.columns)
    keys = truth.select(", ".join(gold.grain)).fetchall()
    assert len(set(keys)) == len(keys) > 10


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("hubspot", {"deals"}),
        ("redshift", {"visits"}),
        ("rds_postgres", {"counting_orders", "order_items", "products", "customers"}),
    ],
)
def test_a_source_that_is_there_alone_has_its_rows_and_no_other_has_any(
    source: str, told: set[str], server: PostgresServer, seeded: str
) -> None:
    with source_tables(server.dsn_of(seeded), {source}) as tables:
        names = ("counting_orders", "order_items", "products", "customers", "visits", "deals", "ads")
        assert {name for name in names if tables.table(name).limit(1).fetchall()} == told


@pytest.mark.parametrize("there", [(), *((source,) for source in sorted(declared.project("local").sources))])
def test_every_truth_is_told_in_the_same_types_whichever_sources_are_there(
    there: tuple[str, ...], tables: duckdb.DuckDBPyConnection, server: PostgresServer, seeded: str
) -> None:
    with source_tables(server.dsn_of(seeded), there) as found:
        assert {name: found.sql(truth).types for name, truth in TRUTHS.items()} == {
            name: tables.sql(truth).types for name, truth in TRUTHS.items()
        }


def test_customers_and_cities_add_up_to_the_same_sum(tables: duckdb.DuckDBPyConnection) -> None:
    [(by_customer,)] = tables.sql(f"SELECT sum(lifetime_value) FROM ({TRUTHS['customer_analytics']})").fetchall()
    [(by_city,)] = tables.sql(f"SELECT sum(revenue) FROM ({TRUTHS['regional_sales']})").fetchall()
    assert by_customer == by_city > Decimal(50_000)


def test_categories_and_products_add_up_to_the_same_sum(tables: duckdb.DuckDBPyConnection) -> None:
    [(by_category,)] = tables.sql(f"SELECT sum(revenue) FROM ({TRUTHS['business_metrics']})").fetchall()
    [(by_product,)] = tables.sql(f"SELECT sum(revenue) FROM ({TRUTHS['product_performance']})").fetchall()
    assert by_category == by_product > Decimal(50_000)


def test_the_orders_that_do_not_add_up_are_those_that_were_planted_so(
    tables: duckdb.DuckDBPyConnection, server: PostgresServer, seeded: str
) -> None:
    found = tables.sql(f"SELECT order_id FROM ({TRUTHS['order_values']}) WHERE NOT adds_up").fetchall()
    assert sorted(order for (order,) in found) == mismatched_orders(server.dsn_of(seeded)) != []


def test_what_is_in_no_dollars_is_worth_something_else(tables: duckdb.DuckDBPyConnection) -> None:
    other = tables.sql(
        "SELECT DISTINCT currency FROM ads LEFT JOIN worth USING (day, currency) WHERE rate IS NULL OR (rate = 1) <> (currency = 'USD')"
    )
    assert other.fetchall() == []
    assert len(tables.sql("SELECT DISTINCT currency FROM ads").fetchall()) > 2
