"""What silver has after any history is what the history says, however its batches were grouped."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pyspark.sql import SparkSession

from headwater.config.stream import Order
from headwater.stages import together

from .shop import Shop, at, people

KEYS, BATCHES = 300, 5
GROUPED = [2, BATCHES]
"""All at once, and two by two, of which the last goes alone."""
Told = tuple[int, int, int, str, int | None]
"""A row as it arrived: batch, file, place in the file, city, and the day of its version."""
History = dict[int, list[Told]]


def history(seed: int, *, unversioned: bool) -> History:
    """Draws what arrives of each key; few cities and few days, so that everything coincides with everything."""
    random = Random(seed)
    told: History = {}
    for key in range(KEYS):
        arrivals = sorted((random.randint(1, BATCHES), random.randint(0, 1)) for _ in range(random.randint(1, 6)))
        days = [None, 1, 2, 3, 4] if unversioned else [1, 2, 3, 4]
        told[key] = [
            (batch, file, place, random.choice("ABC"), random.choice(days))
            for place, (batch, file) in enumerate(arrivals)
        ]
    return told


def arrive(shop: Shop, told: History, grouped: int) -> None:
    """Lets a history arrive, so many batches at a time."""
    for batch in range(1, BATCHES + 1):
        files = []
        for file in (0, 1):
            rows = [
                (place, key, city, day)
                for key, all_ in told.items()
                for b, f, place, city, day in all_
                if (b, f) == (batch, file)
            ]
            files.append([(key, city, at(day)) for _, key, city, day in sorted(rows)])
        shop.batch(*files)
        if batch % grouped == 0 or batch == BATCHES:
            shop.run()
    booked = [shop.book(batch) for batch in range(1, BATCHES + 1)]
    assert sum(book.extracted for book in booked) == sum(map(len, told.values()))


def order_key(order: Order) -> Callable[[Told], Any]:
    def key(row: Told) -> Any:
        batch, file, place, _, day = row
        return (batch, day or 0, file, place) if order == "reading" else (day or 0, batch, file, place)

    return key


@pytest.mark.parametrize("order", ["reading", "version"])
@pytest.mark.parametrize("grouped", GROUPED)
def test_the_newest_row_of_each_key_is_there(spark: SparkSession, tmp_path: Path, order: Order, grouped: int) -> None:
    told = history(7, unversioned=True)
    shop = Shop(spark, tmp_path, people(), order)
    arrive(shop, told, grouped)
    expected = {key: max(rows, key=order_key(order)) for key, rows in told.items()}
    assert {row.id: (row.city, row.seen and row.seen.day) for row in shop.rows()} == {
        key: (city, day) for key, (_, _, _, city, day) in expected.items()
    }


@pytest.mark.parametrize("grouped", GROUPED)
def test_without_a_version_the_row_that_arrived_last_is_there(
    spark: SparkSession, tmp_path: Path, grouped: int
) -> None:
    told = history(11, unversioned=True)
    shop = Shop(spark, tmp_path, people(version=False))
    arrive(shop, told, grouped)
    assert shop.cities() == {key: max(rows, key=lambda row: row[:3])[3] for key, rows in told.items()}


@pytest.mark.parametrize("grouped", GROUPED)
def test_where_rows_are_only_added_the_first_stays(spark: SparkSession, tmp_path: Path, grouped: int) -> None:
    told = history(13, unversioned=True)
    shop = Shop(spark, tmp_path, people({"kind": "insert"}))
    arrive(shop, told, grouped)
    assert shop.cities() == {key: min(rows, key=lambda row: row[:3])[3] for key, rows in told.items()}


def versions(rows: list[Told], order: Order) -> list[tuple[str, int, int | None]]:
    """The versions that a key's rows make: city, from which day, until which."""
    said: dict[int, str] = {}
    newest = 0
    arrived = sorted(rows, key=order_key("reading") if order == "reading" else lambda row: row[:3])
    for _, _, _, city, day in arrived:
        assert day is not None
        newest = max(newest, day)
        said[newest if order == "reading" else day] = city
    runs = [(city, next(iter(days))[0]) for city, days in groupby(sorted(said.items()), key=lambda told: told[1])]
    ends = [*[begins for _, begins in runs[1:]], None]
    return [(city, begins, end) for (city, begins), end in zip(runs, ends, strict=True)]


def told_thrice(rows: list[Told]) -> bool:
    """True where a key may say the same at three instants: of those silver remembers the first and the last."""
    return any(len({row[4] for row in rows if row[3] == city}) > 2 for city in "ABC")


@pytest.mark.parametrize("order", ["reading", "version"])
@pytest.mark.parametrize("grouped", GROUPED)
def test_every_version_is_where_it_belongs_in_time(
    spark: SparkSession, tmp_path: Path, order: Order, grouped: int
) -> None:
    told = history(17, unversioned=False)
    shop = Shop(spark, tmp_path, people({"kind": "scd2"}), order)
    arrive(shop, told, grouped)
    found: dict[int, list[Any]] = {}
    for row in sorted(shop.rows(), key=lambda row: (row.id, row.valid_from)):
        assert row.is_current == (row.valid_to is None)
        found.setdefault(row.id, []).append((row.city, row.valid_from.day, row.valid_to and row.valid_to.day))
    exact = {key for key, rows in told.items() if grouped == BATCHES or order == "reading" or not told_thrice(rows)}
    assert len(exact) > KEYS / 2
    assert {key: found[key] for key in exact} == {key: versions(told[key], order) for key in exact}


def test_batches_beyond_the_bound_of_a_group_make_another(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = history(19, unversioned=True)
    shop = Shop(spark, tmp_path, people())
    monkeypatch.setattr(together, "MOST_BATCHES", 2)
    arrive(shop, told, BATCHES)
    assert shop.lake.bronze("shop", "people").version() == 2
    assert shop.cities() == {key: max(rows, key=order_key("version"))[3] for key, rows in told.items()}
