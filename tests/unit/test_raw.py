from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.ledger.raw import PROBLEM, RowFile
from headwater.ledger.shape import Learned, deviates, type_of

VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.integers()), st.just({}))
ROWS = st.lists(st.dictionaries(st.sampled_from("abcd"), VALUES))


def learned(*rows: dict[str, Any]) -> Learned:
    found = Learned()
    for row in rows:
        found.row(row)
    return found


def changes(rows: list[dict[str, Any]], known: dict[str, str], declared: str = "") -> list[str]:
    return [str(change) for change in learned(*rows).changes(known, declared)]


def test_fields_are_known_by_type_and_by_whether_every_row_has_them():
    rows = [{"id": 1, "name": "a", "tags": []}, {"id": Decimal("1.5"), "name": None}]
    assert learned(*rows).fields({}) == {"id": "number", "name": "string", "tags": "array?"}


def test_a_field_of_two_types_has_both():
    assert learned({"id": 1}, {"id": "1"}).fields({}) == {"id": "number|string"}


def test_a_field_that_came_later_is_one_that_rows_may_lack():
    assert learned({"id": 1, "new": True}).fields({"id": "number"}) == {"id": "number", "new": "boolean?"}


def test_the_first_rows_drift_only_by_what_is_not_declared():
    assert changes([{"a": 1, "b": "x"}], {}, declared="a") == ["new field b (string)"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"id": 1, "name": "a"}, []),
        ({"id": 1, "name": None}, []),
        ({"id": 1, "name": "a", "b": {}}, ["new field b (object)"]),
        ({"id": 1}, ["field name (string) is missing"]),
        ({"id": "1", "name": "a"}, ["field id was number and is string"]),
        ({"id": 1, "name": "a", "note": "x"}, []),
    ],
)
def test_a_change_is_told_against_what_was_known(row, told):
    known = {"id": "number", "name": "string", "note": "string?"}
    assert changes([row], known) == told


def test_a_field_that_is_missing_from_some_rows_only_is_no_change():
    assert changes([{"id": 1}, {"id": 2, "name": "a"}], {"id": "number", "name": "string"}) == []


def test_no_rows_teach_nothing():
    known = {"id": "number", "name": "string?"}
    assert changes([], known) == []
    assert Learned().fields(known) == known


@given(ROWS, ROWS)
def test_rows_read_in_parts_teach_what_they_teach_together(first, second):
    parts = learned(*first)
    parts.merge(learned(*second))
    assert parts == learned(*first, *second)


@given(ROWS)
def test_rows_never_drift_from_what_they_taught(rows):
    known = learned(*rows).fields({})
    assert changes(rows, known) == []
    assert not any(deviates(row, known, frozenset()) for row in rows)


@given(ROWS, ROWS)
def test_what_was_known_stays_known(before, after):
    known = learned(*before).fields({})
    joined = learned(*after).fields(known)
    for name, kind in known.items():
        assert set(kind.rstrip("?").split("|")) - {"null"} <= set(joined[name].rstrip("?").split("|"))


def test_every_json_value_has_a_type():
    assert [type_of(value) for value in (None, True, 1, Decimal(1), "", [], {})] == [
        "null",
        "boolean",
        "number",
        "number",
        "string",
        "array",
        "object",
    ]


def written(tmp_path: Path, *rows: dict[str, Any], flag: bool = False, **added: str) -> list[dict[str, Any]]:
    with RowFile(tmp_path / "rows.jsonl.gz", {"id": "number"}, frozenset({"id"}), flag) as file:
        for row in rows:
            file.write(row, **added)
    with gzip.open(file.path, "rt") as lines:
        return [json.loads(line) for line in lines]


def test_rows_of_another_shape_are_marked_where_they_go_to_quarantine(tmp_path):
    rows = written(tmp_path, {"id": 1}, {"id": "1"}, {"id": 1, "b": 2}, {}, flag=True)
    assert [row.get(PROBLEM) for row in rows] == [None, "schema_drift", "schema_drift", "schema_drift"]


def test_rows_of_another_shape_are_written_as_they_are_elsewhere(tmp_path):
    assert written(tmp_path, {"id": "1", "b": 2}) == [{"id": "1", "b": 2}]


def test_a_row_that_cannot_be_read_teaches_nothing(tmp_path):
    with RowFile(tmp_path / "rows.jsonl.gz", {}, frozenset()) as file:
        file.write({"value": "{"}, **{PROBLEM: "not_json"})
    assert (file.rows, file.learned) == (1, Learned())


def of_shapes(*rows: tuple[dict[str, Any], str]) -> Learned:
    """Learns from rows, each with the fields that are foreign to its shape."""
    found = Learned()
    for row, foreign in rows:
        found.row(row, foreign)
    return found


def test_rows_of_another_shape_do_not_make_a_field_one_that_rows_may_lack():
    found = of_shapes(({"a": 1}, "b"), ({"b": 1}, "a"))
    assert found.fields({"a": "number"}) == {"a": "number", "b": "number?"}
    assert found.fields({"a": "number", "b": ""}) == {"a": "number", "b": "number"}
    assert found.changes({"a": "number", "b": ""}, "ab") == ()


def test_a_shape_that_is_not_in_use_is_missed_by_nobody_and_waits_without_a_type():
    first = of_shapes(({"a": 1}, "b"), ({"a": 2}, "b"))
    assert first.fields({}) == {"a": "number", "b": ""}
    second = of_shapes(({"b": "x"}, "a"))
    assert second.changes(first.fields({}), "b") == ()
    assert second.fields(first.fields({})) == {"a": "number", "b": "string"}


def test_rows_that_take_on_another_shape_by_themselves_drift():
    found = of_shapes(({"b": 1}, "b"), ({"b": 1}, "a"))
    assert [str(change) for change in found.changes({"a": "number", "b": "number"}, "ab")] == [
        "field a (number) is missing"
    ]
    alone = of_shapes(({"b": 1}, "b"))
    assert [str(change) for change in alone.changes({"a": "number", "b": ""}, "a")] == [
        "new field b (number)",
        "field a (number) is missing",
    ]


def test_a_row_is_flagged_by_the_fields_of_its_own_shape(tmp_path):
    known, declared = {"a": "number", "b": "number"}, frozenset("ab")
    with RowFile(tmp_path / "rows.jsonl.gz", known, declared, flag=True) as file:
        file.without(frozenset("a"))
        assert PROBLEM not in file.write({"b": 1})
        assert PROBLEM in file.write({"a": 1})
