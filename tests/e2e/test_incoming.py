"""The entrances, all the way: records, pushed events and dropped files reach silver, and bad ones quarantine."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from headwater.desk import frames
from headwater.ledger.entries import Book
from headwater.run.audit import books_of
from local import world

from .pipeline import Pipeline
from .story import Story

SOURCES = frozenset({"kinesis", "http_push", "s3_drops"})


def reasons(found: list[Book]) -> dict[tuple[str, str], int]:
    counted: Counter[tuple[str, str]] = Counter()
    for book in found:
        counted.update({(f"{book.source}.{book.stream}", reason): number for reason, number in book.reasons.items()})
    return dict(counted)


def own(counts: dict[Any, int]) -> dict[Any, int]:
    return {(stream, name): number for (stream, name), number in counts.items() if stream.split(".")[0] in SOURCES}


def sums(found: list[Book], *names: str) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for book in found:
        counted[f"{book.source}.{book.stream}"] += sum(getattr(book, name) for name in names)
    return {stream: number for stream, number in counted.items() if number}


def of_kind(pipeline: Pipeline, step: int, kind: str) -> dict[str, int]:
    changes = own(world.changes(pipeline.stack.rds_dsn, step))
    return {stream: number for (stream, found), number in changes.items() if found == kind}


@pytest.mark.parametrize("step", [0, 1])
def test_what_comes_in_is_in_silver_or_in_quarantine_once(story: Story, step: int) -> None:
    told = (story.history, story.after_step)[step]
    found = [book for (source, _), books in told.items() if source in SOURCES for book in books]
    assert sums(found, "silver_inserted") == of_kind(story.pipeline, step, "insert")
    assert sums(found, "silver_updated") == of_kind(story.pipeline, step, "update")
    assert sums(found, "duplicates", "unchanged") == of_kind(story.pipeline, step, "touch")
    assert reasons(found) == own(world.defects(story.pipeline.stack.rds_dsn, step))


def test_a_file_that_somebody_drops_is_in_silver_without_anybody_starting_a_run(story: Story) -> None:
    assert story.dropped.status == "SUCCEEDED"
    client = story.pipeline.client
    [book] = books_of(client.opened, {story.dropped.run_id})
    assert book.balances
    assert book.extracted == 1
    database = client.project.environment.database("silver")
    sql = f"SELECT quantity, unit_price, note FROM {database}.partner_orders WHERE order_id = 'BY-EVENT'"
    found = frames.read(client, sql).to_pylist()
    assert found == [{"quantity": 2, "unit_price": Decimal("3.50"), "note": "=1+1"}]
