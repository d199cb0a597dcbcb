"""How often a cron expression of EventBridge Scheduler fires."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from functools import cache

from headwater.errors import ConfigError

# Any year does whose days an expression can pick out; this one has no leap day.
_FIRST, _DAYS = date(2027, 1, 1), 365
_MONTHS = {calendar.month_abbr[number].upper(): number for number in range(1, 13)}
_WEEKDAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
_PART = re.compile(r"^(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?$")


@cache
def fires_a_day(cron: str) -> Decimal:
    """Counts how often an expression fires on an average day; ConfigError names the part that is not understood."""
    minutes, hours, day, month, weekday, _ = cron.split()
    a_day = len(_numbers(cron, minutes, 0, 59)) * len(_numbers(cron, hours, 0, 23))
    days = _numbers(cron, day, 1, 31) if day != "L" else None
    months, weekdays = _numbers(cron, month, 1, 12, _MONTHS), _numbers(cron, weekday, 1, 7, _WEEKDAYS)
    fires = 0
    for number in range(_DAYS):
        on = _FIRST + timedelta(number)
        last = on.day == calendar.monthrange(on.year, on.month)[1]
        fires += (
            on.month in months and (last if days is None else on.day in days) and on.isoweekday() % 7 + 1 in weekdays
        )
    return Decimal(a_day * fires) / _DAYS


def _numbers(cron: str, field: str, least: int, most: int, names: Mapping[str, int] | None = None) -> set[int]:
    """Reads one field, such as `*`, `?`, `8-20/4` or `MON,WED`."""
    found: set[int] = set()
    for part in field.replace("?", "*").split(","):
        match = _PART.match(part)
        if match is None:
            raise _not_understood(cron, part)
        first, last, step = match.groups()
        start = least if first is None else _number(cron, first, names)
        # `8/4` goes on to the end of the field, a number alone is itself.
        end = _number(cron, last, names) if last else most if first is None or step else start
        if not least <= start <= end <= most:
            raise _not_understood(cron, part)
        found.update(range(start, end + 1, int(step or 1)))
    return found


def _number(cron: str, text: str, names: Mapping[str, int] | None) -> int:
    if text.isdecimal():
        return int(text)
    try:
        return (names or {})[text.upper()]
    except KeyError:
        raise _not_understood(cron, text) from None


def _not_understood(cron: str, part: str) -> ConfigError:
    return ConfigError(
        f"cron {cron!r}: {part} is not understood. hint: numbers, names, `-`, `,`, `/`, `*`, `?`, and L as day of the month"
    )
