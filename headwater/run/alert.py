"""The words of the alert about a failed run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headwater.log import redact


def alert_of(environment_name: str, failure: Mapping[str, Any]) -> tuple[str, str]:
    """Subject and message of one failed run's alert: run, source, stage and cause, secrets struck out."""
    outcomes = [outcome for outcome in failure.get("outcomes", []) if outcome["status"] != "succeeded"]
    lines = [f"run: {failure['run_id']}", f"environment: {environment_name}", f"started: {failure['started_at']}"]
    failed = [(outcome["source"], outcome["stage"], outcome["error"]) for outcome in outcomes]
    if not failed or failure["stage"] != "Sources":
        failed.append(("-", failure["stage"], failure["error"]))
    for source, stage, error in failed:
        lines += [
            "",
            f"source: {source}",
            f"stage: {stage}",
            f"error: {error['Error']}",
            f"cause: {cause_of(error['Cause'])}",
        ]
    in_part = failure["error"]["Error"] == "FailedInPart"
    lines += ["", "hint: fix the cause, then run again; every stage is safe to repeat."]
    subject = f"[headwater {environment_name}] run {failure['run_id']} {'failed in part' if in_part else 'failed'}"
    return subject[:100], redact("\n".join(lines))


def cause_of(cause: str) -> str:
    """Finds what a person needs in a cause: of a failed Glue run or Lambda, which comes as JSON, its message."""
    try:
        run = json.loads(cause)
    except ValueError:
        return cause
    return str(run.get("ErrorMessage") or run.get("errorMessage") or cause) if isinstance(run, dict) else cause
