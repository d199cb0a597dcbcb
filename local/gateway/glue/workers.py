"""Warm Spark workers: one process each, in which runs follow one another until one of them is killed."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from local.gateway.clock import CLOCK
from local.gateway.glue.runs import JobRun
from local.gateway.settings import GatewaySettings

REPOSITORY = Path(__file__).resolve().parents[3]


_POLL_SECONDS = 0.1


_BOOT_LIMIT_SECONDS = 300.0


class WorkerDiedError(Exception):
    """A worker process ended without an answer."""


class Pool(Protocol):
    """The pool that a worker takes its runs from, and reports their end to."""

    settings: GatewaySettings
    closing: threading.Event
    queue: queue.Queue[JobRun]

    def finish(self, run: JobRun, state: str, message: str | None) -> None:
        """Ends a run."""
        ...

    def fail_next(self, message: str) -> None:
        """Fails the run that has waited longest."""
        ...


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

    def __init__(self, pool: Pool, number: int) -> None:
        self._pool = pool
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
            if self._pool.closing.is_set():
                raise WorkerDiedError("the gateway is shutting down")
            process = self.process = WorkerProcess(self._pool.settings, self.number, self.access_key)
        answer = process.answer(_BOOT_LIMIT_SECONDS)
        if answer is None:
            raise WorkerDiedError(f"not ready after {_BOOT_LIMIT_SECONDS:.0f} s; see {process.home}/boot.log")
        process.ready = True
        return process

    def _serve(self) -> None:
        while not self._pool.closing.is_set():
            try:
                self.boot()
                run = self._pool.queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            except WorkerDiedError as error:
                self.close()
                self._pool.fail_next(f"Spark worker did not start: {error}")
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
        self._pool.finish(run, end, message)

    def _await_end(self, run: JobRun, process: WorkerProcess) -> tuple[str, str | None]:
        deadline = CLOCK.now() + run.timeout_minutes * 60
        while True:
            answer = process.answer(min(_POLL_SECONDS, max(0.0, deadline - CLOCK.now())))
            if answer is not None:
                return str(answer["state"]), answer.get("error")
            if run.stop_asked.is_set():
                self.close()
                return "STOPPED", None
            if CLOCK.now() >= deadline:
                self.close()
                return "TIMEOUT", f"Job {run.job.name} run timed out after {run.timeout_minutes:g} minutes"


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
