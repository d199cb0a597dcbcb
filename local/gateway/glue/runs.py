"""One run of a Glue job: its states, its limits, and its form in the Glue API."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from moto.glue.models import FakeJob

from local.gateway.clock import CLOCK, Work

ACTIVE = {"STARTING", "WAITING", "RUNNING", "STOPPING"}


_DEFAULT_TIMEOUT_MINUTES = 480.0


_ERROR_MESSAGE_LIMIT = 4096


@dataclass
class JobRun:
    """One run of a Glue job, from its start to its end."""

    job: FakeJob
    id: str
    arguments: dict[str, str]
    overrides: dict[str, Any]
    log: Path
    attempt: int = 0
    previous_run_id: str | None = None
    state: str = "STARTING"
    started_on: datetime = field(default_factory=CLOCK.moment)
    modified_on: datetime = field(default_factory=CLOCK.moment)
    running_since: float | None = None
    completed_on: datetime | None = None
    execution_seconds: float = 0.0
    error_message: str | None = None
    stop_asked: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    work: Work | None = None

    @property
    def timeout_minutes(self) -> float:
        """How long the run may be RUNNING."""
        return float(self.overrides.get("Timeout") or self.job.timeout or _DEFAULT_TIMEOUT_MINUTES)

    def becomes(self, state: str, error_message: str | None = None) -> None:
        """Moves the run to a state; an ended run keeps its end."""
        if self.completed_on is not None:
            return
        now = CLOCK.moment()
        self.modified_on = now
        if state == "RUNNING":
            # The wait for a worker is no part of what a run took.
            self.started_on, self.running_since = now, time.monotonic()
        if self.running_since is not None:
            self.execution_seconds = time.monotonic() - self.running_since
        if error_message is not None:
            self.error_message = error_message[:_ERROR_MESSAGE_LIMIT]
        self.state = state
        if state not in ACTIVE:
            self.completed_on = now
            self.ended.set()
            if self.work is not None:
                self.work.end()

    def as_glue(self) -> dict[str, Any]:
        """Renders the JobRun of the Glue API."""
        seconds = self.execution_seconds
        if self.state in {"RUNNING", "STOPPING"} and self.running_since is not None:
            seconds = time.monotonic() - self.running_since
        job = self.job
        document = {
            "Id": self.id,
            "Attempt": self.attempt,
            "PreviousRunId": self.previous_run_id,
            "JobName": job.name,
            "StartedOn": self.started_on,
            "LastModifiedOn": self.modified_on,
            "CompletedOn": self.completed_on,
            "JobRunState": self.state,
            "Arguments": self.arguments,
            "ErrorMessage": self.error_message,
            "PredecessorRuns": [],
            "ExecutionTime": round(seconds),
            "Timeout": round(self.timeout_minutes),
            "AllocatedCapacity": self.overrides.get("AllocatedCapacity") or job.allocated_capacity,
            "MaxCapacity": self.overrides.get("MaxCapacity") or job.max_capacity,
            "WorkerType": self.overrides.get("WorkerType") or job.worker_type,
            "NumberOfWorkers": self.overrides.get("NumberOfWorkers") or job.number_of_workers,
            "SecurityConfiguration": job.security_configuration,
            "LogGroupName": "/aws-glue/jobs",
            "GlueVersion": job.glue_version,
            "ExecutionClass": job.execution_class,
        }
        return {key: value for key, value in document.items() if value is not None}
