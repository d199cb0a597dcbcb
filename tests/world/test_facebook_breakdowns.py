"""Whom Facebook's ads reached, by age and gender, and by country."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest
import yaml

from local import world
from local.world import facebook_ads
from local.world.facebook_ads_breakdowns import AGES, READ_DAYS, STREAMS, Piece

CONFIG = Path(__file__).parents[2] / "config" / "sources" / "facebook_ads.yaml"
SUMMED = ("impressions", "clicks", "spend", "reach", "purchases", "purchase_value")
DEMOGRAPHICS = "ads_insights_demographics"


def read(dsn: str) -> facebook_ads.AdWorld:
    with psycopg.connect(dsn) as connection:
        return facebook_ads.read_ads(connection)


def parts(
    at: facebook_ads.AdWorld, stream: str, since: date, until: date
) -> list[tuple[facebook_ads.Insight, list[Piece]]]:
    targeting = {ad_set.ad_set_id: ad_set.targeting for ad_set in at.ad_sets}
    return [
        (row, list(STREAMS[stream](row, at.seed, targeting[row.ad_set_id])))
        for row in facebook_ads.insights(at, since, until)
    ]


@pytest.mark.parametrize("stream", STREAMS)
def test_parts_add_up_to_their_row(small_shop, stream):
    at = read(small_shop)
    for row, pieces in parts(at, stream, at.clock - timedelta(days=20), at.clock):
        assert len({piece.group for piece in pieces}) == len(pieces)
        for name in SUMMED:
            assert sum(getattr(piece.part, name) for piece in pieces) == getattr(row, name)


def test_a_group_is_within_the_ages_of_the_ad_set(small_shop):
    at = read(small_shop)
    targeting = {ad_set.ad_set_id: ad_set.targeting for ad_set in at.ad_sets}
    seen: Counter[str] = Counter()
    for row, pieces in parts(at, DEMOGRAPHICS, at.clock - timedelta(days=20), at.clock):
        assert len(pieces) > 3 or facebook_ads.defects_of(row)
        wanted = targeting[row.ad_set_id]
        for (age, _), _ in pieces:
            first, last = AGES[age]
            assert first <= wanted["age_max"]
            assert last >= wanted["age_min"]
            seen[age] += 1
    assert seen.keys() == AGES.keys()


def test_an_ad_is_seen_in_the_countries_that_its_ad_set_is_for(small_shop):
    at = read(small_shop)
    meant = {ad_set.ad_set_id: ad_set.targeting["geo_locations"]["countries"] for ad_set in at.ad_sets}
    seen: Counter[str] = Counter()
    for row, pieces in parts(at, "ads_insights_countries", at.clock - timedelta(days=20), at.clock):
        assert {country for (country,), _ in pieces} <= {*meant[row.ad_set_id]}
        seen.update(country for (country,), _ in pieces)
    assert seen["US"] > seen["CA"] > seen["MX"] > 0


@pytest.mark.parametrize("stream", STREAMS)
def test_every_part_that_breaks_a_rule_is_counted(small_shop, stream):
    first = read(small_shop).clock - timedelta(days=READ_DAYS)
    world.advance(small_shop, days=7, seed=1)
    at = read(small_shop)
    found = Counter(
        reason
        for _, pieces in parts(at, stream, first, at.clock)
        for piece in pieces
        for reason in facebook_ads.defects_of(piece.part)
    )
    counted = {reason: n for (name, reason), n in world.defects(small_shop).items() if name == stream}
    assert counted == found
    assert counted.keys() == {facebook_ads.CLICKS_ABOVE_IMPRESSIONS, facebook_ads.NEGATIVE_COST}


@pytest.mark.parametrize("stream", STREAMS)
def test_defects_are_planted_as_far_back_as_is_read(stream):
    window = yaml.safe_load(CONFIG.read_text())["streams"][stream]["read"]
    assert window["history_days"] == READ_DAYS
