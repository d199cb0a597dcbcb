"""A job that takes several sources: one that fails keeps none of the others from theirs, and says why it failed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from headwater.errors import HeadwaterError
from headwater.ledger.failures import Failures
from headwater.ledger.stream import Ledger
from headwater.stages.by_source import by_source


@dataclass(frozen=True)
class FakeJob:
    """As much of a job as taking its sources asks for."""

    ledger: Ledger
    source_name: str
    run_id: str = "run-1"

    def of_source(self, name: str) -> FakeJob:
        return replace(self, source_name=name)


def test_a_source_that_fails_keeps_none_of_the_others_and_says_why(ledger: Ledger) -> None:
    done = []

    def stage(job: Any) -> None:
        if job.source_name == "b":
            raise ValueError("password=hunter2 is wrong")
        done.append(job.source_name)

    job: Any = FakeJob(ledger, "a,b,c")
    with pytest.raises(HeadwaterError, match=r"^b: ValueError: password=\*\*\* is wrong$"):
        by_source(job, "Silver", stage)
    assert done == ["a", "c"]
    failures = Failures(ledger.bucket, "run-1")
    assert failures.read("Silver", "b") == {"Error": "ValueError", "Cause": "ValueError: password=*** is wrong"}
    assert failures.read("Silver", "a") is None
    assert failures.read("Check", "b") is None


def test_where_no_source_fails_nothing_is_raised(ledger: Ledger) -> None:
    job: Any = FakeJob(ledger, "a,b")
    by_source(job, "Check", lambda _job: None)


def test_a_source_that_failed_at_first_and_then_not_has_not_failed(ledger: Ledger) -> None:
    broken = {"a", "b"}

    def stage(job: Any) -> None:
        if job.source_name in broken:
            raise ValueError("not yet")

    job: Any = FakeJob(ledger, "a,b")
    for failing in ({"a", "b"}, {"b"}):
        broken.intersection_update(failing)
        with pytest.raises(HeadwaterError):
            by_source(job, "Silver", stage)
    failures = Failures(ledger.bucket, "run-1")
    assert failures.read("Silver", "a") is None
    assert failures.read("Silver", "b") == {"Error": "ValueError", "Cause": "ValueError: not yet"}
