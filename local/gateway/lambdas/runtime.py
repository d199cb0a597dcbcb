"""Lambda functions that run: the zipped handler, warm, a process for each invocation at once, with its variables and timeout."""

from __future__ import annotations

import base64
import io
import json
import os
import select
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from moto.awslambda.models import LambdaFunction

from local.gateway import logs
from local.gateway.clock import CLOCK
from local.gateway.settings import GatewaySettings

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
# Loading the code is not charged against the timeout on AWS either, but it has a limit of its own.
_INIT_SECONDS = 10.0
_LOG_TAIL_BYTES = 4096
# AWS runs a thousand at once; further invocations wait.
_MOST_AT_ONCE = 4
# Lambda itself retries an asynchronous event if the function fails.
_EVENT_WAITS = (60.0, 120.0)


class FunctionProcess:
    """One warm process of one version of a function's code and configuration."""

    def __init__(self, settings: GatewaySettings, function: LambdaFunction, log: Path) -> None:
        code = _unpack(settings, function)
        events, self._events = os.pipe()
        self._results, results = os.pipe()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_BOOTSTRAP), str(events), str(results)],
                cwd=code,
                env=_environment(settings, function, code),
                pass_fds=[events, results],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        os.close(events)
        os.close(results)
        self._reader: IO[bytes] = os.fdopen(self._results, "rb", buffering=0)
        self.fresh = True

    @property
    def alive(self) -> bool:
        """False once the process has ended."""
        return self._process.poll() is None

    def invoke(self, invocation: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """Runs the handler once; None when it did not answer in time. EOFError when the process ended instead."""
        deadline = time.monotonic() + seconds + (_INIT_SECONDS if self.fresh else 0.0)
        self.fresh = False
        line = b""
        try:
            os.write(self._events, json.dumps(invocation).encode() + b"\n")
            while not line.endswith(b"\n"):
                ready, _, _ = select.select([self._reader], [], [], max(0.0, deadline - time.monotonic()))
                if not ready:
                    return None
                chunk = self._reader.read(1 << 20)
                if not chunk:
                    raise EOFError
                line += chunk
        except BrokenPipeError as error:
            raise EOFError from error
        answer: dict[str, Any] = json.loads(line)
        return answer

    def exit_code(self) -> int:
        """Waits for the end of the process and returns its exit code."""
        return self._process.wait(timeout=10)

    def close(self) -> None:
        """Kills the process and closes its pipes."""
        if self.alive:
            self._process.kill()
        self._process.wait(timeout=10)
        os.close(self._events)
        self._reader.close()


class Slots:
    """The places in which invocations of one function run at once; the lowest that is free comes first, to be warm."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: set[int] = set()

    @contextmanager
    def one(self, limit: int) -> Iterator[int]:
        """Holds a place below `limit` for the length of the block, waiting for one if need be."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._taken) < limit)
            slot = min(set(range(limit)) - self._taken)
            self._taken.add(slot)
        try:
            yield slot
        finally:
            with self._changed:
                self._taken.remove(slot)
                self._changed.notify()


class LambdaRuntime:
    """Every function's warm processes."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._slots: dict[str, Slots] = {}
        self._processes: dict[tuple[str, int], tuple[Any, FunctionProcess]] = {}
        self._logs = settings.home / "logs" / "lambda"
        self._logs.mkdir(parents=True, exist_ok=True)

    def invoke(self, function: LambdaFunction, event: Any) -> tuple[bytes, bool, str]:
        """Runs a function on an event; returns the payload, whether it is an error, and what was logged."""
        with CLOCK.working():
            return self._invoke(function, event)

    def _invoke(self, function: LambdaFunction, event: Any) -> tuple[bytes, bool, str]:
        name = function.function_name
        with self._lock:
            slots = self._slots.setdefault(name, Slots())
        limit = min(int(function.reserved_concurrency or _MOST_AT_ONCE), _MOST_AT_ONCE)
        with slots.one(limit) as slot:
            # As on AWS, every process has a log of its own.
            suffix = f".{slot}" if slot else ""
            log = self._logs / f"{name}{suffix}.log"
            start = log.stat().st_size if log.exists() else 0
            request_id = str(uuid.uuid4())
            began = time.monotonic()
            _say(log, f"START RequestId: {request_id} Version: $LATEST")
            answer = self._answer(function, slot, event, request_id, log)
            duration = (time.monotonic() - began) * 1000
            _say(log, f"END RequestId: {request_id}")
            _say(log, f"REPORT RequestId: {request_id}\tDuration: {duration:.2f} ms")
            with log.open("rb") as lines:
                lines.seek(start)
                text = lines.read().decode(errors="replace")
            now = datetime.now(UTC)
            stream = f"{now:%Y/%m/%d}/[$LATEST]local{suffix}"
            logs.publish(self._settings, f"/aws/lambda/{name}", stream, text)
        if "error" in answer:
            return json.dumps({**answer["error"], "requestId": request_id}).encode(), True, text
        return str(answer["result"]).encode(), False, text

    def deliver(self, function: LambdaFunction, event: Any) -> None:
        """Runs a function on an asynchronous event, and retries when it fails."""

        def run() -> None:
            try:
                for wait in (*_EVENT_WAITS, 0.0):
                    _, failed, _ = self.invoke(function, event)
                    if not failed:
                        return
                    CLOCK.sleep(wait)
            finally:
                CLOCK.leave()

        CLOCK.enter()
        threading.Thread(target=run, daemon=True).start()

    def _answer(self, function: LambdaFunction, slot: int, event: Any, request_id: str, log: Path) -> dict[str, Any]:
        process = self._process(function, slot, log)
        seconds = float(function.timeout)
        invocation = {
            "id": request_id,
            "arn": function.function_arn,
            "event": event,
            "deadline": time.time() + seconds,
        }
        try:
            answer = process.invoke(invocation, seconds)
        except EOFError:
            message = f"RequestId: {request_id} Error: Runtime exited with error: exit status {process.exit_code()}"
            self._forget((function.function_name, slot))
            return {"error": {"errorType": "Runtime.ExitError", "errorMessage": message}}
        if answer is not None:
            return answer
        self._forget((function.function_name, slot))
        message = f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds"
        _say(log, message)
        return {"error": {"errorType": "Sandbox.Timedout", "errorMessage": message}}

    def _process(self, function: LambdaFunction, slot: int, log: Path) -> FunctionProcess:
        place = (function.function_name, slot)
        version = (
            function.code_sha_256,
            function.handler,
            function.timeout,
            json.dumps(function.environment_vars, sort_keys=True),
        )
        known = self._processes.get(place)
        if known is not None and known[0] == version and known[1].alive:
            return known[1]
        if known is not None:
            self._forget(place)
        with self._lock:
            # One start at a time: two would unpack the same code into the same folder.
            process = FunctionProcess(self._settings, function, log)
        self._processes[place] = (version, process)
        return process

    def _forget(self, place: tuple[str, int]) -> None:
        _, process = self._processes.pop(place)
        process.close()

    def close(self) -> None:
        """Ends every function's processes."""
        for place in list(self._processes):
            self._forget(place)


def _say(log: Path, line: str) -> None:
    with log.open("a") as output:
        output.write(line + "\n")


def _unpack(settings: GatewaySettings, function: LambdaFunction) -> Path:
    digest = base64.b64decode(function.code_sha_256).hex()
    folder: Path = settings.home / "lambdas" / function.function_name / digest
    if not folder.exists():
        partial = folder.with_suffix(f".{uuid.uuid4().hex}")
        with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as code:
            code.extractall(partial)
        partial.rename(folder)
    return folder


def _environment(settings: GatewaySettings, function: LambdaFunction, code: Path) -> dict[str, str]:
    name = function.function_name
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/tmp"),  # noqa: S108 - what Lambda has, too
        "TZ": ":UTC",
        "PYTHONUNBUFFERED": "1",
        "LAMBDA_TASK_ROOT": str(code),
        "_HANDLER": str(function.handler),
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "AWS_ENDPOINT_URL": settings.endpoint,
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        # The caller is known by the key's id, here as on AWS.
        "AWS_ACCESS_KEY_ID": name,
        "AWS_SECRET_ACCESS_KEY": "headwater",
        **function.environment_vars,
    }


def install(settings: GatewaySettings) -> LambdaRuntime:
    """Runs functions for real, in whatever way moto invokes them."""
    runtime = LambdaRuntime(settings)

    def invoke(self: LambdaFunction, body: Any, request_headers: Any, response_headers: Any) -> bytes:
        event = json.loads(body) if body else {}
        kind = request_headers.get("x-amz-invocation-type", "RequestResponse")
        if kind == "Event":
            runtime.deliver(self, event)
            return b""
        if kind == "DryRun":
            return b""
        payload, failed, log = runtime.invoke(self, event)
        if failed:
            response_headers["x-amz-function-error"] = "Unhandled"
        response_headers["x-amz-executed-version"] = "$LATEST"
        response_headers["x-amz-log-result"] = base64.b64encode(log.encode()[-_LOG_TAIL_BYTES:]).decode()
        return payload

    LambdaFunction.invoke = invoke
    return runtime
