"""How a batch's valid rows change a silver table: the newest version of each key, or a history of versions, in one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from headwater import config
from headwater.config import InsertWrite, MergeWrite, Name, ReplaceWrite, Scd2Write
from headwater.config.table import SCD2_COLUMNS
from headwater.lake.delta import Table
from headwater.ledger.entries import Manifest

Bounds = Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class SilverCounts:
    """What one silver write did with the valid rows of a batch."""

    written_from: int
    inserted: int
    updated: int
    deleted: int


def write(table: Table, declared: config.Table, manifest: Manifest, valid: DataFrame, bounds: Bounds) -> None:
    """Writes valid rows as the table is declared, in one commit."""
    if isinstance(declared.write, Scd2Write):
        _write_scd2(table, declared, declared.write, valid, bounds)
    else:
        _write_newest(table, declared, manifest, valid, bounds)


def counts(table: Table, declared: config.Table, app_id: str, batch: int) -> SilverCounts:
    """Reads what the commit of a batch did from its metrics."""
    metrics = table.commit_of(app_id, batch).metrics
    if "numSourceRows" not in metrics:
        written = metrics.get("numOutputRows", 0)
        return SilverCounts(written_from=written, inserted=written, updated=0, deleted=0)
    inserted = metrics.get("numTargetRowsInserted", 0)
    updated = metrics.get("numTargetRowsUpdated", 0)
    deleted = metrics.get("numTargetRowsDeleted", 0)
    written_from = metrics["numSourceRows"]
    if isinstance(declared.write, InsertWrite):
        return SilverCounts(written_from, inserted, 0, 0)
    return SilverCounts(written_from, inserted, updated, deleted)


def newest(rows: DataFrame, key: Sequence[Name], version: Name | None) -> DataFrame:
    """Keeps one row for each key: the one with the newest version; equal versions are broken by content."""
    newest_first = [F.xxhash64(*rows.columns).desc()]
    if version is not None:
        newest_first.insert(0, F.col(version).desc_nulls_last())
    ranked = rows.withColumn("_rank", F.row_number().over(Window.partitionBy(*key).orderBy(*newest_first)))
    return ranked.where("_rank = 1").drop("_rank")


def _same(left: str, right: str, columns: Sequence[str]) -> Column:
    return _all([F.col(f"{left}.`{name}`").eqNullSafe(F.col(f"{right}.`{name}`")) for name in columns])


def _all(conditions: Sequence[Column]) -> Column:
    joined = F.lit(True)
    for condition in conditions:
        joined = joined & condition
    return joined


def _within(table: str, bounds: Bounds) -> Column:
    return _all([F.col(f"{table}`{name}`").between(F.lit(lo), F.lit(hi)) for name, (lo, hi) in bounds.items()])


def _write_newest(table: Table, declared: config.Table, manifest: Manifest, valid: DataFrame, bounds: Bounds) -> None:
    rows = newest(valid, declared.key, declared.version)
    if not table.exists():
        rows.write.format("delta").mode("append").save(table.path)
        return
    on = _same("s", "t", declared.key) & _within("t.", bounds)
    merge = table.delta().alias("t").merge(rows.alias("s"), on)
    if isinstance(declared.write, MergeWrite | ReplaceWrite):
        changed = ~_same("s", "t", [name for name in declared.columns if name not in declared.key])
        if declared.version is not None:
            old, new = F.col(f"t.`{declared.version}`"), F.col(f"s.`{declared.version}`")
            # A row without a version is the oldest: any other replaces it, and of two the one that comes later.
            changed = changed & (old.isNull() | (new >= old))
        merge = merge.whenMatchedUpdateAll(changed)
    merge = merge.whenNotMatchedInsertAll()
    if isinstance(declared.write, ReplaceWrite) and manifest.slices:
        merge = merge.whenNotMatchedBySourceDelete(_in_slices(declared.write, manifest.slices))
    merge.execute()


def _in_slices(write: ReplaceWrite, slices: Sequence[dict[str, str]]) -> Column:
    days: dict[str, list[str]] = {}
    for piece in slices:
        days.setdefault(piece["account"], []).append(piece["day"])
    covered = F.lit(False)
    for account, listed in days.items():
        day = F.col(f"t.`{write.day}`").cast("string").isin(listed)
        covered = covered | ((F.col(f"t.`{write.account}`") == account) & day)
    return covered


def _write_scd2(table: Table, declared: config.Table, write: Scd2Write, valid: DataFrame, bounds: Bounds) -> None:
    """Closes changed versions and opens new ones in one MERGE, so that no reader sees a gap or an overlap."""
    assert declared.version is not None  # noqa: S101 - config refuses scd2 without a version
    tracked = [name for name in declared.columns if name not in (*declared.key, declared.version, *write.ignore)]
    by_key = Window.partitionBy(*declared.key).orderBy(declared.version)
    rows = newest(valid, (*declared.key, declared.version), declared.version)
    rows = rows.withColumn("_content", F.xxhash64(*tracked))
    if table.exists():
        current = (
            table.read()
            .where(F.col("is_current") & _within("", bounds))
            .select(
                *declared.key, F.col(declared.version).alias("_current_version"), F.xxhash64(*tracked).alias("_current")
            )
        )
        rows = rows.join(current, list(declared.key), "left").where(
            F.col("_current_version").isNull() | (F.col(declared.version) > F.col("_current_version"))
        )
    else:
        rows = rows.withColumns({"_current": F.lit(None).cast("bigint")})
    before = F.coalesce(F.lag("_content").over(by_key), F.col("_current"))
    rows = rows.where(F.col(declared.version).isNotNull()).withColumn("_before", before)
    versions = rows.where(F.col("_before").isNull() | (F.col("_before") != F.col("_content")))
    versions = versions.withColumns(
        {
            "valid_from": F.col(declared.version),
            "valid_to": F.lead(declared.version).over(by_key),
            "_first": F.lag(declared.version).over(by_key).isNull(),
        }
    ).withColumn("is_current", F.col("valid_to").isNull())
    columns = [*declared.columns, *SCD2_COLUMNS]
    if not table.exists():
        versions.select(*columns).write.format("delta").mode("append").save(table.path)
        return
    # The first new version of a key comes twice: to be opened, and to close the version that was current.
    twice = F.when(F.col("_first"), F.array(F.lit(False), F.lit(True))).otherwise(F.array(F.lit(False)))
    source = versions.select(*columns, F.explode(twice).alias("_closing"))
    on = _same("s", "t", declared.key) & F.col("s._closing") & F.col("t.is_current") & _within("t.", bounds)
    (
        table.delta()
        .alias("t")
        .merge(source.alias("s"), on)
        .whenMatchedUpdate(set={"valid_to": "s.valid_from", "is_current": "false"})
        .whenNotMatchedInsert(condition="NOT s._closing", values={name: f"s.`{name}`" for name in columns})
        .execute()
    )
