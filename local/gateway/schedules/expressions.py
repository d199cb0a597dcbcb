"""When a schedule's expression fires: cron, rate and at, in a time zone, as EventBridge Scheduler reads them.

Where clocks go forward, a time that does not exist is left out; where they go back, a time that comes twice fires once.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_MONTHS = [name.upper() for name in calendar.month_abbr]
_DAYS = ["", "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_LAST_YEAR = 2199
_UNITS = {"minute": 60, "hour": 3600, "day": 86_400}


class ExpressionError(ValueError):
    """An expression or a time zone that EventBridge Scheduler refuses."""


def next_after(expression: str, zone: str, after: datetime, start: datetime) -> datetime | None:
    """Tells when an expression fires next after a time, in UTC; None when it never will.

    Args:
        expression: `cron(…)` of six fields, `rate(…)` or `at(…)`.
        zone: IANA name of the zone that `cron` and `at` are in.
        after: aware; what fires at this very time is over.
        start: when the schedule begins, and what a rate counts from.
    """
    kind, _, rest = expression.partition("(")
    fields = rest.removesuffix(")").split()
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ExpressionError(f"time zone {zone!r} is not known") from None
    if not rest.endswith(")") or kind not in {"cron", "rate", "at"}:
        raise ExpressionError(f"{expression!r} is neither cron(…) nor rate(…) nor at(…)")
    after = max(after, start - timedelta(microseconds=1))
    if kind == "rate":
        return _rate(fields, after, start)
    if kind == "at":
        try:
            found = datetime.fromisoformat(rest.removesuffix(")")).replace(tzinfo=place).astimezone(UTC)
        except ValueError:
            raise ExpressionError(f"{expression!r}: not yyyy-mm-ddThh:mm:ss") from None
        return found if found > after else None
    return next((moment for moment in _cron(fields, place, after) if moment > after), None)


def _rate(fields: list[str], after: datetime, start: datetime) -> datetime:
    unit = _UNITS.get(fields[1].removesuffix("s")) if len(fields) == 2 else None
    if unit is None or not fields[0].isdigit() or not int(fields[0]):
        raise ExpressionError("a rate is a number above 0 and minutes, hours or days")
    step = timedelta(seconds=int(fields[0]) * unit)
    return start if after < start else start + step * ((after - start) // step + 1)


def _cron(fields: list[str], zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    if len(fields) != 6:
        raise ExpressionError(f"a cron has six fields, not {len(fields)}")
    minutes, hours = _numbers(fields[0], 0, 59), _numbers(fields[1], 0, 23)
    months, years = _numbers(fields[3], 1, 12, _MONTHS), _numbers(fields[5], 1970, _LAST_YEAR)
    is_day = _day(fields[2], fields[4])
    day = after.astimezone(zone).date()
    while day.year <= max(years):
        if day.month not in months or day.year not in years:
            day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            continue
        if is_day(day):
            for hour in sorted(hours):
                for minute in sorted(minutes):
                    wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                    moment = wall.astimezone(UTC)
                    if moment.astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None):
                        yield moment
        day += timedelta(days=1)


def _numbers(field: str, low: int, high: int, names: list[str] | None = None) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        begin = low if first in {"*", "?"} else _number(first, names)
        end = _number(last, names) if last else high if step or first in {"*", "?"} else begin
        if not low <= begin <= end <= high or (step and not (step.isdigit() and int(step))):
            raise ExpressionError(f"{part!r} is not within {low} to {high}")
        found |= set(range(begin, end + 1, int(step or 1)))
    return found


def _number(text: str, names: list[str] | None) -> int:
    if names and text.upper() in names[1:]:
        return names.index(text.upper())
    if not text.isdigit():
        raise ExpressionError(f"{text!r} is no number")
    return int(text)


def _day(of_month: str, of_week: str) -> Callable[[date], bool]:
    if (of_month == "?") == (of_week == "?"):
        raise ExpressionError("one of day-of-month and day-of-week must be ?, and the other not")
    if of_week == "?":
        return _day_of_month(of_month)
    if found := re.fullmatch(r"(\w+)#([1-5])", of_week):
        week_day, number = _number(found[1], _DAYS), int(found[2])
        return lambda day: _week_day(day) == week_day and (day.day - 1) // 7 + 1 == number
    if found := re.fullmatch(r"(\w+)L", of_week):
        week_day = _number(found[1], _DAYS)
        return lambda day: _week_day(day) == week_day and (day + timedelta(days=7)).month != day.month
    week_days = _numbers(of_week.replace("L", "7") if of_week == "L" else of_week, 1, 7, _DAYS)
    return lambda day: _week_day(day) in week_days


def _day_of_month(field: str) -> Callable[[date], bool]:
    if field in {"L", "LW"}:
        return lambda day: day == (_nearest_week_day(_last(day)) if field == "LW" else _last(day))
    if found := re.fullmatch(r"(\d+)W", field):
        wanted = int(found[1])
        return lambda day: wanted <= _last(day).day and day == _nearest_week_day(day.replace(day=wanted))
    days = _numbers(field, 1, 31)
    return lambda day: day.day in days


def _week_day(day: date) -> int:
    return day.isoweekday() % 7 + 1


def _last(day: date) -> date:
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def _nearest_week_day(day: date) -> date:
    # Within the month: the Monday after a Saturday that is the first, the Friday before a Sunday that is the last.
    away = {6: -1, 7: 1}.get(day.isoweekday(), 0)
    moved = day + timedelta(days=away)
    return moved if moved.month == day.month else day - timedelta(days=2 * away)
