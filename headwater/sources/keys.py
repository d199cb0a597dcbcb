"""Reading by a growing key: what lies beyond the position, and what was committed late behind it.

A sequence gives its numbers out before the commit: a transaction with an older one may commit after a read that has seen newer ones. So
the position keeps a fingerprint of the overlap, the rows with the highest keys that it has read: where a later read finds another one,
it reads the overlap again with what is new. The overlap is counted in rows, so that a key far ahead of its time, put in by
hand, hides nothing that comes after it. A row with a key below the overlap is not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headwater.ledger.positions import ComparedKeyPosition, KeyOverlap, KeyPosition

Below = Callable[[int], int | None]
"""Tells the key below the overlap up to a key; None where the overlap has every row up to it."""
Fingerprint = Callable[[int | None, int], tuple[str, str]]
"""Counts the rows with keys beyond one, if any, and up to another, and tells their keys from other ones by a digest."""


@dataclass(frozen=True)
class Keys:
    """Keys to read: up to `high`, beyond `since`, of which those up to `low` have been read before; None is before the first."""

    since: int | None
    low: int | None
    high: int
    after: ComparedKeyPosition

    @property
    def late(self) -> bool:
        """True when the overlap is read again."""
        return self.since != self.low


def news(position: KeyPosition | None, high: int | None, below: Below, fingerprint: Fingerprint) -> Keys | None:
    """Finds what to read since the position, where `high` is the highest key; None when nothing has changed."""
    if high is None:
        return None
    if position is None:
        return Keys(None, None, high, _after(high, below, fingerprint))
    low = position.key
    # What a relation that lost its newest rows gets back would be read twice, but the position never recedes.
    high = max(high, low)
    if isinstance(position, ComparedKeyPosition):
        first = position.overlap.since
        since = low if _overlap(first, low, fingerprint) == position.overlap else first
    else:
        # An earlier version compared nothing: what came late before this one is read with what is new.
        since = below(low) if high > low else low
    if since == low and high == low:
        return None
    return Keys(since, low, high, _after(high, below, fingerprint))


def _after(high: int, below: Below, fingerprint: Fingerprint) -> ComparedKeyPosition:
    return ComparedKeyPosition(key=high, overlap=_overlap(below(high), high, fingerprint))


def _overlap(since: int | None, high: int, fingerprint: Fingerprint) -> KeyOverlap:
    rows, digest = fingerprint(since, high)
    return KeyOverlap(rows=rows, digest=digest, since=since)
