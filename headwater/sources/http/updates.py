"""Reads what has changed since a mark: the time of the newest change that was read, less an overlap.

Changes that a source shows late lie behind the mark. So the overlap before it is asked for again, and the position keeps a
fingerprint of the rows in it: as long as they read as before they are dropped, and nothing new gives nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from headwater.config import HttpSource, UpdatedSinceRead
from headwater.ledger.positions import MarksPosition, Overlap, WatermarkPosition
from headwater.sources.days import DAY, midnight
from headwater.sources.http.rollout import parsed_by, rolled_out
from headwater.sources.http.source import AccountDay, Part, hexadecimal

_MOST_TIMES = 50_000
# The two slices of an account: rows of the overlap, which are compared with what is known, and all others.
_OVERLAP, _NEWS = date.min, date.max


@dataclass
class Recent:
    """The newest time among an account's rows, and the fingerprints of the rows in the last minutes up to it.

    Times from `end` on move no mark: what changes while the rest is still being read may change on a page that was read
    already, and a row that is dated into the future must not hide those that change until then.
    """

    overlap: timedelta
    end: datetime
    newest: datetime | None
    _at: dict[datetime, tuple[int, int]] = field(default_factory=dict, repr=False)

    def add(self, moment: datetime, digest: int) -> None:
        """Takes a row's time and digest."""
        if moment >= self.end:
            return
        self.newest = max(moment, self.newest or moment)
        rows, digests = self._at.get(moment, (0, 0))
        self._at[moment] = rows + 1, (digests + digest) % 2**128
        if len(self._at) > _MOST_TIMES:
            first = _start(self.newest, self.overlap)
            self._at = {at: told for at, told in self._at.items() if at >= first}

    def mark(self) -> WatermarkPosition | None:
        """The mark and what lies before it within the overlap; None where no row has been seen yet."""
        if self.newest is None:
            return None
        first = _start(self.newest, self.overlap)
        told = [told for at, told in self._at.items() if first <= at <= self.newest]
        rows, digest = sum(rows for rows, _ in told), sum(digests for _, digests in told) % 2**128
        return WatermarkPosition(
            watermark=self.newest.isoformat(), overlap=Overlap(rows=str(rows), digest=hexadecimal(digest))
        )


@dataclass(frozen=True)
class SincePart(Part):
    """What one account has changed since a moment; a mark of None takes everything as new."""

    start: datetime = field(kw_only=True)
    mark: datetime | None = field(kw_only=True)

    def __contains__(self, day: date) -> bool:
        return True

    @property
    def begin(self) -> datetime:
        """The moment since which changes are asked for."""
        return self.start

    def day_of(self, row: Mapping[str, Any]) -> date:
        """The overlap for rows in it; a row older than was asked for is as new as any, since the source gives it unasked."""
        moment = self.moment_of(row)
        return _OVERLAP if self.mark is not None and self.start <= moment <= self.mark else _NEWS


def parts_since(source: HttpSource, name: str, position: MarksPosition | None, as_of: date) -> Iterator[SincePart]:
    """One part for each account: what changed since its mark, or an account without one from its history's start."""
    read = source.streams[name].read
    assert isinstance(read, UpdatedSinceRead)  # noqa: S101 - whoever calls has looked
    parsers = rolled_out(source, name)
    for account in source.accounts or ("",):
        parser = parsers.get(account)
        asked = source if parser is None else parsed_by(source, name, parser)
        known = None if position is None else position.marks.get(account)
        if known is None:
            start, mark, digests = midnight(as_of - timedelta(days=read.history_days)), None, None
        else:
            mark = datetime.fromisoformat(known.watermark)
            start = _start(mark, timedelta(minutes=read.overlap_minutes))
            digests = {AccountDay(account, _OVERLAP): known.overlap.digest} if known.overlap.rows != "0" else {}
        yield SincePart(asked, asked.streams[name], account, start.date(), as_of, known=digests, start=start, mark=mark)


def recent_of(part: SincePart) -> Recent:
    """What is to be remembered of the rows of a part that is read from now on."""
    read = part.stream.read
    assert isinstance(read, UpdatedSinceRead)  # noqa: S101 - a part of such a stream
    end = min(midnight(part.until + DAY), datetime.now(UTC))
    return Recent(timedelta(minutes=read.overlap_minutes), end, part.mark)


def _start(mark: datetime, overlap: timedelta) -> datetime:
    """Whole seconds, since that is what many sources are asked by."""
    return (mark.astimezone(UTC) - overlap).replace(microsecond=0)
