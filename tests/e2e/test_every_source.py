"""The contract of every source through the whole pipeline: history, a step of the world with kills, nothing new."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from headwater.config import Scd2Write

from .story import EXTRACTED, SOURCES, STREAMS, Story


def rows(story: Story, zone: str, table: str, query: str) -> list[tuple[Any, ...]]:
    """Asks DuckDB about one Delta table, known as `t`."""
    found = story.pipeline.table(f"{zone}/{table}")
    assert found is not None
    with duckdb.connect() as connection:
        connection.register("t", found.to_pyarrow_dataset())
        return connection.execute(query).fetchall()


@pytest.mark.parametrize(("source", "stream"), STREAMS)
def test_the_history_lands_and_its_books_balance(story: Story, source: str, stream: str) -> None:
    books = story.history[source, stream]
    assert sum(book.extracted for book in books) > 0
    assert all(book.balances for book in books)


@pytest.mark.parametrize("source", SOURCES)
def test_what_happens_in_a_source_arrives_in_spite_of_a_kill(story: Story, source: str) -> None:
    books = [book for (name, _), found in story.after_step.items() if name == source for book in found]
    assert sum(book.extracted for book in books) > 0
    assert all(book.balances for book in books)


def test_the_worker_was_killed_in_every_source(story: Story) -> None:
    assert story.kills == len(EXTRACTED)


@pytest.mark.parametrize(("source", "stream"), STREAMS)
def test_every_batch_is_in_bronze_once(story: Story, source: str, stream: str) -> None:
    ledger = story.pipeline.client.opened.ledger.stream(source, stream)
    expected = {manifest.batch: manifest.rows for manifest in ledger.since(0) if manifest.rows}
    found = rows(story, "bronze", f"{source}/{stream}", "SELECT _batch, count(*) FROM t GROUP BY _batch")
    assert dict(found) == expected


@pytest.mark.parametrize(("source", "stream"), STREAMS)
def test_silver_has_each_key_once(story: Story, source: str, stream: str) -> None:
    project = story.pipeline.client.project
    declared = project.tables[project.source(source).streams[stream].table]
    current = "is_current" if isinstance(declared.write, Scd2Write) else "true"
    key = ", ".join(f'"{name}"' for name in declared.key)
    twice = rows(
        story, "silver", declared.table, f"SELECT {key} FROM t WHERE {current} GROUP BY {key} HAVING count(*) > 1"
    )
    assert twice == []
