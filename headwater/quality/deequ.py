"""The quality gate: policies become row predicates, evaluated in one pass, and Deequ checks over a batch.

Row predicates and Deequ read the same typed rows, so a reason in quarantine and a failed check speak of the same thing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never, get_args

# PyDeequ refuses to be imported without it.
os.environ.setdefault("SPARK_VERSION", "3.5")

from pydeequ.checks import Check, CheckLevel
from pydeequ.repository import FileSystemMetricsRepository, ResultKey
from pydeequ.verification import VerificationResult, VerificationSuite
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config import BatchCheck, Column, Drift, JsonStream, KnownCheck, Policy, RowCheck, Scd2Write, Stream
from headwater.lake.tables import BATCH, FILE, RAW, REASONS
from headwater.ledger.raw import PARSER, PROBLEM, Problem
from headwater.ledger.stream import CheckResult, Manifest, VerdictName

_UNREADABLE = "_unreadable"


@dataclass(frozen=True)
class RowPredicate:
    """A named condition over typed rows, as Spark SQL that is true or false and never null."""

    id: str
    sql: str
    level: str
    may_fail: float


def row_predicates(stream: Stream, policy: Policy | None) -> list[RowPredicate]:
    """Lists what every row of a stream must meet: its key is there, its text is readable, its policy holds."""
    required = list(stream.key)
    if isinstance(stream.write, Scd2Write) and stream.position is not None:
        required.append(stream.position)
    declared = [check for check in policy.rows if isinstance(check, RowCheck)] if policy else []
    ids = {check.id for check in declared}
    predicates = [
        RowPredicate(f"{name}_complete", f"`{name}` IS NOT NULL", "quarantine", 1.0)
        for name in required
        if f"{name}_complete" not in ids
    ]
    if isinstance(stream, JsonStream):
        predicates += [
            RowPredicate(f"{name}_readable", f"NOT array_contains({_UNREADABLE}, '{name}')", "quarantine", 1.0)
            for name, column in stream.columns.items()
            if column.type != "string"
        ]
    for check in declared:
        may_fail = check.at_most if check.at_most is not None else 1.0 if check.level == "quarantine" else 0.0
        predicates.append(RowPredicate(check.id, _row_sql(check), check.level, may_fail))
    # A row that cannot be read at all has that one reason, and fails nothing else.
    return [replace(predicate, sql=f"{PROBLEM} IS NOT NULL OR ({predicate.sql})") for predicate in predicates]


def _row_sql(check: RowCheck) -> str:
    column = f"`{check.that}`"
    values = [value.replace("\\", "\\\\").replace("'", "\\'") for value in check.values]
    match check.is_:
        case "complete":
            return f"{column} IS NOT NULL"
        case "non_negative":
            holds = f"{column} >= 0"
        case "positive":
            holds = f"{column} > 0"
        case "in_set":
            holds = f"{column} IN ({', '.join(repr_sql(value) for value in values)})"
        case "matches":
            holds = f"{column} RLIKE {repr_sql(values[0])}"
        case "at_most_column":
            return f"coalesce({column} <= `{values[0]}`, true)"
        case "between":
            holds = f"{column} BETWEEN {repr_sql(values[0])} AND {repr_sql(values[1])}"
        case _ as never:
            assert_never(never)
    # A missing value is the business of `complete`, so that one defect has one reason.
    return f"coalesce({holds}, true)"


def repr_sql(escaped: str) -> str:
    """Quotes an escaped text as a Spark SQL string."""
    return f"'{escaped}'"


def shape(stream: Stream, raw: DataFrame) -> DataFrame:
    """Turns raw rows into the stream's typed columns.

    Keeps the row as it came, its raw file, the problem of one that cannot be read, and the names of columns that did not.
    """
    unreadable = []
    typed = []
    for name, column in stream.columns.items():
        value = _value(stream, name, column)
        cast = value.cast(column.type)
        typed.append(cast.alias(name))
        if isinstance(stream, JsonStream) and column.type != "string":
            unreadable.append(F.when(value.isNotNull() & cast.isNull(), F.lit(name)))
    lost = F.array_compact(F.array(*unreadable)) if unreadable else F.array().cast("array<string>")
    problem = F.col(PROBLEM) if isinstance(stream, JsonStream) else F.lit(None).cast("string").alias(PROBLEM)
    as_it_came = F.struct(*[F.col(f"`{name}`") for name in raw.columns if name not in {BATCH, FILE}]).alias(RAW)
    return raw.select(*typed, F.col(FILE), problem, lost.alias(_UNREADABLE), as_it_came)


def _value(stream: Stream, name: str, column: Column) -> Any:
    """A column's expression; that of the row's own parser where it has one."""
    value = F.expr(column.source or f"`{name}`")
    for parser, shape in stream.parsers.items() if isinstance(stream, JsonStream) else ():
        if name in shape.columns:
            value = F.when(F.col(PARSER) == parser, F.expr(shape.columns[name])).otherwise(value)
    return value


def judge_rows(rows: DataFrame, predicates: Sequence[RowPredicate], known: Mapping[KnownCheck, DataFrame]) -> DataFrame:
    """Adds to each shaped row every reason for which it must not reach silver; an empty list for a good row.

    `known` holds, for each check against another table, the distinct values that are known.
    """
    failed = [
        F.when(~F.expr(predicate.sql), F.lit(predicate.id))
        for predicate in predicates
        if predicate.level == "quarantine"
    ]
    for check, values in known.items():
        marked = values.select(F.col(values.columns[0]).alias(f"_known_{check.id}")).distinct()
        rows = rows.join(marked, F.col(check.that) == F.col(f"_known_{check.id}"), "left")
        unknown = F.col(check.that).isNotNull() & F.col(f"_known_{check.id}").isNull() & F.col(PROBLEM).isNull()
        failed.append(F.when(unknown, F.lit(check.id)))
    reasons = F.array_compact(F.array(F.col(PROBLEM), *failed))
    kept = [name for name in rows.columns if not name.startswith("_known_") and name != _UNREADABLE]
    judged = rows.withColumn(REASONS, reasons)
    # What did not read is NULL in its column; who looks into quarantine wants to see what it was.
    as_it_came = F.when(F.size(REASONS) > 0, F.to_json(RAW))
    return judged.withColumn(RAW, as_it_came).select(*kept, REASONS)


@dataclass(frozen=True)
class Summary:
    """What one pass over judged rows found: how many are refused, how often for each reason, and where the good ones lie.

    `bounds` holds the least and the greatest value of each key column that is a number or a date.
    """

    refused: int
    reasons: dict[str, int]
    bounds: dict[str, tuple[Any, Any]]


def summarize(judged: DataFrame, ids: Sequence[str], key: Sequence[str]) -> Summary:
    """Counts the refused rows and their reasons, and bounds the keys of the good ones, in one pass."""
    refused = F.size(REASONS) > 0
    sums = [F.sum(F.array_contains(REASONS, name).cast("bigint")).alias(name) for name in ids]
    kinds = (T.IntegerType, T.LongType, T.DateType)
    ranged = [field.name for field in judged.schema.fields if field.name in key and isinstance(field.dataType, kinds)]
    good = [F.when(~refused, F.col(name)) for name in ranged]
    bounds = [
        f(value).alias(f"_{end}_{i}") for i, value in enumerate(good) for end, f in (("lo", F.min), ("hi", F.max))
    ]
    [row] = judged.agg(F.sum(refused.cast("bigint")).alias("_refused"), *sums, *bounds).collect()
    return Summary(
        int(row["_refused"] or 0),
        {name: int(row[name]) for name in ids if row[name]},
        {name: (row[f"_lo_{i}"], row[f"_hi_{i}"]) for i, name in enumerate(ranged) if row[f"_lo_{i}"] is not None},
    )


def reason_ids(predicates: Sequence[RowPredicate], known: Iterable[KnownCheck]) -> list[str]:
    """Lists every reason that a row can be quarantined for."""
    quarantining = [predicate.id for predicate in predicates if predicate.level == "quarantine"]
    return [*quarantining, *(check.id for check in known), *get_args(Problem)]


def judge_drift(manifest: Manifest, drift: Drift) -> CheckResult | None:
    """Judges how a batch's rows differ in shape from those before; None when they do not.

    Where drifting rows go to quarantine, and where the tables evolve, it is told; a strict stream is halted.
    """
    if not manifest.drift:
        return None
    message = "; ".join(str(change) for change in manifest.drift)
    return CheckResult(
        check="schema",
        level="halt" if drift == "strict" else "warn",
        passed=False,
        value=float(len(manifest.drift)),
        message=message,
    )


def worst(checks: Iterable[CheckResult]) -> VerdictName:
    """Tells the verdict that check results come to."""
    failed = {result.level for result in checks if not result.passed}
    return "halt" if "halt" in failed else "warn" if "warn" in failed else "pass"


def verify(
    rows: DataFrame, predicates: Sequence[RowPredicate], policy: Policy | None, metrics_uri: str, tags: dict[str, str]
) -> tuple[CheckResult, ...]:
    """Runs every check of a batch as Deequ checks in one verification.

    The metrics are appended to the Deequ repository file `metrics_uri`, under `tags`.
    """
    spark = rows.sparkSession
    levels: dict[str, str] = {}
    suite = VerificationSuite(spark).onData(rows)
    # Deequ takes assertions as callbacks into Python; a callback server left running would keep the Glue job from ending.
    try:
        for predicate in predicates:
            levels[predicate.id] = "halt" if predicate.level == "quarantine" else predicate.level
            check = Check(spark, CheckLevel.Error, predicate.id)
            least = 1.0 - predicate.may_fail
            suite.addCheck(check.satisfies(predicate.sql, predicate.id, lambda share, least=least: share >= least))
        for batch_check in policy.batch if policy else ():
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


def _deequ(declared: BatchCheck, check: Check) -> Check:
    low = declared.at_least if declared.at_least is not None else float("-inf")
    high = declared.at_most if declared.at_most is not None else float("inf")

    def within(value: float) -> bool:
        return low <= value <= high

    column = declared.that or ""
    match declared.is_:
        case "unique":
            return check.hasUniqueness([column], lambda share: share == 1.0)
        case "size":
            return check.hasSize(within)
        case "complete_share":
            return check.hasCompleteness(column, within)
        case "distinct_at_least":
            return check.hasApproxCountDistinct(column, within)
        case "mean_between":
            return check.hasMean(column, within)
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
