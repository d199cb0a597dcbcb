"""Days of a source: a day is a UTC day, from its midnight to the next."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

DAY = timedelta(days=1)


def midnight(day: date) -> datetime:
    """The moment at which a day begins in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@lru_cache(maxsize=4096)
def day_of(text: str) -> date:
    """The UTC day of an ISO date or time; a time without zone is taken as UTC."""
    moment = datetime.fromisoformat(text)
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date()
