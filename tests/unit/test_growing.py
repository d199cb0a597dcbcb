"""Rows that are committed, or dated, later than a watermark's overlap are found by a key that grows."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headwater.config import WatermarkRead
from headwater.ledger.positions import BoundedPosition, WatchedPosition, WatermarkPosition
from headwater.sources.jdbc.growing import Growing, watched
from headwater.sources.watermark import Span
from tests.support.declared import project

READ = WatermarkRead(kind="watermark", column="updated_at", overlap_minutes=10)
NOON = datetime(2018, 1, 1, 12, tzinfo=UTC)


def written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03}"


class Lite:
    """SQLite as an engine: what is asked of one here."""

    def moment(self, text: str) -> str:
        return f"'{text}'"

    def earlier(self, moment: str, minutes: int) -> str:
        return f"strftime('%Y-%m-%d %H:%M:%f', {moment}, '-{minutes} minutes')"

    def quoted(self, name: str) -> str:
        return f'"{name}"'

    def text(self, expression: str) -> str:
        return f"CAST({expression} AS TEXT)"

    def digest(self, columns: list[str]) -> str:
        [name] = columns
        return f'total("{name}" * "{name}")'


@dataclass
class Shop:
    """A relation of orders, whose keys are given out as a transaction begins; and what a reader has of them."""

    orders: dict[int, tuple[datetime, str]] = field(default_factory=dict)
    open: dict[int, tuple[datetime, str]] = field(default_factory=dict)
    clock: datetime = NOON
    key: int = 0
    position: WatermarkPosition | None = None
    read: dict[int, tuple[datetime, str]] = field(default_factory=dict)
    overlap_rows: int = 50

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(":memory:") as database:
            database.execute("CREATE TABLE orders (id, updated_at)")
            stored = [(key, written(at)) for key, (at, _) in self.orders.items()]
            database.executemany("INSERT INTO orders VALUES (?, ?)", stored)
            found = database.execute(sql).fetchall()
        database.close()
        return found

    def fingerprint(self, where: str) -> tuple[str, str]:
        found = sorted((key, self.orders[key]) for (key,) in self.rows(f"SELECT id FROM orders WHERE {where}"))
        return str(len(found)), sha256(repr(found).encode()).hexdigest()

    def news(self) -> Span | None:
        view = SimpleNamespace(row=lambda sql: self.rows(sql)[0])
        relation = SimpleNamespace(rows="orders", engine=Lite())
        growing = Growing(cast("Any", relation), cast("Any", view), "id", self.overlap_rows)
        past = [at for at, _ in self.orders.values() if at <= self.clock]
        high = written(max(past)) if past else None
        return watched(growing, READ, self.position, written(self.clock), high, self.fingerprint)

    def pull(self) -> int:
        span = self.news()
        if span is None:
            return 0
        found = [key for (key,) in self.rows(f"SELECT id FROM orders WHERE {span.where}")]
        assert set(found) <= {key for (key,) in self.rows(f"SELECT id FROM orders WHERE {span.open_ended}")}
        self.read |= {key: self.orders[key] for key in found}
        if found:
            self.position = span.after
        return len(found)

    def order(self, minutes_ago: float = 0, content: str = "") -> int:
        """Begins a transaction that makes an order, dated some minutes ago."""
        self.key += 1
        self.open[self.key] = (self.clock - timedelta(minutes=minutes_ago), content)
        return self.key

    def commit(self, key: int) -> None:
        self.orders[key] = self.open.pop(key)

    def wait(self, minutes: float) -> None:
        self.clock += timedelta(minutes=minutes)

    def act(self, what: str, amount: int, content: str) -> None:
        match what:
            case "order":
                self.order(content=content)
            case "old":
                self.order(minutes_ago=1000.0 * amount, content=content)
            case "commit" if self.open:
                self.commit(sorted(self.open)[amount % len(self.open)])
            case "wait":
                self.wait(7 * amount + 1)
            case "run":
                self.pull()
            case "dies":
                self.news()

    def touch(self, what: str, amount: int, content: str) -> set[int]:
        """Changes or deletes one of the orders that are there; returns the key of one that is gone."""
        there = sorted(self.orders)[amount : amount + 1]
        for key in there:
            self.orders[key] = (self.clock, content)
            if what == "delete":
                del self.orders[key]
        return set(there) if what == "delete" else set()


def test_an_order_dated_long_ago_is_read_once() -> None:
    shop = Shop()
    shop.commit(shop.order())
    shop.pull()
    shop.wait(60)
    shop.commit(shop.order(minutes_ago=50_000))
    assert (shop.pull(), shop.pull()) == (1, 0)
    assert shop.read == shop.orders


def test_an_order_whose_transaction_was_open_for_hours_is_read() -> None:
    shop = Shop()
    long = shop.order(content="a long transaction")
    shop.commit(shop.order())
    shop.wait(300)
    shop.commit(shop.order())
    shop.pull()
    shop.commit(long)
    assert shop.pull() >= 1
    assert shop.read == shop.orders
    assert shop.pull() == 0


def test_an_order_with_a_key_below_those_that_are_compared_is_not_seen() -> None:
    shop = Shop(overlap_rows=3)
    long = shop.order()
    for _ in range(5):
        shop.commit(shop.order())
    shop.wait(300)
    shop.commit(shop.order())
    shop.pull()
    shop.commit(long)
    assert shop.pull() == 0


def test_what_is_new_in_the_usual_way_reads_nothing_again() -> None:
    shop = Shop()
    for _ in range(40):
        shop.commit(shop.order())
    shop.pull()
    shop.wait(60)
    shop.commit(shop.order())
    assert shop.pull() == 1


def test_a_position_without_keys_begins_to_watch_and_reads_nothing_twice() -> None:
    shop = Shop()
    shop.commit(shop.order())
    shop.pull()
    assert isinstance(shop.position, WatchedPosition)
    shop.position = BoundedPosition(**{name: value for name, value in shop.position if name != "keys"})
    shop.wait(60)
    shop.commit(shop.order())
    assert shop.pull() == 1
    shop.commit(shop.order(minutes_ago=10_000))
    assert (shop.pull(), shop.read) == (1, shop.orders)


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["order", "old", "commit", "change", "delete", "wait", "run", "dies"]), st.integers(0, 9)
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(ACTS)
def test_every_order_is_read_however_late_it_is_committed_or_dated(acts: list[tuple[str, int]]) -> None:
    shop = Shop()
    gone: set[int] = set()
    for number, (what, amount) in enumerate(acts):
        if what in {"change", "delete"}:
            gone |= shop.touch(what, amount, str(number))
        else:
            shop.act(what, amount, str(number))
    for key in [*shop.open]:
        shop.commit(key)
    shop.pull()
    assert {key: order for key, order in shop.read.items() if key not in gone} == shop.orders
    assert shop.pull() == 0


def test_only_a_read_by_watermark_may_declare_what_grows() -> None:
    stream = project().sources["rds_postgres"].streams["orders"]
    log = {"kind": "log", "slot": "s", "publication": "p"}
    told = stream.model_dump() | {"grows": "order_id", "read": log}
    with pytest.raises(ValidationError, match="only a read by watermark needs it"):
        type(stream).model_validate(told)
