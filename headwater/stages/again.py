"""Which rows that were refused when they arrived have come to silver later, and with which batch: by a replay, or by themselves.

Quarantine keeps the verdict of then, and silver does not say where its rows are from. It is written before silver is, so that a run
that goes on after one that died decides nothing anew, and a rebuild knows each row that has come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.lake.columns import BATCH, FILE, PLACE, ROW
from headwater.lake.delta import Table
from headwater.ledger.entries import Manifest
from headwater.ledger.lease import Lease

if TYPE_CHECKING:
    from headwater.job import Job

CAME_WITH = "_came_with"
"""The batches with which a row came again, the first of each group; NULL for one that has not."""


def came_between(job: Job, stream: str, table: str, first: int, last: int) -> list[int]:
    """Lists the batches of which rows came again with some batches of a stream, from the first to the last."""
    remembered = _remembered(job, table)
    if not remembered.exists():
        return []
    mine = (F.col("source") == job.source_name) & (F.col("stream") == stream)
    found = remembered.read().where(mine & F.col("came_with").between(first, last))
    return [row.batch for row in found.select("batch").distinct().collect()]


def is_remembered(job: Job, stream: str, table: str, batch: int) -> bool:
    """True when it is written down which rows came again with a batch."""
    return _remembered(job, table).transaction(f"{job.source_name}.{stream}") >= batch


def with_came(job: Job, source: str, stream: str, table: str, rows: DataFrame) -> DataFrame:
    """Adds to rows of a stream, which have their place, the batches with which each came again."""
    remembered = _remembered(job, table)
    if not remembered.exists():
        return rows.withColumn(CAME_WITH, F.lit(None).cast("array<bigint>"))
    came = remembered.read().where((F.col("source") == source) & (F.col("stream") == stream))
    names = {"batch": BATCH, "raw_file": FILE, "file_row": ROW}
    told = came.groupBy(*[F.col(name).alias(f"_told_{name}") for name in names]).agg(
        F.collect_set("came_with").alias(CAME_WITH)
    )
    same = F.lit(True)
    for name, place in names.items():
        # A row that does not know its place, of before there was one, is like no other.
        same = same & (F.col(place) == F.col(f"_told_{name}"))
    return rows.join(told, same, "left").drop(*told.columns[:-1])


def remember(job: Job, stream: str, table: str, group: Sequence[Manifest], rows: DataFrame, lease: Lease) -> None:
    """Writes down, once, which rows come again with a group of batches."""
    first, last = group[0], group[-1]
    remembered = _remembered(job, table)
    app_id = f"{job.source_name}.{stream}"
    if remembered.transaction(app_id) >= last.batch:
        return
    lease.check()
    told = F.coalesce(F.array_contains(CAME_WITH, first.batch), F.lit(False))
    new = with_came(job, job.source_name, stream, table, rows.select(*PLACE)).where(~told)
    with remembered.transact(app_id, last.batch):
        (
            new.select(
                F.lit(last.source).alias("source"),
                F.lit(last.stream).alias("stream"),
                F.col(BATCH).cast("bigint").alias("batch"),
                F.col(FILE).alias("raw_file"),
                F.col(ROW).alias("file_row"),
                F.lit(first.batch).cast("bigint").alias("came_with"),
            )
            .write.format("delta")
            .mode("append")
            .save(remembered.path)
        )


def _remembered(job: Job, table: str) -> Table:
    # Within quarantine's own folder, where Delta passes over what begins with an underscore.
    return Table(job.spark, f"{job.lake.table('quarantine', table).path}/_came_again")
