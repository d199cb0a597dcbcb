"""Reading by watermark: what is new since the position, up to a mark that is frozen before anything is read.

A transaction that began before a read and ends after it commits its rows behind the watermark. So the position keeps a fingerprint of
the overlap, the last minutes up to its mark: where a later read finds another one, it reads the overlap again with what is new. A
row that is made still later is found by a key that grows, where there is one (`TooLate`). What is changed later than the overlap, or
deleted without a tombstone, is not seen.

The mark never passes the database's own clock, since what is dated later would hide all that changes until then. Rows outside,
dated later than that clock or not dated at all, are read beside the rest whenever their own fingerprint has changed, and a
later one once more when its time has come.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from headwater.config import WatermarkRead
from headwater.errors import FatalSourceError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import Days
from headwater.ledger.positions import BoundedPosition, Overlap, WatermarkPosition
from headwater.log import get_logger
from headwater.sources.days import DAY

Fingerprint = Callable[[str], tuple[str, str]]
"""Counts the rows that meet a condition and tells them from other rows by a digest."""

TooLate = Callable[[str], str | None]
"""Looks among the rows that meet a condition, which are behind the overlap, for such as no read can have seen; says which to read."""

_MARK = re.compile(r"\d{4,6}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,9})?([+-]\d\d(:?\d\d)?)?")
# By how much a clock may have been ahead: what is dated meanwhile is within any overlap.
_UNNOTICED = timedelta(minutes=1)

log = get_logger(__name__)


class Dialect(Protocol):
    """How a database writes moments."""

    def moment(self, text: str) -> str:
        """SQL of a moment in UTC, from the text of a watermark or from `YYYY-MM-DD HH:MM:SS`."""
        ...

    def earlier(self, moment: str, minutes: int) -> str:
        """SQL of a moment some minutes earlier."""
        ...


@dataclass(frozen=True)
class Span:
    """Rows to read, as a SQL condition, and the watermark's position once they are read; None where no watermark moves.

    `open_ended` is the condition without the frozen mark.
    """

    where: str
    after: WatermarkPosition | None
    open_ended: str


def position_before(writer: BatchWriter, now: str) -> WatermarkPosition | None:
    """The position before a batch, where the database's own time is `now`.

    A mark later than its batch is not believed: an earlier version let it pass the clock, or the clock has been set back since.
    """
    # A database whose clock is always ahead of the job's has marks that are, too.
    fast = max(_moment(now) - datetime.now(UTC), timedelta())
    return writer.before(WatermarkPosition, lambda position, at: _moment(position.watermark) > at + fast + _UNNOTICED)


def news(
    read: WatermarkRead,
    dialect: Dialect,
    position: WatermarkPosition | None,
    now: str,
    high: str | None,
    fingerprint: Fingerprint,
    too_late: TooLate = lambda _behind: None,
) -> Span | None:
    """Finds what to read since the position; None when nothing has changed.

    `now` is the database's own time and `high` the newest watermark that is not later, as the database writes them. A commit
    between them, the fingerprints and the read is read now, or again by the next run, and never missed. FatalSourceError
    when a watermark is no moment.
    """
    column, low = read.column, None if position is None else _checked(position.watermark)
    unordered = f"{column} > {dialect.moment(_checked(now))} OR {column} IS NULL"
    outside = _told(fingerprint, unordered)
    if outside.count:
        log.warning("rows are dated later than the database's clock, or not at all", rows=outside.count, column=column)
    elif high is None and low is None:
        return None
    # A source that lost its newest rows has an older mark: what it gets back would be read twice, but the mark never recedes.
    mark = max(_checked(high or low or now), low or "")
    after = BoundedPosition(watermark=mark, overlap=_overlap(read, dialect, mark, fingerprint), outside=outside)
    until = f"{column} <= {dialect.moment(mark)}"
    if position is None or low is None:
        return Span(f"{until} OR {unordered}", after, "1 = 1")
    before = after.overlap if mark == low else _overlap(read, dialect, low, fingerprint)
    late = before != position.overlap
    known = position.outside if isinstance(position, BoundedPosition) else None
    strays = outside.count > 0 and outside != known
    since = dialect.moment(low)
    overlap = dialect.earlier(since, read.overlap_minutes)
    behind = too_late(f"{column} <= {overlap}")
    if mark == low and not late and not strays and behind is None:
        return None
    beyond = f"{column} > {overlap if late else since}"
    also = (f" OR {unordered}", f" OR {column} IS NULL") if strays else ("", "")
    too = "" if behind is None else f" OR ({behind})"
    return Span(f"{beyond} AND {until}{also[0]}{too}", after, f"{beyond}{also[1]}{too}")


def of_days(column: str, dialect: Dialect, days: Days) -> Span:
    """Takes the rows whose column falls on some days, the last included, in UTC."""
    first, end = days[0], days[1] + DAY
    midnights = [dialect.moment(f"{day} 00:00:00") for day in (first, end)]
    where = f"{column} >= {midnights[0]} AND {column} < {midnights[1]}"
    return Span(where, None, where)


def _overlap(read: WatermarkRead, dialect: Dialect, mark: str, fingerprint: Fingerprint) -> Overlap:
    moment = dialect.moment(mark)
    return _told(
        fingerprint, f"{read.column} > {dialect.earlier(moment, read.overlap_minutes)} AND {read.column} <= {moment}"
    )


def _told(fingerprint: Fingerprint, where: str) -> Overlap:
    rows, digest = fingerprint(where)
    return Overlap(rows=rows, digest=digest)


def _moment(mark: str) -> datetime:
    try:
        moment = datetime.fromisoformat(_checked(mark))
    except ValueError:
        # Its year has five digits.
        return datetime.max.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _checked(mark: str) -> str:
    """Returns a moment that is safe in SQL; FatalSourceError for anything else."""
    if _MARK.fullmatch(mark) is None:
        raise FatalSourceError(f"watermark {mark[:40]!r} is no moment. hint: declare a column of timestamps")
    return mark
