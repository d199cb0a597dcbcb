"""A warm Spark worker: starts one driver, then runs Glue jobs in it one after another, each as if it were alone.

    python -m local.glue.worker PIPE_FD HOME

Orders and answers are JSON on the inherited pipe. Every run gets its own SQL session, arguments, environment, module
state of the job's own libraries, working directory and log; what costs seconds (JVM, Spark, imports) is shared.
"""

from __future__ import annotations

import gc
import json
import os
import queue
import runpy
import shutil
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError
from pyspark import SparkContext
from pyspark.sql import SparkSession

from local.glue import speed
from local.glue.spark import REPOSITORY, build_session

_SHIM = REPOSITORY / "local"


@dataclass(frozen=True)
class End:
    """How a run ended: SUCCEEDED or FAILED, and the error as Glue reports it."""

    state: str
    error: str | None = None


class Library:
    """Files from S3 on local disk, fetched again only when their ETag has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._etags: dict[str, tuple[str, Path]] = {}
        self._s3: Any = boto3.client("s3")

    def fetch(self, uri: str) -> Path:
        """Returns the local copy of an S3 object; FileNotFoundError when there is none."""
        location = urlsplit(uri)
        request = {"Bucket": location.netloc, "Key": location.path.lstrip("/")}
        known = self._etags.get(uri)
        try:
            answer = self._s3.get_object(**request, **({"IfNoneMatch": known[0]} if known else {}))
        except ClientError as error:
            if known is not None and error.response["ResponseMetadata"]["HTTPStatusCode"] == 304:
                return known[1]
            raise FileNotFoundError(f"{uri}: {error.response['Error']['Code']}") from error
        path: Path = self._folder / answer["ETag"].strip('"') / Path(location.path).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(answer["Body"].read())
        if path.suffix == ".zip":
            speed.compile_zip(path)
        self._etags[uri] = (answer["ETag"], path)
        return path

    def importable(self, uri: str) -> Path:
        """Returns what to put on sys.path for a zip, a wheel (unpacked) or a single module."""
        path = self.fetch(uri)
        if path.suffix == ".py":
            return path.parent
        if path.suffix != ".whl":
            return path
        unpacked = path.parent / "unpacked"
        if not unpacked.exists():
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(unpacked)
        return unpacked


class Driver:
    """The Spark driver of this process."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._session = self._build()

    def _build(self) -> SparkSession:
        # The JVM keeps the descriptors that it was born with, so it is born with a pipe that is copied into whatever
        # log is open; otherwise its output would go to the log of the first run for good.
        read, write = os.pipe()
        saved = [os.dup(1), os.dup(2)]
        try:
            os.dup2(write, 1)
            os.dup2(write, 2)
            session = build_session(self._endpoint)
        finally:
            for descriptor, target in zip(saved, (1, 2), strict=True):
                os.dup2(descriptor, target)
                os.close(descriptor)
            os.close(write)
        threading.Thread(target=_copy_to_stderr, args=(read,), daemon=True).start()
        return session

    @contextmanager
    def session(self) -> Iterator[SparkSession]:
        """Gives a run a session of its own, and afterwards forgets what the run left in the driver."""
        if self._session.sparkContext._jsc is None:
            self._session = self._build()
        session = self._session.newSession()
        self._make_default(session)
        try:
            yield session
        finally:
            if session.sparkContext._jsc is not None:
                self._forget(session)

    def _make_default(self, session: SparkSession) -> None:
        SparkSession._instantiatedSession = session
        SparkSession._activeSession = session
        sessions: Any = session.sparkContext._jvm.org.apache.spark.sql.SparkSession  # type: ignore[union-attr]
        sessions.setDefaultSession(session._jsparkSession)
        sessions.setActiveSession(session._jsparkSession)

    def _forget(self, session: SparkSession) -> None:
        context, jvm = session.sparkContext, session.sparkContext._jvm
        assert jvm is not None  # noqa: S101 - the context lives
        callback_server = context._gateway._callback_server  # type: ignore[union-attr]
        if callback_server is not None and not callback_server.is_shutdown:
            sys.stderr.write("WARN the py4j callback server still runs: on Glue this job would never end\n")
            context._gateway.shutdown_callback_server()  # type: ignore[union-attr]
        session.catalog.clearCache()
        for query in session.streams.active:
            query.stop()
        context.setLocalProperty("spark.scheduler.pool", None)  # type: ignore[arg-type]
        context.environment.pop("PYTHONPATH", None)
        self._make_default(self._session)


def _copy_to_stderr(descriptor: int) -> None:
    while text := os.read(descriptor, 65_536):
        os.write(2, text)
    os.close(descriptor)


def argv_of(order: dict[str, Any]) -> list[str]:
    """Builds sys.argv as Glue does: the script, then every argument, the job's name and the run's id as two words."""
    arguments = {**order["arguments"], "--JOB_NAME": order["job"], "--JOB_RUN_ID": order["run_id"]}
    words = [Path(urlsplit(order["script"]).path).name]
    for name, value in arguments.items():
        words += [name, str(value)]
    return words


def _python_files(arguments: dict[str, str]) -> list[str]:
    files = arguments.get("--extra-py-files", "").split(",")
    # Modules that Glue would install, from the package index or from a zip of wheels, are the environment's own here.
    modules = arguments.get("--additional-python-modules", "").split(",")
    wheels = [item for item in modules if item.startswith("s3") and item.endswith(".whl")]
    return [uri.strip() for uri in [*files, *wheels] if uri.strip()]


@contextmanager
def _as_a_fresh_process(argv: list[str], paths: list[str], attempt: int) -> Iterator[None]:
    saved_argv, saved_path, saved_environment = sys.argv, list(sys.path), dict(os.environ)
    saved_folder, folder = Path.cwd(), tempfile.mkdtemp(prefix="glue-run-")
    modules = set(sys.modules)
    sys.argv = argv
    sys.path[:0] = [*paths, str(_SHIM)]
    os.environ["GLUE_JOB_ATTEMPT"] = str(attempt)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(saved_folder)
        shutil.rmtree(folder, ignore_errors=True)
        sys.argv, sys.path[:] = saved_argv, saved_path
        os.environ.clear()
        os.environ.update(saved_environment)
        own = (*paths, str(_SHIM / "awsglue"))
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(own):
                del sys.modules[name]
        boto3.DEFAULT_SESSION = None
        gc.collect()


@contextmanager
def _printing_to(log: str) -> Iterator[None]:
    saved = [os.dup(1), os.dup(2)]
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for saved_descriptor, target in zip(saved, (1, 2), strict=True):
            os.dup2(saved_descriptor, target)
            os.close(saved_descriptor)


def run_job(order: dict[str, Any], driver: Driver, library: Library) -> End:
    """Runs one job to its end; whatever the script raises or exits with is the result."""
    with _printing_to(order["log"]):
        started = time.monotonic()
        try:
            paths = [str(library.importable(uri)) for uri in _python_files(order["arguments"])]
            script = library.fetch(order["script"])
            with driver.session(), _as_a_fresh_process(argv_of(order), paths, order["attempt"]):
                context = SparkContext._active_spark_context
                if context is not None and paths:
                    # Python workers that evaluate UDFs import the job's libraries too.
                    context.environment["PYTHONPATH"] = os.pathsep.join(paths)
                runpy.run_path(str(script), run_name="__main__")
            end = End("SUCCEEDED")
        except SystemExit as error:
            succeeded = error.code is None or error.code == 0
            end = End("SUCCEEDED") if succeeded else End("FAILED", f"SystemExit: {error.code}")
        except BaseException as error:  # noqa: BLE001 - the job's failure, of whatever kind, is the answer
            traceback.print_exc()
            end = End("FAILED", f"{type(error).__name__}: {error}")
        sys.stderr.write(f"{order['run_id']} {end.state} after {time.monotonic() - started:.1f} s\n")
    return end


def _read_orders(pipe: Connection, orders: queue.Queue[dict[str, Any]]) -> None:
    while True:
        try:
            orders.put(json.loads(pipe.recv_bytes()))
        except (EOFError, OSError):
            # The gateway is gone; nobody is left to stop a run that is under way. The JVM follows when its pipe closes.
            os._exit(1)


def main(descriptor: int, home: Path) -> None:
    """Boots the driver, says so, and serves orders until the pipe closes."""
    os.set_inheritable(descriptor, False)
    pipe = Connection(descriptor)
    # The job must see what Glue would show it, and not this repository.
    sys.path[:] = [entry for entry in sys.path if entry and Path(entry).resolve() != REPOSITORY]
    os.environ.pop("PYTHONPATH", None)
    os.chdir(home)
    speed.install()
    orders: queue.Queue[dict[str, Any]] = queue.Queue()
    driver = Driver(os.environ["AWS_ENDPOINT_URL"])
    library = Library(home / "library")
    with driver.session() as session:
        session.range(1).count()
    threading.Thread(target=_read_orders, args=(pipe, orders), daemon=True).start()
    # What is here to stay need not be looked through after each run.
    gc.freeze()
    pipe.send_bytes(json.dumps({"ready": True}).encode())
    while True:
        end = run_job(orders.get(), driver, library)
        pipe.send_bytes(json.dumps({"state": end.state, "error": end.error}).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
