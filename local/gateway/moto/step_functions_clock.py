"""Executions on the gateway's clock: their waits, retries, limits and times, and who of their threads works and who only waits."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable
from typing import Any

from moto.stepfunctions.parser import models
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.component.program.program import Program
from moto.stepfunctions.parser.asl.component.state import state
from moto.stepfunctions.parser.asl.component.state.exec import execute_state
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.inline_iteration_component import (
    InlineIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.iteration_worker import IterationWorker
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.job import JobPool
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel.branch_worker import BranchWorker
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel.branches_decl import BranchWorkerPool
from moto.stepfunctions.parser.asl.component.state.wait.wait_function import timestamp
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.event import event_manager
from moto.stepfunctions.parser.asl.eval.program_state import ProgramError
from moto.stepfunctions.parser.backend import execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker, SyncExecutionWorker

from local.gateway.clock import CLOCK, Event
from local.gateway.moto import clock


def install() -> None:
    """Puts executions on the clock."""
    for module in (models, state, event_manager, execution, timestamp):
        clock.ask(module, "datetime")
    _wait()
    _limit()
    _count_executions()
    _count_branches()
    _count_iterations()


def _wait() -> None:
    # An execution that ends takes its waits with it; moto's retries would sleep on.
    retry = retrier_decl.RetrierDecl._eval_body

    def wait_interval(_self: WaitFunction, env: Environment, wait_seconds: float) -> None:
        CLOCK.sleep(wait_seconds, env.is_running)

    def retry_on_the_clock(self: retrier_decl.RetrierDecl, env: Environment) -> None:
        sleeping.env = env
        retry(self, env)

    sleeping = threading.local()
    vars(retrier_decl)["time"] = types.SimpleNamespace(
        sleep=lambda seconds: CLOCK.sleep(seconds, sleeping.env.is_running)
    )
    retrier_decl.RetrierDecl._eval_body = retry_on_the_clock
    WaitFunction._wait_interval = wait_interval
    for name in ("set_ended", "set_error", "set_timed_out", "set_stop"):
        setattr(Environment, name, _then_wake(getattr(Environment, name)))


def _then_wake(original: Callable[..., None]) -> Callable[..., None]:
    def ended(self: Environment, *args: Any, **named: Any) -> None:
        original(self, *args, **named)
        CLOCK.wake()

    return ended


def _limit() -> None:
    class OnTheClock(types.ModuleType):
        Event = Event

        def __getattr__(self, name: str) -> Any:
            return getattr(threading, name)

    vars(execute_state)["threading"] = OnTheClock("threading")

    def evaluate(self: Program, env: Environment) -> None:
        if isinstance(env.program_state(), ProgramError):
            # The execution failed before this branch of it began.
            return
        env.next_state_name = self.start_at.start_at_name
        ended = threading.Event()

        def run() -> None:
            try:
                EvalComponent.eval(self, env)
            finally:
                ended.set()

        def time_out() -> None:
            if env.is_running():
                env.set_timed_out()
            ended.set()

        # The limit is made first: a machine that begins with a wait would skip past one that is not there yet.
        limit = (
            CLOCK.alarm(CLOCK.now() + self.timeout_seconds.timeout_seconds, time_out) if self.timeout_seconds else None
        )
        threading.Thread(target=run, daemon=True).start()
        ended.wait()
        if limit is not None:
            CLOCK.cancel(limit)

    Program.eval = evaluate


def _count_executions() -> None:
    logic = ExecutionWorker._execution_logic

    def counted(self: ExecutionWorker) -> None:
        try:
            logic(self)
        finally:
            CLOCK.leave()

    for worker in (ExecutionWorker, SyncExecutionWorker):
        worker.start = _entering(worker.start)
    ExecutionWorker._execution_logic = counted


def _entering(start: Callable[..., Any]) -> Callable[..., Any]:
    # Whoever starts a thread counts it: else nothing would work until it runs.
    def entering(self: Any, *args: Any, **named: Any) -> Any:
        CLOCK.enter()
        return start(self, *args, **named)

    return entering


def _count_branches() -> None:
    # While branches work, the state that waits for them does not; the one that ends its wait counts it again.
    routine, wait, terminated = BranchWorker._thread_routine, BranchWorkerPool.wait, BranchWorkerPool.on_terminated
    lock = threading.Lock()

    def thread_routine(self: BranchWorker) -> None:
        try:
            routine(self)
        finally:
            CLOCK.leave()

    def on_terminated(self: BranchWorkerPool, env: Environment) -> None:
        with lock:
            before = self._termination_event.is_set()
            if not before:
                CLOCK.enter()
            terminated(self, env)
            if not self._termination_event.is_set() and not before:
                CLOCK.leave()

    def wait_uncounted(self: BranchWorkerPool) -> None:
        CLOCK.leave()
        wait(self)

    BranchWorker.start = _entering(BranchWorker.start)
    BranchWorker._thread_routine = thread_routine
    BranchWorkerPool.on_terminated = on_terminated
    BranchWorkerPool.wait = wait_uncounted


def _count_iterations() -> None:
    evaluate, close, await_jobs = IterationWorker.eval, JobPool.close_job, JobPool.await_jobs

    def counted(self: IterationWorker) -> None:
        try:
            evaluate(self)
        finally:
            CLOCK.leave()

    lock = threading.Lock()

    def close_job(self: JobPool, job: Any) -> None:
        with lock:
            before = self._termination_event.is_set()
            if not before:
                CLOCK.enter()
            close(self, job)
            if not self._termination_event.is_set() and not before:
                CLOCK.leave()

    def await_uncounted(self: JobPool) -> None:
        # A Map of nothing waits for nobody.
        if self._jobs_number:
            CLOCK.leave()
        await_jobs(self)

    InlineIterationComponent._launch_worker = _entering(InlineIterationComponent._launch_worker)
    IterationWorker.eval = counted
    JobPool.close_job = close_job
    JobPool.await_jobs = await_uncounted
