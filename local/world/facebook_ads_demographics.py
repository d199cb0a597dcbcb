"""Whom Facebook's ads reached: each row of the insights in parts by age and gender, which add up to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from local.world import facebook_ads
from local.world.dice import draw
from local.world.truth import Defect

STREAM = "ads_insights_demographics"
READ_DAYS = 90
"""How far back config/sources/facebook_ads.yaml reads these parts: what is planted before is never met."""

AGES = {"18-24": (18, 24), "25-34": (25, 34), "35-44": (35, 44), "45-54": (45, 54), "55-64": (55, 64), "65+": (65, 99)}
"""First and last age of each group."""
GENDERS = ("female", "male", "unknown")


class Demographic(NamedTuple):
    """The part of an insight that fell to one group of people."""

    age: str
    gender: str
    part: facebook_ads.Insight


def demographics(row: facebook_ads.Insight, seed: int, targeting: Mapping[str, object]) -> Iterator[Demographic]:
    """Parts of one row for the ages that its ad set is for; a group that did not see the ad has none.

    A planted row falls to one group as a whole: of its parts, some would hold up on some days and not on others.
    """
    weights = _weights(seed, row.ad_id, int(str(targeting["age_min"])), int(str(targeting["age_max"])))
    people = [(age, gender) for age in AGES for gender in GENDERS]
    if facebook_ads.defects_of(row):
        yield Demographic(*people[weights.index(max(weights))], row)
        return
    # Money in hundredths: whole numbers can be parted so that the parts add up.
    shares = {"impressions": _apportioned(row.impressions, weights)}
    # By impressions, so that no group has more of anything than impressions.
    shares |= {name: _apportioned(getattr(row, name), shares["impressions"]) for name in _NUMBERS}
    shares |= {name: _apportioned(int(getattr(row, name) * 100), shares["impressions"]) for name in _MONEY}
    for k, (age, gender) in enumerate(people):
        if shares["impressions"][k]:
            part: dict[str, Any] = {name: share[k] for name, share in shares.items()}
            part |= {name: Decimal(part[name]) / 100 for name in _MONEY}
            yield Demographic(age, gender, row._replace(**part))


_MONEY = ("spend", "purchase_value", "omni_purchase_value")
_NUMBERS = ("clicks", "link_clicks", "reach", "purchases", "omni_purchases")


@lru_cache(maxsize=1024)
def _weights(seed: int, ad_id: int, youngest: int, oldest: int) -> tuple[int, ...]:
    return tuple(
        (1 if gender == "unknown" else 3) + draw(4, seed, ad_id, age, gender)
        if youngest <= last and first <= oldest
        else 0
        for age, (first, last) in AGES.items()
        for gender in GENDERS
    )


def _apportioned(amount: int, weights: Sequence[int]) -> list[int]:
    """Parts in proportion to the weights that add up to the amount: the largest remainders get the rest."""
    total = sum(weights)
    parts = [amount * weight // total for weight in weights]
    rest = amount - sum(parts)
    for k in sorted(range(len(weights)), key=lambda k: (-(amount * weights[k] % total), k))[:rest]:
        parts[k] += 1
    return parts


def planted_parts(world: facebook_ads.AdWorld, since: date, until: date) -> list[Defect]:
    """Parts that break a rule, within the days that are read."""
    first = max(since, world.clock - timedelta(days=READ_DAYS))
    targeting = {ad_set.ad_set_id: ad_set.targeting for ad_set in world.ad_sets}
    return [
        Defect(STREAM, f"{row.ad_id}:{row.day}:{age}:{gender}", reason)
        for row in facebook_ads.insights(world, first, until)
        for age, gender, part in demographics(row, world.seed, targeting[row.ad_set_id])
        for reason in facebook_ads.defects_of(part)
    ]
