"""Whom Google's ads reached: each ad group's day in parts by age, by gender or by country, which add up to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from local.world import google_ads
from local.world.advertising import apportioned
from local.world.dice import draw


class Criterion(NamedTuple):
    """A group of people, by the id and the name that the platform gives it in every ad group."""

    criterion_id: int
    name: str


class Place(NamedTuple):
    """A country, and whether the people were there or looked for something there."""

    country_criterion_id: int
    """2000 and the country's number in ISO 3166."""
    location_type: str


Group = Criterion | Place

AGES = (
    Criterion(503001, "AGE_RANGE_18_24"),
    Criterion(503002, "AGE_RANGE_25_34"),
    Criterion(503003, "AGE_RANGE_35_44"),
    Criterion(503004, "AGE_RANGE_45_54"),
    Criterion(503005, "AGE_RANGE_55_64"),
    Criterion(503006, "AGE_RANGE_65_UP"),
    Criterion(503999, "AGE_RANGE_UNDETERMINED"),
)
GENDERS = (Criterion(10, "MALE"), Criterion(11, "FEMALE"), Criterion(20, "UNDETERMINED"))
_PRESENCE, _INTEREST = "LOCATION_OF_PRESENCE", "AREA_OF_INTEREST"
PLACES: Mapping[str, Sequence[Place]] = {
    "USD": (Place(2840, _PRESENCE), Place(2124, _PRESENCE), Place(2840, _INTEREST), Place(2484, _PRESENCE)),
    "EUR": (Place(2276, _PRESENCE), Place(2040, _PRESENCE), Place(2756, _PRESENCE), Place(2276, _INTEREST)),
}
"""By the account's currency, the most frequent first."""

VIEWS = ("age_range_view", "gender_view", "geographic_view")


def breakdown(
    world: google_ads.GoogleWorld, view: str, customer: google_ads.Customer, since: date, until: date
) -> Iterator[tuple[Group, google_ads.AdDay]]:
    """Parts of each ad group's day in one account; they are of no ad, so `ad_id` is 0.

    Rows with a planted defect are in none: what is wrong with one ad's day would show in the sum of several on some days and
    not on others.
    """
    for day in _ad_group_days(world, customer, since, until):
        groups = _groups(view, customer)
        weights = [40 // (k + 1) + draw(10, world.seed, view, day.ad_group_id, group) for k, group in enumerate(groups)]
        shares = apportioned(day.impressions, weights)
        # By impressions, so that no group has more of anything than impressions.
        clicks, cost = apportioned(day.clicks, shares), apportioned(day.cost_micros, shares)
        conversions = apportioned(int(day.conversions * google_ads.MICROS), shares)
        value = apportioned(int(day.conversions_value * 100), shares)
        for k, group in enumerate(groups):
            if shares[k]:
                yield (
                    group,
                    day._replace(
                        impressions=shares[k],
                        clicks=clicks[k],
                        cost_micros=cost[k],
                        conversions=Decimal(conversions[k]) / google_ads.MICROS,
                        conversions_value=Decimal(value[k]) / 100,
                    ),
                )


def _groups(view: str, customer: google_ads.Customer) -> Sequence[Group]:
    return {"age_range_view": AGES, "gender_view": GENDERS}.get(view) or PLACES[customer.currency]


def _ad_group_days(
    world: google_ads.GoogleWorld, customer: google_ads.Customer, since: date, until: date
) -> Iterator[google_ads.AdDay]:
    days: dict[tuple[int, date], google_ads.AdDay] = {}
    for row in google_ads.performance(world, since, until):
        if row.customer_id == customer.customer_id and not google_ads.defects_of(row):
            key = row.ad_group_id, row.day
            days[key] = days[key].plus(row) if key in days else row._replace(ad_id=0)
    yield from days.values()
