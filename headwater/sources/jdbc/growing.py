"""A column of a relation whose numbers grow as rows are made, and what a snapshot says of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headwater.config import WatermarkRead
from headwater.ledger.positions import WatchedPosition, WatermarkPosition
from headwater.log import get_logger
from headwater.sources import keys
from headwater.sources.jdbc.engine import Snapshot
from headwater.sources.jdbc.read import Relation
from headwater.sources.watermark import Fingerprint, Span, news

NEWEST_ROWS = 10_000
"""Rows with the highest keys that are compared, where nothing else is declared."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Growing:
    """The keys of a relation as a snapshot has them; `overlap_rows` of the highest are compared from read to read."""

    relation: Relation
    view: Snapshot
    name: str
    overlap_rows: int = NEWEST_ROWS

    @property
    def key(self) -> str:
        """The column as it stands in SQL."""
        return self.relation.engine.quoted(self.name)

    def highest(self) -> int | None:
        """The highest key; None where there is none."""
        [highest] = self.view.row(f"SELECT {self._text(f'max({self.key})')} FROM {self.relation.rows}")
        return None if highest is None else int(highest)

    def below(self, high: int) -> int | None:
        """The key below the overlap up to a key; None where the overlap has every row up to it."""
        key = self.key
        newest = f"SELECT {key} FROM {self.relation.rows} WHERE {key} <= {high} ORDER BY {key} DESC LIMIT {self.overlap_rows}"
        lowest, rows = self.view.row(f"SELECT {self._text(f'min({key})')}, count(*) FROM ({newest}) AS newest")
        return None if lowest is None or int(rows or 0) < self.overlap_rows else int(lowest) - 1

    def fingerprint(self, since: int | None, high: int) -> tuple[str, str]:
        """Counts the keys beyond one, if any, and up to another, and tells them from other ones by a digest."""
        keys = f"SELECT {self.key} FROM {self.relation.rows} WHERE {self.between(since, high)}"
        rows, total = self.view.row(f"SELECT count(*), {self.relation.engine.digest([self.name])} FROM ({keys}) AS t")
        return str(rows), str(total)

    def between(self, since: int | None, high: int) -> str:
        """SQL of the keys beyond one, if any, and up to another."""
        return f"{self.key} <= {high}" if since is None else f"{self.key} > {since} AND {self.key} <= {high}"

    def rows(self, where: str) -> int:
        """Counts the rows that meet a condition."""
        [rows] = self.view.row(f"SELECT count(*) FROM {self.relation.rows} WHERE {where}")
        return int(rows or 0)

    def _text(self, expression: str) -> str:
        return self.relation.engine.text(expression)


def watched(
    growing: Growing,
    read: WatermarkRead,
    position: WatermarkPosition | None,
    now: str,
    high: str | None,
    fingerprint: Fingerprint,
) -> Span | None:
    """Finds what to read by watermark since the position, and behind its overlap what has been made or committed since by its key.

    Where one of the newest keys was committed late, it may be any of the rows that have them: all of those are read again.
    """
    before = position.keys if isinstance(position, WatchedPosition) else None
    found = keys.news(before, growing.highest(), growing.below, growing.fingerprint)

    def too_late(behind: str) -> str | None:
        if before is None or found is None:
            return None
        where = f"{growing.between(found.since, found.high)} AND {behind}"
        if made := growing.rows(f"{growing.between(found.low, found.high)} AND {behind}"):
            log.warning("rows are dated earlier than the overlap: read by their keys", rows=made, key=growing.name)
        return where if made or (found.late and growing.rows(where)) else None

    span = news(read, growing.relation.engine, position, now, high, fingerprint, too_late)
    after = before if found is None else found.after
    if span is None or span.after is None or after is None:
        return span
    return replace(span, after=WatchedPosition(**dict(span.after), keys=after))
