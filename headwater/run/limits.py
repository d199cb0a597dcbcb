"""How long the parts of a run may take: a job's own limit is the first to end it, its task's the second, the run's the last."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

from headwater.config import Project

SOURCES_AT_ONCE = 20
"""Extract jobs that a run has going at once: MaxConcurrency of its state."""
BUSY_SECONDS = 60 + 120 + 240 + 480 + 600 * 56
"""How long a job that may have one run is asked for, at most: the retries on ConcurrentRunsExceeded."""
TURN_SECONDS = 12 * 3600
"""How long a run waits for its turn, at most."""
CRAWL_SECONDS = 2 * 3600
LOAD_SECONDS = 4 * 3600
AUDIT_SECONDS = 3600
# A cluster's start is not in the job's own limit.
_START_SECONDS = 900
# Each job has one more attempt.
_ATTEMPTS = 2
# Plan, the looks at verdicts and the alert, with their retries.
_DECISIONS_SECONDS = 3600


def began(last: Mapping[str, Any]) -> datetime:
    """When a state that looks again and again first looked: `last` is its last answer, empty at first."""
    return datetime.fromisoformat(last.get("since") or datetime.now(UTC).isoformat())


def is_over(since: datetime, seconds: float) -> bool:
    """True when more than so many seconds have passed since then."""
    return datetime.now(UTC) - since > timedelta(seconds=seconds)


def task_seconds(minutes: int) -> int:
    """How long the task of a job may take that has so many minutes: what ends the job, with its word for it, is Glue."""
    return minutes * 60 + _START_SECONDS


def stage_seconds(project: Project) -> dict[str, int]:
    """How long the tasks of the shared stages of a run may take."""
    sizes = {stage: project.environment.stage(stage) for stage in ("check", "silver", "gold")}
    return {stage: task_seconds(size.timeout_minutes) for stage, size in sizes.items()}


def run_seconds(project: Project) -> int:
    """How long a whole run may take: no less than what its parts may, each of which ends with an alert."""
    slowest = max((task_seconds(source.job.timeout_minutes) for source in project.sources.values()), default=0)
    rounds = ceil(len(project.sources) / SOURCES_AT_ONCE)
    jobs = rounds * _ATTEMPTS * (slowest + BUSY_SECONDS)
    jobs += sum(_ATTEMPTS * (seconds + BUSY_SECONDS) for seconds in stage_seconds(project).values())
    return _DECISIONS_SECONDS + jobs + TURN_SECONDS + CRAWL_SECONDS + LOAD_SECONDS + AUDIT_SECONDS
