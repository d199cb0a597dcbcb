"""Whom Google's ads reached, by age, by gender and by country."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import psycopg
import pytest

from local.world import google_ads
from local.world.google_ads_breakdowns import VIEWS, Group, Place, breakdown

FIGURES = ("impressions", "clicks", "cost_micros", "conversions", "conversions_value")


@pytest.fixture
def year(small_shop: str) -> google_ads.GoogleWorld:
    with psycopg.connect(small_shop) as connection:
        return google_ads.read_google(connection)


def parts(at: google_ads.GoogleWorld, view: str, days: int = 60) -> list[tuple[Group, google_ads.AdDay]]:
    since = at.clock - timedelta(days=days)
    return [part for customer in google_ads.CUSTOMERS for part in breakdown(at, view, customer, since, at.clock)]


@pytest.mark.parametrize("view", VIEWS)
def test_parts_add_up_to_the_rows_of_the_ads_that_hold_up(year, view):
    rows = list(google_ads.performance(year, year.clock - timedelta(days=60), year.clock))
    assert any(google_ads.defects_of(row) for row in rows)
    for figure in FIGURES:
        whole, divided = Counter[tuple[int, date]](), Counter[tuple[int, date]]()
        for row in rows:
            if not google_ads.defects_of(row):
                whole[row.ad_group_id, row.day] += getattr(row, figure)
        for _, part in parts(year, view):
            divided[part.ad_group_id, part.day] += getattr(part, figure)
        assert divided == whole


@pytest.mark.parametrize("view", VIEWS)
def test_a_group_is_told_once_a_day_and_none_breaks_a_rule(year, view):
    found = parts(year, view)
    assert len({(part.ad_group_id, part.day, group) for group, part in found}) == len(found)
    assert not [part for _, part in found if google_ads.defects_of(part)]
    assert all(part.impressions for _, part in found)


@pytest.mark.parametrize(("view", "groups"), [("age_range_view", 7), ("gender_view", 3)])
def test_those_of_whom_nothing_is_known_are_a_group_too(year, view, groups):
    names = {group.name for group, _ in parts(year, view)}
    assert len(names) == groups
    assert len([name for name in names if name.endswith("UNDETERMINED")]) == 1


def test_an_account_advertises_in_its_own_countries(year):
    seen: dict[int, set[int]] = {}
    for group, part in parts(year, "geographic_view"):
        assert isinstance(group, Place)
        seen.setdefault(part.customer_id, set()).add(group.country_criterion_id)
    assert list(seen.values()) == [{2840, 2124, 2484}, {2276, 2040, 2756}]
