"""Exchange rates: one row for each business day and currency, exactly as published."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from headwater.config import HttpSource
from headwater.errors import FatalSourceError
from headwater.sources.apis.fx_rates import rates
from headwater.sources.http.stream import read as read_stream
from tests.support.declared import http_source, table
from tests.support.http_fakes import FakeSend, KeptFiles, answer, client

WEEK = (
    b'{"amount":1.0,"base":"EUR","start_date":"2017-12-23","end_date":"2017-12-29","rates":'
    b'{"2017-12-27":{"INR":76.2970,"USD":1.1895},"2017-12-29":{"INR":76.6055,"USD":1.10}}}'
)


def fx() -> HttpSource:
    return http_source("fx_rates")


def read(send: FakeSend, position: Any = None, as_of: date = date(2017, 12, 29)) -> tuple[Any, KeptFiles]:
    files = KeptFiles()
    return read_stream(fx(), "rates", table("fx_rates"), {}, files, position, as_of, None, client(send)), files  # type: ignore[arg-type]


def test_each_date_and_currency_is_a_row_under_the_date_of_the_answer():
    found, files = read(FakeSend(answer(WEEK)))
    assert [(row["date"], row["base"], row["quote"], str(row["rate"])) for row in files.rows] == [
        ("2017-12-27", "EUR", "INR", "76.2970"),
        ("2017-12-27", "EUR", "USD", "1.1895"),
        ("2017-12-29", "EUR", "INR", "76.6055"),
        ("2017-12-29", "EUR", "USD", "1.10"),
    ]
    assert [covered["day"] for covered in found.slices] == ["2017-12-27", "2017-12-29"]
    assert set(files.learned.seen) == {"base", "date", "quote", "rate"}


def test_a_year_and_the_days_before_it_are_one_request():
    send = FakeSend(answer(WEEK))
    read(send, as_of=date(2018, 1, 1))
    [request] = send.requests
    assert request.url.endswith("/v1/2016-12-15..2018-01-01")
    assert request.params == {"base": "EUR", "symbols": "USD,INR,GBP"}


def test_a_corrected_rate_is_read_again_and_an_unchanged_week_is_not():
    found, _ = read(FakeSend(answer(WEEK)))
    assert read(FakeSend(answer(WEEK)), found.position_after, date(2017, 12, 31))[0] is None
    again, files = read(FakeSend(answer(WEEK.replace(b"1.1895", b"1.1897"))), found.position_after, date(2017, 12, 31))
    assert {row["date"] for row in files.rows} == {"2017-12-27"}
    assert [covered["day"] for covered in again.slices] == ["2017-12-27"]


@pytest.mark.parametrize("refused", [{}, [], {"base": "EUR", "date": "2017-12-29"}, {"base": "EUR", "rates": []}])
def test_an_answer_of_another_shape_needs_a_person(refused):
    with pytest.raises(FatalSourceError, match="no `base` and `rates`"):
        list(rates(refused))
