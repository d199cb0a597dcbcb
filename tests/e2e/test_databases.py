"""Databases all the way: each change of MySQL and of PostgreSQL's log is read once, and days are read again.

That silver is what they hold is among the numbers that test_pipeline compares.
"""

from __future__ import annotations

from collections import Counter

import pytest

from headwater.run.audit import books_of

from .databases import STREAMS, differing
from .pipeline import Pipeline
from .story import Story


@pytest.mark.parametrize("stream", STREAMS)
def test_an_increment_reads_each_change_once(story: Story, stream: str) -> None:
    source, _, name = stream.partition(".")
    changed = sum(story.moved.changes.get((stream, kind), 0) for kind in ("insert", "update", "delete"))
    assert changed > 0
    assert sum(book.extracted for book in story.after_step[source, name]) == changed


def test_a_backfill_brings_nothing_new_and_leaves_the_positions(pipeline: Pipeline) -> None:
    client = pipeline.client
    ledgers = [client.stream_ledger(stream) for stream in STREAMS]
    before, content = [ledger.position() for ledger in ledgers], pipeline.content("gold", "warehouse")
    asked = {
        "mode": "backfill",
        "sources": ["rds_mysql"],
        "window": {"from": "2017-12-01", "to": "2018-01-03"},
        "as_of": str(pipeline.stack.clock()),
    }
    run = client.wait(client.start(asked))
    assert run.status == "SUCCEEDED", run.cause
    found = list(books_of(client.opened, {run.run_id}))
    assert Counter(book.stream for book in found) == {"payments": 2, "inventory": 2}
    assert all(book.silver_inserted == book.silver_updated == 0 and book.balances for book in found)
    # How far they reach stays; what they knew of the days that silver has anew is not taken for known.
    assert [ledger.position() for ledger in ledgers] == [position.doubted() for position in before if position]
    assert differing(pipeline.stack, client) == []
    assert pipeline.content("gold", "warehouse") == content
