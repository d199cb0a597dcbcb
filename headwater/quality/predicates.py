"""What every row must meet, as Spark SQL: policies become predicates, and one pass over the rows finds what each fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config import JsonStream, Policy, Scd2Write, Stream, Table
from headwater.config.policy import (
    AtMostColumn,
    Between,
    Complete,
    InSet,
    Known,
    Matches,
    NonNegative,
    Positive,
    RowPredicateCheck,
)
from headwater.lake.columns import BATCH, FILE, MICROSECONDS, RAW, REASONS
from headwater.ledger.raw import PROBLEM
from headwater.quality.typed import UNREADABLE


@dataclass(frozen=True)
class RowPredicate:
    """A named condition over typed rows, as Spark SQL that is true or false and never null.

    `check` is what the policy says of it; None for one that every row of the stream must meet.
    """

    id: str
    sql: str
    level: str = "quarantine"
    check: RowPredicateCheck | None = None

    @property
    def batch_level(self) -> str:
        """What a batch gets of which too many rows fail."""
        return "halt" if self.level == "quarantine" else self.level

    def holds(self, share: float, rows: int) -> bool:
        """True when such a share of a batch's rows meeting it is enough."""
        may_fail = 1.0 if self.check is None else self.check.may_fail_of(rows)
        return share >= 1.0 - may_fail


def row_predicates(stream: Stream, table: Table, policy: Policy | None) -> list[RowPredicate]:
    """Lists what every row of a stream must meet on its way to a table: its key is there, its values fit, its policy holds."""
    required = list(table.key)
    if isinstance(table.write, Scd2Write) and table.version is not None:
        required.append(table.version)
    declared = policy.predicates if policy else ()
    ids = {check.id for check in declared}
    predicates = [
        RowPredicate(f"{name}_complete", f"`{name}` IS NOT NULL") for name in required if f"{name}_complete" not in ids
    ]
    predicates += [
        RowPredicate(f"{name}_readable", f"NOT array_contains({UNREADABLE}, '{name}')")
        for name, column in table.sourced.items()
        # Whatever JSON has, is text as well.
        if not (isinstance(stream, JsonStream) and column.type == "string")
    ]
    types = {name: column.type for name, column in table.columns.items()}
    predicates += [RowPredicate(check.id, _sql(check, types[check.that]), check.level, check) for check in declared]
    # A row that cannot be read at all has that one reason, and fails nothing else.
    return [replace(predicate, sql=f"{PROBLEM} IS NOT NULL OR ({predicate.sql})") for predicate in predicates]


def _sql(check: RowPredicateCheck, type_: str) -> str:
    column = f"`{check.that}`"
    match check:
        case Complete():
            return f"{column} IS NOT NULL"
        case NonNegative():
            holds = f"{column} >= 0"
        case Positive():
            holds = f"{column} > 0"
        case InSet(values=values):
            holds = f"{column} IN ({', '.join(_literal(value, type_) for value in values)})"
        case Matches(pattern=pattern):
            holds = f"{column} RLIKE {_quoted(pattern)}"
        case AtMostColumn(column=other):
            holds = f"{column} <= `{other}`"
        case Between(least=least, most=most):
            holds = f"{column} BETWEEN {_literal(least, type_)} AND {_literal(most, type_)}"
        case _ as never:
            assert_never(never)
    # A missing value is left to `complete`, so that one defect has one reason.
    return f"coalesce({holds}, true)"


def _literal(value: str, type_: str) -> str:
    """A value as the column's type has it; config has seen that it reads as one."""
    return f"CAST({_quoted(value)} AS {type_})"


def _quoted(text: str) -> str:
    """Quotes a text as a Spark SQL string."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def judge_rows(rows: DataFrame, predicates: Sequence[RowPredicate], known: Mapping[Known, DataFrame]) -> DataFrame:
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
    kept = [name for name in rows.columns if not name.startswith("_known_") and name != UNREADABLE]
    judged = rows.withColumn(REASONS, reasons)
    # What no cast gives back is NULL in its column; quarantine shows what it was.
    as_it_came = F.when(F.size(REASONS) > 0, F.to_json(RAW, MICROSECONDS))
    return judged.withColumn(RAW, as_it_came).select(*kept, REASONS)


@dataclass(frozen=True)
class Summary:
    """What one pass over judged rows found of each batch: its rows, those refused, how often for each reason; and where the good lie.

    `bounds` holds the least and the greatest value of each key column that is a number or a date.
    """

    rows: dict[int, int]
    refused: dict[int, int]
    reasons: dict[int, dict[str, int]]
    bounds: dict[str, tuple[Any, Any]]

    def widen(self, bounds: Mapping[str, tuple[Any, Any]]) -> None:
        """Takes in the keys of other rows."""
        for name, (least, most) in bounds.items():
            before = self.bounds.get(name, (least, most))
            self.bounds[name] = (min(least, before[0]), max(most, before[1]))


def as_decided(rows: DataFrame, quarantined: DataFrame) -> DataFrame:
    """Gives typed rows the reasons that those of them have which are in quarantine already, and the others none.

    `quarantined` has batch, raw file, row as it came and reasons.
    """
    reasons = F.coalesce("_told_reasons", F.array().cast("array<string>")).alias(REASONS)
    kept = [name for name in rows.columns if name not in {UNREADABLE, RAW}]
    return _told(rows, quarantined, "left").select(*kept, F.to_json(RAW, MICROSECONDS).alias(RAW), reasons)


def refused_before(rows: DataFrame, quarantined: DataFrame) -> DataFrame:
    """Those typed rows that are in quarantine already, to be judged anew."""
    return _told(rows, quarantined, "left_semi")


def _told(rows: DataFrame, quarantined: DataFrame, how: str) -> DataFrame:
    told = quarantined.select(*[F.col(name).alias(f"_told_{name}") for name in ("batch", "raw_file", "raw", "reasons")])
    same = (F.col(BATCH) == F.col("_told_batch")) & (F.col(FILE) == F.col("_told_raw_file"))
    # Earlier versions of Headwater cut times off at milliseconds.
    said = [F.to_json(RAW, options) == F.col("_told_raw") for options in (MICROSECONDS, {})]
    return rows.join(told, same & (said[0] | said[1]), how)


def summarize(judged: DataFrame, key: Sequence[str]) -> Summary:
    """Counts the rows of each batch, the refused ones and their reasons, and bounds the keys of the good ones, in one pass."""
    kinds = (T.IntegerType, T.LongType, T.DateType)
    ranged = [field.name for field in judged.schema.fields if field.name in key and isinstance(field.dataType, kinds)]
    bounds = [f(F.when(F.size(REASONS) == 0, F.col(f"`{name}`"))) for name in ranged for f in (F.min, F.max)]
    # A row has few of the many combinations of reasons: they are told apart here and added up below.
    found = judged.groupBy(BATCH, REASONS).agg(F.count("*"), *bounds).collect()
    summary = Summary({}, {}, {}, {})
    for batch, reasons, rows, *ends in found:
        summary.rows[batch] = summary.rows.get(batch, 0) + rows
        if reasons:
            summary.refused[batch] = summary.refused.get(batch, 0) + rows
        for reason in reasons:
            counted = summary.reasons.setdefault(batch, {})
            counted[reason] = counted.get(reason, 0) + rows
        for name, least, most in zip(ranged, ends[::2], ends[1::2], strict=True):
            if least is not None:
                summary.widen({name: (least, most)})
    return summary
