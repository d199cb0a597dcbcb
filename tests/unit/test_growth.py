"""What grows with what comes from outside has an end, and a way out: the fields that a stream is known to have."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.client import Client
from headwater.deploy.deployment import Deployment
from headwater.errors import ConfigError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import Manifest
from headwater.ledger.shape import LONGEST_NAME, MOST_NEW, MOST_UNDECLARED, Learned
from headwater.ledger.stream import StreamLedger
from headwater.open_project import OpenProject
from headwater.quality.verdict import judge_drift
from tests.support.paths import ROOT
from tests.unit.test_receive_records import receive, record, rows

NAMES = st.integers(0, 3 * MOST_NEW).map(lambda number: f"f{number}") | st.just("x" * (LONGEST_NAME + 1))
ROWS = st.lists(st.dictionaries(NAMES, st.none(), max_size=80), max_size=12)
DECLARED = frozenset({"id", "f1", "f2"})


@given(ROWS, ROWS, st.integers(0, MOST_UNDECLARED + 50))
@settings(report_multiple_bugs=False)
def test_what_rows_teach_has_an_end_however_many_fields_they_have(
    first: list[dict[str, Any]], second: list[dict[str, Any]], before: int
) -> None:
    known = {f"k{number}": "string?" for number in range(before)} | {"id": "string"}
    learned = Learned.beside(known, DECLARED)
    for part in (first, second):
        file = Learned.beside(known, DECLARED)
        for row in part:
            file.row({"id": "1", **row})
        learned.merge(file)
    fields = learned.fields(known)
    undeclared = fields.keys() - DECLARED
    assert len(undeclared) <= max(before, MOST_UNDECLARED)
    assert len(undeclared - known.keys()) <= MOST_NEW
    assert known.keys() <= fields.keys()
    told = {name for row in (*first, *second) for name in row}
    assert told & DECLARED <= fields.keys()
    values = sum(len(row) for row in (*first, *second))
    assert sum(count for name, count in learned.seen.items() if name != "id") + learned.left_out == values
    assert len(learned.changes(known, DECLARED)) <= MOST_NEW + len(known)


def hostile(opened: OpenProject, batch: int) -> Manifest:
    """The manifest of a batch of rows with ever new names, between two that are as they should be."""
    strangers = [json.dumps({f"b{batch}r{row}f{name}": 1 for name in range(1500)}).encode() for row in range(5)]
    honest = {"event_id": f"e{batch}", "page": "/", "colour": "red"}
    sent = [honest, *strangers, honest]
    at = batch * 10
    assert receive(opened, *(record(opened.project, at + number, data) for number, data in enumerate(sent))) == []
    manifest = opened.ledger.stream("kinesis", "web_events").latest()
    assert manifest is not None
    return manifest


def test_rows_with_ever_new_fields_arrive_whole_and_teach_no_more_than_there_is_room_for(
    opened: OpenProject, web_events: StreamLedger
) -> None:
    for batch in range(1, 9):
        manifest = hostile(opened, batch)
        assert len(manifest.drift) <= MOST_NEW + 1
    declared = opened.project.source("kinesis").streams["web_events"].raw_fields or ()
    assert len(manifest.fields.keys() - {*declared}) == MOST_UNDECLARED
    assert manifest.left_out == 5 * 1500
    assert {"event_id", "page", "colour"} <= manifest.fields.keys()
    assert len(manifest.model_dump_json()) < 100_000
    found = rows(web_events, 8)
    assert [len(row) for row in found if "b8r0f0" in row] == [1500 + 5]
    verdict = judge_drift(manifest, "evolve")
    assert verdict is not None
    assert "hint: headwater source forget-fields kinesis.web_events" in verdict.message


def test_what_is_told_of_a_change_has_an_end(opened: OpenProject) -> None:
    verdict = judge_drift(hostile(opened, 1), "strict")
    assert verdict is not None
    assert (verdict.level, verdict.value) == ("halt", float(MOST_NEW))
    assert "and 80 more" in verdict.message
    assert len(verdict.message) < 5000


def client(opened: OpenProject) -> Client:
    client = Client(Deployment(opened.project, ROOT))
    vars(client)["opened"] = opened
    return client


def test_forgotten_fields_make_room_for_others_and_nothing_else_changes(
    opened: OpenProject, web_events: StreamLedger
) -> None:
    before = hostile(opened, 1)
    forgotten = client(opened).forget_fields("kinesis.web_events")
    declared = {*(opened.project.source("kinesis").streams["web_events"].raw_fields or ())}
    assert forgotten.fields == {name: kind for name, kind in before.fields.items() if name in declared}
    assert (forgotten.batch, forgotten.rows, forgotten.files) == (2, 0, ())
    assert forgotten.position_after == before.position_after
    writer = BatchWriter.begin(web_events, "r", declared)
    assert writer.learned.room == MOST_NEW
    after = hostile(opened, 2)
    assert "colour" in after.fields


def test_only_what_is_known_and_not_declared_is_forgotten(opened: OpenProject) -> None:
    known = hostile(opened, 1).fields
    forgotten = client(opened).forget_fields("kinesis.web_events", ["colour"])
    assert forgotten.fields.keys() == known.keys() - {"colour"}
    for name in ("colour", "event_id", "nothing"):
        with pytest.raises(ConfigError, match=f"no undeclared field {name} is known"):
            client(opened).forget_fields("kinesis.web_events", [name])
    client(opened).forget_fields("kinesis.web_events")
    with pytest.raises(ConfigError, match="no field but those that are declared"):
        client(opened).forget_fields("kinesis.web_events")
