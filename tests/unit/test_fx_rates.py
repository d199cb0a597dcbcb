"""Exchange rates: one row for each business day and currency, exactly as published, read as the YAML says."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from headwater.config import HttpSource
from headwater.errors import FatalSourceError
from headwater.sources.http.stream import read as read_stream
from tests.support.declared import http_source, table
from tests.support.http_fakes import FakeSend, KeptFiles, answer, client

# The first day of the range is a Saturday: the rate that is carried over into it comes under Friday's date.
WEEK = (
    b'[{"date":"2017-12-15","base":"EUR","quote":"USD","rate":1.1806},'
    b'{"date":"2017-12-27","base":"EUR","quote":"INR","rate":76.2970},'
    b'{"date":"2017-12-27","base":"EUR","quote":"USD","rate":1.1895},'
    b'{"date":"2017-12-29","base":"EUR","quote":"INR","rate":76.6055},'
    b'{"date":"2017-12-29","base":"EUR","quote":"USD","rate":1.10}]'
)


def fx() -> HttpSource:
    return http_source("fx_rates")


def read(send: FakeSend, position: Any = None, as_of: date = date(2017, 12, 29)) -> tuple[Any, KeptFiles]:
    files = KeptFiles()
    return read_stream(fx(), "rates", table("fx_rates"), {}, files, position, as_of, None, client(send)), files  # type: ignore[arg-type]


def test_each_date_and_currency_is_a_row_under_the_date_of_the_answer():
    found, files = read(FakeSend(answer(WEEK)))
    assert [(row["date"], row["base"], row["quote"], str(row["rate"])) for row in files.rows[1:]] == [
        ("2017-12-27", "EUR", "INR", "76.2970"),
        ("2017-12-27", "EUR", "USD", "1.1895"),
        ("2017-12-29", "EUR", "INR", "76.6055"),
        ("2017-12-29", "EUR", "USD", "1.10"),
    ]
    assert [covered["day"] for covered in found.slices] == ["2017-12-15", "2017-12-27", "2017-12-29"]
    assert set(files.learned.seen) == {"base", "date", "quote", "rate"}


def test_a_year_and_the_days_before_it_are_one_request():
    send = FakeSend(answer(WEEK))
    read(send, as_of=date(2018, 1, 1))
    [request] = send.requests
    assert request.url.endswith("/v2/rates")
    assert request.params == {
        "base": "EUR",
        "quotes": "USD,INR,GBP",
        "providers": "ecb",
        "from": "2016-12-22",
        "to": "2018-01-01",
    }


def test_a_corrected_rate_is_read_again_and_an_unchanged_week_is_not():
    found, _ = read(FakeSend(answer(WEEK)))
    assert read(FakeSend(answer(WEEK)), found.position_after, date(2017, 12, 31))[0] is None
    again, files = read(FakeSend(answer(WEEK.replace(b"1.1895", b"1.1897"))), found.position_after, date(2017, 12, 31))
    assert {row["date"] for row in files.rows} == {"2017-12-27"}
    assert [covered["day"] for covered in again.slices] == ["2017-12-27"]


def test_a_rate_that_is_carried_over_into_the_range_is_not_read_as_a_change():
    found, _ = read(FakeSend(answer(WEEK)))
    corrected = WEEK.replace(b"1.1806", b"1.1807")
    assert read(FakeSend(answer(corrected)), found.position_after, date(2017, 12, 31))[0] is None


@pytest.mark.parametrize("refused", [{}, {"rates": []}, "text"])
def test_an_answer_of_another_shape_needs_a_person(refused):
    with pytest.raises(FatalSourceError, match="no list at `@`"):
        read(FakeSend(answer(refused)))
