"""Whom Facebook's ads reached: each row of the insights in parts by age and gender, or by country, which add up to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from local.world import facebook_ads
from local.world.advertising import apportioned
from local.world.dice import draw
from local.world.truth import Defect

READ_DAYS = 90
"""How far back config/sources/facebook_ads.yaml reads these parts: what is planted before is never met."""

AGES = {"18-24": (18, 24), "25-34": (25, 34), "35-44": (35, 44), "45-54": (45, 54), "55-64": (55, 64), "65+": (65, 99)}
"""First and last age of each group."""
GENDERS = ("female", "male", "unknown")
_PEOPLE = tuple((age, gender) for age in AGES for gender in GENDERS)


class Piece(NamedTuple):
    """The part of an insight that fell to one group of people; the group has a value for each breakdown."""

    group: tuple[str, ...]
    part: facebook_ads.Insight


Parting = Callable[[facebook_ads.Insight, int, Mapping[str, Any]], Iterator[Piece]]


def demographics(row: facebook_ads.Insight, seed: int, targeting: Mapping[str, Any]) -> Iterator[Piece]:
    """Parts of one row by the ages and genders that its ad set is for."""
    yield from _parted(row, _PEOPLE, _people(seed, row.ad_id, int(targeting["age_min"]), int(targeting["age_max"])))


def countries(row: facebook_ads.Insight, seed: int, targeting: Mapping[str, Any]) -> Iterator[Piece]:
    """Parts of one row by the countries that its ad set is for."""
    meant = targeting["geo_locations"]["countries"]
    weights = [40 // (k + 1) ** 2 + draw(4, seed, row.ad_id, country) for k, country in enumerate(meant)]
    yield from _parted(row, [(country,) for country in meant], weights)


PARTINGS: Mapping[tuple[str, ...], Parting] = {("age", "gender"): demographics, ("country",): countries}
"""How a row is parted, by the breakdowns that can be asked for together."""
STREAMS = {
    "ads_insights_demographics": demographics,
    "ads_insights_countries": countries,
}
"""The streams that read parts."""


def _parted(row: facebook_ads.Insight, groups: Sequence[tuple[str, ...]], weights: Sequence[int]) -> Iterator[Piece]:
    """Parts of one row in proportion to the weights; a group that did not see the ad has none.

    A planted row falls to one group as a whole: of its parts, some would hold up on some days and not on others.
    """
    if facebook_ads.defects_of(row):
        yield Piece(groups[weights.index(max(weights))], row)
        return
    # Money in hundredths: whole numbers can be parted so that the parts add up.
    shares = {"impressions": apportioned(row.impressions, weights)}
    # By impressions, so that no group has more of anything than impressions.
    shares |= {name: apportioned(getattr(row, name), shares["impressions"]) for name in _NUMBERS}
    shares |= {name: apportioned(int(getattr(row, name) * 100), shares["impressions"]) for name in _MONEY}
    for k, group in enumerate(groups):
        if shares["impressions"][k]:
            part: dict[str, Any] = {name: share[k] for name, share in shares.items()}
            part |= {name: Decimal(part[name]) / 100 for name in _MONEY}
            yield Piece(group, row._replace(**part))


_MONEY = ("spend", "purchase_value", "omni_purchase_value")
_NUMBERS = ("clicks", "link_clicks", "reach", "purchases", "omni_purchases")


@lru_cache(maxsize=1024)
def _people(seed: int, ad_id: int, youngest: int, oldest: int) -> tuple[int, ...]:
    return tuple(
        (1 if gender == "unknown" else 3) + draw(4, seed, ad_id, age, gender)
        if youngest <= last and first <= oldest
        else 0
        for age, (first, last) in AGES.items()
        for gender in GENDERS
    )


def planted_parts(world: facebook_ads.AdWorld, since: date, until: date) -> list[Defect]:
    """Parts that break a rule, within the days that are read."""
    first = max(since, world.clock - timedelta(days=READ_DAYS))
    targeting = {ad_set.ad_set_id: ad_set.targeting for ad_set in world.ad_sets}
    return [
        Defect(stream, ":".join((str(row.ad_id), str(row.day), *group)), reason)
        for row in facebook_ads.insights(world, first, until)
        for stream, parting in STREAMS.items()
        for group, part in parting(row, world.seed, targeting[row.ad_set_id])
        for reason in facebook_ads.defects_of(part)
    ]
