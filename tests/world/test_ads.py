"""What the ads platform reports, and how it changes its mind."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import psycopg
import pytest

from local import world
from local.world import facebook_ads

FIRST_DAY = date(2017, 1, 1)


def read(dsn: str) -> facebook_ads.AdWorld:
    with psycopg.connect(dsn) as connection:
        return facebook_ads.read_ads(connection)


def reported(at: facebook_ads.AdWorld, since: date, until: date) -> dict[tuple[int, date], facebook_ads.Insight]:
    return {(row.ad_id, row.day): row for row in facebook_ads.insights(at, since, until)}


@pytest.fixture
def year(small_shop: str) -> facebook_ads.AdWorld:
    return read(small_shop)


def test_two_accounts_run_twelve_campaigns_thirty_ad_sets_and_seventy_two_ads(year):
    assert (len(year.campaigns), len(year.ad_sets), len(year.ads)) == (12, 30, 72)
    assert {ad.account_id for ad in year.ads} == {account.account_id for account in facebook_ads.ACCOUNTS}
    assert [account.currency for account in facebook_ads.ACCOUNTS] == ["USD", "INR"]


def test_days_older_than_four_weeks_never_change(year):
    settled = year.clock - timedelta(days=facebook_ads.SETTLED_AFTER_DAYS + 1)
    later = replace(year, clock=year.clock + timedelta(days=90))
    assert reported(year, FIRST_DAY, settled) == reported(later, FIRST_DAY, settled)


def test_recent_days_are_restated_and_rows_vanish_and_appear(year):
    since, until = year.clock - timedelta(days=facebook_ads.SETTLED_AFTER_DAYS), year.clock - timedelta(days=1)
    now = reported(year, since, until)
    later = reported(replace(year, clock=year.clock + timedelta(days=10)), since, until)
    assert now.keys() - later.keys()
    assert later.keys() - now.keys()
    same = [key for key in now.keys() & later.keys() if now[key] == later[key]]
    assert 0 < len(same) < len(now.keys() & later.keys())


def test_a_row_that_does_not_settle_at_an_age_stays_as_it_is(year):
    day = year.clock - timedelta(days=5)
    tomorrow = replace(year, clock=year.clock + timedelta(days=1))
    now, later = reported(year, day, day), reported(tomorrow, day, day)
    kept = now.keys() & later.keys()
    assert kept
    assert all(now[key] == later[key] for key in kept)


def test_settled_purchases_are_the_orders_that_carry_the_campaign(year):
    later = replace(year, clock=year.clock + timedelta(days=40))
    rows = reported(later, FIRST_DAY, year.clock)
    for key, sale in year.sales.items():
        if key in rows:
            assert rows[key].purchases == sale.orders


def test_only_planted_rows_break_the_rules_and_all_are_counted(small_shop, year):
    rows = list(facebook_ads.insights(year, FIRST_DAY, year.clock))
    counted = world.defects(small_shop)
    assert (
        sum(row.clicks > row.impressions for row in rows)
        == counted["ads_insights", facebook_ads.CLICKS_ABOVE_IMPRESSIONS]
    )
    assert sum(row.spend < 0 for row in rows) == counted["ads_insights", facebook_ads.NEGATIVE_COST]
    assert all(row.reach <= row.impressions and row.omni_purchases >= row.purchases for row in rows)


def test_defects_are_counted_once_though_their_days_are_reported_again(small_shop):
    for step in range(1, 4):
        world.advance(small_shop, days=7, seed=step)
    at = read(small_shop)
    rows = list(facebook_ads.insights(at, FIRST_DAY, at.clock))
    counted = world.defects(small_shop)
    assert sum(row.spend < 0 for row in rows) == counted["ads_insights", facebook_ads.NEGATIVE_COST]
    assert (
        sum(row.clicks > row.impressions for row in rows)
        == counted["ads_insights", facebook_ads.CLICKS_ABOVE_IMPRESSIONS]
    )


def test_the_ledger_is_the_cost_of_the_rows_that_hold_up(small_shop, year):
    ledger = world.ads_ledger(small_shop)
    rows = [row for row in facebook_ads.insights(year, FIRST_DAY, year.clock) if not facebook_ads.defects_of(row)]
    assert sum((day.cost for day in ledger), Decimal(0)) == sum((row.spend for row in rows), Decimal(0))
    assert sum(day.rows for day in ledger) == len(rows)
    assert max(day.day for day in ledger) == year.clock - timedelta(days=1)
    rupees = {day.currency for day in ledger if day.account_id == facebook_ads.ACCOUNTS[1].account_id}
    assert rupees == {"INR"}


def test_a_step_counts_the_restated_rows(small_shop):
    before = read(small_shop)
    told = world.advance(small_shop, days=7, seed=1)
    after = read(small_shop)
    old = reported(before, FIRST_DAY, before.clock)
    new = reported(after, FIRST_DAY, after.clock)
    assert told.changes["ads_insights", "insert"] == len(new.keys() - old.keys())
    assert told.changes["ads_insights", "delete"] == len(old.keys() - new.keys()) > 0
    changed = sum(old[key] != new[key] for key in old.keys() & new.keys())
    assert told.changes["ads_insights", "update"] == changed > 0


def test_campaigns_end_ads_are_stopped_and_new_ones_begin(small_shop):
    before = read(small_shop)
    told = world.advance(small_shop, days=7, seed=1)
    after = read(small_shop)
    for name, old, new in (
        ("campaigns", before.campaigns, after.campaigns),
        ("ad_sets", before.ad_sets, after.ad_sets),
        ("ads", before.ads, after.ads),
    ):
        changed = [thing for thing in new if thing not in old]
        total = told.changes.get((name, "update"), 0) + told.changes.get((name, "insert"), 0)
        assert len(changed) == total > 0
        assert all(thing.updated_at.isoformat() > "2018-01-01T05:00" for thing in changed)
