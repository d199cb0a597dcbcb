"""The declared columns of CleverTap's streams, in both versions of the API's records."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from headwater.config import HttpStream
from headwater.lake.columns import REASONS
from headwater.ledger.raw import ADDED, to_line
from headwater.quality.predicates import judge_rows, row_predicates
from headwater.quality.typed import typed
from local.simulators import clevertap as simulator
from local.world.clevertap import Device, Event, Profile
from tests.support.declared import http_source, policy, table

from .shop import placed

ACCOUNT = "4R7-5K6-466Z"
PHONE = Device("__g1", "Android", "10", "1.1.7", "xiaomi", "M2006")
TABLET = Device("__g2", "iOS", "11.2", "1.0.0", "Apple", "iPhone10,3")


def stream(name: str) -> HttpStream:
    return http_source("clevertap").streams[name]


def shaped(spark: SparkSession, name: str, *rows: dict[str, Any], parser: str | None = None) -> list[Row]:
    """Shapes raw rows as they go through bronze, where nested values are JSON text; with the reasons for quarantine."""
    declared = stream(name)
    added = {"_account": ACCOUNT, **({"_parser": parser} if parser else {})}
    fields = ", ".join(f"`{field}` string" for field in (*declared.raw_fields, *ADDED))
    lines = spark.createDataFrame([(to_line({**row, **added}),) for row in rows], "value string")
    raw = placed(lines.select(F.from_json("value", fields).alias("row")).select("row.*"))
    into = table(declared.table)
    judged = judge_rows(typed(declared, into, raw), row_predicates(declared, into, policy(into.table)), {})
    # How the raw row looked is kept with a refused one, and differs between the versions by nature.
    return judged.select(*into.columns, REASONS).collect()


def profile(*devices: Device, identities: tuple[str, ...] = ("user-42",), **known: Any) -> Profile:
    told = {"name": "Søren O'Brien", "email": "S@Example.com", "phone": "+15550000042", "attributes": {}, **known}
    return Profile(1, ACCOUNT, 42, identities, told["name"], told["email"], told["phone"], told["attributes"], devices)


def event(at: datetime, properties: dict[str, Any], session: dict[str, Any] | None = None, **more: Any) -> Event:
    return Event(1, 1, 0, "Charged", at, more.get("clock_lost", False), properties, session or {})


def both(happened: Event, who: Profile | None = None, zone: str = "Asia/Kolkata") -> list[dict[str, Any]]:
    """One event as a raw row of version 1 and of version 2."""
    parts = (happened, who or profile(PHONE), {}, simulator.ZoneInfo(zone), frozenset({"app"}))
    added = {"event_name": happened.name, "event_day": "2022-11-19", "time_zone": zone}
    return [{**record(*parts), **added} for record in (simulator._event_1, simulator._event_2)]


AT = datetime(2022, 11, 19, 0, 19, 37, tzinfo=UTC)
PURCHASE = {
    "Charged ID": 31242778817,
    "Amount": 12345678.25,
    "Currency": "USD",
    "Items": [{"Product ID": 5, "Category": "ÆØÅ"}],
    "Payment mode": 'say "yes" \\ no',
    "Gift": True,
    "Note": None,
}


def test_nested_properties_become_columns_and_the_rest_stays_as_json(spark: SparkSession) -> None:
    first, _ = both(event(AT, PURCHASE, {"utm_source": "google-play", "session_id": 7}))
    [row] = shaped(spark, "events", first)
    assert row._reasons == []
    assert (row.order_id, row.amount, row.currency) == (31242778817, Decimal("12345678.25"), "USD")
    assert (row.object_id, row.identity, row.customer_id) == ("__g1", "user-42", 42)
    assert (row.platform, row.app_version, row.os_version) == ("Android", "1.1.7", "10")
    assert (row.utm_source, row.utm_campaign, row.session_id) == ("google-play", None, 7)
    rest = json.loads(row.properties)
    assert json.loads(rest.pop("Items")) == PURCHASE["Items"]
    assert rest == {"Payment mode": 'say "yes" \\ no', "Gift": "true", "Note": None}


def test_local_time_becomes_utc(spark: SparkSession) -> None:
    """The captured record of the platform's own documentation: 05:49:37 in India is 00:19:37 UTC."""
    first, _ = both(event(AT, PURCHASE))
    assert first["ts"] == 20221119054937
    [row] = shaped(spark, "events", first)
    assert row.occurred_at.isoformat() == "2022-11-19T00:19:37"
    assert str(row.date) == "2022-11-19"


@pytest.mark.parametrize(
    "properties",
    [
        PURCHASE,
        {},
        {"Amount": "12.50", "Charged ID": "7"},
        {"Product ID": 5, "Price": 0.1, "Tags": [], "Deep": {"a": {"b": [1, None, "x"]}}},
        {"utm_source": "facebook", "utm_medium": "paid", "utm_campaign": "23850000000000500", "Landing": "/sale"},
        {"مرحبا": "😀", "a.b": "dot", "a'b": "quote", 'a"b': "double"},
    ],
)
@pytest.mark.parametrize("session", [{}, {"utm_source": "x", "session_id": 1}])
def test_both_versions_of_an_event_are_the_same_row(
    spark: SparkSession, properties: dict[str, Any], session: dict[str, Any]
) -> None:
    first, second = both(event(AT, properties, session))
    assert shaped(spark, "events", first) == shaped(spark, "events", second, parser="v2")


@pytest.mark.parametrize("who", [profile(PHONE, identities=()), profile(TABLET, identities=("guest-9",))])
def test_both_versions_of_an_event_are_the_same_row_whoever_it_was(spark: SparkSession, who: Profile) -> None:
    first, second = both(event(AT, PURCHASE), who)
    [row] = shaped(spark, "events", first)
    assert [row] == shaped(spark, "events", second, parser="v2")
    assert row.customer_id is None


def test_both_versions_of_an_event_whose_phone_has_lost_its_clock_are_the_same_row(spark: SparkSession) -> None:
    first, second = both(event(AT, PURCHASE, clock_lost=True))
    [row] = shaped(spark, "events", first)
    assert [row] == shaped(spark, "events", second, parser="v2")
    assert row.occurred_at is None


def test_an_event_that_was_sent_twice_has_one_key_and_any_difference_makes_another(spark: SparkSession) -> None:
    events = [
        event(AT, PURCHASE),
        event(AT, dict(reversed(PURCHASE.items()))),
        event(AT.replace(second=38), PURCHASE),
        event(AT, {**PURCHASE, "Amount": 12}),
    ]
    rows = shaped(spark, "events", *[both(happened)[0] for happened in events])
    other_device = shaped(spark, "events", both(event(AT, PURCHASE), profile(TABLET))[0])
    keys = [row.event_key for row in (*rows, *other_device)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


@pytest.mark.parametrize("hour", [5, 6])
def test_an_hour_that_comes_twice_is_the_first_in_version_1_and_known_in_version_2(
    spark: SparkSession, hour: int
) -> None:
    """On 5 November 2017 New York's clocks showed 01:30 at 05:30 UTC and again at 06:30."""
    first, second = both(event(datetime(2017, 11, 5, hour, 30, tzinfo=UTC), PURCHASE), zone="America/New_York")
    [old], [new] = shaped(spark, "events", first), shaped(spark, "events", second, parser="v2")
    assert old.occurred_at.isoformat() == "2017-11-05T05:30:00"
    assert new.occurred_at.isoformat() == f"2017-11-05T0{hour}:30:00"
    assert old.event_key == new.event_key


@pytest.mark.parametrize("ts", [0, None, "", 20171301999999, 99999999999999, "soon", 1668817177, {"at": 1}])
def test_a_time_that_cannot_be_read_is_a_reason(spark: SparkSession, ts: Any) -> None:
    first, _ = both(event(AT, PURCHASE))
    [row] = shaped(spark, "events", {**first, "ts": ts})
    assert row._reasons == ["occurred_at_complete"]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"Amount": -1}, "amount_non_negative"),
        ({"Amount": "12,50 USD"}, "amount_readable"),
        ({"Currency": "Dollars"}, "currency_wellformed"),
    ],
)
def test_a_wrong_property_is_a_reason_in_both_versions(spark: SparkSession, wrong: dict[str, Any], reason: str) -> None:
    first, second = both(event(AT, {**PURCHASE, **wrong}))
    assert [row._reasons for row in shaped(spark, "events", first)] == [[reason]]
    assert [row._reasons for row in shaped(spark, "events", second, parser="v2")] == [[reason]]


def test_records_of_version_2_under_version_1_lack_what_the_policy_demands(spark: SparkSession) -> None:
    _, second = both(event(AT, PURCHASE))
    [row] = shaped(spark, "events", second)
    assert "occurred_at_complete" in row._reasons
    assert row.object_id is None


DONE = {"App Launched": [3, 1668817176, 1668900000], "Charged": [1, 1668810000, 1668899999]}
ATTRIBUTES = {"Plan": "Gold", "Opt-in": False, "Stores": [301, 302], "Motto": 'C:\\ "x"', "Empty": None}


def profiles(who: Profile, done: dict[str, list[int]]) -> list[dict[str, Any]]:
    added = {"active_day": "2022-11-20"}
    return [{**record(who, done), **added} for record in (simulator._profile_1, simulator._profile_2)]


def test_a_profile_becomes_columns(spark: SparkSession) -> None:
    first, _ = profiles(profile(PHONE, TABLET, identities=("user-42", "s@example.com"), attributes=ATTRIBUTES), DONE)
    [row] = shaped(spark, "profiles", first)
    assert row._reasons == []
    assert (row.profile_key, row.identity, row.customer_id) == ("user-42", "user-42", 42)
    assert json.loads(row.identities) == ["user-42", "s@example.com"]
    assert (row.name, row.email, row.phone) == ("Søren O'Brien", "s@example.com", "+15550000042")
    assert (row.plan, row.opted_in) == ("Gold", False)
    assert json.loads(row.properties) == {"Stores": "[301,302]", "Motto": 'C:\\ "x"', "Empty": None}
    assert json.loads(row.object_ids) == ["__g1", "__g2"]
    assert (row.platform, row.app_version) == ("Android", "1.1.7")
    assert (row.launches, row.purchases) == (3, 1)
    assert row.first_seen.isoformat() == "2022-11-18T22:20:00"
    assert row.last_seen.isoformat() == "2022-11-19T23:20:00"


@pytest.mark.parametrize(
    "who",
    [
        profile(PHONE, TABLET, attributes=ATTRIBUTES),
        profile(PHONE, identities=(), name=None, email=None, phone=None),
        profile(TABLET, identities=("guest-1",), email="nobody", phone="call me"),
    ],
)
@pytest.mark.parametrize("done", [DONE, {"App Launched": [1, 1668817176, 1668817176]}])
def test_both_versions_of_a_profile_are_the_same_row(
    spark: SparkSession, who: Profile, done: dict[str, list[int]]
) -> None:
    first, second = profiles(who, done)
    assert shaped(spark, "profiles", first) == shaped(spark, "profiles", second, parser="v2")


def test_somebody_who_has_not_logged_in_is_known_by_the_first_device(spark: SparkSession) -> None:
    [row] = shaped(spark, "profiles", profiles(profile(PHONE, TABLET, identities=()), DONE)[0])
    assert (row.profile_key, row.identity, row._reasons) == ("__g1", None, [])
