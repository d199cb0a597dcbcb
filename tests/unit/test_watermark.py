"""What a read by watermark reads, told by a relation that lives in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.config import WatermarkRead
from headwater.errors import FatalSourceError
from headwater.ledger.positions import Overlap, WatermarkPosition
from headwater.sources.watermark import Span, news, of_days

READ = WatermarkRead(kind="watermark", column="updated_at", overlap_minutes=10)
NOON = datetime(2018, 1, 1, 12, tzinfo=UTC)


class Spelled:
    """Moments as Python evaluates them, so that a condition can be tried on rows."""

    def moment(self, text: str) -> str:
        return f"datetime.fromisoformat('{text}').replace(tzinfo=UTC)"

    def earlier(self, moment: str, minutes: int) -> str:
        return f"({moment} - timedelta(minutes={minutes}))"


@dataclass
class Relation:
    """Rows by key: their watermark and their content; and what a reader has of them."""

    rows: dict[int, tuple[datetime, str]] = field(default_factory=dict)
    position: WatermarkPosition | None = None
    read: dict[int, tuple[datetime, str]] = field(default_factory=dict)

    def where(self, condition: str) -> dict[int, tuple[datetime, str]]:
        names = {"datetime": datetime, "timedelta": timedelta, "UTC": UTC}
        python = condition.replace(" AND ", " and ")
        return {key: row for key, row in self.rows.items() if eval(python, names, {"updated_at": row[0]})}

    def fingerprint(self, condition: str) -> tuple[str, str]:
        found = sorted(self.where(condition).items())
        return str(len(found)), sha256(repr(found).encode()).hexdigest()

    def news(self) -> Span | None:
        high = max((at for at, _ in self.rows.values()), default=None)
        return news(READ, Spelled(), self.position, None if high is None else high.isoformat(" "), self.fingerprint)

    def pull(self) -> int:
        """Reads what is new and tells how many rows that were."""
        span = self.news()
        if span is None:
            return 0
        found = self.where(span.where)
        if found:
            self.read |= found
            self.position = span.after
        return len(found)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def test_the_first_read_takes_everything_and_the_second_nothing() -> None:
    relation = Relation({1: (at(0), "a"), 2: (at(-90_000), "b")})
    assert (relation.pull(), relation.pull()) == (2, 0)


def test_an_empty_relation_has_no_position() -> None:
    assert Relation().news() is None


def test_only_rows_behind_the_watermark_are_read_when_nothing_came_late() -> None:
    relation = Relation({1: (at(0), "a"), 2: (at(-5), "b")})
    relation.pull()
    relation.rows[3] = (at(30), "c")
    assert (relation.pull(), relation.read[3]) == (1, (at(30), "c"))


def test_a_row_that_was_committed_late_is_read_with_the_overlap() -> None:
    relation = Relation({1: (at(0), "a"), 2: (at(-60), "b")})
    relation.pull()
    relation.rows[3] = (at(-4), "late")
    assert (relation.pull(), relation.pull()) == (2, 0)
    assert relation.read == relation.rows


def test_a_row_later_than_the_overlap_is_not_seen() -> None:
    relation = Relation({1: (at(0), "a")})
    relation.pull()
    relation.rows[2] = (at(-11), "too late")
    assert relation.pull() == 0


def test_the_watermark_never_recedes() -> None:
    relation = Relation({1: (at(0), "a"), 2: (at(-3), "b")})
    relation.pull()
    del relation.rows[1]
    assert relation.pull() == 1
    assert relation.position is not None
    assert relation.position.watermark == NOON.isoformat(" ")


@given(
    steps=st.lists(
        st.lists(
            st.tuples(st.integers(0, 5), st.floats(-9, 30, allow_nan=False), st.text("ab", max_size=2)), max_size=4
        ),
        max_size=6,
    )
)
def test_no_change_within_the_overlap_is_ever_missed(steps: list[list[tuple[int, float, str]]]) -> None:
    relation = Relation()
    newest = NOON
    for step in steps:
        # A change is dated at most nine minutes before the newest row that there was when the last read ended.
        base = newest
        for key, minutes, content in step:
            moment = base + timedelta(minutes=minutes)
            relation.rows[key] = (moment, content)
            newest = max(newest, moment)
        relation.pull()
        assert relation.read == relation.rows
        assert relation.pull() == 0


def test_a_backfill_takes_whole_days_and_leaves_the_position() -> None:
    relation = Relation({n: (datetime(2018, 1, 1, tzinfo=UTC) + timedelta(hours=12 * n), "") for n in range(8)})
    span = of_days("updated_at", Spelled(), (date(2018, 1, 2), date(2018, 1, 3)))
    assert (sorted(relation.where(span.where)), span.after) == ([2, 3, 4, 5], None)


@pytest.mark.parametrize("mark", ["infinity", "2018-01-01", "2018-01-01 00:00:00'; DROP TABLE x; --"])
def test_what_is_no_moment_never_reaches_sql(mark: str) -> None:
    overlap = Overlap(rows="0", digest="")
    with pytest.raises(FatalSourceError, match="is no moment"):
        news(
            READ,
            Spelled(),
            WatermarkPosition(watermark=mark, overlap=overlap),
            "2018-01-01 00:00:00",
            lambda _: ("0", ""),
        )
    with pytest.raises(FatalSourceError, match="is no moment"):
        news(READ, Spelled(), None, mark, lambda _: ("0", ""))
