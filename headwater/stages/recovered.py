"""Rows that were refused for what was not known when they arrived, and are judged once more with each batch of their stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.config import Scd2Write
from headwater.lake.columns import BATCH, PLACE, REASONS
from headwater.lake.silver import Bounds
from headwater.ledger.entries import Manifest
from headwater.quality.predicates import refused_before, summarize
from headwater.quality.typed import typed
from headwater.stages.again import CAME_WITH, came_between, with_came
from headwater.stages.together import judged_now

if TYPE_CHECKING:
    from headwater.job import Job


@dataclass(frozen=True)
class Recovered:
    """Rows of earlier batches that are valid now, with their place, and where their keys lie."""

    rows: DataFrame
    bounds: Bounds


def recovered(job: Job, stream: str, group: Sequence[Manifest]) -> Recovered | None:
    """Judges what earlier batches have in quarantine for nothing but a name that was not known; None where nothing of it is valid now.

    A row comes again once, with a group of batches. Where every version is kept nothing comes again by itself: a replay puts it
    where it belongs in time.
    """
    declared = job.source.streams[stream]
    table, policy = job.project.tables[declared.table], job.project.quality.get(declared.table)
    waiting = {check.id: check.pending_days for check in (policy.known if policy else ()) if check.pending_days}
    if (
        not waiting
        or isinstance(table.write, Scd2Write)
        or group[-1].replays is not None
        or not job.lake.table("quarantine", table.table).exists()
    ):
        return None
    first, last = group[0].batch, group[-1].batch
    ledger = job.ledger.stream(job.source_name, stream)
    since = ledger.first_since(datetime.now(UTC) - timedelta(days=max(waiting.values())), first)
    told = job.lake.quarantined(table, job.source_name, stream, (since, first - 1))
    told = told.where(F.size(F.array_except("reasons", F.array(*[F.lit(name) for name in waiting]))) == 0)
    batches = [row.batch for row in told.select("batch").distinct().collect()]
    # What a run that died has let in, or one whose table was restored since, is let in with the same batches.
    let_in = came_between(job, stream, table.table, first, last)
    if not batches and not let_in:
        return None
    rows = job.lake.bronze_rows(job.source_name, stream, declared, F.col(BATCH).isin([*batches, *let_in]))
    rows = with_came(job, job.source_name, stream, table.table, typed(declared, table, rows))
    columns = [*table.columns, *PLACE]
    new = judged_now(job, stream, refused_before(rows, told)).where((F.size(REASONS) == 0) & F.col(CAME_WITH).isNull())
    valid = new.select(*columns).unionByName(
        rows.where(F.exists(CAME_WITH, lambda batch: batch.between(first, last))).select(*columns)
    )
    found = summarize(valid.withColumn(REASONS, F.array().cast("array<string>")), table.key)
    return Recovered(valid, found.bounds) if found.rows else None
