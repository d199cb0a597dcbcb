"""How a database's columns travel, and how PostgreSQL's text of an array is read."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.ledger.shape import relation_changes
from headwater.sources.jdbc.arrays import array_items
from headwater.sources.jdbc.columns import of_mysql, of_postgres, spark_type_of_postgres
from headwater.sources.relation import backticked, double_quoted

ITEMS = st.recursive(
    st.lists(st.one_of(st.none(), st.text(max_size=8)), min_size=1, max_size=4),
    lambda inner: st.lists(inner, min_size=1, max_size=3),
    max_leaves=8,
)


def written(item: Any) -> str:
    """An item as PostgreSQL writes it: in quotes where something in it would be taken for something else."""
    if item is None:
        return "NULL"
    if isinstance(item, list):
        return "{{{}}}".format(",".join(map(written, item)))
    if item and item.upper() != "NULL" and not re.search(r'[{},"\\\s]', item):
        return str(item)
    return '"{}"'.format(re.sub(r'(["\\])', r"\\\1", item))


@given(ITEMS, st.sampled_from(["", "[0:1]=", "[-1:0][2:3]="]))
def test_an_array_has_the_items_that_it_was_written_of(items: list[Any], bounds: str) -> None:
    assert array_items(bounds + written(items)) == items


def test_an_array_may_be_empty() -> None:
    assert array_items("{}") == []


@given(st.integers(1, 1000), st.integers(-1000, 1000))
def test_every_number_has_a_decimal_that_spark_knows(precision: int, scale: int) -> None:
    found = re.fullmatch(r"decimal\((\d+),(\d+)\)", spark_type_of_postgres(f"numeric({precision},{scale})"))
    assert found is not None
    assert 0 <= int(found[2]) <= int(found[1]) <= 38
    if 0 <= scale <= precision <= 38:
        assert (int(found[1]), int(found[2])) == (precision, scale)


@given(st.text(min_size=1, max_size=63))
def test_no_name_of_a_column_ends_what_quotes_it(name: str) -> None:
    for column, quote in (
        (of_postgres(name, "date", double_quoted(name)), '"'),
        (of_mysql(name, "date", backticked(name)), "`"),
    ):
        assert column.text is not None
        [begin, *_] = [at for at, sign in enumerate(column.text) if sign == quote]
        inside = column.text[begin + 1 :]
        assert inside.startswith(name.replace(quote, quote * 2) + quote)


@pytest.mark.parametrize(
    ("declared", "travels"),
    [
        ("integer", False),
        ("text", False),
        ("character varying(5)", False),
        ("bytea", False),
        ("numeric", True),
        ("an_enum", True),
    ],
)
def test_plain_values_of_postgresql_travel_as_the_driver_gives_them(declared: str, travels: bool) -> None:
    assert (of_postgres("c", declared, '"c"').text is not None) == travels


def test_what_changes_in_a_relation_is_told_where_both_sides_are_known() -> None:
    before = {"id": "bigint", "gone": "text", "quantity": "integer"}
    now = {"id": "bigint", "new": "date", "quantity": "bigint"}
    assert [str(change) for change in relation_changes(before, now)] == [
        "new field new (date, not read)",
        "field gone (text) is missing",
        "field quantity was integer and is bigint",
    ]
    assert relation_changes(None, now) == relation_changes(before, None) == relation_changes(now, now) == ()
