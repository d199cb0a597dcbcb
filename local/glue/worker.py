"""A warm Spark worker: starts one driver, then runs Glue jobs in it one after another, each as if it were alone.

    python -m local.glue.worker PIPE_FD HOME LAUNCH

Orders and answers are JSON on the inherited pipe. Every run gets its own SQL session, arguments, environment, working
directory and log; what costs seconds (JVM, Spark, imports) is shared by the runs of jobs whose definitions ask for the same
runtime. To any other the worker answers that it is unfit.
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from pyspark import SparkContext
from pyspark.sql import SparkSession

from local.glue import speed
from local.glue.installation import format_packages, site_packages
from local.glue.launch import Launch
from local.glue.library import Library
from local.glue.modules import installed
from local.glue.spark import REPOSITORY, build_session


@dataclass(frozen=True)
class End:
    """How a run ended: SUCCEEDED or FAILED, and the error as Glue reports it; UNFIT when it has to begin in another worker."""

    state: str
    error: str | None = None


class UnfitError(Exception):
    """The worker has what a job does not ask for, and cannot get rid of it."""


class Driver:
    """The Spark driver of this process, with the conf and formats that it was started for and what jobs have added since."""

    def __init__(self, endpoint: str, launch: Launch) -> None:
        self._endpoint = endpoint
        self._launch = launch
        self._jars: list[Path] = []
        self._modules: Path | None = None
        self._session = self._build()

    def _build(self) -> SparkSession:
        # The JVM keeps the descriptors that it was born with, so it is born with a pipe that is copied into whatever
        # log is open; otherwise its output would go to the log of the first run for good.
        read, write = os.pipe()
        saved = [os.dup(1), os.dup(2)]
        try:
            os.dup2(write, 1)
            os.dup2(write, 2)
            session = build_session(self._endpoint, self._launch.conf, self._launch.formats, self._jars)
        finally:
            for descriptor, target in zip(saved, (1, 2), strict=True):
                os.dup2(descriptor, target)
                os.close(descriptor)
            os.close(write)
        threading.Thread(target=_copy_to_stderr, args=(read,), daemon=True).start()
        return session

    def take_on(self, launch: Launch, library: Library) -> list[str]:
        """Adds the jars and modules that a job asks for and lists where its modules are; UnfitError when there are others."""
        if (launch.conf, launch.formats) != (self._launch.conf, self._launch.formats):
            raise UnfitError
        jars = [library.fetch(uri) for uri in launch.jars]
        modules = installed(launch.modules, launch.installing, library.fetch) if launch.modules else None
        if not set(self._jars) <= set(jars) or self._modules not in {None, modules}:
            raise UnfitError
        for jar in jars:
            if jar not in self._jars:
                self._add(jar)
        if modules is not None and self._modules is None:
            self._modules = modules
            forget_replaced(modules)
        formats = [format_packages(Path(sys.prefix), name) for name in launch.formats]
        return [str(path) for path in [modules, *formats] if path is not None]

    def _add(self, jar: Path) -> None:
        self._jars.append(jar)
        jvm: Any = self._session.sparkContext._jvm
        jvm.Thread.currentThread().getContextClassLoader().addURL(jvm.java.io.File(str(jar)).toURI().toURL())

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
    return [uri.strip() for uri in arguments.get("--extra-py-files", "").split(",") if uri.strip()]


def forget_replaced(modules: Path) -> None:
    """Forgets what this process has imported of its own packages when a job's modules have one of them in another version.

    Spark's stay, whose JVM runs.
    """
    brought = {path.name.removesuffix(".py") for path in modules.iterdir()}
    own = str(site_packages(Path(sys.prefix)))
    imported = {name for name, module in sys.modules.items() if str(getattr(module, "__file__", "")).startswith(own)}
    if {name.partition(".")[0] for name in imported} & brought:
        for name in imported:
            if name.partition(".")[0] not in {"pyspark", "py4j"}:
                del sys.modules[name]


# Where the libraries of the last run are. Their modules stay for the next run of the same libraries: to import all of ours again
# takes a third of a second.
_LIBRARIES: set[str] = set()


def _forget_all_below(paths: set[str]) -> None:
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(tuple(paths)):
            del sys.modules[name]


@contextmanager
def _as_a_fresh_process(argv: list[str], paths: list[str], modules: list[str], attempt: int) -> Iterator[None]:
    saved_argv, saved_path, saved_environment = sys.argv, list(sys.path), dict(os.environ)
    saved_folder, folder = Path.cwd(), tempfile.mkdtemp(prefix="glue-run-")
    _forget_all_below(_LIBRARIES - {*paths})
    _LIBRARIES.clear()
    _LIBRARIES.update(paths)
    sys.argv = argv
    sys.path[:0] = [*paths, *modules]
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
        _forget_all_below({str(site_packages(Path(sys.prefix)) / "awsglue")})
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
            modules = driver.take_on(Launch.of(order["arguments"]), library)
            paths = [str(library.importable(uri)) for uri in _python_files(order["arguments"])]
            script = library.fetch(order["script"])
            with driver.session(), _as_a_fresh_process(argv_of(order), paths, modules, order["attempt"]):
                context = SparkContext._active_spark_context
                if context is not None:
                    # Python workers that evaluate UDFs import the job's libraries too.
                    context.environment["PYTHONPATH"] = os.pathsep.join([*paths, *modules])
                runpy.run_path(str(script), run_name="__main__")
            end = End("SUCCEEDED")
        except UnfitError:
            return End("UNFIT")
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


def _forget_the_repository() -> None:
    """Lets a job find what Glue would show it: this repository's modules serve the worker, and nobody finds them by name."""
    sys.path[:] = [entry for entry in sys.path if entry and Path(entry).resolve() != REPOSITORY]
    os.environ.pop("PYTHONPATH", None)
    for name in list(sys.modules):
        if name.partition(".")[0] in {"headwater", "local"}:
            del sys.modules[name]


def main(descriptor: int, home: Path, launch: Launch) -> None:
    """Boots the driver, says so, and serves orders until the pipe closes."""
    os.set_inheritable(descriptor, False)
    pipe = Connection(descriptor)
    _forget_the_repository()
    os.chdir(home)
    speed.install()
    orders: queue.Queue[dict[str, Any]] = queue.Queue()
    driver = Driver(os.environ["AWS_ENDPOINT_URL"], launch)
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
    main(int(sys.argv[1]), Path(sys.argv[2]), Launch.read(json.loads(sys.argv[3])))
