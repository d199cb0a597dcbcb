"""Records of Kinesis's producer library: taken apart, or one record as it came."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from headwater.receive.aggregates import MAGIC, MOST_RECORDS, taken_apart
from tests.support.kinesis import aggregate, varint

DATA = st.lists(st.binary(max_size=40), max_size=20)
KEYS = st.lists(st.text(max_size=300), min_size=1, max_size=5)


@given(DATA, KEYS)
def test_an_aggregate_is_the_records_that_it_was_made_of(data: list[bytes], keys: list[str]) -> None:
    expected = [(keys[number % len(keys)], body) for number, body in enumerate(data)]
    assert taken_apart(aggregate(*data, keys=keys)) == expected


@given(DATA, st.integers(0, 200), st.integers(1, 255))
def test_an_aggregate_that_has_changed_on_its_way_is_none(data: list[bytes], at: int, change: int) -> None:
    body = bytearray(aggregate(*data))
    body[at % len(body)] ^= change
    assert taken_apart(bytes(body)) is None


@given(st.binary(max_size=60))
def test_what_is_no_message_is_no_aggregate_though_its_digest_holds(message: bytes) -> None:
    found = taken_apart(MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest())
    assert found is None or all(isinstance(key, str) and isinstance(body, bytes) for key, body in found)


def test_an_aggregate_holds_a_bounded_number_of_records() -> None:
    assert len(taken_apart(aggregate(*[b""] * MOST_RECORDS)) or ()) == MOST_RECORDS
    assert taken_apart(aggregate(*[b""] * (MOST_RECORDS + 1))) is None


def test_a_number_without_end_ends() -> None:
    message = b"\xff" * 11 + varint(3)
    assert taken_apart(MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest()) is None
