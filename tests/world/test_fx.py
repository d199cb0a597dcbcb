"""Exchange rates as the world publishes them."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from local.world import fx_rates

CLOCK = date(2018, 1, 1)


def test_old_rates_are_the_central_banks_own():
    assert fx_rates.rates_on(date(2017, 6, 1), CLOCK, seed=1) == fx_rates.ecb_rates()[date(2017, 6, 1)]
    assert fx_rates.ecb_rates()[date(2017, 12, 29)]["USD"] == Decimal("1.1993")


def test_nothing_is_published_on_weekends_or_before_its_day_is_over():
    assert fx_rates.rates_on(date(2017, 12, 30), CLOCK, seed=1) == {}
    assert fx_rates.rates_on(date(2018, 1, 2), date(2018, 1, 2), seed=1) == {}
    assert fx_rates.rates_on(date(2018, 1, 2), date(2018, 1, 3), seed=1)
    assert fx_rates.published_days(date(2017, 12, 25), date(2018, 1, 31), CLOCK) == [
        date(2017, 12, day) for day in (27, 28, 29)
    ]


def test_a_few_rates_are_put_right_within_five_days_and_none_later():
    clock = date(2018, 3, 14)
    restated = list(fx_rates.restated(clock, clock + timedelta(days=1), seed=1))
    assert 0 < len(restated) < 60
    assert all(
        (clock - rate.day).days <= fx_rates.SETTLED_AFTER_DAYS and rate.before != rate.after for rate in restated
    )
    for rate in fx_rates.restated(clock, clock + timedelta(days=30), seed=1):
        assert rate.after == fx_rates.ecb_rates()[rate.day][rate.currency]
        assert abs(rate.before / rate.after - 1) < Decimal("0.003")


def test_every_rate_that_reads_differently_is_told():
    old, new = date(2018, 3, 14), date(2018, 3, 21)
    days = fx_rates.published_days(date(2018, 1, 1), old, old)
    differing = {
        (day, currency)
        for day in days
        for currency, rate in fx_rates.rates_on(day, old, 1).items()
        if rate != fx_rates.rates_on(day, new, 1)[currency]
    }
    assert {(rate.day, rate.currency) for rate in fx_rates.restated(old, new, 1)} == differing
