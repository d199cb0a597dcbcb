"""The checks of a batch, run by Deequ in one verification.

Deequ reads the same typed rows as the row predicates, so a reason in quarantine and a failed check agree.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, assert_never

# PyDeequ refuses to be imported without it.
os.environ.setdefault("SPARK_VERSION", "3.5")

from pydeequ.checks import Check, CheckLevel
from pydeequ.repository import FileSystemMetricsRepository, ResultKey
from pydeequ.verification import VerificationResult, VerificationSuite
from pyspark.sql import DataFrame

from headwater.config.policy import AnyBatchCheck, CompleteShare, DistinctAtLeast, MeanBetween, Size, Unique
from headwater.ledger.entries import CheckResult
from headwater.ledger.raw import PROBLEM
from headwater.quality.predicates import RowPredicate


def verify(
    rows: DataFrame,
    number: int,
    predicates: Sequence[RowPredicate],
    batch_checks: Sequence[AnyBatchCheck],
    metrics_uri: str,
    tags: dict[str, str],
) -> tuple[CheckResult, ...]:
    """Runs every check of a batch as Deequ checks in one verification.

    `number` is how many rows the batch has. The metrics are appended to the Deequ repository file `metrics_uri`, under `tags`.
    """
    spark = rows.sparkSession
    levels: dict[str, str] = {}
    suite = VerificationSuite(spark).onData(rows)
    # Deequ takes assertions as callbacks into Python; a callback server left running would keep the Glue job from ending.
    try:
        for predicate in predicates:
            levels[predicate.id] = predicate.batch_level
            check = Check(spark, CheckLevel.Error, predicate.id)
            holds = partial(predicate.holds, rows=number)
            suite.addCheck(check.satisfies(predicate.sql, predicate.id, holds))
        for batch_check in batch_checks:
            levels[batch_check.id] = batch_check.level
            suite.addCheck(_deequ(batch_check, Check(spark, CheckLevel.Error, batch_check.id)))
        if not levels:
            return ()
        repository = FileSystemMetricsRepository(spark, metrics_uri)
        key = ResultKey(spark, int(tags["batch"]), tags)
        result = suite.useRepository(repository).saveOrAppendResult(key).run()
        outcomes = VerificationResult.checkResultsAsJson(spark, result)
        metrics = VerificationResult.successMetricsAsJson(spark, result)
    finally:
        gateway: Any = spark.sparkContext._gateway
        gateway.shutdown_callback_server()
    return _results(outcomes, metrics, levels)


def _deequ(declared: AnyBatchCheck, check: Check) -> Check:
    match declared:
        case Unique(that=column):
            return check.hasUniqueness([column], declared.holds)
        case CompleteShare(that=column):
            # A row that cannot be read has that one reason, and lacks nothing else.
            return check.hasCompleteness(column, declared.holds).where(f"{PROBLEM} IS NULL")
        case DistinctAtLeast(that=column):
            return check.hasApproxCountDistinct(column, declared.holds)
        case MeanBetween(that=column):
            return check.hasMean(column, declared.holds)
        case Size():
            return check.hasSize(declared.holds)
        case _ as never:
            assert_never(never)


def _results(
    outcomes: Sequence[Mapping[str, str]], metrics: Sequence[Mapping[str, object]], levels: Mapping[str, str]
) -> tuple[CheckResult, ...]:
    values = {str(metric["instance"]): metric["value"] for metric in metrics}
    results = []
    for outcome in outcomes:
        name = outcome["check"]
        value = values.get(name)
        results.append(
            CheckResult(
                check=name,
                level=levels[name],
                passed=outcome["constraint_status"] == "Success",
                value=float(str(value)) if value is not None else None,
                message=outcome["constraint_message"],
            )
        )
    missing = sorted(set(levels) - {result.check for result in results})
    if missing:
        # A check that was not evaluated must never look like one that passed.
        results += [CheckResult(check=m, level="halt", passed=False, message="not evaluated") for m in missing]
    return tuple(results)
