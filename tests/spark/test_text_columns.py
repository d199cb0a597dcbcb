"""What JSON lines hold reaches bronze as it is: numbers with all their digits, texts with all their characters."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from headwater.lake.tables import text_columns
from headwater.ledger.raw import to_line
from tests.support.draws import drawn


class Number(str):
    """A number as somebody has written it into JSON."""

    __slots__ = ()


INTEGERS = st.integers().map(str) | st.just("-0") | st.from_regex(r"-?[1-9][0-9]{0,40}", fullmatch=True)
NUMBERS = (INTEGERS | st.from_regex(r"-?(0|[1-9][0-9]{0,25})\.[0-9]{1,25}([eE][+-]?[0-9]{1,2})?", fullmatch=True)).map(
    Number
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.from_regex(
    r"[:,\[{\"\\]*-?[0-9.]{1,20}[:,\]}\"\\]*", fullmatch=True
)
VALUES = st.recursive(
    NUMBERS | TEXTS | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def written(value: Any, *, plain: bool) -> str:
    """JSON as our own writer writes it, or as somebody else does: with space in between, and text as it is."""
    space = "" if plain else " "
    match value:
        case Number():
            return str(value)
        case dict():
            pairs = (
                f"{json.dumps(name, ensure_ascii=plain)}:{space}{written(inner, plain=plain)}"
                for name, inner in value.items()
            )
            return "{" + f",{space}".join(pairs) + space + "}"
        case list():
            return f"[{space}" + f",{space}".join(written(inner, plain=plain) for inner in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=plain)


def told(text: str | None, value: Any) -> Any:
    """What a column's text says, where its field had a value such as this one."""
    if text is None or (isinstance(value, str) and not isinstance(value, Number)):
        return text
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def said(value: Any) -> Any:
    match value:
        case Number():
            return Decimal(value)
        case dict():
            return {name: said(inner) for name, inner in value.items()}
        case list():
            return [said(inner) for inner in value]
    return value


def rows(spark: SparkSession, lines: list[str]) -> list[Any]:
    return text_columns(
        spark.createDataFrame([(line,) for line in lines], "value string"), ["a", "b", "_problem"]
    ).collect()


@pytest.mark.parametrize("plain", [True, False])
def test_every_value_of_a_line_is_the_value_of_its_column(spark: SparkSession, plain: bool) -> None:
    documents = drawn(st.fixed_dictionaries({"a": VALUES, "b": VALUES}), 600)
    read = rows(spark, [written(document, plain=plain) for document in documents])
    for document, row in zip(documents, read, strict=True):
        assert {name: told(row[name], document[name]) for name in document} == said(document)
        assert row["_problem"] is None


def test_what_our_own_writer_writes_is_read_with_each_digit(spark: SparkSession) -> None:
    values = [
        Decimal("12345678901234567.89"),
        Decimal("0E-8"),
        Decimal("1E+2"),
        {"x": [Decimal("0.1234567890123456789")]},
        10**1200,
    ]
    read = rows(spark, [to_line({"a": value, "b": "1.5"}) for value in values])
    assert [row.a for row in read] == [
        "12345678901234567.89",
        "0E-8",
        "1E+2",
        '{"x":[0.1234567890123456789]}',
        str(10**1200),
    ]
    assert {row.b for row in read} == {"1.5"}


def test_half_a_surrogate_pair_is_a_problem_since_no_column_can_hold_it(spark: SparkSession) -> None:
    parts = st.sampled_from(["\ud83d", "\ude00", "\U0001f600", "\\", "u", "ud83d", "\u05d0", "e", "\0"])
    texts = [*drawn(st.lists(parts, max_size=6).map("".join), 300), "\ud800", "\\\ud800", "\\\\ud800"]
    lines = [json.dumps({"a": text, "b": [text]}) for text in texts]
    for line, row in zip(lines, rows(spark, lines), strict=True):
        text = json.loads(line)["a"]
        whole = not any("\ud800" <= character <= "\udfff" for character in text)
        assert row["_problem"] == (None if whole else "bad_encoding"), line
        assert not whole or row["a"] == text


def test_a_line_that_spark_does_not_read_says_so_and_one_with_a_problem_keeps_it(spark: SparkSession) -> None:
    broken = [
        '{"a": 1',
        '{"a":"' + "x" * 20_000_001 + '"}',
        '{"a":"\\ud800","_problem":"not_json"}',
        '{"a":"\U0001f600 \u05d0"}',
    ]
    assert [row["_problem"] for row in rows(spark, broken)] == ["bad_row", "bad_row", "not_json", None]
