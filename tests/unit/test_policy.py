"""Checks know their arguments, and fit the columns that they are about."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from headwater.config.documents import problems_of
from headwater.config.fit import misfits
from headwater.config.policy import Complete, Policy, Value
from headwater.config.sql_type import check_type, comparable, family, read_value

TABLES = {
    "orders": {
        "id": "bigint",
        "small": "tinyint",
        "amount": "decimal(10,2)",
        "share": "double",
        "status": "string",
        "day": "date",
        "at": "timestamp",
        "open": "boolean",
        "tags": "array<string>",
    },
    "shops": {"shop_id": "int", "name": "string"},
}


def wrong(check: dict[str, Any], part: str = "rows") -> list[str]:
    level = {"level": "warn"} if part == "batch" else {}
    policy = Policy.model_validate({"table": "orders", part: [{"id": "c", **level, **check}]})
    return [f"{'.'.join(map(str, place[2:]))}: {said}" for place, said in misfits(policy, TABLES)]


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ({"that": "stauts", "is": "complete"}, "that: no column stauts, did you mean status? known: "),
        ({"that": "status", "is": "positive"}, "that: status is a string, no number"),
        ({"that": "at", "is": "non_negative"}, "that: at is a timestamp, no number"),
        ({"that": "amount", "is": "matches", "pattern": "x"}, "that: amount is a decimal(10,2), no text"),
        ({"that": "id", "is": "between", "least": "zero", "most": 1}, "least: 'zero' is no bigint"),
        ({"that": "id", "is": "between", "least": 0, "most": "1.5"}, "most: '1.5' is no bigint"),
        ({"that": "small", "is": "between", "least": 0, "most": 128}, "most: '128' is no tinyint"),
        ({"that": "amount", "is": "between", "least": "0.001", "most": 1}, "least: '0.001' is no decimal(10,2)"),
        (
            {"that": "day", "is": "between", "least": "1970-31-12", "most": "2100-01-01"},
            "least: '1970-31-12' is no date",
        ),
        (
            {"that": "at", "is": "between", "least": "2017-01-01", "most": "tomorrow"},
            "most: 'tomorrow' is no timestamp",
        ),
        ({"that": "id", "is": "between", "least": 2, "most": 1}, "least: 2 is above most, 1: no row would hold"),
        (
            {"that": "open", "is": "between", "least": 0, "most": 1},
            "least: a boolean has no order to hold a value against",
        ),
        ({"that": "tags", "is": "in_set", "values": ["a"]}, "values.0: a array<string> has no order"),
        ({"that": "id", "is": "in_set", "values": [1, "two"]}, "values.1: 'two' is no bigint"),
        ({"that": "id", "is": "at_most_column", "column": "amout"}, "column: no column amout, did you mean amount?"),
        ({"that": "id", "is": "at_most_column", "column": "status"}, "column: status is a string, which a bigint"),
        (
            {"that": "id", "is": "known", "table": "shop", "column": "shop_id"},
            "table: no table shop, did you mean shops?",
        ),
        ({"that": "id", "is": "known", "table": "shops", "column": "id"}, "column: no column id; known: name, shop_id"),
        ({"that": "id", "is": "known", "table": "shops", "column": "name"}, "column: name is a string, which a bigint"),
    ],
)
def test_a_check_that_does_not_fit_is_told_where_it_does_not(check: dict[str, Any], said: str) -> None:
    [told, *_] = wrong(check)
    assert told.startswith(said)


@pytest.mark.parametrize(
    "check",
    [
        {"that": "tags", "is": "complete"},
        {"that": "share", "is": "positive"},
        {"that": "amount", "is": "between", "least": 0, "most": "99999999.99"},
        {"that": "small", "is": "between", "least": -128, "most": 127},
        {"that": "at", "is": "between", "least": "1970-01-01", "most": "2100-01-01 00:00:00"},
        {"that": "id", "is": "at_most_column", "column": "amount"},
        {"that": "day", "is": "at_most_column", "column": "at"},
        {"that": "id", "is": "known", "table": "shops", "column": "shop_id"},
    ],
)
def test_a_check_that_fits_has_no_problem(check: dict[str, Any]) -> None:
    assert wrong(check) == []


def test_checks_of_a_batch_are_held_to_their_columns_too() -> None:
    assert wrong({"that": "status", "is": "mean_between", "least": 0}, "batch") == [
        "that: status is a string, no number"
    ]
    assert wrong({"is": "size", "least": 1}, "batch") == []


@pytest.mark.parametrize(
    ("check", "part", "said"),
    [
        ({"that": "id", "is": "unique", "at_least": 3}, "batch", "no such key at_least"),
        ({"that": "id", "is": "unique", "least": 3}, "batch", "no such key least"),
        ({"that": "id", "is": "mean_between"}, "batch", "least, most or both are needed"),
        ({"is": "size", "least": 3, "most": 2}, "batch", "least, 3, is above most, 2: no batch would hold"),
        ({"that": "id", "is": "size", "least": 1}, "batch", "no such key that"),
        ({"that": "id", "is": "between", "least": 0}, "rows", "is missing"),
        ({"that": "id", "is": "between", "values": [0, 1], "least": 0, "most": 1}, "rows", "have names now"),
        ({"that": "id", "is": "positive", "at_most": 0.1}, "rows", "is called may_fail now"),
        ({"that": "id", "is": "positive", "may_fail": 10}, "rows", "less than or equal to 1"),
        ({"that": "id", "is": "in_set", "values": []}, "rows", "at least 1 item"),
        ({"that": "id", "is": "in_set", "values": [True]}, "rows", "should be a valid string"),
        ({"that": "status", "is": "in_set", "values": ["a", 1.10]}, "rows", "put it in quotes"),
        ({"that": "id", "is": "in_sett", "values": [1]}, "rows", "no is in_sett, did you mean in_set?"),
    ],
)
def test_arguments_that_a_check_does_not_take_are_one_problem(check: dict[str, Any], part: str, said: str) -> None:
    level = {"level": "warn"} if part == "batch" else {}
    with pytest.raises(ValidationError) as error:
        Policy.model_validate({"table": "orders", part: [{"id": "c", **level, **check}]})
    [(_, told)] = problems_of(error.value)
    assert said in told


@given(st.integers(1, 100), st.sampled_from(["quarantine", "warn", "halt"]), st.floats(0, 1) | st.none())
def test_a_share_counts_only_from_the_least_number_of_rows_on(rows: int, level: Any, share: float | None) -> None:
    check = Complete.model_validate({"id": "c", "that": "id", "is": "complete", "level": level, "may_fail": share})
    expected = (1.0 if level == "quarantine" else 0.0) if share is None else share if rows >= 20 else 1.0
    assert check.may_fail_of(rows) == expected


@given(st.integers() | st.dates() | st.datetimes() | st.text())
def test_a_value_of_yaml_is_the_text_that_was_written(value: Any) -> None:
    text = TypeAdapter(Value).validate_python(value)
    assert text == str(value)


@given(st.floats(1e-20, 1e20) | st.floats(-1e20, -1e-20))
def test_a_float_of_yaml_is_a_bound_however_small_or_great(value: float) -> None:
    text = TypeAdapter(Value).validate_python(value)
    assert float(read_value(text, "double")) == value


@pytest.mark.parametrize("bound", [".nan", ".inf", "-.inf"])
def test_a_bound_that_json_would_lose_is_refused(bound: str) -> None:
    for check in ({"that": "id", "is": "mean_between"}, {"is": "size"}):
        for end in ("least", "most"):
            declared = {"id": "c", "level": "halt", **check, end: yaml.safe_load(bound)}
            with pytest.raises(ValidationError, match="finite number"):
                Policy.model_validate({"table": "orders", "batch": [declared]})


SIMPLE = st.sampled_from(
    [
        "bigint",
        "INT",
        "tinyint",
        "string",
        "Date",
        "timestamp",
        "timestamp_ntz",
        "boolean",
        "double",
        "binary",
        "varchar(9)",
    ]
)
DECIMALS = st.integers(1, 38).flatmap(
    lambda digits: st.builds(f"decimal({digits}, {{}})".format, st.integers(0, digits))
)
TYPES = st.recursive(
    SIMPLE | DECIMALS,
    lambda inner: (
        st.builds("array<{}>".format, inner)
        | st.builds("map<string,{}>".format, inner)
        | st.builds("struct<a: {}, b_1 : {}>".format, inner, inner)
    ),
    max_leaves=4,
)


@given(TYPES)
def test_every_type_is_one_and_has_a_family(text: str) -> None:
    assert check_type(text) == text
    assert comparable(text, text)
    assert family(text)


@given(TYPES, st.data())
def test_a_type_with_a_letter_too_many_or_too_few_is_none(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    more = text[:at] + data.draw(st.sampled_from("q<>;,(")) + text[at:]
    with pytest.raises(ValueError, match="type"):
        check_type(more if "b_1" not in text and "a:" not in text else text + ">")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bigintt", "unknown, did you mean bigint?"),
        ("decimal(39,2)", "up to 38 digits"),
        ("decimal(2,3)", "no more of them after the point"),
        ("array<string", "has its end where '>' belongs"),
        ("map<string>", "has '>' where ',' belongs"),
        ("struct<>", "a struct has fields"),
        ("varchar", "has its end where"),
        ("", "unknown"),
        ("string string", "goes on after its end"),
    ],
)
def test_what_is_no_type_says_why(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="type") as error:
        check_type(text)
    assert said in str(error.value)
