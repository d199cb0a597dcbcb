"""The checks of many batches in one pass, a result for each: what Deequ says of the rows as a whole is said here of each batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any, assert_never

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config import Policy
from headwater.config.policy import AnyBatchCheck, CompleteShare, DistinctAtLeast, MeanBetween, Size, Unique
from headwater.errors import BooksError
from headwater.lake.columns import BATCH
from headwater.ledger.entries import CheckResult
from headwater.ledger.raw import PROBLEM
from headwater.quality.predicates import RowPredicate


@dataclass(frozen=True)
class Checked:
    """The rows of each batch, those that can be read, its check results, and how many rows of all batches meet each condition."""

    rows: dict[int, int]
    readable: dict[int, int]
    results: dict[int, tuple[CheckResult, ...]]
    meeting: dict[str, int]

    def hold_to(self, whole: Sequence[CheckResult]) -> None:
        """BooksError when Deequ has counted otherwise over all the batches."""
        total = sum(self.rows.values())
        for result in whole:
            if result.check not in self.meeting or result.value is None:
                continue
            share = self.meeting[result.check] / total
            if not isclose(share, result.value, abs_tol=1e-9):
                raise BooksError(
                    f"check {result.check}: a share of {share} batch by batch, and of {result.value} by Deequ"
                )


def check_batches(rows: DataFrame, predicates: Sequence[RowPredicate], policy: Policy | None) -> Checked:
    """Counts in one pass, for each batch, its rows and what its checks are about."""
    declared = policy.batch if policy else ()
    counted = [F.count(F.when(F.expr(predicate.sql), 1)) for predicate in predicates]
    measured = [_measure(check) for check in declared]
    found = rows.groupBy(BATCH).agg(F.count("*"), F.count_if(_readable()), *counted, *measured).collect()
    checked = Checked({}, {}, {}, {})
    for batch, number, readable, *values in found:
        checked.rows[batch], checked.readable[batch] = number, readable
        results = []
        for predicate, met in zip(predicates, values, strict=False):
            passed = predicate.holds(met / number, number)
            results.append(_result(predicate.id, predicate.batch_level, met / number, passed=passed))
            checked.meeting[predicate.id] = checked.meeting.get(predicate.id, 0) + met
        asked = policy.of_batch(readable) if policy else ()
        for check, value in zip(declared, values[len(predicates) :], strict=True):
            if check not in asked:
                continue
            passed = value is not None and check.holds(float(value))
            results.append(_result(check.id, check.level, value, passed=passed))
        checked.results[batch] = tuple(results)
    return checked


def _result(check: str, level: str, value: Any, *, passed: bool) -> CheckResult:
    number = None if value is None else float(value)
    return CheckResult(
        check=check, level=level, passed=passed, value=number, message="" if passed else f"Value: {number}"
    )


def _readable() -> Column:
    return F.col(PROBLEM).isNull()


def _measure(check: AnyBatchCheck) -> Column:
    match check:
        case Size():
            return F.count("*")
        case Unique(that=column):
            # One exactly where no value comes twice, as Deequ has it; a missing value is none.
            return F.count_distinct(f"`{column}`") / F.count(f"`{column}`")
        case CompleteShare(that=column):
            # A row that cannot be read has that one reason, and lacks nothing else.
            return F.count(F.when(_readable(), F.col(f"`{column}`"))) / F.count_if(_readable())
        case DistinctAtLeast(that=column):
            return F.approx_count_distinct(f"`{column}`")
        case MeanBetween(that=column):
            return F.mean(f"`{column}`")
        case _ as never:
            assert_never(never)
