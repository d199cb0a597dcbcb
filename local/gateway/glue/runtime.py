"""Glue job runs that really run: the job's script from S3, in a warm Spark worker, with Glue's states and limits.

A run waits (STARTING, or WAITING when queuing is on) until a worker is free. Stop, timeout and injected kills end the
worker's process group with SIGKILL, driver JVM included, as hard as Glue ends one; a fresh worker takes its place.
"""

from __future__ import annotations

import queue
import threading
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from moto.core.responses import ActionResult
from moto.glue.exceptions import ConcurrentRunsExceededException, InvalidInputException, JobRunNotFoundException
from moto.glue.models import FakeJob, GlueBackend
from moto.glue.responses import GlueResponse

from local.gateway import faults, logs
from local.gateway.clock import CLOCK
from local.gateway.ends import tell_of_job_run
from local.gateway.glue.runs import ACTIVE, JobRun
from local.gateway.glue.workers import Worker
from local.gateway.iam.authority import Authority
from local.gateway.iam.principals import key_of
from local.gateway.settings import GatewaySettings


class GlueRuntime:
    """Every job run, the queue of those that wait, and the pool of workers that run them."""

    def __init__(self, settings: GatewaySettings, workers: int, authority: Authority) -> None:
        self.settings = settings
        self._authority = authority
        self.closing = threading.Event()
        self.queue: queue.Queue[JobRun] = queue.Queue()
        self._lock = threading.RLock()
        self._runs: dict[str, list[JobRun]] = {}
        self._workers = [Worker(self, number) for number in range(max(1, workers))]
        self._started = False
        if workers:
            self._start_workers()

    def _start_workers(self) -> None:
        with self._lock:
            if not self._started:
                self._started = True
                for worker in self._workers:
                    worker.thread.start()

    def start(self, job: FakeJob, parameters: dict[str, Any]) -> JobRun:
        """Queues a run; ConcurrentRunsExceededException when the job already has all the runs it may."""
        with self._lock:
            runs = self._runs.setdefault(job.name, [])
            active = sum(run.state in ACTIVE for run in runs)
            queuing = bool(parameters.get("JobRunQueuingEnabled"))
            if active >= (job.execution_property or {}).get("MaxConcurrentRuns", 1) and not queuing:
                raise ConcurrentRunsExceededException(f"Concurrent runs exceeded for {job.name}")
            repeated = parameters.get("JobRunId")
            given = self.find(job.name, repeated).arguments if repeated else parameters.get("Arguments") or {}
            run = JobRun(
                job=job,
                id=f"jr_{uuid.uuid4().hex}{uuid.uuid4().hex}",
                arguments=dict(given),
                overrides=parameters,
                log=Path(),
                previous_run_id=repeated,
                state="WAITING" if queuing else "STARTING",
            )
            self._submit(run)
            return run

    def _submit(self, run: JobRun) -> None:
        run.log = self.settings.home / "logs" / run.job.name / f"{run.id}.log"
        run.log.parent.mkdir(parents=True, exist_ok=True)
        run.log.touch()
        self._runs.setdefault(run.job.name, []).append(run)
        run.work = CLOCK.begin()
        self.queue.put(run)
        self._start_workers()

    def find(self, job: str, run_id: str) -> JobRun:
        """Returns one run; JobRunNotFoundException when the job has no such run."""
        for run in self._runs.get(job, []):
            if run.id == run_id:
                return run
        raise JobRunNotFoundException(run_id)

    def await_end(self, job: str, run_id: str, seconds: float) -> bool:
        """Waits until a run has ended; False when `seconds` were too few. JobRunNotFoundException when there is no such run."""
        return self.find(job, run_id).ended.wait(seconds)

    def runs(self, job: str) -> list[JobRun]:
        """Returns a job's runs, newest first."""
        return list(reversed(self._runs.get(job, [])))

    def stop(self, run: JobRun) -> None:
        """Asks a run to stop; a run that no worker has taken is stopped at once."""
        if run.completed_on is not None:
            raise InvalidInputException("BatchStopJobRun", f"Job run {run.id} is not in a stoppable state: {run.state}")
        run.stop_asked.set()
        if run.state in {"STARTING", "WAITING"}:
            self.finish(run, "STOPPED", None)
        else:
            run.becomes("STOPPING")

    def finish(self, run: JobRun, state: str, message: str | None) -> None:
        """Ends a run: publishes its log, and starts the next attempt when the job allows one."""
        self._publish(run)
        was_over = run.completed_on is not None
        # Nothing is skipped between an attempt and the next.
        with CLOCK.working():
            self._end(run, state, message)
            if not was_over:
                tell_of_job_run(self.settings, run)

    def _end(self, run: JobRun, state: str, message: str | None) -> None:
        with self._lock:
            run.becomes(state, message)
            if state != "FAILED" or run.attempt >= (run.job.max_retries or 0) or self.closing.is_set():
                return
            first = run.id.split("_attempt_")[0]
            retry = JobRun(
                job=run.job,
                id=f"{first}_attempt_{run.attempt + 1}",
                arguments=run.arguments,
                overrides=run.overrides,
                log=Path(),
                attempt=run.attempt + 1,
                previous_run_id=run.id,
            )
            self._submit(retry)

    def _publish(self, run: JobRun) -> None:
        # A run whose role may not write its log ends all the same, and nothing is seen of it.
        group = f"{run.log_group}/output"
        if self._authority.may_log(str(run.job.role), "glue.amazonaws.com", group):
            logs.publish(self.settings, group, run.id, run.log.read_text(errors="replace"))

    def fail_next(self, message: str) -> None:
        """Fails the run that has waited longest, when workers cannot start: waiting on would hide it."""
        try:
            run = self.queue.get(timeout=1.0)
        except queue.Empty:
            return
        self.finish(run, "FAILED", message)

    def kill_job(self, job: str) -> bool:
        """Kills the worker that runs a job, as kill -9 would; False when none does."""
        killed = [worker.kill_if_running(job) for worker in self._workers]
        return any(killed)

    def principal_of(self, access_key: str) -> str:
        """Names the job whose run a worker carries now; without one, as while it starts, a worker is but its access key."""
        for worker in self._workers:
            run = worker.run
            if worker.access_key == access_key and run is not None and run.running_since is not None:
                return str(run.job.name)
        return access_key

    def key_of_run(self, access_key: str) -> str | None:
        """Makes a worker's key id that of the role whose job it runs now; None for what is no worker's."""
        for worker in self._workers:
            if worker.access_key == access_key:
                run = worker.run
                role = str(run.job.role) if run is not None and run.running_since is not None else "-"
                return key_of(role, "glue.amazonaws.com", "GlueJobRunnerSession")
        return None

    def is_running(self, job: str) -> bool:
        """True if a worker is running this job now."""
        return any(run.state == "RUNNING" for run in self._runs.get(job, []))

    def describe_workers(self) -> list[dict[str, Any]]:
        """Renders the pool for /_headwater/health."""
        return [worker.describe() for worker in self._workers]

    def close(self) -> None:
        """Ends every worker process."""
        self.closing.set()
        for worker in self._workers:
            worker.close()


def install(settings: GatewaySettings, workers: int, authority: Authority) -> GlueRuntime:
    """Runs jobs for real behind StartJobRun, GetJobRun, GetJobRuns and BatchStopJobRun."""
    runtime = GlueRuntime(settings, workers, authority)
    faults.TABLE.kill_job = runtime.kill_job
    faults.TABLE.is_running = runtime.is_running

    def start_job_run(self: GlueResponse) -> ActionResult:
        parameters = self.parameters
        if parameters.get("AllocatedCapacity") and parameters.get("MaxCapacity"):
            raise InvalidInputException("StartJobRun", "Please set only Allocated Capacity or Max Capacity")
        run = runtime.start(self.glue_backend.get_job(parameters["JobName"]), parameters)
        return ActionResult({"JobRunId": run.id})

    def get_job_run(self: GlueResponse) -> ActionResult:
        name = self.parameters["JobName"]
        self.glue_backend.get_job(name)
        return ActionResult({"JobRun": runtime.find(name, self.parameters["RunId"]).as_glue()})

    def get_job_runs(self: GlueResponse) -> ActionResult:
        parameters = self.parameters
        self.glue_backend.get_job(parameters["JobName"])
        start = int(parameters.get("NextToken") or 0)
        end = start + int(parameters.get("MaxResults") or 200)
        runs = runtime.runs(parameters["JobName"])
        answer: dict[str, Any] = {"JobRuns": [run.as_glue() for run in runs[start:end]]}
        if end < len(runs):
            answer["NextToken"] = str(end)
        return ActionResult(answer)

    def batch_stop_job_run(self: GlueResponse) -> ActionResult:
        name = self.parameters["JobName"]
        return ActionResult(_stop_runs(runtime, name, self.parameters["JobRunIds"]))

    def delete_job(self: GlueBackend, name: str) -> None:
        self.jobs.pop(name, None)
        runtime._runs.pop(name, None)

    GlueResponse.start_job_run = start_job_run
    GlueResponse.get_job_run = get_job_run
    GlueResponse.get_job_runs = get_job_runs
    GlueResponse.batch_stop_job_run = batch_stop_job_run
    GlueBackend.delete_job = delete_job
    return runtime


def _stop_runs(runtime: GlueRuntime, job: str, run_ids: Iterable[str]) -> dict[str, Any]:
    stopped, refused = [], []
    for run_id in run_ids:
        try:
            runtime.stop(runtime.find(job, run_id))
            stopped.append({"JobName": job, "JobRunId": run_id})
        except (JobRunNotFoundException, InvalidInputException) as error:
            detail = {"ErrorCode": error.error_type, "ErrorMessage": error.message}
            refused.append({"JobName": job, "JobRunId": run_id, "ErrorDetail": detail})
    return {"SuccessfulSubmissions": stopped, "Errors": refused}
