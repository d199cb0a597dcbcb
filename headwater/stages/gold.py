"""Gold: each table is one SQL file; a run recomputes only the grain values that changed silver rows touch.

A file holds two queries. `affected` lists the values of some grain columns that changed rows (views `changed_<silver table>`)
touch; `rows` computes the rows for them. Rows of affected values that are computed no more are deleted. The silver versions
that were read ride in the gold commit, so a rerun starts exactly after them.
"""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from headwater.lake.delta import Table
from headwater.lake.gold_sql import GoldSql, gold_sql
from headwater.ledger.lease import Lease
from headwater.log import get_logger
from headwater.warehouse.changes import ChangeFile, ChangeLog

if TYPE_CHECKING:
    from headwater.job import Job

log = get_logger(__name__)

_CHANGE_TYPES = ("insert", "update_postimage", "update_preimage", "delete")


def build_gold(job: Job, table: str, lease: Lease) -> None:
    """Brings one gold table up to date with silver, in one commit; does nothing when nothing changed.

    LedgerError when another run has taken the `lease` over.
    """
    sql = gold_sql(job.project, table)
    gold = job.lake.table("gold", table)
    used: dict[str, int] = gold.latest_metadata().get("silver", {})
    silver = {name: job.lake.table("silver", name) for name in sql.inputs}
    versions = {name: source.data_version(used.get(name, -1)) for name, source in silver.items()}
    missing = [name for name, version in versions.items() if version < 0]
    if missing:
        log.warning("waits for silver", table=table, missing=missing)
        return
    if versions == used:
        log.info("unchanged", table=table)
        return
    _register(silver, versions, used)
    version = gold.version()
    # Cached, since rows and deletions use it several times, and each time it would be read from the change feeds.
    affected = job.spark.sql(sql.affected).distinct().persist()
    try:
        # An increment's few values are broadcast to where silver is read: silver's many rows must not be shuffled.
        (F.broadcast(affected) if version >= 0 else affected).createOrReplaceTempView("affected")
        values = {"reporting_currency": job.project.environment.reporting_currency}
        rows = job.spark.sql(Template(sql.rows).substitute(values))
        lease.check()
        with gold.transact(f"gold.{table}", version + 2, silver=versions, run_id=job.run_id):
            if version < 0:
                rows.write.format("delta").mode("append").save(gold.path)
            else:
                _replace_affected(gold, sql, rows, affected)
    finally:
        affected.unpersist()
    log.info("built", table=table, silver=versions)


def _register(silver: dict[str, Table], versions: dict[str, int], used: dict[str, int]) -> None:
    for name, source in silver.items():
        source.read().createOrReplaceTempView(name)
        if name not in used:
            changed = source.read()
        elif versions[name] == used[name]:
            changed = source.read().limit(0)
        else:
            # Both sides of an update count: a row that moved from one month to another touches both.
            changed = source.changes(used[name] + 1).where(F.col("_change_type").isin(*_CHANGE_TYPES))
        changed.createOrReplaceTempView(f"changed_{name}")


def _replace_affected(gold: Table, sql: GoldSql, rows: DataFrame, affected: DataFrame) -> None:
    rows = rows.persist()
    try:
        on = " AND ".join(f"t.`{name}` <=> s.`{name}`" for name in sql.grain)
        others = [name for name in rows.columns if name not in sql.grain]
        differs = " OR ".join(f"NOT (t.`{name}` <=> s.`{name}`)" for name in others)
        # The affected rows that are computed no more come along as deletions.
        gone = (
            gold.read()
            .join(F.broadcast(affected), affected.columns, "left_semi")
            .join(rows.select(*sql.grain), list(sql.grain), "left_anti")
            .select(*sql.grain, F.lit(True).alias("_gone"))
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
    finally:
        rows.unpersist()


def publish_gold(job: Job, table: str) -> None:
    """Writes what changed in a gold table since the last publication as one change file for COPY, once."""
    gold = job.lake.table("gold", table)
    bucket = job.project.environment.bucket("lake")
    changes = ChangeLog(job.ledger.bucket.s3, bucket, table)
    last = changes.latest_version()
    version = gold.data_version(last)
    if version <= last:
        return
    sql = gold_sql(job.project, table)
    columns = [name for name in gold.read().columns if not name.startswith("_")]
    by_grain = Window.partitionBy(*sql.grain).orderBy(
        F.col("_commit_version").desc(), F.when(F.col("_change_type") == "delete", 1).otherwise(0)
    )
    rows = (
        gold.changes(last + 1)
        .where("_change_type <> 'update_preimage'")
        .withColumn("_rank", F.row_number().over(by_grain))
        .where("_rank = 1")
        .select(
            *columns,
            F.when(F.col("_change_type") == "delete", "delete").otherwise("upsert").alias("_change"),
            F.lit(version).cast("bigint").alias("_version"),
        )
    )
    folder = changes.folder(version)
    rows.coalesce(1).write.mode("overwrite").parquet(f"{job.lake.root}/{folder}")
    changes.publish(ChangeFile.listed(job.ledger.bucket.s3, bucket, table, sql.grain, columns, version))
    log.info("published", table=table, since=last, version=version)
