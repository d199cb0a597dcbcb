"""Rows that were refused for what was not known when they arrived, and are judged once more with each batch of their stream."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.config import Scd2Write
from headwater.lake.columns import BATCH, PLACE, REASONS
from headwater.lake.silver import Bounds
from headwater.quality.predicates import refused_before, summarize
from headwater.quality.typed import typed
from headwater.stages.together import judged_now

if TYPE_CHECKING:
    from headwater.job import Job


@dataclass(frozen=True)
class Recovered:
    """Rows of earlier batches that are valid now, with their place, and where their keys lie."""

    rows: DataFrame
    bounds: Bounds


def recovered(job: Job, stream: str, before: int) -> Recovered | None:
    """Judges what the batches before one have in quarantine for nothing but a name that was not known; None where there is nothing.

    Where every version is kept nothing comes again by itself: a replay puts it where it belongs in time.
    """
    declared = job.source.streams[stream]
    table, policy = job.project.tables[declared.table], job.project.quality.get(declared.table)
    waiting = {check.id: check.pending_days for check in (policy.known if policy else ()) if check.pending_days}
    if not waiting or isinstance(table.write, Scd2Write) or not job.lake.table("quarantine", table.table).exists():
        return None
    ledger = job.ledger.stream(job.source_name, stream)
    first = ledger.first_since(datetime.now(UTC) - timedelta(days=max(waiting.values())), before)
    told = job.lake.quarantined(table, job.source_name, stream, (first, before - 1))
    told = told.where(F.size(F.array_except("reasons", F.array(*[F.lit(name) for name in waiting]))) == 0)
    batches = [row.batch for row in told.select("batch").distinct().collect()]
    if not batches:
        return None
    rows = job.lake.bronze_rows(job.source_name, stream, declared, F.col(BATCH).isin(batches))
    valid = judged_now(job, stream, refused_before(typed(declared, table, rows), told)).where(F.size(REASONS) == 0)
    return Recovered(valid.select(*table.columns, *PLACE), summarize(valid, table.key).bounds)
