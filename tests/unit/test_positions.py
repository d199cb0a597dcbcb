"""A position says its kind by its fields, and is written as it always was."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from headwater.errors import ConfigError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.positions import DaysPosition, KeyPosition, LogPosition, Position, SnapshotPosition
from headwater.ledger.stream import Ledger

READ: TypeAdapter[Any] = TypeAdapter(Position)
STORED: list[dict[str, Any]] = [
    {"until": "2018-01-10", "accounts": ["1", "2"], "slices": {"1|2018-01-10": "0f", "2|2018-01-10": "a0"}},
    {
        "until": "2018-01-10",
        "accounts": [""],
        "slices": {"|9999-12-31": "0f"},
        "validators": {"": {"asked": "a0", "by": "etag", "value": 'W/"x"'}},
    },
    {"watermark": "2018-01-02 03:04:05.123456789", "overlap": {"rows": "12", "digest": "-99"}},
    {
        "watermark": "2018-01-02 03:04:05+00",
        "overlap": {"rows": "12", "digest": "-99"},
        "outside": {"rows": "0", "digest": "0"},
    },
    {
        "watermark": "2018-01-02 03:04:05+00",
        "overlap": {"rows": "12", "digest": "-99"},
        "outside": {"rows": "0", "digest": "0"},
        "keys": {"key": 12, "overlap": {"rows": "12", "digest": "-99", "since": None}},
    },
    {"marks": {"": {"watermark": "2018-01-02T03:04:05+00:00", "overlap": {"rows": "1", "digest": "0f"}}}},
    {"key": 12},
    {"key": 12, "overlap": {"rows": "2", "digest": "7", "since": None}},
    {"key": 12, "overlap": {"rows": "12", "digest": "-99", "since": -1}},
    {"slot": "loyalty", "lsn": "0/16B3748"},
    {"slot": "loyalty", "lsn": "0/16B3748", "snapshot": "795:799:795,797"},
    {"topic_id": "T1", "offsets": {"0": 4, "10": 20}, "until": {"run_id": "r", "offsets": {"0": 9, "10": 20}}},
    {
        "topic_id": "T1",
        "offsets": {"0": 4, "10": 20},
        "until": {"run_id": "r", "offsets": {"0": 9, "10": 20}},
        "reached": {"0": 1514862245000},
    },
    {"until": "2018-01-02T03:04:05+00:00"},
    {"until": "2018-01-02T03:04:05.120000+00:00"},
    {"shards": {"shardId-000000000000": {"sequence": "9" * 56, "arrived_at": "2018-01-02T03:04:05.120+00:00"}}},
    {"shards": {}},
    {"records": 3},
]


@pytest.mark.parametrize("stored", STORED, ids="-".join)
def test_a_position_is_written_as_it_was_read_to_the_byte(stored: dict[str, Any]) -> None:
    assert READ.dump_json(READ.validate_json(json.dumps(stored))).decode() == json.dumps(stored, separators=(",", ":"))


def test_every_kind_has_an_example_and_fields_of_its_own() -> None:
    [union, _] = get_args(Position)
    models = [get_args(member)[0] for member in get_args(union)]
    assert {type(READ.validate_python(stored)) for stored in STORED} == {*models}
    assert len({frozenset(model.model_fields) for model in models}) == len(models)
    assert [get_args(member)[1].tag for member in get_args(union)] == [model.__name__ for model in models]


@pytest.mark.parametrize("stored", [{}, {"n": 1}, {"key": 1, "records": 2}, {"key": None}, [], 7])
def test_what_is_no_position_is_refused(stored: Any) -> None:
    with pytest.raises(ValidationError):
        READ.validate_python(stored)


def test_a_stream_that_is_read_in_another_way_than_before_is_an_error_that_says_so(ledger: Ledger) -> None:
    stream = ledger.stream("shop", "orders")
    BatchWriter.begin(stream, "run-1", None).commit(KeyPosition(key=7))
    writer = BatchWriter.begin(stream, "run-2", None)
    assert writer.before(KeyPosition) == KeyPosition(key=7)
    with pytest.raises(ConfigError, match=r"shop/orders: has been read with a KeyPosition, not with a DaysPosition"):
        writer.before(DaysPosition)


def test_a_log_goes_on_from_its_snapshot(ledger: Ledger) -> None:
    stream = ledger.stream("shop", "accounts")
    BatchWriter.begin(stream, "run-1", None).commit(SnapshotPosition(slot="s", lsn="0/1", snapshot="1:1:"))
    assert isinstance(BatchWriter.begin(stream, "run-2", None).before(LogPosition), SnapshotPosition)
