"""When a schedule fires is what a look at each minute says, across every change of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.gateway.schedules.expressions import ExpressionError, next_after

# The year's changes of the clocks, among them one at midnight and one of half an hour.
CHANGES = [
    ("Europe/Dublin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Dublin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 4, 23, 22, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2026, 6, 1, tzinfo=UTC)),
]
EARLY = datetime(2020, 1, 1, tzinfo=UTC)
WEEK_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def _by_looking(minutes: set[int], hours: set[int], week_days: set[int], zone: str, after: datetime) -> datetime | None:
    moment = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while moment < after + timedelta(days=9):
        wall = moment.astimezone(ZoneInfo(zone))
        fits = wall.minute in minutes and wall.hour in hours and wall.isoweekday() % 7 in week_days
        if fits and wall.fold == 0:
            return moment
        moment += timedelta(minutes=1)
    return None


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(CHANGES),
    st.integers(-3000, 600),
    st.sets(st.integers(0, 59), min_size=1, max_size=3),
    st.sets(st.integers(0, 4), min_size=1, max_size=2),
    st.sets(st.integers(0, 6), min_size=1),
)
def test_a_cron_fires_at_the_first_minute_that_fits(
    change: tuple[str, datetime], away: int, minutes: set[int], hours: set[int], week_days: set[int]
) -> None:
    zone, moment = change
    after = moment + timedelta(minutes=away)
    fields = [",".join(map(str, sorted(found))) for found in (minutes, hours)]
    days = ",".join(WEEK_DAYS[number] for number in sorted(week_days))
    found = next_after(f"cron({fields[0]} {fields[1]} ? * {days} *)", zone, after, EARLY)
    looked = _by_looking(minutes, hours, week_days, zone, after)
    if looked is not None:
        assert found == looked
    else:
        assert found is None or found >= after + timedelta(days=9)


def _fires(expression: str, zone: str, after: datetime, times: int) -> list[str]:
    found: list[str] = []
    moment: datetime | None = after
    for _ in range(times):
        assert moment is not None
        moment = next_after(expression, zone, moment, EARLY)
        found.append(moment.strftime("%m-%d %H:%M") if moment else "never")
    return found


def test_four_o_clock_in_dublin_is_an_hour_earlier_in_summer() -> None:
    after = datetime(2026, 3, 27, 12, tzinfo=UTC)
    assert _fires("cron(0 4 * * ? *)", "Europe/Dublin", after, 3) == ["03-28 04:00", "03-29 03:00", "03-30 03:00"]


def test_a_time_that_does_not_exist_is_left_out_and_one_that_comes_twice_fires_once() -> None:
    spring, autumn = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert _fires("cron(30 1 * * ? *)", "Europe/Dublin", spring, 1) == ["03-30 00:30"]
    assert _fires("cron(30 1 * * ? *)", "Europe/Dublin", autumn, 2) == ["10-25 00:30", "10-26 01:30"]


@pytest.mark.parametrize(
    ("expression", "fires"),
    [
        ("cron(0 2 ? * SUN *)", ["02-01 02:00", "02-08 02:00"]),
        ("cron(0 0 L * ? *)", ["02-28 00:00", "03-31 00:00"]),
        ("cron(0 0 ? * 6L *)", ["02-27 00:00", "03-27 00:00"]),
        ("cron(0 0 ? * MON#1 *)", ["02-02 00:00", "03-02 00:00"]),
        ("cron(0 0 1W * ? *)", ["02-02 00:00", "03-02 00:00"]),
        ("cron(0 0 LW * ? *)", ["02-27 00:00", "03-31 00:00"]),
        ("cron(0/20 8-10/2 1 MAR ? 2026-2027)", ["03-01 08:00", "03-01 08:20", "03-01 08:40", "03-01 10:00"]),
        ("cron(0 0 29 2 ? *)", ["02-29 00:00"]),
        ("cron(0 0 1 1 ? 2026)", ["never"]),
        ("at(2026-02-03T04:05:06)", ["02-03 04:05", "never"]),
        ("at(2020-02-03T04:05:06)", ["never"]),
    ],
)
def test_every_form_of_an_expression_is_read_as_aws_reads_it(expression: str, fires: list[str]) -> None:
    assert _fires(expression, "UTC", datetime(2026, 1, 31, 12, tzinfo=UTC), len(fires)) == fires


def test_a_rate_counts_from_the_start() -> None:
    start = datetime(2026, 1, 1, 0, 7, tzinfo=UTC)
    assert next_after("rate(5 minutes)", "UTC", start - timedelta(seconds=1), start) == start
    assert next_after("rate(5 minutes)", "UTC", start, start) == start + timedelta(minutes=5)
    assert next_after("rate(1 hour)", "UTC", start + timedelta(minutes=61), start) == start + timedelta(hours=2)


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("cron(0 4 * * ? *)", "Europe/Dublim"),
        ("cron(0 4 * * * *)", "UTC"),
        ("cron(0 4 ? * ? *)", "UTC"),
        ("cron(0 4 * * ?)", "UTC"),
        ("cron(60 4 * * ? *)", "UTC"),
        ("cron(0 4 * FOO ? *)", "UTC"),
        ("cron(0/0 4 * * ? *)", "UTC"),
        ("rate(0 minutes)", "UTC"),
        ("rate(5 weeks)", "UTC"),
        ("at(tomorrow)", "UTC"),
        ("0 4 * * ? *", "UTC"),
    ],
)
def test_what_aws_would_refuse_is_refused(expression: str, zone: str) -> None:
    with pytest.raises(ExpressionError):
        next_after(expression, zone, EARLY, EARLY)
