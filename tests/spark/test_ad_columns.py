"""What the ad platforms tell becomes one model: money, times and conversions of both."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import types as T

from headwater.config import HttpStream, Project
from headwater.deploy.project import load_project
from headwater.ledger.raw import ADDED
from headwater.quality.predicates import judge_rows, row_predicates
from headwater.quality.typed import typed

from .shop import placed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def project() -> Project:
    return load_project(ROOT, "local")


def shaped(spark: SparkSession, project: Project, source: str, stream: str, **raw: Any) -> tuple[Row, list[str]]:
    """One raw row as silver would have it, and the reasons against it."""
    declared = project.sources[source].streams[stream]
    assert isinstance(declared, HttpStream)
    names = [*declared.raw, *ADDED]
    unknown = raw.keys() - set(names)
    assert not unknown
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in raw.items()}
    schema = T.StructType([T.StructField(name, T.StringType()) for name in names])
    rows: DataFrame = spark.createDataFrame([tuple(texts.get(name) for name in names)], schema)
    table = project.tables[declared.table]
    judged = judge_rows(
        typed(declared, table, placed(rows)), row_predicates(declared, table, project.quality.get(table.table)), {}
    )
    [row] = judged.collect()
    return row, row["_reasons"]


GOOGLE_DAY = {
    "_account": "3030000002",
    "customer_currency_code": "EUR",
    "campaign_id": "1",
    "ad_group_id": "2",
    "ad_group_ad_ad_id": "3",
    "segments_date": "2017-12-01",
    "metrics_impressions": "1000",
    "metrics_clicks": "80",
    "metrics_conversions": 2.6666666666666665,
    "metrics_conversions_value": 310.5,
}


def test_micros_become_money_without_losing_a_millionth(spark, project):
    row, reasons = shaped(spark, project, "google_ads", "ad_performance", **GOOGLE_DAY, metrics_cost_micros="123456789")
    assert reasons == []
    assert row["cost"] == Decimal("123.456789")
    assert row["conversions"] == Decimal("2.666667")
    assert row["conversion_value"] == Decimal("310.500000")
    assert (row["platform"], row["account_id"], row["date"]) == ("google", "3030000002", date(2017, 12, 1))


def test_a_cost_of_nothing_is_nothing_and_one_that_is_no_number_is_refused(spark, project):
    row, reasons = shaped(spark, project, "google_ads", "ad_performance", **GOOGLE_DAY)
    assert (row["cost"], reasons) == (Decimal(0), [])
    _, reasons = shaped(spark, project, "google_ads", "ad_performance", **GOOGLE_DAY, metrics_cost_micros="lots")
    assert reasons == ["cost_readable"]


def test_a_google_campaign_begins_at_midnight_of_its_account(spark, project):
    row, reasons = shaped(
        spark,
        project,
        "google_ads",
        "campaigns",
        _account="3030000002",
        customer_time_zone="Europe/Berlin",
        campaign_id="1",
        campaign_start_date_time="2017-07-24 00:00:00",
    )
    assert reasons == []
    assert row["started_at"].astimezone(UTC) == datetime(2017, 7, 23, 22, tzinfo=UTC)
    assert (row["stopped_at"], row["updated_at"]) == (None, None)


def test_an_ad_without_a_name_goes_by_the_page_it_leads_to(spark, project):
    urls = {"ad_group_ad_ad_id": "3", "ad_group_ad_ad_final_urls": ["https://shop.example.com/a", "https://b"]}
    row, _ = shaped(spark, project, "google_ads", "ads", _account="3030000001", **urls)
    assert row["name"] == "https://shop.example.com/a"
    named, _ = shaped(spark, project, "google_ads", "ads", _account="3030000001", ad_group_ad_ad_name="Sale", **urls)
    assert named["name"] == "Sale"


def test_purchases_of_an_age_group_are_counted_once(spark, project):
    row, reasons = shaped(
        spark,
        project,
        "facebook_ads",
        "ads_insights_demographics",
        _account="102000000000001",
        account_currency="USD",
        ad_id="7",
        date_start="2017-12-01",
        age="25-34",
        gender="female",
        impressions="100",
        spend="12.5",
        reach="90",
        actions=[{"action_type": "purchase", "value": "2"}, {"action_type": "omni_purchase", "value": "3"}],
        action_values=[{"action_type": "purchase", "value": "40.25"}],
    )
    assert reasons == []
    assert (row["clicks"], row["reach"]) == (0, 90)
    assert (row["cost"], row["conversions"], row["conversion_value"]) == (Decimal("12.5"), 2, Decimal("40.25"))


GOOGLE_PART = {name: value for name, value in GOOGLE_DAY.items() if name != "ad_group_ad_ad_id"}


@pytest.mark.parametrize(
    ("told", "age"), [("AGE_RANGE_25_34", "25-34"), ("AGE_RANGE_65_UP", "65+"), ("AGE_RANGE_UNDETERMINED", "unknown")]
)
def test_both_platforms_call_an_age_group_alike(spark, project, told, age):
    row, reasons = shaped(
        spark, project, "google_ads", "ad_group_ages", **GOOGLE_PART, ad_group_criterion_age_range_type=told
    )
    assert (row["age"], row["ad_group_id"], reasons) == (age, "2", [])


@pytest.mark.parametrize(("told", "gender"), [("FEMALE", "female"), ("UNDETERMINED", "unknown")])
def test_both_platforms_call_a_gender_alike(spark, project, told, gender):
    row, reasons = shaped(
        spark, project, "google_ads", "ad_group_genders", **GOOGLE_PART, ad_group_criterion_gender_type=told
    )
    assert (row["gender"], reasons) == (gender, [])


@pytest.mark.parametrize(
    ("told", "country"), [("2004", "AF"), ("2276", "DE"), ("2840", "US"), ("2900", "XK"), ("9999", None)]
)
def test_a_country_has_its_code_beside_the_id_of_google(spark, project, told, country):
    row, reasons = shaped(
        spark,
        project,
        "google_ads",
        "campaign_countries",
        **{name: value for name, value in GOOGLE_PART.items() if name != "ad_group_id"},
        geographic_view_country_criterion_id=told,
        geographic_view_location_type="LOCATION_OF_PRESENCE",
    )
    assert (row["country_criterion_id"], row["country"], reasons) == (told, country, [])
