"""The end of a run that failed before its audit, noted for the next audit to enter: the warehouse may be what failed it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from headwater.ledger.entries import RunEnd
from headwater.ledger.stage_runs import StageRuns
from headwater.log import error_text, get_logger, shortened
from headwater.open_project import OpenProject
from headwater.run.alert import IN_PART, cause_of

_MOST_CHARACTERS = 1000

log = get_logger(__name__)


def note_end(failure: Mapping[str, Any]) -> None:
    """Notes the end of a failed run; only logs where that fails, since the alert is out. One that failed in part has had its audit."""
    error = failure["error"]
    if error["Error"] == IN_PART:
        return
    end = RunEnd(
        run_id=failure["run_id"],
        started_at=failure["started_at"],
        ended_at=datetime.now(UTC),
        stage=failure["stage"],
        error=shortened(error["Error"], _MOST_CHARACTERS),
        cause=shortened(cause_of(error["Cause"]), _MOST_CHARACTERS),
    )
    try:
        StageRuns(OpenProject.deployed().ledger.bucket).end(end)
    except Exception as problem:  # noqa: BLE001 - most likely what failed the run, of which the alert has told
        log.warning("end not noted", error=error_text(problem))
