"""How valid rows change a silver table: what becomes of each is decided and counted first, then carried out in one commit.

A row that has arrived is an `insert`, an `update`, `unchanged` where it says what is there, a `duplicate` where another row of its
key comes after it, or `stale` where it is older than what is there. One that was refused when it arrived and comes again is `recovered`
where it changes something, and nothing otherwise. What is carried out are *operations*: the table's rows that are new, changed or gone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from headwater import config
from headwater.config import InsertWrite, ReplaceWrite, Scd2Write, Stream
from headwater.config.stream import Order
from headwater.errors import BooksError
from headwater.lake.columns import AGAIN, BATCH, PLACE
from headwater.lake.delta import Table

Bounds = Mapping[str, tuple[Any, Any]]

_LITERAL = re.compile(r"\s*'([^'\\]*)'\s*")

FATE = "_fate"
OPERATION = "_operation"
_THERE = "_there"
# What a MERGE counts of each kind of operation.
_METRICS = {"insert": "numTargetRowsInserted", "update": "numTargetRowsUpdated", "delete": "numTargetRowsDeleted"}


@dataclass(frozen=True)
class Restated:
    """The accounts' days that a batch replaces, among the rows whose columns have the values of `own`."""

    slices: Sequence[Mapping[str, str]]
    own: Mapping[str, str]


@dataclass(frozen=True)
class Arrived:
    """Rows of batches that go to a table together: `valid` and `refused`, both with the table's columns and their place.

    A valid row says whether it comes again.

    `bounds` are the least and the greatest values of key columns: Delta skips the files outside of them. `restated` is what a batch
    replaces, and `later`, where rows come again, the keys that have arrived since they first did.
    """

    valid: DataFrame
    refused: DataFrame
    bounds: Bounds
    order: Order
    restated: Restated | None = None
    later: DataFrame | None = None


@dataclass(frozen=True)
class Decided:
    """What becomes of each row that has arrived, and what changes in the table; and what a refused row saves.

    `rows` have the table's columns, a batch and a fate where one has arrived, and an operation where the table changes; `kept` are the
    rows that a batch would have deleted, had one of its own not been refused.
    """

    rows: DataFrame
    kept: DataFrame | None = None


def own_columns(stream: Stream, table: config.Table) -> Mapping[str, str]:
    """The columns that have one value in every row of a stream: by these its rows are told from those of others."""
    told = {name: _LITERAL.fullmatch(stream.columns.get(name) or "") for name in table.columns}
    return {name: match[1] for name, match in told.items() if match}


def decide(table: Table, declared: config.Table, arrived: Arrived) -> Decided:
    """Decides what becomes of rows that have arrived."""
    if isinstance(declared.write, Scd2Write):
        return _decide_versions(table, declared, declared.write, arrived)
    return _decide_newest(table, declared, arrived)


def carry_out(
    table: Table, declared: config.Table, operations: DataFrame, counts: Mapping[str, int], bounds: Bounds
) -> None:
    """Changes the table in one commit, also where there is nothing to change: the commit says how far the table is.

    `counts` are the operations by kind.
    """
    columns = list(declared.types)
    if set(counts) <= {"insert"}:
        operations.select(*columns).write.format("delta").mode("append").save(table.path)
        return
    keys = [*declared.key, "valid_from"] if isinstance(declared.write, Scd2Write) else declared.key
    on = _same("s.", "t.", keys)
    if not counts.get("delete") or isinstance(declared.write, Scd2Write):
        on = on & _within("t.", bounds)
    values = {name: f"s.`{name}`" for name in columns}
    (
        table.delta()
        .alias("t")
        .merge(operations.alias("s"), on)
        .whenMatchedDelete(f"s.{OPERATION} = 'delete'")
        .whenMatchedUpdate(f"s.{OPERATION} = 'update'", set=values)
        .whenNotMatchedInsert(f"s.{OPERATION} = 'insert'", values=values)
        .execute()
    )


def hold_to_commit(table: Table, metrics: Mapping[str, int], counts: Mapping[str, int]) -> None:
    """BooksError when a commit has done something else than what was decided; `counts` are the operations by kind."""
    # An append has one number, that of the rows it wrote.
    done = {kind: metrics.get(metric, 0) for kind, metric in _METRICS.items()}
    done["insert"] = metrics.get(_METRICS["insert"], metrics.get("numOutputRows", 0))
    decided = {kind: counts.get(kind, 0) for kind in _METRICS}
    if decided != done:
        raise BooksError(
            f"{table.path}: decided were {decided}, but the commit has {done}. hint: look at the table's newest version, RESTORE "
            "the one before it and run again"
        )


def _same(left: str, right: str, columns: Sequence[str]) -> Column:
    return _all([F.col(f"{left}`{name}`").eqNullSafe(F.col(f"{right}`{name}`")) for name in columns])


def _all(conditions: Sequence[Column]) -> Column:
    joined = F.lit(True)
    for condition in conditions:
        joined = joined & condition
    return joined


def _within(table: str, bounds: Bounds) -> Column:
    return _all([F.col(f"{table}`{name}`").between(F.lit(lo), F.lit(hi)) for name, (lo, hi) in bounds.items()])


def _oldest_first(declared: config.Table, order: Order) -> list[Column]:
    """Orders the rows of a key as they follow each other."""
    return [value.asc_nulls_first() for value in _ordered_by(declared, order)]


def newest_first(declared: config.Table, order: Order) -> list[Column]:
    """Orders the rows of a key, the one that counts first; where rows are never changed that is the one that arrived first."""
    if isinstance(declared.write, InsertWrite):
        return [value.asc_nulls_first() for value in _ordered_by(declared.model_copy(update={"version": None}), order)]
    return [value.desc_nulls_last() for value in _ordered_by(declared, order)]


def _ordered_by(declared: config.Table, order: Order) -> list[Column]:
    """What orders the rows of a key; what was stored before rows knew their place is told apart by its content."""
    version = [] if declared.version is None else [declared.version]
    batch, *place = PLACE
    first = [batch, *version] if order == "reading" else [*version, batch]
    return [*[F.col(f"`{name}`") for name in (*first, *place)], F.xxhash64(*declared.columns)]


def _there(table: Table, declared: config.Table, rows: DataFrame, bounds: Bounds) -> DataFrame:
    """The table's rows that have the keys of some rows."""
    keys = rows.select(*[F.col(f"`{name}`").alias(f"_key_{name}") for name in declared.key]).distinct()
    on = _all([F.col(f"`{name}`").eqNullSafe(F.col(f"_key_{name}")) for name in declared.key])
    return table.read().where(_within("", bounds)).join(keys, on, "left_semi").select(*declared.types)


def _decide_newest(table: Table, declared: config.Table, arrived: Arrived) -> Decided:
    rows = arrived.valid
    same, stale, there = F.lit(False), F.lit(False), F.lit(False)
    if table.exists():
        found = _there(table, declared, arrived.valid, arrived.bounds)
        found = found.select(F.struct(*declared.columns).alias(_THERE))
        rows = rows.join(found, _same("", f"{_THERE}.", declared.key), "left")
        there = F.col(_THERE).isNotNull()
        same = _same("", f"{_THERE}.", [name for name in declared.columns if name not in declared.key])
        if isinstance(declared.write, InsertWrite):
            same = F.lit(True)
        if arrived.order == "version" and declared.version is not None:
            old, new = F.col(f"{_THERE}.`{declared.version}`"), F.col(f"`{declared.version}`")
            # A row without a version is the oldest: any other replaces it, and of two the one that comes later.
            stale = old.isNotNull() & ~F.coalesce(new >= old, F.lit(False))
        if arrived.later is not None:
            later = arrived.later.select(*[F.col(name).alias(f"_later_{name}") for name in declared.key]).distinct()
            on = _all([F.col(name).eqNullSafe(F.col(f"_later_{name}")) for name in declared.key])
            rows = rows.join(later.withColumn("_later", F.lit(True)), on, "left")
            stale = stale | F.coalesce(F.col("_later"), F.lit(False))
        # Of a row that comes again nothing is known but its version: without one that is greater, what is there is newer, and it
        # must not stand in the way of what arrives now.
        rows = rows.where(~F.col(AGAIN) | ~there | (_is_newer(declared) & ~stale))
    newest = Window.partitionBy(*declared.key).orderBy(*newest_first(declared, arrived.order))
    rows = rows.withColumn("_rank", F.row_number().over(newest))
    fate = (
        F.when(F.col("_rank") > 1, "duplicate")
        .when(~there, "insert")
        .when(same, "unchanged")
        .when(stale, "stale")
        .otherwise("update")
    )
    rows = rows.withColumn(FATE, fate)
    operation = F.when(F.col(FATE).isin("insert", "update"), F.col(FATE))
    rows = rows.withColumn(OPERATION, operation).where(~F.col(AGAIN) | F.col(OPERATION).isNotNull())
    told = F.when(F.col(AGAIN), "recovered").otherwise(F.col(FATE))
    rows = rows.select(*declared.columns, BATCH, told.alias(FATE), OPERATION)
    kept = None
    if isinstance(declared.write, ReplaceWrite) and arrived.restated and table.exists():
        vanished = _vanished(table, declared, declared.write, arrived, arrived.restated)
        gone = vanished.join(arrived.refused.alias("r"), may_restate(declared), "left_anti")
        kept = vanished.join(arrived.refused.alias("r"), may_restate(declared), "left_semi")
        gone = gone.select(*declared.columns, F.lit("delete").alias(OPERATION))
        rows = rows.unionByName(gone, allowMissingColumns=True)
    return Decided(rows, kept)


def _is_newer(declared: config.Table) -> Column:
    if declared.version is None:
        return F.lit(False)
    return F.coalesce(F.col(f"`{declared.version}`") > F.col(f"{_THERE}.`{declared.version}`"), F.lit(False))


def _vanished(
    table: Table, declared: config.Table, write: ReplaceWrite, arrived: Arrived, restated: Restated
) -> DataFrame:
    """The table's rows of the accounts' days that a batch restates and no valid row of it has."""
    days: dict[str, list[str]] = {}
    for piece in restated.slices:
        days.setdefault(piece["account"], []).append(piece["day"])
    covered = F.lit(False)
    for account, listed in days.items():
        day = F.col(f"`{write.day}`").cast("string").isin(listed)
        covered = covered | ((F.col(f"`{write.account}`") == account) & day)
    own = _all([F.col(f"`{name}`").eqNullSafe(F.lit(value)) for name, value in restated.own.items()])
    there = table.read().where(covered & own).alias("t")
    return there.join(arrived.valid.select(*declared.key).alias("v"), _same("t.", "v.", declared.key), "left_anti")


def may_restate(declared: config.Table) -> Column:
    """True where a refused row is of the key of a row of the table, or has lost what would tell that it is not."""
    told = [F.col(f"r.`{name}`") for name in declared.key]
    return _all(
        [value.isNull() | (value == F.col(f"t.`{name}`")) for name, value in zip(declared.key, told, strict=True)]
    )


def _decide_versions(table: Table, declared: config.Table, write: Scd2Write, arrived: Arrived) -> Decided:
    """Lays what is there and what has arrived on one time line for each key, and compares it with the one that is there.

    A version begins at the first instant at which its content was told, and remembers, in the column that says when, the last: so
    what comes late is put where it belongs, and what was true again after it begins anew.
    """
    assert declared.version is not None  # noqa: S101 - config refuses scd2 without a version
    key, version = list(declared.key), declared.version
    content = F.struct(*[name for name in declared.columns if name not in (*key, version, *write.ignore)])
    said = F.struct(*declared.columns)
    told_last = F.greatest(F.col("valid_from"), F.col(version))
    rows = arrived.valid
    if table.exists():
        there = _there(table, declared, rows, arrived.bounds)
    else:
        there = rows.sparkSession.createDataFrame([], _schema_of(declared))
    current = there.where("is_current").select(*[F.col(n).alias(f"_key_{n}") for n in key], told_last.alias("_told"))
    rows = rows.join(current, _all([F.col(name) == F.col(f"_key_{name}") for name in key]), "left")
    instant = F.col(version)
    if arrived.order == "reading":
        # What is read later is what is true now, even if it says that it was written earlier.
        read = Window.partitionBy(*key).orderBy(*_oldest_first(declared, arrived.order))
        instant = F.greatest(F.max(version).over(read.rowsBetween(Window.unboundedPreceding, 0)), F.col("_told"))
        # What comes again, among others, goes to where it belongs in time.
        instant = F.when(F.col(AGAIN), F.col(version)).otherwise(instant)
    before = there.withColumn("_instant", F.explode(F.array_distinct(F.array("valid_from", told_last)))).select(
        *key,
        "_instant",
        F.least(F.col(version), F.col("_instant")).alias("_told"),
        F.lit(None).cast("bigint").alias(BATCH),
        said.alias("_said"),
        content.alias("_content"),
        F.lit(0).alias("_order"),
    )
    order = F.row_number().over(Window.partitionBy(*key).orderBy(*_oldest_first(declared, arrived.order)))
    now = rows.select(
        *key,
        instant.alias("_instant"),
        F.col(version).alias("_told"),
        F.col(BATCH).cast("bigint").alias(BATCH),
        said.alias("_said"),
        content.alias("_content"),
        order.alias("_order"),
    )
    same_instant = Window.partitionBy(*key, "_instant")
    # Every step from here on is about the rows of one key: they are brought together once.
    told = (
        before.unionByName(now)
        .repartition(*key)
        .withColumns(
            {
                "_last": F.row_number().over(same_instant.orderBy(F.col("_order").desc())) == 1,
                "_was": F.max(F.when(F.col("_order") == 0, F.struct("_content"))).over(same_instant),
                "_known": F.max(F.col("_order") == 0).over(Window.partitionBy(*key)),
            }
        )
    )
    in_time = Window.partitionBy(*key).orderBy("_instant")
    line = told.where("_last").withColumn("_before", F.lag(F.struct("_content")).over(in_time))
    line = line.withColumn("_begins", ~F.col("_before").eqNullSafe(F.struct("_content")))
    fate = (
        F.when(
            F.col("_was").isNotNull(),
            F.when(F.col("_was").eqNullSafe(F.struct("_content")), "unchanged").otherwise("update"),
        )
        .when(F.col("_begins"), F.when(F.col("_known") | F.col("_before").isNotNull(), "update").otherwise("insert"))
        .otherwise("unchanged")
    )
    fates = told.where("NOT _last AND _order > 0").select(BATCH, F.lit("duplicate").alias(FATE))
    fates = fates.unionByName(line.where("_order > 0").select(BATCH, fate.alias(FATE)))
    runs = line.withColumn("_run", F.sum(F.col("_begins").cast("int")).over(in_time)).groupBy(*key, "_run")
    versions = runs.agg(
        F.min("_instant").alias("valid_from"),
        F.max_by("_said", "_instant").alias("_said"),
        # What was told again is remembered by when, so that it stands in the way of what is older.
        F.when(F.min("_instant") == F.max("_instant"), F.max("_told")).otherwise(F.max("_instant")).alias("_told"),
    ).withColumn("valid_to", F.lead("valid_from").over(Window.partitionBy(*key).orderBy("valid_from")))
    columns = [F.col("_told" if name == version else f"_said.`{name}`").alias(name) for name in declared.columns]
    versions = versions.select(*columns, "valid_from", "valid_to", F.col("valid_to").isNull().alias("is_current"))
    operations = compared(there, versions, [*key, "valid_from"], list(declared.types))
    return Decided(operations.unionByName(fates, allowMissingColumns=True))


def _schema_of(declared: config.Table) -> str:
    return ", ".join(f"`{name}` {type_}" for name, type_ in declared.types.items())


def compared(there: DataFrame, wanted: DataFrame, key: Sequence[str], columns: Sequence[str]) -> DataFrame:
    """What makes of rows that are there the rows that are wanted."""
    old = there.select(F.struct(*columns).alias("_old"))
    new = wanted.select(F.struct(*columns).alias("_new"))
    both = old.join(new, _same("_old.", "_new.", key), "full_outer")
    operation = (
        F.when(F.col("_old").isNull(), "insert")
        .when(F.col("_new").isNull(), "delete")
        .when(~F.col("_old").eqNullSafe(F.col("_new")), "update")
    )
    return (
        both.select(F.coalesce("_new", "_old").alias("_row"), operation.alias(OPERATION))
        .where(F.col(OPERATION).isNotNull())
        .select("_row.*", OPERATION)
    )
