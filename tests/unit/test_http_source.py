"""What a module of apis/ is given: a part of a stream, and the days it has."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.sources.apis import api_of
from headwater.sources.days import day_of
from headwater.sources.http.source import Api, Part
from tests.support.http_fakes import source

AS_OF = date(2018, 1, 10)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2018-01-10", date(2018, 1, 10)),
        ("2018-01-10T23:30:00-0500", date(2018, 1, 11)),
        ("2018-01-10T01:00:00+0530", date(2018, 1, 9)),
        ("2018-01-10T23:59:59Z", date(2018, 1, 10)),
        ("2018-01-10T23:59:59", date(2018, 1, 10)),
        (1515628799, date(2018, 1, 10)),
        (1515628800, date(2018, 1, 11)),
    ],
)
def test_a_day_is_that_of_utc(text, day):
    assert day_of(text) == day


@pytest.mark.parametrize("number", [20180110, 0, -1, 1515628799000])
def test_a_number_that_is_no_time_in_seconds_is_refused(number):
    with pytest.raises(ValueError, match=r"1970|year"):
        day_of(number)


def test_a_body_is_filled_in_wherever_it_holds_text():
    body = {"query": "from {since} to {until}", "filters": [{"account": "{account}", "limit": 5, "deep": [None, True]}]}
    declared = source(stream={"method": "post", "body": body}, paging={"kind": "none"})
    part = Part(declared, declared.streams["sales"], "7", date(2018, 1, 1), date(2018, 1, 3))
    assert part.ask.method == "POST"
    assert part.ask.body == {
        "query": "from 2018-01-01 to 2018-01-03",
        "filters": [{"account": "7", "limit": 5, "deep": [None, True]}],
    }


def test_placeholders_leave_other_braces_alone():
    part = Part(source(api_version="v9"), source().streams["sales"], "7", date(2018, 1, 1), date(2018, 1, 3))
    assert part.params["range"] == '{"since":"2018-01-01","until":"2018-01-03"}'
    assert part.params["fields"] == "id,day,amount"
    assert part.fill("{x} {since_epoch} {account}") == "{x} 1514764799 7"


@given(st.integers(1, 400))
def test_halves_cover_the_same_days(days):
    part = Part(source(), source().streams["sales"], "7", AS_OF, AS_OF + days * DAY)
    first, second = part.halves()
    assert (first.since, second.until) == (part.since, part.until)
    assert first.until + DAY == second.since
    assert first.since <= first.until
    assert second.since <= second.until


@given(st.integers(0, 40), st.integers(1, 50))
def test_parts_have_every_day_once_and_the_last_takes_what_comes_later(days, length):
    whole = Part(source(), source().streams["sales"], "7", AS_OF, AS_OF + days * DAY, date.max)
    parts = list(whole.split(length))
    assert [day for part in parts for day in part.days] == list(whole.days)
    assert all(len(list(part.days)) == length for part in parts[:-1])
    for day in [AS_OF - DAY, *(AS_OF + number * DAY for number in range(days + 3))]:
        assert [day in part for part in parts].count(True) == (day >= AS_OF)


def test_a_source_without_python_follows_http():
    assert api_of("shop") == Api()
