"""Gold: each table is one SQL file; a run recomputes only the grain values that changed silver rows touch.

A file holds two queries, which may read shared ones (sql/shared/). `affected` lists the values of some grain columns that changed
rows (views `changed_<silver table>`) touch; `rows` computes the rows for them. Rows of affected values that are computed no more
are deleted. The silver versions that were read ride in the gold commit, so a rerun starts exactly after them; with them what the
rows were computed by, so that a changed query computes the whole table anew, in one commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from string import Template
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from headwater.config import GoldColumn, GoldTable
from headwater.config.definition import definition_of, gold_values
from headwater.errors import ConfigError
from headwater.lake.delta import Table
from headwater.ledger.bucket import Bucket
from headwater.ledger.lease import Lease
from headwater.log import get_logger
from headwater.stages.tally import count
from headwater.warehouse.changes import FIRST, ChangeFile, ChangeLog

if TYPE_CHECKING:
    from headwater.job import Job

log = get_logger(__name__)

_CHANGE_TYPES = ("insert", "update_postimage", "update_preimage", "delete")


def build_gold(job: Job, table: str, lease: Lease) -> None:
    """Brings one gold table up to date with silver, in one commit; does nothing when nothing changed.

    LedgerError when another run has taken the `lease` over; ConfigError when what was computed is not what the table declares.
    """
    declared = job.project.gold[table]
    gold = job.lake.table("gold", table)
    built = gold.latest_metadata()
    values = gold_values(job.project.environment)
    definition = definition_of(declared, values)
    used: dict[str, int] = built.get("silver", {})
    silver = {name: job.lake.table("silver", name) for name in declared.inputs}
    versions = {name: source.data_version(used.get(name, -1)) for name, source in silver.items()}
    version = gold.version()
    # Rows of two definitions in one table would be worth nothing, and of a table that was made anew no changes are told. What an
    # earlier version of Headwater has built says nothing of its definition, and is taken for that of today.
    redefined = built.get("definition", definition) != definition
    retold = any(_retold(silver[name], used.get(name, -1), found) for name, found in versions.items())
    anew = version < 0 or redefined or retold or table in job.rebuild
    used = {} if anew else used
    missing = [name for name, version in versions.items() if version < 0]
    if missing:
        log.warning("waits for silver", table=table, missing=missing)
        return
    # A table that is read no more does not matter, however far it was read.
    if all(used.get(name) == version for name, version in versions.items()):
        log.info("unchanged", table=table)
        return
    rows_of = {name: source.read() for name, source in silver.items()}
    changed = {name: _changed(source, used.get(name), versions[name]) for name, source in silver.items()}
    with computed(job.spark, table, declared, rows_of, changed, values, increment=not anew) as (affected, rows):
        lease.check()
        told = {"silver": versions, "definition": definition, "run_id": job.run_id}
        if version < 0 or _shape(gold.read()) != _shape(rows):
            gold.overwrite(rows, f"gold.{table}", version + 2, **told)
        else:
            with gold.transact(f"gold.{table}", version + 2, **told):
                _replace(gold, declared, rows, None if anew else affected)
    metrics = gold.own_commit(f"gold.{table}", version + 2).metrics
    written = metrics.get("numOutputRows", 0)
    count(
        read=metrics.get("numSourceRows", written),
        inserted=metrics.get("numTargetRowsInserted", written),
        changed=metrics.get("numTargetRowsUpdated", 0),
        deleted=metrics.get("numTargetRowsDeleted", 0),
    )
    log.info("built", table=table, anew=anew, silver=versions)


def _retold(source: Table, used: int, version: int) -> bool:
    """True where no change feed tells how a table came from one version to another: it was made anew, or written whole."""
    return used > version or (-1 < used < version and source.overwritten(used))


def _shape(rows: DataFrame) -> list[tuple[str, str]]:
    return [(field.name, field.dataType.simpleString()) for field in rows.schema]


def _changed(source: Table, used: int | None, version: int) -> DataFrame:
    if used is None:
        return source.read()
    if version == used:
        return source.read().limit(0)
    # Both sides of an update count: a row that moved from one month to another touches both.
    return source.changes(used + 1).where(F.col("_change_type").isin(*_CHANGE_TYPES))


@contextmanager
def computed(
    spark: SparkSession,
    table: str,
    declared: GoldTable,
    silver: Mapping[str, DataFrame],
    changed: Mapping[str, DataFrame],
    values: Mapping[str, str],
    *,
    increment: bool,
    drawn: Callable[[DataFrame], DataFrame] = lambda affected: affected,
) -> Iterator[tuple[DataFrame, DataFrame]]:
    """Computes what changed silver rows affect, and the gold rows for it; both are good for the length of the block.

    `values` stand in place of the placeholders; `drawn` says which groups take the place of those that are affected. ConfigError when a
    column's type is not the declared one.
    """
    _name_inputs(spark, declared, silver, changed, values)
    # Kept without its plan, since rows and deletions use it several times: each would read the change feeds, and Spark does not find
    # a cache again in a plan that a MERGE has rewritten.
    affected = drawn(spark.sql(Template(declared.affected).substitute(values)).distinct()).localCheckpoint(eager=False)
    # An increment's few values are broadcast to where silver is read: silver's many rows must not be shuffled.
    (F.broadcast(affected) if increment else affected).createOrReplaceTempView("affected")
    yield affected, _held_to_header(table, declared, spark.sql(Template(declared.rows).substitute(values)))


def _name_inputs(
    spark: SparkSession,
    declared: GoldTable,
    silver: Mapping[str, DataFrame],
    changed: Mapping[str, DataFrame],
    values: Mapping[str, str],
) -> None:
    """Makes a view of each silver table and shared query, and of what has changed in it where one table alone tells that."""
    for name in declared.inputs:
        changed[name].createOrReplaceTempView(name)
    for name, query in declared.shared.items():
        if query.follows_changes:
            # A view is resolved when it is made, so this one stays with the changed rows.
            spark.sql(Template(query.rows).substitute(values)).createOrReplaceTempView(f"changed_{name}")
    for name in declared.inputs:
        silver[name].createOrReplaceTempView(name)
        changed[name].createOrReplaceTempView(f"changed_{name}")
    for name, query in declared.shared.items():
        spark.sql(Template(query.rows).substitute(values)).createOrReplaceTempView(name)


def _held_to_header(table: str, declared: GoldTable, rows: DataFrame) -> DataFrame:
    """The rows, none of which the warehouse would refuse: what does not fit a declared column fails before it is written."""
    found = {field.name: field.dataType.simpleString() for field in rows.schema}
    if list(found) != list(declared.columns):
        raise ConfigError(
            f"sql/gold/{table}.sql: rows selects {', '.join(found)}; the header names {', '.join(declared.columns)}"
        )
    for name, column in declared.columns.items():
        if found[name] != column.spark_type:
            raise ConfigError(
                f"sql/gold/{table}.sql: {name} is {found[name]} in Spark, which is not the header's {column.type}. "
                f"hint: CAST(… AS {column.spark_type.upper()})"
            )
    values = [_fitting(table, name, column, name in declared.grain) for name, column in declared.columns.items()]
    return rows.select(*values)


def _fitting(table: str, name: str, column: GoldColumn, required: bool) -> Column:
    value = F.col(f"`{name}`")
    fitting = value
    if column.most_bytes is not None:
        message = f"gold table {table}: a value of {name} is longer than {column.type}"
        fitting = F.when(F.octet_length(value) > column.most_bytes, F.raise_error(message)).otherwise(fitting)
    if required:
        message = f"gold table {table}: {name} is null, but it is in the grain"
        fitting = F.when(value.isNull(), F.raise_error(message)).otherwise(fitting)
    return fitting.alias(name)


def _replace(gold: Table, declared: GoldTable, rows: DataFrame, affected: DataFrame | None) -> None:
    """Makes of the affected rows, or of all, what was computed; a row that is as it was is left alone."""
    rows = rows.localCheckpoint()
    on = " AND ".join(f"t.`{name}` <=> s.`{name}`" for name in declared.grain)
    others = [name for name in rows.columns if name not in declared.grain]
    differs = " OR ".join(f"NOT (t.`{name}` <=> s.`{name}`)" for name in others)
    # The affected rows that are computed no more come along as deletions.
    old = gold.read()
    if affected is not None:
        old = old.join(F.broadcast(affected), affected.columns, "left_semi")
    gone = old.join(rows.select(*declared.grain), list(declared.grain), "left_anti").select(
        *declared.grain, F.lit(True).alias("_gone")
    )
    source = rows.withColumn("_gone", F.lit(False)).unionByName(gone, allowMissingColumns=True)
    values = {name: f"s.`{name}`" for name in rows.columns}
    (
        gold.delta()
        .alias("t")
        .merge(source.alias("s"), on)
        .whenMatchedDelete("s._gone")
        .whenMatchedUpdate(differs, values)
        .whenNotMatchedInsert(values=values)
        .execute()
    )


def publish_gold(job: Job, table: str) -> None:
    """Writes what changed in a gold table since the last publication, or all that it holds, as one change file for COPY, once."""
    gold = job.lake.table("gold", table)
    changes = ChangeLog(Bucket(job.ledger.bucket.s3, job.project.environment.bucket("lake")), table)
    last = changes.latest_version()
    version = gold.data_version(last)
    if version <= last:
        return
    grain = job.project.gold[table].grain
    columns = [name for name in gold.read().columns if not name.startswith("_")]
    since, number = changes.next_since(last, columns)
    found = _all(gold) if since == FIRST else _newest_changes(gold, since, grain)
    rows = found.select(*columns, "_change", F.lit(version).cast("bigint").alias("_version"))
    job.note_schema("gold", gold)
    folder = changes.folder(version)
    rows = rows.coalesce(1).persist()
    try:
        # What the warehouse copies is held to it.
        count = rows.count()
        rows.write.parquet(f"{job.lake.root}/{folder}")
    finally:
        rows.unpersist()
    entries = changes.entries(folder)
    changes.publish(ChangeFile(table, grain, tuple(columns), version, entries, since, count, number))
    log.info("published", table=table, since=since, version=version, rows=count)


def _all(gold: Table) -> DataFrame:
    return gold.read().withColumn("_change", F.lit("upsert"))


def _newest_changes(gold: Table, since: int, grain: Sequence[str]) -> DataFrame:
    """What became of each row that has changed after a version."""
    by_grain = Window.partitionBy(*grain).orderBy(
        F.col("_commit_version").desc(), F.when(F.col("_change_type") == "delete", 1).otherwise(0)
    )
    return (
        gold.changes(since + 1)
        .where("_change_type <> 'update_preimage'")
        .withColumn("_rank", F.row_number().over(by_grain))
        .where("_rank = 1")
        .withColumn("_change", F.when(F.col("_change_type") == "delete", "delete").otherwise("upsert"))
    )
