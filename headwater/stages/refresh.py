"""Gold as a whole: which of its tables are brought up to date, and which stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from headwater.errors import HeadwaterError
from headwater.ledger.entries import Held
from headwater.ledger.held import MOST_CHARACTERS, Holds, waiting_tables
from headwater.ledger.stage_runs import StageRuns
from headwater.log import error_text, get_logger, shortened
from headwater.stages.gold import build_gold, publish_gold
from headwater.stages.identities import build_identities
from headwater.stages.tally import tallied

if TYPE_CHECKING:
    from headwater.job import Job

log = get_logger(__name__)


def refresh_gold(job: Job) -> None:
    """Brings who is whom and every gold table up to date that waits for nothing, and notes which are stale; raises if one failed.

    A table waits where a stream is held back that feeds what it reads, and stays as it is: half of what belongs together
    would give wrong numbers.
    """
    holds = Holds(job.ledger.bucket)
    waits = waiting_tables(job.project, holds.streams())
    stale = {table: _stale(job, "Held", f"waits for {', '.join(streams)}") for table, streams in waits.items()}
    free = [table for table in (*job.project.identities, *job.project.gold) if table not in waits]
    # Of a job that is killed nobody learns how far it came: until then all are stale.
    holds.hold_tables(stale | {table: _stale(job, "Unknown", "Gold did not come to its end") for table in free})
    for table, held in stale.items():
        log.warning("stale", table=table, cause=held.cause)
    failed: dict[str, Held] = {}
    done = []
    for table in free:
        cause = None
        with tallied() as tally:
            try:
                _refresh(job, table, failed)
            except Exception as error:  # noqa: BLE001 - whatever it was, it is this table's alone, and is raised below
                cause = error_text(error)
                log.warning("failed", table=table, error=cause)
                failed[table] = _stale(job, type(error).__name__, cause)
        done.append(tally.stage_run(job.run_id, "Gold", job.job_run_id, cause, table=table))
    if done:
        StageRuns(job.ledger.bucket).write("-", done)
    holds.hold_tables(stale | failed)
    if failed:
        causes = "; ".join(f"{table}: {held.cause}" for table, held in failed.items())
        raise HeadwaterError(shortened(causes, MOST_CHARACTERS))


def _refresh(job: Job, table: str, failed: Mapping[str, Held]) -> None:
    if table in job.project.identities:
        with job.lease(f"silver/{table}") as lease:
            build_identities(job, table, lease)
        return
    if broken := [read for read in job.project.gold[table].inputs if read in failed]:
        raise HeadwaterError(f"reads {', '.join(broken)}, which failed")
    with job.lease(f"gold/{table}") as lease:
        build_gold(job, table, lease)
        publish_gold(job, table)


def _stale(job: Job, error: str, cause: str) -> Held:
    return Held(run_id=job.run_id, stage="Gold", error=error, cause=shortened(cause, MOST_CHARACTERS))
