"""Days of a source: a day is a UTC day, from its midnight to the next."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

DAY = timedelta(days=1)
# In March of 1973; eight digits are a date.
_FEWEST_SECONDS = 100_000_000


def midnight(day: date) -> datetime:
    """The moment at which a day begins in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@lru_cache(maxsize=4096)
def moment_of(told: str | int) -> datetime:
    """The moment of an ISO date or time, or of seconds since 1970, in UTC; a time without zone is taken as UTC.

    ValueError for numbers that are no seconds, such as 20180110.
    """
    if isinstance(told, int):
        if told < _FEWEST_SECONDS:
            raise ValueError(f"{told} is no number of seconds since 1970")
        return datetime.fromtimestamp(told, UTC)
    moment = datetime.fromisoformat(told)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def day_of(told: str | int) -> date:
    """The UTC day of what `moment_of` reads."""
    return moment_of(told).date()
