"""JSON from outside: what is read is exactly what was written, and what goes beyond a bound is no JSON, whoever reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.ledger.raw import to_line
from headwater.ledger.untrusted import MOST_DIGITS, MOST_EXPONENT, MOST_FIELDS, MOST_LEVELS, read_json, read_object
from tests.support.poison import POISON

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), DECIMALS)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
)
NUMBERS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,1100})(\.[0-9]{1,1100})?([eE][+-]?[0-9]{1,22})?\Z")


def written(value: Any) -> str:
    """As the standard library writes it, but for decimals."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{written(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


@given(DOCUMENTS)
def test_what_was_read_is_written_as_it_came_and_read_as_it_was(document: Any) -> None:
    line = to_line(document)
    assert line == written(document)
    assert line.isascii()
    assert to_line(read_json(line)) == line


@given(NUMBERS)
def test_a_number_is_read_with_every_digit_or_the_text_is_no_json(text: str) -> None:
    digits = len(text.partition("e")[0].partition("E")[0])
    exponent = int(text.lower().partition("e")[2] or 0)
    try:
        read = read_json(f'{{"a":[{text}]}}')["a"][0]
    except ValueError:
        assert len(text) > MOST_DIGITS or abs(exponent) > MOST_EXPONENT - digits
        return
    # Compared as texts: the numbers may be beyond what could be written out.
    assert Decimal(read) == Decimal(text)
    assert len(text) <= MOST_DIGITS


@given(
    st.text()
    | st.binary().map(lambda body: body.decode("latin-1"))
    | DOCUMENTS.map(to_line).map(lambda line: line[:-1])
)
def test_whatever_is_no_json_is_told_by_one_error(text: str) -> None:
    try:
        read = read_json(text)
    except ValueError:
        assert read_object(text) == ({}, "not_json")
        return
    assert to_line(read)


def deeper(frames: int, then: Callable[[], Any]) -> Any:
    return deeper(frames - 1, then) if frames else then()


@pytest.mark.parametrize(("open_", "close"), ["[]", ('{"a":', "}")])
@pytest.mark.parametrize("frames", [0, 400])
def test_how_deep_a_document_may_be_is_the_same_however_deep_its_reader_is(open_: str, close: str, frames: int) -> None:
    def read(levels: int) -> Any:
        return deeper(frames, lambda: to_line(read_json(f"{open_ * levels}1.5{close * levels}")))

    assert read(MOST_LEVELS)
    for levels in (MOST_LEVELS + 1, 300, 990, 100_000):
        with pytest.raises(ValueError, match="levels deep"):
            read(levels)


def test_a_document_of_nothing_but_values_is_bounded_by_their_number() -> None:
    with pytest.raises(ValueError, match="values"):
        read_json("[" + "{}," * 2_000_000 + "{}]")


def test_a_row_has_a_bounded_number_of_fields() -> None:
    assert read_object(json.dumps(dict.fromkeys(map(str, range(MOST_FIELDS)))))[1] is None


@pytest.mark.parametrize("data", POISON, ids=range(len(POISON)))
def test_poison_has_its_reason(data: bytes) -> None:
    if POISON[data] != "bad_encoding" and len(data) < 262_144:
        assert read_object(data.decode()) == ({}, POISON[data])
