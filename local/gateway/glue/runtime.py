"""Glue job runs that really run: the job's script from S3, in a warm Spark worker, with Glue's states and limits.

A run waits (STARTING, or WAITING when queuing is on) until a worker is free. Stop, timeout and injected kills end the
worker's process group with SIGKILL, driver JVM included, as hard as Glue ends one; a fresh worker takes its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from moto.core.responses import ActionResult
from moto.glue.exceptions import ConcurrentRunsExceededException, InvalidInputException, JobRunNotFoundException
from moto.glue.models import FakeJob, GlueBackend
from moto.glue.responses import GlueResponse

from local.gateway import faults, logs
from local.gateway.settings import GatewaySettings

REPOSITORY = Path(__file__).resolve().parents[3]
LOG_GROUP = "/aws-glue/jobs/output"
ACTIVE = {"STARTING", "WAITING", "RUNNING", "STOPPING"}
_DEFAULT_TIMEOUT_MINUTES = 480.0
_POLL_SECONDS = 0.1
_BOOT_LIMIT_SECONDS = 300.0
_ERROR_MESSAGE_LIMIT = 4096


class WorkerDiedError(Exception):
    """A worker process ended without an answer."""


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
    started_on: datetime = field(default_factory=lambda: datetime.now(UTC))
    modified_on: datetime = field(default_factory=lambda: datetime.now(UTC))
    running_since: float | None = None
    completed_on: datetime | None = None
    execution_seconds: float = 0.0
    error_message: str | None = None
    stop_asked: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def timeout_minutes(self) -> float:
        """How long the run may be RUNNING."""
        return float(self.overrides.get("Timeout") or self.job.timeout or _DEFAULT_TIMEOUT_MINUTES)

    def becomes(self, state: str, error_message: str | None = None) -> None:
        """Moves the run to a state; an ended run keeps its end."""
        if self.completed_on is not None:
            return
        now = datetime.now(UTC)
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


class WorkerProcess:
    """One Spark driver process, and the pipe on which it takes orders."""

    def __init__(self, settings: GatewaySettings, number: int, access_key: str) -> None:
        self.home = settings.home / "workers" / str(number)
        self.home.mkdir(parents=True, exist_ok=True)
        ours, theirs = Pipe()
        with (self.home / "boot.log").open("ab") as log, theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "local.glue.worker", str(theirs.fileno()), str(self.home)],
                cwd=REPOSITORY,
                env=_environment(settings, access_key),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._pipe: Connection = ours
        self.ready = False

    @property
    def pid(self) -> int:
        """Process id of the driver's Python; its process group is the JVM's too."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """False once the process has ended."""
        return self._process.poll() is None

    def ask(self, order: dict[str, Any]) -> None:
        """Sends one order; WorkerDiedError when there is no one to take it."""
        try:
            self._pipe.send_bytes(json.dumps(order).encode())
        except OSError as error:
            raise WorkerDiedError(self._last_words()) from error

    def answer(self, seconds: float) -> dict[str, Any] | None:
        """Waits for an answer; None when there is none yet. WorkerDiedError when there will be none."""
        try:
            if not self._pipe.poll(seconds):
                return None
            words = self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise WorkerDiedError(self._last_words()) from error
        document: dict[str, Any] = json.loads(words)
        return document

    def _last_words(self) -> str:
        code = self._process.wait(timeout=30)
        return f"killed by signal {-code}" if code < 0 else f"exited with code {code}"

    def kill(self) -> None:
        """Ends the process group with SIGKILL and waits until it is gone."""
        # The JVM may outlive its Python by a moment, so the group is killed even when its leader is dead.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=30)

    def close(self) -> None:
        """Kills the process and closes the pipe."""
        self.kill()
        self._pipe.close()


class Worker:
    """A slot of the pool: a thread that runs one run after another in its process."""

    def __init__(self, runtime: GlueRuntime, number: int) -> None:
        self._runtime = runtime
        self.number = number
        self.access_key = f"glue-worker-{number}"
        self.process: WorkerProcess | None = None
        self.run: JobRun | None = None
        self._lock = threading.Lock()
        self.thread = threading.Thread(target=self._serve, name=self.access_key, daemon=True)

    def describe(self) -> dict[str, Any]:
        """Renders the worker for /_headwater/health."""
        process, run = self.process, self.run
        state = "cold" if process is None else "running" if run is not None else "idle" if process.ready else "booting"
        return {
            "number": self.number,
            "state": state,
            "pid": None if process is None else process.pid,
            "job": None if run is None else run.job.name,
            "run_id": None if run is None else run.id,
        }

    def kill_if_running(self, job: str) -> bool:
        """Kills the process if it is running this job."""
        process, run = self.process, self.run
        if process is None or run is None or run.job.name != job or run.state != "RUNNING":
            return False
        process.kill()
        return True

    def close(self) -> None:
        """Ends the process for good."""
        with self._lock:
            if self.process is not None:
                self.process.close()
                self.process = None

    def boot(self) -> WorkerProcess:
        """Returns the warm process, started if there is none; WorkerDiedError when Spark does not come up."""
        with self._lock:
            if self.process is not None and self.process.ready and self.process.alive:
                return self.process
            if self.process is not None:
                self.process.close()
                self.process = None
            if self._runtime.closing.is_set():
                raise WorkerDiedError("the gateway is shutting down")
            process = self.process = WorkerProcess(self._runtime.settings, self.number, self.access_key)
        answer = process.answer(_BOOT_LIMIT_SECONDS)
        if answer is None:
            raise WorkerDiedError(f"not ready after {_BOOT_LIMIT_SECONDS:.0f} s; see {process.home}/boot.log")
        process.ready = True
        return process

    def _serve(self) -> None:
        while not self._runtime.closing.is_set():
            try:
                self.boot()
                run = self._runtime.queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            except WorkerDiedError as error:
                self.close()
                self._runtime.fail_next(f"Spark worker did not start: {error}")
                continue
            if run.completed_on is None:
                self._execute(run)

    def _execute(self, run: JobRun) -> None:
        self.run = run
        try:
            process = self.boot()
            run.becomes("RUNNING")
            process.ask(_order(run))
            end, message = self._await_end(run, process)
        except WorkerDiedError as error:
            self.close()
            stopped = run.stop_asked.is_set()
            end = "STOPPED" if stopped else "FAILED"
            message = None if stopped else f"WorkerDiedError: the Spark driver was lost: {error}"
        finally:
            self.run = None
        self._runtime.finish(run, end, message)

    def _await_end(self, run: JobRun, process: WorkerProcess) -> tuple[str, str | None]:
        deadline = time.monotonic() + run.timeout_minutes * 60
        while True:
            answer = process.answer(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))
            if answer is not None:
                return str(answer["state"]), answer.get("error")
            if run.stop_asked.is_set():
                self.close()
                return "STOPPED", None
            if time.monotonic() >= deadline:
                self.close()
                return "TIMEOUT", f"Job {run.job.name} run timed out after {run.timeout_minutes:g} minutes"


class GlueRuntime:
    """Every job run, the queue of those that wait, and the pool of workers that run them."""

    def __init__(self, settings: GatewaySettings, workers: int) -> None:
        self.settings = settings
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
        logs.publish(self.settings, LOG_GROUP, run.id, run.log.read_text(errors="replace"))
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

    def fail_next(self, message: str) -> None:
        """Fails the run that has waited longest, when workers cannot start: waiting on would tell nobody."""
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


def _environment(settings: GatewaySettings, access_key: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",
        "AWS_ENDPOINT_URL": settings.endpoint,
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": "headwater",
        "AWS_MAX_ATTEMPTS": os.environ.get("AWS_MAX_ATTEMPTS", "4"),
        "TZ": "UTC",
    }


def _order(run: JobRun) -> dict[str, Any]:
    merged = {**run.job.default_arguments, **run.arguments, **(run.job.non_overridable_arguments or {})}
    command: dict[str, Any] = run.job.command
    return {
        "job": run.job.name,
        "run_id": run.id,
        "attempt": run.attempt,
        "script": command["ScriptLocation"],
        "arguments": merged,
        "log": str(run.log),
    }


def install(settings: GatewaySettings, workers: int) -> GlueRuntime:
    """Puts real runs behind StartJobRun, GetJobRun, GetJobRuns and BatchStopJobRun."""
    runtime = GlueRuntime(settings, workers)
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
