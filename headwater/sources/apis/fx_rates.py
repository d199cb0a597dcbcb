"""European Central Bank reference rates as Frankfurter's v1 API gives them, https://frankfurter.dev."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from headwater.errors import FatalSourceError
from headwater.ledger.raw import Row
from headwater.sources.http.client import HttpClient
from headwater.sources.http.source import Api, Part

_A_WEEK = timedelta(days=7)


def rates(answer: Any) -> Iterator[Row]:
    """Turns `{base, rates: {date: {quote: rate}}}` into one row for each date and quote: date, base, quote, rate.

    `rate` is units of `quote` for one `base`. Only business days are there, under the date that the answer gives.
    """
    match answer:
        case {"base": str(base), "rates": dict(days)}:
            for day, quotes in sorted(days.items()):
                for quote, rate in sorted(quotes.items()):
                    yield {"date": day, "base": base, "quote": quote, "rate": rate}
        case _:
            raise FatalSourceError("fx_rates: the answer has no `base` and `rates`")


def read_rates(client: HttpClient, part: Part) -> Iterator[Row]:
    """Reads the rates of a range of days, which one answer holds whole.

    Asks for a week more: a range without a business day, such as a weekend, is answered by 404.
    """
    asked = replace(part, since=part.since - _A_WEEK)
    since = part.since.isoformat()
    yield from (rate for rate in rates(client.get(asked.path, asked.params)) if rate["date"] >= since)


API = Api(readers={"rates": read_rates})
