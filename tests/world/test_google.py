"""What Google Ads reports, and how it changes its mind."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from local import world
from local.world import google_ads

FIRST_DAY = date(2017, 1, 1)
STREAM = "google_ads.ad_performance"


def read(dsn: str) -> google_ads.GoogleWorld:
    with psycopg.connect(dsn) as connection:
        return google_ads.read_google(connection)


def ask(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()


def reported(at: google_ads.GoogleWorld, since: date, until: date) -> dict[tuple[int, date], google_ads.AdDay]:
    return {(row.ad_id, row.day): row for row in google_ads.performance(at, since, until)}


@pytest.fixture
def year(small_shop: str) -> google_ads.GoogleWorld:
    return read(small_shop)


def test_two_customers_run_eight_campaigns_and_twenty_ad_groups(small_shop, year):
    told = world.changes(small_shop)
    assert (len(year.campaigns), len(year.ad_groups)) == (8, 20)
    for stream, things in (("campaigns", year.campaigns), ("ad_groups", year.ad_groups), ("ads", year.ads)):
        assert told[f"google_ads.{stream}", "insert"] == len(things)
    assert {ad.customer_id for ad in year.ads} == {customer.customer_id for customer in google_ads.CUSTOMERS}
    assert {ad.status for ad in year.ads} == {"ENABLED", "PAUSED"}


def test_days_older_than_thirty_days_never_change(year):
    settled = year.clock - timedelta(days=google_ads.SETTLED_AFTER_DAYS + 1)
    later = replace(year, clock=year.clock + timedelta(days=90))
    assert reported(year, FIRST_DAY, settled) == reported(later, FIRST_DAY, settled)


def test_recent_days_are_restated_and_rows_vanish_and_appear(year):
    since, until = year.clock - timedelta(days=google_ads.SETTLED_AFTER_DAYS), year.clock - timedelta(days=1)
    now = reported(year, since, until)
    later = reported(replace(year, clock=year.clock + timedelta(days=10)), since, until)
    assert now.keys() - later.keys()
    assert later.keys() - now.keys()
    same = [key for key in now.keys() & later.keys() if now[key] == later[key]]
    assert 0 < len(same) < len(now.keys() & later.keys())


def test_conversions_only_grow_and_clicks_are_only_taken_back(year):
    since, until = year.clock - timedelta(days=google_ads.SETTLED_AFTER_DAYS), year.clock - timedelta(days=1)
    now = reported(year, since, until)
    later = reported(replace(year, clock=year.clock + timedelta(days=40)), since, until)
    both = now.keys() & later.keys()
    assert all(later[key].conversions >= now[key].conversions for key in both)
    assert all(later[key].clicks <= now[key].clicks for key in both)


def test_credited_orders_carry_the_campaign_of_an_ad_that_ran(small_shop, year):
    orders = ask(
        small_shop,
        "select campaign_id, (ordered_at - interval '5 hours')::date, count(*), sum(total_amount) from shop.orders"
        " join google.campaigns using (campaign_id) group by 1, 2",
    )
    campaign_of = {ad.ad_id: ad.campaign_id for ad in year.ads}
    sold: Counter[tuple[int, date]] = Counter()
    amounts: dict[tuple[int, date], Decimal] = {}
    for (ad_id, day), sale in year.sales.items():
        key = campaign_of[ad_id], day
        sold[key] += sale.orders
        amounts[key] = amounts.get(key, Decimal(0)) + sale.amount_usd
    assert {(campaign, day): (n, total) for campaign, day, n, total in orders} == {
        key: (n, amounts[key]) for key, n in sold.items()
    }
    ads = {ad.ad_id: ad for ad in year.ads}
    assert all(ads[ad_id].runs_on(day) for ad_id, day in year.sales)
    assert sum(sold.values()) > 100


def test_no_order_has_two_campaigns_and_planted_orders_have_none(small_shop):
    assert ask(
        small_shop,
        "select count(*) from shop.orders where campaign_id is not null and (order_id in"
        " (select key::bigint from truth.defects where stream = 'orders') or order_id in"
        " (select order_id from truth.mismatched_orders))",
    ) == [(0,)]
    [[facebook, planned]] = ask(
        small_shop,
        "select (select count(*) from shop.orders join truth.ad_campaigns using (campaign_id)),"
        " (select sum(orders)::int from truth.ad_sales)",
    )
    assert facebook >= planned > 0


def test_settled_conversions_are_credited_orders(year):
    later = replace(year, clock=year.clock + timedelta(days=40))
    rows = reported(later, FIRST_DAY, year.clock)
    for key, sale in year.sales.items():
        if key in rows:
            assert Decimal("0.5") * sale.orders <= rows[key].conversions <= sale.orders


def test_only_planted_rows_break_the_rules_and_all_are_counted(small_shop):
    for step in range(1, 3):
        world.advance(small_shop, days=7, seed=step)
    at = read(small_shop)
    rows = list(google_ads.performance(at, FIRST_DAY, at.clock))
    counted = world.defects(small_shop)
    assert sum(row.clicks > row.impressions for row in rows) == counted[STREAM, google_ads.CLICKS_ABOVE_IMPRESSIONS]
    assert sum(row.cost_micros < 0 for row in rows) == counted[STREAM, google_ads.NEGATIVE_COST]
    assert all(row.cost_micros % 10_000 == 0 and row.cost_micros for row in rows)


def test_the_ledger_is_the_sum_of_the_rows_that_hold_up(small_shop, year):
    ledger = google_ads.google_ledger(small_shop)
    rows = [row for row in google_ads.performance(year, FIRST_DAY, year.clock) if not google_ads.defects_of(row)]
    assert sum(day.cost for day in ledger) == Decimal(sum(row.cost_micros for row in rows)) / 1_000_000
    assert sum(day.clicks for day in ledger) == sum(row.clicks for row in rows)
    assert sum(day.conversions for day in ledger) == sum(row.conversions for row in rows)
    assert sum(day.rows for day in ledger) == len(rows)
    assert max(day.day for day in ledger) == year.clock - timedelta(days=1)
    assert {(day.customer_id, day.currency) for day in ledger} == {(3030000001, "USD"), (3030000002, "EUR")}


def test_a_step_counts_what_changed(small_shop):
    before = read(small_shop)
    told = world.advance(small_shop, days=7, seed=1)
    after = read(small_shop)
    old, new = reported(before, FIRST_DAY, before.clock), reported(after, FIRST_DAY, after.clock)
    assert told.changes[STREAM, "insert"] == len(new.keys() - old.keys())
    assert told.changes[STREAM, "delete"] == len(old.keys() - new.keys()) > 0
    assert told.changes[STREAM, "update"] == sum(old[key] != new[key] for key in old.keys() & new.keys()) > 0
    for stream, then, now in (
        ("campaigns", before.campaigns, after.campaigns),
        ("ad_groups", before.ad_groups, after.ad_groups),
        ("ads", before.ads, after.ads),
    ):
        assert told.changes.get((f"google_ads.{stream}", "insert"), 0) == len(now) - len(then)
        changed = sum(new != old for old, new in zip(then, now, strict=False))
        assert told.changes[f"google_ads.{stream}", "update"] == changed > 0


def test_the_same_seed_makes_the_same_advertising(small_shop, another_database):
    world.seed(another_database, 7, 50)
    for dsn in (small_shop, another_database):
        world.advance(dsn, days=2, seed=5)
    assert read(small_shop) == read(another_database)
