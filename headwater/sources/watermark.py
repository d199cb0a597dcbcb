"""Reading by watermark: what is new since the position, up to a mark that is frozen before anything is read.

A transaction that began before a read and ends after it commits its rows behind the watermark. So the position keeps a fingerprint of
the overlap, the last minutes up to its mark: where a later read finds another one, it reads the overlap again with what is new. A
row that comes still later, or is deleted without a tombstone, is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from headwater.config import WatermarkRead
from headwater.errors import FatalSourceError
from headwater.ledger.entries import Days
from headwater.ledger.positions import Overlap, WatermarkPosition
from headwater.sources.days import DAY

Fingerprint = Callable[[str], tuple[str, str]]
"""Counts the rows that meet a condition and tells them from other rows by a digest."""

_MARK = re.compile(r"\d{4,6}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,9})?([+-]\d\d(:?\d\d)?)?")


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


def news(
    read: WatermarkRead,
    dialect: Dialect,
    position: WatermarkPosition | None,
    high: str | None,
    fingerprint: Fingerprint,
) -> Span | None:
    """Finds what to read between the position and the newest watermark, `high`; None when nothing has changed.

    A commit between `high`, the fingerprint and the read is read now, or again by the next run, and never missed.
    FatalSourceError when a watermark is no moment.
    """
    if high is None:
        return None
    low = None if position is None else _checked(position.watermark)
    # A source that lost its newest rows has an older mark: what it gets back would be read twice, but the mark never recedes.
    high = max(_checked(high), low or "")
    after = WatermarkPosition(watermark=high, overlap=_overlap(read, dialect, high, fingerprint))
    until = f"{read.column} <= {dialect.moment(high)}"
    if position is None or low is None:
        return Span(until, after, f"{read.column} IS NOT NULL")
    before = after.overlap if high == low else _overlap(read, dialect, low, fingerprint)
    late = before != position.overlap
    if high == low and not late:
        return None
    since = dialect.moment(low)
    beyond = f"{read.column} > {dialect.earlier(since, read.overlap_minutes) if late else since}"
    return Span(f"{beyond} AND {until}", after, beyond)


def of_days(column: str, dialect: Dialect, days: Days) -> Span:
    """Takes the rows whose column falls on some days, the last included, in UTC."""
    first, end = days[0], days[1] + DAY
    midnights = [dialect.moment(f"{day} 00:00:00") for day in (first, end)]
    where = f"{column} >= {midnights[0]} AND {column} < {midnights[1]}"
    return Span(where, None, where)


def _overlap(read: WatermarkRead, dialect: Dialect, mark: str, fingerprint: Fingerprint) -> Overlap:
    moment = dialect.moment(mark)
    rows, digest = fingerprint(
        f"{read.column} > {dialect.earlier(moment, read.overlap_minutes)} AND {read.column} <= {moment}"
    )
    return Overlap(rows=rows, digest=digest)


def _checked(mark: str) -> str:
    """Returns a moment that is safe in SQL; FatalSourceError for anything else."""
    if _MARK.fullmatch(mark) is None:
        raise FatalSourceError(f"watermark {mark[:40]!r} is no moment. hint: declare a column of timestamps")
    return mark
