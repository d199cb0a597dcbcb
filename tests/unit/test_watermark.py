"""What a read by watermark reads, told by a relation in SQLite, with a clock that the test sets."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.config import WatermarkRead
from headwater.errors import FatalSourceError
from headwater.ledger import batch
from headwater.ledger.batch import BatchWriter
from headwater.ledger.positions import BoundedPosition, Overlap, Position, WatermarkPosition
from headwater.ledger.stream import Ledger, StreamLedger
from headwater.sources import watermark
from headwater.sources.watermark import Span, news, of_days, position_before

READ = WatermarkRead(kind="watermark", column="updated_at", overlap_minutes=10)
NOON = datetime(2018, 1, 1, 12, tzinfo=UTC)
Row = tuple[datetime | None, str]


class Lite:
    """Moments in SQLite: text of milliseconds in UTC, which sorts as they do."""

    def moment(self, text: str) -> str:
        return f"'{text}'"

    def earlier(self, moment: str, minutes: int) -> str:
        return f"strftime('%Y-%m-%d %H:%M:%f', {moment}, '-{minutes} minutes')"


def written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03}"


@dataclass
class Relation:
    """Rows by key: their watermark and their content; and what a reader has of them."""

    rows: dict[int, Row] = field(default_factory=dict)
    clock: datetime = NOON + timedelta(days=300)
    position: WatermarkPosition | None = None
    read: dict[int, Row] = field(default_factory=dict)

    def where(self, condition: str) -> dict[int, Row]:
        with sqlite3.connect(":memory:") as database:
            database.execute("CREATE TABLE t (key, updated_at)")
            database.executemany("INSERT INTO t VALUES (?, ?)", [(k, written(at)) for k, (at, _) in self.rows.items()])
            keys = [key for (key,) in database.execute(f"SELECT key FROM t WHERE {condition}")]
        database.close()
        return {key: self.rows[key] for key in keys}

    def fingerprint(self, condition: str) -> tuple[str, str]:
        found = sorted(self.where(condition).items())
        return str(len(found)), sha256(repr(found).encode()).hexdigest()

    def news(self) -> Span | None:
        now = str(written(self.clock))
        past = [text for at, _ in self.rows.values() if (text := written(at)) is not None and text <= now]
        return news(READ, Lite(), self.position, now, max(past, default=None), self.fingerprint)

    def pull(self) -> int:
        """Reads what is new and tells how many rows that were."""
        span = self.news()
        if span is None:
            return 0
        found = self.where(span.where)
        assert found.items() <= self.where(span.open_ended).items()
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
    assert relation.position.watermark == written(NOON)


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


def test_a_row_from_the_future_is_read_once_and_hides_nothing() -> None:
    relation = Relation({1: (at(0), "a")}, clock=at(1))
    relation.pull()
    relation.rows[2] = (datetime(2067, 1, 1, tzinfo=UTC), "a clock that went wrong")
    assert (relation.pull(), relation.pull()) == (1, 0)
    for day in range(1, 8):
        relation.clock = at(24 * 60 * day + 100)
        relation.rows |= {100 * day + minute: (at(24 * 60 * day + minute), "an order") for minute in range(20)}
        assert (relation.pull(), relation.pull()) == (20, 0)
    assert relation.read == relation.rows


def test_a_row_from_the_future_that_changes_is_read_again_and_so_it_is_when_its_time_has_come() -> None:
    relation = Relation({1: (at(0), "a"), 2: (at(60), "b")}, clock=at(1))
    assert (relation.pull(), relation.pull()) == (2, 0)
    relation.rows[2] = (at(60), "c")
    assert (relation.pull(), relation.pull()) == (1, 0)
    relation.clock = at(61)
    assert (relation.pull(), relation.pull()) == (1, 0)


def test_rows_without_a_watermark_are_read_whenever_they_are_others() -> None:
    relation = Relation({1: (None, "a")}, clock=at(0))
    assert (relation.pull(), relation.pull()) == (1, 0)
    relation.rows |= {2: (None, "b"), 3: (at(1), "c")}
    relation.clock = at(2)
    assert (relation.pull(), relation.pull()) == (3, 0)
    assert relation.read == relation.rows


@dataclass
class Bucket:
    """What a ledger needs of a bucket, in memory."""

    objects: dict[str, bytes] = field(default_factory=dict)
    uri: str = "s3://raw"

    def create(self, key: str, body: bytes) -> bool:
        return self.objects.setdefault(key, body) is body

    def read(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def keys(self, prefix: str, page: int = 1000) -> Iterator[tuple[str, datetime, int]]:
        assert page
        yield from ((key, NOON, 0) for key in sorted(self.objects) if key.startswith(prefix))


class Database(Relation):
    """A relation that transactions change, by a clock that may go wrong; and its stream, in a ledger, by one that does not."""

    def __init__(self) -> None:
        super().__init__(clock=NOON)
        self.real, self.wrong = NOON, timedelta()
        self.open: dict[int, tuple[Row, datetime]] = {}
        self.ledger = StreamLedger(Bucket(), "shop", "orders")  # type: ignore[arg-type]

    def act(self, what: str, key: int, minutes: float, content: str) -> None:
        self.real += timedelta(minutes=minutes)
        self.clock = self.real + self.wrong
        # No transaction stays open for as long as the overlap, by the database's own clock.
        for old in [key for key, (_, since) in self.open.items() if self.real - since > timedelta(minutes=5)]:
            self.commit(old)
        for old in [*self.open] if what == "leap" else ():
            self.commit(old)
        match what:
            case "begin":
                self.open[key] = ((self.clock, content), self.real)
            case "commit":
                self.commit(key)
            case "undated":
                self.rows[key] = (None, content)
            case "future":
                self.rows[key] = (self.clock + timedelta(days=1 + minutes * 9_000), content)
            case "leap":
                self.wrong = timedelta() if self.wrong else timedelta(hours=minutes)
            case "dies":
                self.news()
            case "run":
                self.pull()

    def commit(self, key: int) -> None:
        if key in self.open:
            self.rows[key], _ = self.open.pop(key)

    def pull(self) -> int:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return real.astimezone(tz)

        real = self.real
        with pytest.MonkeyPatch.context() as patch:
            for module in (batch, watermark):
                patch.setattr(module, "datetime", Clock)
            writer = BatchWriter.begin(self.ledger, "run", None)
            self.position = position_before(writer, str(written(self.clock)))
            found = super().pull()
            if found:
                writer.commit(self.position)
        return found


# What happens to a database: a transaction dates its row and stays open, or commits; a row has no date, or one of the future; time
# goes by, the clock leaps and is set back; a run is made, or dies before its manifest.
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "commit", "undated", "future", "wait", "leap", "run", "dies"]),
        st.integers(0, 4),
        st.floats(0, 3, allow_nan=False),
    ),
    max_size=30,
)


@settings(max_examples=500)
@given(ACTS)
def test_every_last_version_is_read_once_the_database_is_quiet(acts: list[tuple[str, int, float]]) -> None:
    database = Database()
    for number, (what, key, minutes) in enumerate(acts):
        database.act(what, key, minutes, f"{number}")
    if database.wrong:
        database.act("leap", 0, 0, "")
    for key in [*database.open]:
        database.commit(key)
    database.act("run", 0, 4, "")
    assert database.read == database.rows
    assert database.pull() == 0


def test_a_backfill_takes_whole_days_and_leaves_the_position() -> None:
    relation = Relation({n: (datetime(2018, 1, 1, tzinfo=UTC) + timedelta(hours=12 * n), "") for n in range(8)})
    span = of_days("updated_at", Lite(), (date(2018, 1, 2), date(2018, 1, 3)))
    assert (sorted(relation.where(span.where)), span.after) == ([2, 3, 4, 5], None)


def test_what_a_backfill_has_overtaken_is_read_again() -> None:
    """The source goes back to what the position knew while the lake has what the backfill found."""
    relation = Relation({1: (at(0), "a"), 2: (at(-1), "x"), 3: (None, "a")})
    relation.pull()
    relation.read |= {1: (at(0), "b"), 3: (None, "b")}
    assert isinstance(relation.position, BoundedPosition)
    relation.position = relation.position.doubted()
    assert relation.pull() == 3
    assert relation.read == relation.rows
    assert relation.pull() == 0


OVERLAP = Overlap(rows="1", digest="a")
NOW = "2018-01-02 00:00:00"


def stored(ledger: StreamLedger, position: Position) -> None:
    BatchWriter.begin(ledger, "run", None).commit(position)


@pytest.mark.parametrize("mark", ["2067-01-01 00:00:00+00", "2067-01-01T00:00:00.000000000", "20180-01-01 00:00:00"])
def test_a_mark_that_an_earlier_version_let_pass_the_clock_is_not_believed(ledger: Ledger, mark: str) -> None:
    stream = ledger.stream("shop", "orders")
    good = WatermarkPosition(watermark="2018-01-01 00:00:00+00", overlap=OVERLAP)
    stored(stream, good)
    assert position_before(BatchWriter.begin(stream, "run", None), NOW) == good
    for rows in "12":
        stored(stream, WatermarkPosition(watermark=mark, overlap=Overlap(rows=rows, digest="")))
    assert position_before(BatchWriter.begin(stream, "run", None), NOW) == good


def test_a_stream_whose_every_mark_passed_the_clock_is_read_anew(ledger: Ledger) -> None:
    stream = ledger.stream("shop", "orders")
    stored(stream, WatermarkPosition(watermark="2067-01-01 00:00:00", overlap=OVERLAP))
    assert position_before(BatchWriter.begin(stream, "run", None), NOW) is None


def test_a_mark_that_the_database_has_reached_is_believed_whatever_the_jobs_clock_says(ledger: Ledger) -> None:
    stream = ledger.stream("shop", "orders")
    bounded = BoundedPosition(watermark="2067-01-01 00:00:00", overlap=OVERLAP, outside=OVERLAP)
    stored(stream, bounded)
    assert position_before(BatchWriter.begin(stream, "run", None), "2067-01-01 00:00:01") == bounded


def test_a_mark_is_not_believed_once_the_databases_clock_has_been_set_back(ledger: Ledger) -> None:
    stream = ledger.stream("shop", "orders")
    good, ahead = (
        BoundedPosition(watermark=mark, overlap=OVERLAP, outside=OVERLAP)
        for mark in ("2018-01-01 00:00:00", "2067-01-01 00:00:00")
    )
    stored(stream, good)
    stored(stream, ahead)
    assert position_before(BatchWriter.begin(stream, "run", None), NOW) == good


@pytest.mark.parametrize("mark", ["infinity", "2018-01-01", "2018-01-01 00:00:00'; DROP TABLE x; --"])
def test_what_is_no_moment_never_reaches_sql(mark: str) -> None:
    good, told = (
        "2018-01-01 00:00:00",
        {"overlap": Overlap(rows="0", digest=""), "outside": Overlap(rows="0", digest="")},
    )

    def refused(position: Any, now: str, high: str) -> None:
        with pytest.raises(FatalSourceError, match="is no moment"):
            news(READ, Lite(), position, now, high, lambda _: ("0", ""))

    refused(BoundedPosition(watermark=mark, **told), good, good)
    refused(None, mark, good)
    refused(None, good, mark)
