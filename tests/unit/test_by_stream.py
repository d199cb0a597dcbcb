"""A job that takes several streams: one that fails keeps none of the others from theirs, and says why it failed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from headwater.errors import HeadwaterError
from headwater.ledger.failures import Failures
from headwater.ledger.held import MOST_CHARACTERS
from headwater.ledger.stream import Ledger
from headwater.stages.by_stream import by_stream

STREAMS = ("orders", "items", "people")


@dataclass(frozen=True)
class FakeJob:
    """As much of a job as taking its streams asks for."""

    ledger: Ledger
    source_name: str
    run_id: str = "run-1"
    job_run_id: str = "jr_1"

    @property
    def source(self) -> SimpleNamespace:
        return SimpleNamespace(streams=dict.fromkeys(STREAMS))

    def of_source(self, name: str) -> FakeJob:
        return replace(self, source_name=name)


def test_a_stream_that_fails_keeps_none_of_the_others_and_says_why(ledger: Ledger) -> None:
    done = []

    def stage(job: Any, stream: str) -> None:
        if (job.source_name, stream) == ("b", "items"):
            raise ValueError("password=hunter2 is wrong")
        done.append((job.source_name, stream))

    job: Any = FakeJob(ledger, "a,b,c")
    with pytest.raises(HeadwaterError, match=r"^b\.items: ValueError: password=\*\*\* is wrong$"):
        by_stream(job, "Silver", stage)
    assert done == [(name, stream) for name in "abc" for stream in STREAMS if (name, stream) != ("b", "items")]
    failures = Failures(ledger.bucket, "run-1")
    told = {"items": {"Error": "ValueError", "Cause": "ValueError: password=*** is wrong"}}
    assert failures.read("Silver", "b", "jr_1") == told
    assert failures.read("Silver", "a", "jr_1") is None
    assert failures.read("Check", "b", "jr_1") is None


def test_what_an_earlier_attempt_said_is_not_said_of_a_later_one(ledger: Ledger) -> None:
    def stage(_job: Any, stream: str) -> None:
        raise ValueError(stream)

    job: Any = FakeJob(ledger, "a")
    with pytest.raises(HeadwaterError):
        by_stream(job, "Extract", stage)
    assert Failures(ledger.bucket, "run-1").read("Extract", "a", "jr_2") is None


def test_however_much_fails_the_state_has_room_for_the_error(ledger: Ledger) -> None:
    def stage(_job: Any, stream: str) -> None:
        raise ValueError(stream * 10_000)

    job: Any = FakeJob(ledger, "a,b,c")
    with pytest.raises(HeadwaterError) as raised:
        by_stream(job, "Check", stage)
    assert len(str(raised.value)) < MOST_CHARACTERS + 10


def test_where_no_stream_fails_nothing_is_raised(ledger: Ledger) -> None:
    job: Any = FakeJob(ledger, "a,b")
    by_stream(job, "Check", lambda _job, _stream: None)
