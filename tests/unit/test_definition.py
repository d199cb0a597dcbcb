"""What rows are computed by: each kind of declared change, and what it means for the rows that are there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headwater.config import KinesisStream, Table, rule
from headwater.config.definition import Definition, spelled
from headwater.config.rule import NOTES_TYPE

TABLE: dict[str, Any] = {
    "table": "people",
    "owner": "Shop",
    "note": "One row for each person.",
    "key": ["id"],
    "version": "seen",
    "columns": {"id": {"type": "bigint"}, "city": {"type": "varchar(9)"}, "seen": {"type": "timestamp"}},
}
STREAM: dict[str, Any] = {
    "table": "people",
    "raw": ["id", "city", "seen"],
    "columns": {},
    "parsers": {"v2": {"columns": {"city": "town"}}},
}


def definition(table: dict[str, Any], **streams: dict[str, Any]) -> Definition:
    declared = {name: KinesisStream.model_validate(STREAM | changes) for name, changes in streams.items()}
    project: Any = SimpleNamespace(sources={"shop": SimpleNamespace(name="shop", streams=declared)})
    return Definition.of(project, Table.model_validate(TABLE | table))


def columns(**changes: str | None) -> dict[str, Any]:
    types = {name: column["type"] for name, column in TABLE["columns"].items()} | changes
    return {"columns": {name: {"type": type_} for name, type_ in types.items() if type_}}


def ruled(**rules: dict[str, Any]) -> dict[str, Any]:
    """Columns with rules, and one that has their notes."""
    notes = {"type": NOTES_TYPE, "made": {"by": "notes"}}
    declared = {name: TABLE["columns"].get(name, {"type": "string"}) | rule for name, rule in rules.items()}
    return {"columns": TABLE["columns"] | declared | {"notes": notes}}


BEFORE = definition({}, people={})
POSSIBLE = '{"possible": {"most": "M"}}'


@pytest.mark.parametrize(
    ("table", "streams", "what", "rebuilds"),
    [
        ({}, {"people": {}}, None, False),
        ({"owner": "Sales", "note": "Persons."}, {"people": {"drift": "strict"}}, None, False),
        (columns(id="LONG", seen="timestamp_ltz"), {"people": {}}, None, False),
        (columns(age="int"), {"people": {}}, "column age is new", False),
        (columns(age="int"), {"people": {"columns": {"age": "1"}}}, "column age is new", False),
        (columns(city="varchar(10)"), {"people": {}}, "column city is varchar(10), and was varchar(9)", False),
        (columns(city="string"), {"people": {}}, "column city is string, and was varchar(9)", False),
        (columns(city="varchar(8)"), {"people": {}}, "column city is varchar(8), and was varchar(9)", True),
        (columns(id="int"), {"people": {}}, "column id is int, and was bigint", True),
        (columns(city=None), {"people": {}}, "column city is declared no more, and kept", False),
        (ruled(city={"possible": {"most": "M"}}), {"people": {}}, f"column city has {POSSIBLE}, and had no rule", True),
        (ruled(normal={"made": {"by": "name", "of": "city"}}), {"people": {}}, "column normal is new", False),
        ({"key": ["id", "city"]}, {"people": {}}, "key is id, city, and was id", True),
        ({"version": None}, {"people": {}}, "version is None, and was seen", True),
        ({"write": {"kind": "insert"}}, {"people": {}}, "write is insert, and was merge", True),
        (
            {"write": {"kind": "scd2", "ignore": ["city"]}},
            {"people": {}},
            "write is scd2 without city, and was merge",
            True,
        ),
        ({}, {"people": {"columns": {"city": "`city`"}}}, None, False),
        ({}, {"people": {"columns": {"city": "town"}}}, "shop.people tells city by town, and did by `city`", True),
        ({}, {"people": {"columns": {"city": None}}}, "shop.people tells city by null, and did by `city`", True),
        (
            {},
            {"people": {"parsers": {"v2": {"columns": {"city": "x"}}}}},
            "parser v2 of shop.people tells city otherwise",
            True,
        ),
        ({}, {"people": {"parsers": {}}}, None, False),
        ({}, {"people": {}, "others": {}}, "stream shop.others is new", False),
        ({}, {"others": {}}, "stream shop.people is declared no more, and its rows are kept", False),
    ],
)
def test_each_declared_change_says_what_differs_and_whether_rows_have_to_be_computed_anew(
    table: dict[str, Any], streams: dict[str, Any], what: str | None, rebuilds: bool
) -> None:
    now = definition(table, **streams)
    told = {difference.what: difference.rebuilds for difference in BEFORE.differences(now)}
    assert told.get(what or "", rebuilds) == rebuilds
    assert (what in told) if what else told == {}
    assert any(told.values()) == rebuilds
    assert Definition.model_validate_json(now.model_dump_json()) == now
    # What a later version of Headwater adds says nothing to this one.
    assert Definition.model_validate(now.model_dump() | {"later": 1}) == now


def test_another_rule_is_another_definition_and_so_is_what_is_known_of_countries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    country = {"made": {"by": "country", "of": "city"}}
    before = definition(ruled(code=country), people={})
    assert before.differences(definition(ruled(code=country), people={})) == []
    other = before.differences(definition(ruled(code={"made": {"by": "name", "of": "city"}}), people={}))
    monkeypatch.setitem(rule.COUNTRIES, "ATLANTIS", "AQ")
    known = before.differences(definition(ruled(code=country), people={}))
    assert [difference.rebuilds for difference in (*other, *known)] == [True, True]


def test_what_an_earlier_headwater_has_left_has_no_rule() -> None:
    now = definition(ruled(city={"possible": {"most": "M"}}), people={})
    there = now.of_table({name: type_ for name, type_ in now.columns.items() if name != "notes"})
    assert [difference.what for difference in there.differences(now) if difference.rebuilds] == [
        f"column city has {POSSIBLE}, and had no rule"
    ]


def test_a_commit_carries_on_what_the_rows_before_it_lack_and_whose_they_are() -> None:
    carried = BEFORE.carried_on(definition(columns(age="int"), others={}))
    assert (carried.unfilled, list(carried.streams)) == (("age",), ["shop.people", "shop.others"])
    later = carried.carried_on(definition(columns(age="int", size="int"), others={}))
    assert (later.unfilled, list(later.streams)) == (("age", "size"), ["shop.people", "shop.others"])
    assert later.carried_on(definition(columns(size="int"), others={})).unfilled == ("size",)


@pytest.mark.parametrize(
    ("text", "as_delta_does"),
    [
        ("LONG", "bigint"),
        ("Decimal( 10, 2 )", "decimal(10,2)"),
        ("numeric", "decimal(10,0)"),
        ("dec(5)", "decimal(5,0)"),
        ("array<struct<Id: integer>>", "array<struct<id:int>>"),
    ],
)
def test_a_type_is_spelled_in_one_way(text: str, as_delta_does: str) -> None:
    assert spelled(text) == as_delta_does
