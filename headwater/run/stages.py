"""What the stages of runs have done, as the audit of a run enters it: its own, and those of runs that never came to theirs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from headwater.config import Project
from headwater.ledger.entries import RunEnd, StageRun
from headwater.ledger.stage_runs import StageRuns, Waiting
from headwater.log import shortened
from headwater.open_project import OpenProject
from headwater.run.entering import copied, text
from headwater.run.limits import run_seconds

_MOST_CHARACTERS = 1000
_COUNTED = ("rows_read", "rows_inserted", "rows_changed", "rows_deleted", "rows_rejected")


@dataclass(frozen=True)
class Told:
    """How a run has ended: the times, and why it failed, if it did."""

    run_id: str
    started_at: datetime
    ended_at: datetime
    error: str | None = None


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended: what waits of it, read; `end` where it failed before its audit."""

    waiting: Waiting
    stage_runs: list[StageRun]
    end: RunEnd | None

    @property
    def told(self) -> Told:
        """When it began and ended, and of what it failed."""
        newest = self.waiting.newest
        if self.end:
            error = shortened(f"{self.end.stage}: {self.end.error}: {self.end.cause}", _MOST_CHARACTERS)
            return Told(self.end.run_id, self.end.started_at, self.end.ended_at, error)
        first = min((one.started_at for one in self.stage_runs), default=newest)
        return Told(self.waiting.run_id, first, newest, "ended without a word")


def ended_runs(opened: OpenProject, run_id: str) -> list[EndedRun]:
    """Reads what the stages of this run have done, and of runs that never came to their audit: these have failed, or are long gone."""
    waiting = StageRuns(opened.ledger.bucket)
    gone = datetime.now(UTC) - timedelta(seconds=run_seconds(opened.project))
    return [
        EndedRun(one, *waiting.read(one))
        for one in waiting.waiting()
        if one.run_id == run_id or one.has_end or one.newest < gone
    ]


def stages_entered(
    opened: OpenProject, run_id: str, ended: Iterable[EndedRun], lineage: StageRun | None
) -> Iterator[str]:
    """Makes the SQL that enters what the stages of runs have done, and the runs that never came to their audit.

    `lineage` is what came of telling lineage, where anybody is told.
    """
    rows: list[dict[str, Any]] = [] if lineage is None else [_row(opened, lineage)]
    runs: list[dict[str, Any]] = []
    for one in ended:
        rows += (_row(opened, stage_run) for stage_run in one.stage_runs)
        if one.waiting.run_id != run_id:
            runs.append(_unaudited(one))
        elif one.end:
            # It was begun again where it had failed: an earlier audit may have entered that.
            yield f"DELETE FROM etl.runs WHERE run_id = {text(run_id)} AND status = 'failed'"
    if rows:
        names = ", ".join(text(name) for name in sorted({row["job_run_id"] for row in rows}))
        yield f"DELETE FROM etl.run_audit WHERE job_run_id IN ({names})"
        yield copied(opened, run_id, "run_audit", rows)
    if runs:
        names = ", ".join(text(row["run_id"]) for row in runs)
        yield f"DELETE FROM etl.runs WHERE run_id IN ({names})"
        yield copied(opened, run_id, "runs", runs)


def _row(opened: OpenProject, stage_run: StageRun) -> dict[str, Any]:
    """One row of etl.run_audit."""
    said = stage_run.model_dump(include={"run_id", "stage", "job_run_id", "source", "stream", *_COUNTED})
    row = said | {
        "table_name": written_by(opened.project, stage_run),
        "status": "succeeded" if stage_run.succeeded else "failed",
        "started_at": _moment(stage_run.started_at),
        "ended_at": _moment(stage_run.ended_at),
        "seconds": round((stage_run.ended_at - stage_run.started_at).total_seconds(), 3),
        "rejected": json.dumps(stage_run.rejected, sort_keys=True) if stage_run.rejected else None,
        "messages": "\n".join(stage_run.messages) or None,
    }
    return {name: value for name, value in row.items() if value is not None}


def written_by(project: Project, stage_run: StageRun) -> str | None:
    """Names the table that a job run of a stage writes; None where it writes none."""
    match stage_run:
        case StageRun(stage="Extract", source=str(source), stream=str(stream)):
            return f"bronze.{source}.{stream}"
        case StageRun(stage="Silver", source=str(source), stream=str(stream)) if source in project.sources:
            declared = project.sources[source].streams.get(stream)
            return f"silver.{declared.table}" if declared else None
        case StageRun(stage="Gold", table=str(table)):
            return f"gold.{table}"
        case StageRun(stage="Load", table=str(table)):
            return f"analytics.{table}"
    return None


def _unaudited(ended: EndedRun) -> dict[str, Any]:
    """One row of etl.runs about a run that never came to its audit; its books are entered, and counted there."""
    told, silver = ended.told, [one for one in ended.stage_runs if one.stage == "Silver"]
    row = {
        "run_id": told.run_id,
        "status": "failed" if ended.end else "aborted",
        "started_at": _moment(told.started_at),
        "ended_at": _moment(told.ended_at),
        "rows_extracted": sum(one.rows_read for one in silver),
        "rows_inserted": sum(one.rows_inserted for one in silver),
        "rows_updated": sum(one.rows_changed for one in silver),
        "rows_quarantined": sum(one.rows_rejected for one in silver),
        "message": told.error,
    }
    return {name: value for name, value in row.items() if value is not None}


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
