"""Whom the ads reached, by age and gender."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import psycopg
import yaml

from local import world
from local.world import facebook_ads
from local.world.facebook_ads_demographics import AGES, READ_DAYS, STREAM, Demographic, demographics

CONFIG = Path(__file__).parents[2] / "config" / "sources" / "facebook_ads.yaml"
SUMMED = ("impressions", "clicks", "spend", "reach", "purchases", "purchase_value")


def read(dsn: str) -> facebook_ads.AdWorld:
    with psycopg.connect(dsn) as connection:
        return facebook_ads.read_ads(connection)


def parts(at: facebook_ads.AdWorld, since: date, until: date) -> list[tuple[facebook_ads.Insight, list[Demographic]]]:
    targeting = {ad_set.ad_set_id: ad_set.targeting for ad_set in at.ad_sets}
    return [
        (row, list(demographics(row, at.seed, targeting[row.ad_set_id])))
        for row in facebook_ads.insights(at, since, until)
    ]


def test_parts_add_up_to_their_row(small_shop):
    at = read(small_shop)
    for row, groups in parts(at, at.clock - timedelta(days=20), at.clock):
        for name in SUMMED:
            assert sum(getattr(group.part, name) for group in groups) == getattr(row, name)


def test_a_group_is_there_once_and_within_the_ages_of_the_ad_set(small_shop):
    at = read(small_shop)
    targeting = {ad_set.ad_set_id: ad_set.targeting for ad_set in at.ad_sets}
    seen: Counter[str] = Counter()
    for row, groups in parts(at, at.clock - timedelta(days=20), at.clock):
        assert len({(group.age, group.gender) for group in groups}) == len(groups)
        assert len(groups) > 3 or facebook_ads.defects_of(row)
        wanted = targeting[row.ad_set_id]
        for group in groups:
            first, last = AGES[group.age]
            assert first <= wanted["age_max"]
            assert last >= wanted["age_min"]
            seen[group.age] += 1
    assert seen.keys() == AGES.keys()


def test_every_part_that_breaks_a_rule_is_counted(small_shop):
    first = read(small_shop).clock - timedelta(days=READ_DAYS)
    world.advance(small_shop, days=7, seed=1)
    at = read(small_shop)
    found = Counter(
        reason
        for _, groups in parts(at, first, at.clock)
        for group in groups
        for reason in facebook_ads.defects_of(group.part)
    )
    counted = {reason: n for (stream, reason), n in world.defects(small_shop).items() if stream == STREAM}
    assert counted == found
    assert counted.keys() == {facebook_ads.CLICKS_ABOVE_IMPRESSIONS, facebook_ads.NEGATIVE_COST}


def test_defects_are_planted_as_far_back_as_is_read():
    window = yaml.safe_load(CONFIG.read_text())["streams"][STREAM]["read"]
    assert window["history_days"] == READ_DAYS
