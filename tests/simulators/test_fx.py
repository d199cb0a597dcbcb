"""Frankfurter keeps to its contract."""

from __future__ import annotations

import pytest
import requests

from local import world


def test_a_range_has_business_days_only_and_echoes_what_was_asked(simulators):
    body = simulators.fx("v1/2017-12-22..2017-12-31", base="EUR", symbols="USD,INR").json()
    assert (body["amount"], body["base"], body["start_date"], body["end_date"]) == (
        1.0,
        "EUR",
        "2017-12-22",
        "2017-12-31",
    )
    assert list(body["rates"]) == ["2017-12-22", "2017-12-27", "2017-12-28", "2017-12-29"]
    assert body["rates"]["2017-12-22"] == {"INR": 75.9065, "USD": 1.1853}


def test_a_weekend_gives_the_business_day_before_it(simulators):
    assert simulators.fx("v1/2017-12-02", symbols="USD").json() == {
        "amount": 1.0,
        "base": "EUR",
        "date": "2017-12-01",
        "rates": {"USD": 1.1885},
    }


@pytest.mark.parametrize("spec", ["latest", "2030-01-01"])
def test_nothing_is_served_from_after_the_clock(simulators, spec):
    assert simulators.fx(f"v1/{spec}").json()["date"] == "2017-12-29"
    days = simulators.fx("v1/2017-12-20..2018-12-31", symbols="USD").json()["rates"]
    assert max(days) == "2017-12-29"


def test_another_base_is_the_cross_with_fewer_digits(simulators):
    body = simulators.fx("v1/2017-12-01", base="USD", symbols="EUR").json()
    assert body["rates"] == {"EUR": float(f"{1 / 1.1885:.5g}")}


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("v1/1998-01-01", {}, 404),
        ("v1/2018-02-01..2018-02-02", {}, 404),
        ("v1/2017-12-01", {"base": "XXX"}, 404),
        ("v1/2017-12-01", {"symbols": "XXX"}, 404),
        ("v1/tomorrow", {}, 422),
        ("v1/2017-12-01", {"colour": "red"}, 422),
        ("v3/rates", {}, 404),
        ("v2/rates", {"colour": "red"}, 422),
        ("v2/rates", {"to": "2017-12-01"}, 422),
        ("v2/rates", {"from": "2001-01-01", "to": "2017-12-01", "providers": "ecb"}, 422),
        ("v2/rates", {"providers": "boe"}, 422),
    ],
)
def test_what_cannot_be_answered_says_so(simulators, path, params, status):
    response = simulators.fx(path, **params)
    assert response.status_code == status
    assert response.json()["message"]
    if path.startswith("v2"):
        assert response.json()["status"] == status


def test_an_unchanged_answer_is_not_sent_again(simulators):
    first = simulators.fx("v1/2017-12-01")
    assert "max-age" in first.headers["Cache-Control"]
    again = requests.get(first.url, headers={"If-None-Match": first.headers["ETag"]}, timeout=20)
    assert (again.status_code, again.content) == (304, b"")


def test_version_two_begins_with_the_day_carried_into_the_range(simulators):
    rows = simulators.fx(
        "v2/rates", base="EUR", quotes="USD,INR", providers="ecb", **{"from": "2017-12-02", "to": "2017-12-05"}
    ).json()
    assert [(row["date"], row["quote"]) for row in rows] == [
        (day, quote) for day in ("2017-12-01", "2017-12-04", "2017-12-05") for quote in ("INR", "USD")
    ]
    assert rows[1] == {"date": "2017-12-01", "base": "EUR", "quote": "USD", "rate": 1.1885}


def test_version_two_names_the_base_unless_other_quotes_are_asked_for(simulators):
    rows = simulators.fx("v2/rates", date="2017-12-01", providers="ecb").json()
    assert {"date": "2017-12-01", "base": "EUR", "quote": "EUR", "rate": 1.0} in rows


def test_version_two_blends_banks_unless_one_is_named(simulators):
    blend = {row["quote"]: row["rate"] for row in simulators.fx("v2/rates", date="2017-12-01").json()}
    ecb = {row["quote"]: row["rate"] for row in simulators.fx("v2/rates", date="2017-12-01", providers="ecb").json()}
    assert blend != ecb
    assert all(abs(blend[quote] / ecb[quote] - 1) < 0.001 for quote in ecb)


def test_a_step_restates_the_rates_that_the_truth_counts(simulators):
    path = "v1/2017-12-01..2017-12-31"
    before = simulators.fx(path).json()["rates"]
    told = world.advance(simulators.dsn, days=7, seed=1)
    try:
        after = simulators.fx(path).json()["rates"]
        restated = sum(
            rate != after[day][currency] for day, rates in before.items() for currency, rate in rates.items()
        )
        assert restated == told.changes["rates", "update"] > 0
    finally:
        world.seed(simulators.dsn, 7, households=50)


def test_both_versions_give_the_same_rows(simulators):
    """Rows that were read from version 1 are not restated by version 2, whose numbers are written alike."""
    asked = {"base": "EUR", "providers": "ecb", "quotes": "USD,INR,GBP", "from": "2016-12-22", "to": "2018-01-01"}
    newer = simulators.fx("v2/rates", **asked).json()
    older = simulators.fx("v1/2016-12-22..2018-01-01", base="EUR", symbols="USD,INR,GBP").json()
    assert newer == [
        {"date": day, "base": "EUR", "quote": quote, "rate": rate}
        for day, quotes in sorted(older["rates"].items())
        for quote, rate in sorted(quotes.items())
    ]
