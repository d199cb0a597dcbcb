"""Answers and rows: numbers come through as they were sent."""

from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from headwater.ledger.raw import to_line
from tests.support.http_fakes import answer


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4))
def test_decimals_come_through_exactly(number):
    line = to_line(answer(f'{{"rate": {number:f}, "name": "€ \\ud83d\\ude00"}}'.encode()).json())
    assert line == f'{{"name":"\\u20ac \\ud83d\\ude00","rate":{number:f}}}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=9), JSON, max_size=4))
def test_a_written_line_reads_back_as_the_row_it_was(row):
    line = to_line(row)
    assert "\n" not in line
    assert line.isascii()
    again = json.loads(line, parse_float=Decimal)
    assert again == row
    assert to_line(dict(reversed(again.items()))) == line
