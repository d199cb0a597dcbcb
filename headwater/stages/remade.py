"""What a silver table would have, had all its batches come to a table of nothing by today's declaration: read and made of bronze.

What was decided of a row stays decided: what is in quarantine stays refused unless it has come again since, and what a person has
discarded stays out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from headwater import config
from headwater.config import InsertWrite, JsonStream, Parser, ReplaceWrite, Scd2Write, Stream
from headwater.config.definition import Definition, feeding
from headwater.config.stream import Order
from headwater.errors import BooksError, ConfigError, LedgerError
from headwater.lake.columns import AGAIN, BATCH, PLACE, RAW, REASONS
from headwater.lake.delta import Table
from headwater.lake.silver import OPERATION, Arrived, decide, may_restate, newest_first, own_columns
from headwater.ledger.entries import Book, Manifest
from headwater.ledger.stream import FIRST_BATCH
from headwater.quality.predicates import as_decided
from headwater.quality.typed import UNREADABLE, cast_columns, typed
from headwater.stages.again import CAME_WITH, with_came
from headwater.stages.together import hold_to_manifests

if TYPE_CHECKING:
    from headwater.job import Job

_EMPTIED = "_emptied"
_AT = "_at"
_OVERTAKEN = "_overtaken"
_REPLAYED = "_replayed"


class _NothingYet(Table):
    """A table as it was before its first commit."""

    def exists(self) -> bool:
        """Always false."""
        return False


@dataclass(frozen=True)
class _Fed:
    """A stream that feeds the table, with the batches of it that the table has."""

    source: str
    name: str
    declared: Stream
    manifests: Sequence[Manifest]
    books: Sequence[Book | None]
    discarded: frozenset[int]

    @property
    def app_id(self) -> str:
        """Names the stream in Delta's transaction log."""
        return f"{self.source}.{self.name}"

    @property
    def last(self) -> int:
        """The newest of the batches; 0 where there is none."""
        return self.manifests[-1].batch if self.manifests else 0

    @property
    def replays(self) -> list[int]:
        """The batches that replay others."""
        return [manifest.batch for manifest in self.manifests if manifest.replays is not None]


@dataclass(frozen=True)
class _Read:
    """A stream's rows, typed as is declared today, with what was decided of them, and the places of its batches among all."""

    fed: _Fed
    rows: DataFrame
    places: Mapping[int, int]


def remade(
    job: Job, silver: Table, table: config.Table, before: Definition, now: Definition
) -> tuple[DataFrame, list[str]]:
    """Makes the rows that a table would have of the batches that it has; tells too what the definition of before told and they lack.

    ConfigError or BooksError where they could not be the same for the reason alone that they are made at once.
    """
    fed = [one for told in feeding(job.project, table.table) if (one := _fed(job, silver, *told)).manifests]
    if not fed:
        raise ConfigError(
            f"table {table.table}: no stream that is declared has brought a row of it. hint: declare the one that has"
        )
    read, emptied = [], []
    for one, places in zip(fed, _places(fed), strict=True):
        rows = job.kept(_rows(job, one, table, before, now), sum(manifest.rows for manifest in one.manifests))
        emptied += _held_to_ledger(one, table, rows)
        read.append(_Read(one, rows, places))
    return _made(job, table, read), emptied


def _fed(job: Job, silver: Table, source: str, name: str, declared: Stream) -> _Fed:
    """Reads what the ledger has of the batches of a stream that a table has."""
    ledger = job.ledger.stream(source, name)
    up_to = silver.transaction(f"{source}.{name}")
    if not up_to:
        return _Fed(source, name, declared, (), (), frozenset())
    manifests, books = ledger.manifests(FIRST_BATCH, up_to), ledger.books(FIRST_BATCH, up_to)
    halted = [verdict.batch for verdict in ledger.verdicts(FIRST_BATCH, up_to) if verdict and verdict.verdict == "halt"]
    decisions = {batch: ledger.decision(batch) for batch in halted}
    discarded = [batch for batch, decision in decisions.items() if decision and decision.decision == "discard"]
    return _Fed(source, name, declared, manifests, books, frozenset(discarded))


def _places(fed: Sequence[_Fed]) -> list[dict[int, int]]:
    """The places of each stream's batches among those of all: they follow each other as they were extracted."""
    times = []
    for number, one in enumerate(fed):
        # Within a stream its own order counts, whatever the clocks of two machines say.
        moments = accumulate((manifest.created_at for manifest in one.manifests), max)
        times += [(moment, number, manifest.batch) for moment, manifest in zip(moments, one.manifests, strict=True)]
    places: list[dict[int, int]] = [{} for _ in fed]
    for place, (_, number, batch) in enumerate(sorted(times), 1):
        # One in two is left to rows that came again before those of a batch.
        places[number][batch] = 2 * place
    return places


def _rows(job: Job, fed: _Fed, table: config.Table, before: Definition, now: Definition) -> DataFrame:
    """The rows of a stream, typed as is declared today, with the reasons of then, and the batch with which each came again."""
    raw = job.lake.bronze_rows(fed.source, fed.name, fed.declared, F.col(BATCH) <= fed.last)
    rows = typed(fed.declared, table, raw, {_EMPTIED: _emptied(fed, before, now, raw)})
    quarantine = job.lake.table("quarantine", table.table)
    if fed.last and quarantine.exists():
        rows = as_decided(rows, job.lake.quarantined(table, fed.source, fed.name, (FIRST_BATCH, fed.last)))
    else:
        rows = rows.drop(UNREADABLE).withColumn(REASONS, F.array().cast("array<string>"))
    return with_came(job, fed.source, fed.name, table.table, rows.drop(RAW))


def _emptied(fed: _Fed, before: Definition, now: Definition, raw: DataFrame) -> Column:
    """Names the columns of a row that told something by the definition of before, and tell nothing by that of today."""
    none = F.array().cast("array<string>")
    old, new = before.streams.get(fed.app_id), now.streams[fed.app_id]
    if old is None:
        return none
    both = [name for name in now.columns if name in before.columns]
    changed = [
        name for name in both if (before.columns[name], old.shapes(name)) != (now.columns[name], new.shapes(name))
    ]
    if not changed:
        return none
    shaped: dict[str, object] = {"columns": old.columns}
    if isinstance(fed.declared, JsonStream):
        shaped["parsers"] = {name: Parser(columns=columns) for name, columns in old.parsers.items()}
    was = cast_columns(fed.declared.model_copy(update=shaped), {name: before.columns[name] for name in changed}, raw)
    is_ = cast_columns(fed.declared, {name: now.columns[name] for name in changed}, raw)
    names = [F.when(was[name][1].isNotNull() & is_[name][1].isNull(), F.lit(name)) for name in changed]
    return F.array_compact(F.array(*names))


def _held_to_ledger(fed: _Fed, table: config.Table, rows: DataFrame) -> list[str]:
    """Holds the rows of a stream to what the ledger has of its batches; returns what today's expressions would empty.

    BooksError where bronze has other rows than the batches, or nobody knows which of the refused rows have come again; ConfigError
    where a row that is in silver has lost what tells it from others.
    """
    if isinstance(table.write, ReplaceWrite) and not rows.where(F.col(CAME_WITH).isNotNull()).isEmpty():
        raise ConfigError(
            f"table {table.table}: rows of {fed.app_id} that were refused have come again, and whether their days had been restated "
            "by then is written nowhere. hint: backfill their days instead"
        )
    valid = _is_valid() & ~F.col(BATCH).isin([*fed.discarded])
    keyless = F.lit(False)
    for name in table.told:
        keyless = keyless | F.col(f"`{name}`").isNull()
    emptied = F.explode_outer(F.when(valid, F.col(_EMPTIED)))
    counted = (
        rows.select(BATCH, (valid & keyless).alias("keyless"))
        .groupBy(BATCH)
        .agg(F.count("*").alias("rows"), F.count_if("keyless").alias("keyless"))
        .collect()
    )
    found = {row[BATCH]: row for row in counted}
    hold_to_manifests(
        [manifest for manifest in fed.manifests if manifest.replays is None],
        {batch: row["rows"] for batch, row in found.items()},
    )
    came = rows.select(F.explode(CAME_WITH).alias("came")).groupBy("came").count().collect()
    _hold_to_what_came(fed, {row["came"]: row["count"] for row in came})
    if keyless_rows := sum(row["keyless"] for row in found.values()):
        raise ConfigError(
            f"table {table.table}: {keyless_rows} rows of {fed.app_id} that are in silver have no {' or '.join(table.told)} as it is "
            "declared now. hint: have the expressions read every shape that bronze has, such as coalesce(new, old)"
        )
    names = (
        rows.select(emptied.alias("name")).where("name IS NOT NULL").groupBy("name").count().orderBy("name").collect()
    )
    return [f"{row['name']} in {row['count']} rows of {fed.app_id}" for row in names]


def _hold_to_what_came(fed: _Fed, came: Mapping[int, int]) -> None:
    """`came` are the rows by the batch with which they came again."""
    lacking = []
    by_themselves = -sum(rows for batch, rows in came.items() if batch not in fed.replays)
    for manifest, book in zip(fed.manifests, fed.books, strict=True):
        if book is None:
            raise LedgerError(f"{fed.app_id}: the book of batch {manifest.batch} is not closed yet. hint: run again")
        by_themselves += book.recovered
        replayed = manifest.rows - book.quarantined - book.discarded
        if manifest.replays is not None and came.get(manifest.batch, 0) < replayed:
            lacking.append(str(manifest.replays))
    if lacking or by_themselves > 0:
        batches = f"of batches {', '.join(lacking)} " if lacking else ""
        raise BooksError(
            f"{fed.app_id}: rows {batches}that were refused have come to silver since, and an earlier version of Headwater has not "
            "written down which. hint: nothing was changed; this table cannot be made anew of bronze without losing them"
        )


def _is_valid() -> Column:
    return (F.size(REASONS) == 0) | F.col(CAME_WITH).isNotNull()


def _placed(job: Job, read: _Read, table: config.Table) -> DataFrame:
    """The rows of a stream that came to silver, with the place of their batch among all.

    A row that came again has the place of the batch with which it came: a replayed one among its rows, another just before them.
    """
    batches = [(batch, place) for batch, place in read.places.items() if batch not in read.fed.discarded]
    told = F.broadcast(job.spark.createDataFrame(batches, f"_of bigint, {_AT} int"))
    came = F.col("_came")
    replayed = F.coalesce(came.isin(read.fed.replays), F.lit(False))
    after = F.min(BATCH).over(Window.partitionBy(*table.key).orderBy(BATCH).rangeBetween(1, Window.unboundedFollowing))
    rows = read.rows.withColumn("_came", F.explode_outer(CAME_WITH)).withColumns(
        {_OVERTAKEN: replayed & F.coalesce(after < came, F.lit(False)), _REPLAYED: replayed, AGAIN: came.isNotNull()}
    )
    rows = rows.where(_is_valid()).join(told, F.coalesce(came, F.col(BATCH)) == F.col("_of"))
    return rows.withColumn(_AT, F.when(F.col(AGAIN) & ~F.col(_REPLAYED), F.col(_AT) - 1).otherwise(F.col(_AT)))


def _that_counted(order: Order, table: config.Table, rows: DataFrame) -> DataFrame:
    """Leaves out rows that came again when something newer was there, as it was decided then."""
    together = Window.partitionBy(*table.key, _AT, AGAIN).orderBy(*newest_first(table, order))
    rows = rows.withColumn("_rank", F.row_number().over(together)).where(~F.col(AGAIN) | (F.col("_rank") == 1))
    earlier = Window.partitionBy(*table.key).orderBy(_AT).rangeBetween(Window.unboundedPreceding, -1)
    newer, in_time = F.lit(False), F.lit(True)
    if order == "reading" or table.version is None:
        in_time = ~F.col(_OVERTAKEN)
    if table.version is not None:
        version = F.col(f"`{table.version}`")
        there = F.max(version).over(earlier)
        if order == "reading":
            # What was read last was there, whatever it said.
            read = ~F.col(AGAIN) | (F.col(_REPLAYED) & in_time)
            there = F.max(F.when(read, F.struct(_AT, version.alias("version")))).over(earlier)["version"]
        newer = F.coalesce(version > there, F.lit(False))
    counts = F.when(~F.col(AGAIN) | (F.count("*").over(earlier) == 0), True)
    return rows.withColumn("_counts", counts.when(F.col(_REPLAYED), in_time).otherwise(newer)).where("_counts")


def _made(job: Job, table: config.Table, read: Sequence[_Read]) -> DataFrame:
    """The rows that the table would have, had all its batches come to a table of nothing by today's declaration."""
    orders = sorted({one.fed.declared.order for one in read})
    if len(orders) > 1 and not isinstance(table.write, InsertWrite):
        raise ConfigError(
            f"table {table.table}: its streams order rows by {' and by '.join(orders)}: in which order they came is written nowhere. "
            "hint: feed a table of its own with each"
        )
    rows = reduce(DataFrame.unionByName, [_placed(job, one, table) for one in read])
    if not isinstance(table.write, InsertWrite | Scd2Write):
        rows = _that_counted(orders[0], table, rows)
    placed = table.model_copy(update={"columns": {**table.columns, _AT: config.Column(type="int")}})
    valid = rows.withColumn(BATCH, F.col(_AT)).select(*placed.columns, *PLACE, AGAIN)
    declared = placed if isinstance(table.write, ReplaceWrite) else table
    nothing = _NothingYet(job.spark, "-")
    decided = decide(nothing, declared, Arrived(valid, valid.limit(0), {}, orders[0]))
    made = decided.rows.where(F.col(OPERATION).isNotNull()).select(*declared.types)
    if isinstance(table.write, ReplaceWrite):
        for one in read:
            made = _without_restated(job, table, table.write, one, made)
    return made.select(*table.types)


def _without_restated(job: Job, table: config.Table, write: ReplaceWrite, read: _Read, made: DataFrame) -> DataFrame:
    """Leaves out the rows of a stream whose account's day a later batch has restated without them."""
    restated = [
        (piece["account"], piece["day"], manifest.batch, read.places[manifest.batch])
        for manifest in read.fed.manifests
        if manifest.batch not in read.fed.discarded
        for piece in manifest.slices or ()
    ]
    told = job.spark.createDataFrame(restated, "_account string, _day string, _by int, _since int")
    covered = (F.col(f"t.`{write.account}`") == F.col("_account")) & (
        F.col(f"t.`{write.day}`").cast("string") == F.col("_day")
    )
    for name, value in own_columns(read.fed.declared, table).items():
        covered = covered & F.col(f"t.`{name}`").eqNullSafe(F.lit(value))
    gone = made.alias("t").join(told, covered & (F.col("_since") > F.col(f"t.{_AT}")))
    refused = read.rows.where(~_is_valid()).alias("r")
    kept = may_restate(table) & (F.col(f"r.{BATCH}") == F.col("_by"))
    gone = gone.join(refused, kept, "left_anti").select(*[F.col(f"t.`{name}`") for name in table.key]).distinct()
    return made.join(gone, list(table.key), "left_anti")
