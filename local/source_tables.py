"""The sources' own tables side by side in DuckDB, so that what gold should be is computed from them alone.

They are less what is quarantined, and nothing that Headwater has made.
"""

from __future__ import annotations

import tempfile
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa

from local.world import facebook_ads, facebook_ads_breakdowns, fx_rates, google_ads, google_ads_breakdowns
from local.world.rds_postgres import FIRST_CLOCK
from local.world.truth import read_world

_REPORTING = "USD"
_OLDEST_RATE_DAYS = 10
_HISTORY_DAYS = 375
"""Days before the first run whose rates the first load reads: fx_rates.yaml."""
_QUOTED = ("GBP", "INR", "USD")

_SOUND = "{key} NOT IN (SELECT CAST(key AS bigint) FROM truth.defects WHERE stream = '{stream}' AND key ~ '^[0-9]+$')"
# Which orders count, as docs/business-logic.md says it.
_COPIED = {
    "counting_orders": "SELECT order_id, customer_id, campaign_id, ordered_at, CAST(ordered_at AS date) AS day, total_amount "
    "FROM shop.orders "
    "WHERE status = 'completed' AND deleted_at IS NULL AND " + _SOUND.format(key="order_id", stream="orders"),
    "order_items": "SELECT order_id, product_id, quantity, sales_value FROM shop.order_items WHERE "
    + _SOUND.format(key="order_item_id", stream="order_items"),
    "products": "SELECT product_id, department, product_category, brand FROM shop.products WHERE "
    + _SOUND.format(key="product_id", stream="products"),
    "customers": "SELECT customer_id, city FROM shop.customers WHERE "
    + _SOUND.format(key="customer_id", stream="customers"),
    "visits": "SELECT customer_id, CAST(started_at AS date) AS day, page_views, conversions, conversion_value "
    "FROM behavior.customer_behavior WHERE deleted_at IS NULL AND "
    + _SOUND.format(key="session_id", stream="redshift.customer_behavior"),
    "deals": "SELECT deal_id, pipeline, stage, amount, currency, CAST(created_at AS date) AS day FROM crm.deals "
    "WHERE archived_at IS NULL AND " + _SOUND.format(key="deal_id", stream="hubspot.deals"),
}


_PER = """CREATE MACRO per(amount, number) AS
    CASE WHEN number > 0 THEN CAST((2 * CAST(amount * 100 AS HUGEINT) + number) // (2 * number) AS DECIMAL(18, 0)) * 0.01 END"""
"""What of an amount falls to each of a number, to the cent, halves up: DuckDB's own division goes through floating point."""
_OF_SOURCE = {"visits": "redshift", "deals": "hubspot"}
"""Whose tables those are that are not the shop's: of no rows where the source is not there."""
_TEXTS = ("platform", "account_id", "campaign_id", "ad_group_id", "ad_id")
_ADS = dict.fromkeys(_TEXTS, pa.string()) | {
    "day": pa.date32(),
    "currency": pa.string(),
    "impressions": pa.int64(),
    "clicks": pa.int64(),
    "cost": pa.decimal128(18, 6),
}
_GROUPS = ("platform", "account_id", "campaign_id", "dimension", "segment", "currency")
_PARTS = dict.fromkeys(_GROUPS, pa.string()) | {
    "day": pa.date32(),
    "impressions": pa.int64(),
    "clicks": pa.int64(),
    **dict.fromkeys(("cost", "conversions", "conversion_value"), pa.decimal128(18, 6)),
}
_COUNTRIES = {2040: "AT", 2124: "CA", 2276: "DE", 2484: "MX", 2756: "CH", 2840: "US"}
_WORTH = {"day": pa.date32(), "currency": pa.string(), "rate": pa.decimal128(24, 16)}


@contextmanager
def source_tables(dsn: str, sources: Container[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Copies the tables of some sources, which are in the world's database: days are those of UTC, and other sources have no rows."""
    with tempfile.TemporaryDirectory() as folder, psycopg.connect(dsn) as source, duckdb.connect() as tables:
        source.execute("SET TimeZone = 'UTC'")
        tables.execute(_PER)
        for table, query in _COPIED.items():
            path = Path(folder) / f"{table}.csv"
            told = _OF_SOURCE.get(table, "rds_postgres") in sources
            rows_of = f"COPY (SELECT * FROM ({query}) AS told WHERE {told}) TO STDOUT (FORMAT csv, HEADER)"
            with path.open("wb") as out, source.cursor().copy(rows_of) as rows:
                out.writelines(rows)
            tables.read_csv(str(path), header=True, dtype=_types(source, query)).create(table)
        computed = (
            ("ads", _ADS, _ads(dsn, sources)),
            ("parts", _PARTS, _parts(dsn, sources)),
            ("worth", _WORTH, _worth(dsn, sources)),
        )
        for name, columns, made in computed:
            table_rows = [dict(zip(columns, row, strict=True)) for row in made]
            tables.from_arrow(pa.Table.from_pylist(table_rows, pa.schema(columns.items()))).create(name)
        yield tables


def _types(source: psycopg.Connection, query: str) -> dict[str, str]:
    """The columns of a query by name, with their types: a file of no rows does not show them."""
    columns = source.execute(f"SELECT * FROM ({query}) AS told WHERE false").description or ()
    return {column.name: column.type_display for column in columns}


def _ads(dsn: str, sources: Container[str]) -> Iterator[tuple[object, ...]]:
    """The ads' days that hold up, as the platforms report them now."""
    with psycopg.connect(dsn) as connection:
        if "facebook_ads" in sources:
            facebook = facebook_ads.read_ads(connection)
            money = {account.account_id: account.currency for account in facebook_ads.ACCOUNTS}
            for row in facebook_ads.insights(facebook, _first(facebook.ads), facebook.clock):
                if not facebook_ads.defects_of(row):
                    ids = map(str, (row.account_id, row.campaign_id, row.ad_set_id, row.ad_id))
                    yield "facebook", *ids, row.day, money[row.account_id], row.impressions, row.clicks, row.spend
        if "google_ads" in sources:
            google = google_ads.read_google(connection)
            money = {customer.customer_id: customer.currency for customer in google_ads.CUSTOMERS}
            for shown in google_ads.performance(google, _first(google.ads), google.clock):
                if not google_ads.defects_of(shown):
                    ids = map(str, (shown.customer_id, shown.campaign_id, shown.ad_group_id, shown.ad_id))
                    cost = Decimal(shown.cost_micros) / google_ads.MICROS
                    yield "google", *ids, shown.day, money[shown.customer_id], shown.impressions, shown.clicks, cost


def _parts(dsn: str, sources: Container[str]) -> Iterator[tuple[object, ...]]:
    """Whom the ads reached, in parts that hold up, of the days that were read, as the platforms report them now."""
    # google_ads.yaml reads as far back as facebook_ads.yaml.
    since = FIRST_CLOCK - timedelta(days=facebook_ads_breakdowns.READ_DAYS)
    with psycopg.connect(dsn) as connection:
        if "facebook_ads" in sources:
            yield from _facebook_parts(facebook_ads.read_ads(connection), since)
        if "google_ads" in sources:
            yield from _google_parts(google_ads.read_google(connection), since)


def _facebook_parts(world: facebook_ads.AdWorld, since: date) -> Iterator[tuple[object, ...]]:
    money = {account.account_id: account.currency for account in facebook_ads.ACCOUNTS}
    targeting = {ad_set.ad_set_id: ad_set.targeting for ad_set in world.ad_sets}
    for row in facebook_ads.insights(world, since, world.clock):
        ids = str(row.account_id), str(row.campaign_id)
        for names, parting in facebook_ads_breakdowns.PARTINGS.items():
            for group, part in parting(row, world.seed, targeting[row.ad_set_id]):
                if facebook_ads.defects_of(part):
                    continue
                numbers = part.impressions, part.clicks, part.spend, part.purchases, part.purchase_value
                for dimension, segment in zip(names, group, strict=True):
                    yield "facebook", *ids, dimension, segment, money[row.account_id], row.day, *numbers


def _google_parts(world: google_ads.GoogleWorld, since: date) -> Iterator[tuple[object, ...]]:
    for customer in google_ads.CUSTOMERS:
        for view in google_ads_breakdowns.VIEWS:
            for group, part in google_ads_breakdowns.breakdown(world, view, customer, since, world.clock):
                ids = str(customer.customer_id), str(part.campaign_id)
                cost = Decimal(part.cost_micros) / google_ads.MICROS
                numbers = part.impressions, part.clicks, cost, part.conversions, part.conversions_value
                yield "google", *ids, *_segment(view, group), customer.currency, part.day, *numbers


def _segment(view: str, group: google_ads_breakdowns.Group) -> tuple[str, str]:
    """The dimension of a view, and what a group of people is called in it."""
    if isinstance(group, google_ads_breakdowns.Place):
        return "country", _COUNTRIES[group.country_criterion_id]
    name = group.name.removeprefix("AGE_RANGE_").replace("65_UP", "65+").replace("_", "-").lower()
    return view.partition("_")[0], "unknown" if name == "undetermined" else name


def _first(ads: Iterable[facebook_ads.Ad] | Iterable[google_ads.Ad]) -> date:
    return min(ad.start_day for ad in ads)


def _worth(dsn: str, sources: Container[str]) -> Iterator[tuple[object, ...]]:
    """What a unit of each currency was worth in the reporting currency, by the newest rates that were not too old."""
    with psycopg.connect(dsn) as connection:
        told = read_world(connection)
    first = FIRST_CLOCK - timedelta(days=_HISTORY_DAYS)
    per_euro = {
        day: {"EUR": Decimal(1)} | {name: rate for name, rate in rates.items() if name in _QUOTED}
        for day in (fx_rates.published_days(first, told.clock, told.clock) if "fx_rates" in sources else ())
        for rates in [fx_rates.rates_on(day, told.clock, told.seed)]
    }
    for day in (first - timedelta(days=60) + timedelta(days=n) for n in range((told.clock - first).days + 90)):
        yield day, _REPORTING, Decimal(1)
        newest = next(
            (per_euro[d] for age in range(_OLDEST_RATE_DAYS + 1) if (d := day - timedelta(age)) in per_euro), {}
        )
        for name in newest.keys() - {_REPORTING}:
            yield day, name, round(newest[_REPORTING] / newest[name], 16)
