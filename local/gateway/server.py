"""The gateway process: moto's AWS API with real executors behind it, and the gateway's own pages under /_headwater."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from functools import partial
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import parse_qs, unquote
from urllib.request import urlopen

from moto.glue.exceptions import EntityNotFoundException
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from local.gateway import calls, ends, faults, lake_formation, outbox
from local.gateway.athena import queries as athena
from local.gateway.clock import CLOCK, ClockRequestError
from local.gateway.glue import bookmarks, crawlers
from local.gateway.glue import runtime as glue_runtime
from local.gateway.http_server import ConnectionDroppedError, Environ, StartResponse, Wsgi, WsgiServer
from local.gateway.iam import authority, documents
from local.gateway.iam.principals import Principals
from local.gateway.lambdas import event_sources, events, http_api
from local.gateway.lambdas import runtime as lambdas
from local.gateway.moto import gaps, speed, step_functions
from local.gateway.redshift import data_api as redshift
from local.gateway.redshift import serverless as redshift_serverless
from local.gateway.redshift import users as redshift_users
from local.gateway.refusals import refused, throttled
from local.gateway.s3_objects import set_modified
from local.gateway.schedules import scheduler
from local.gateway.settings import GatewaySettings
from local.postgres import free_port
from local.visitors import DECIDING, refusal

REPOSITORY = Path(__file__).resolve().parents[2]
_OWN_PAGES = "/_headwater/"
_STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_REFUSALS = {
    "error": ("503 Slow Down", "SlowDown", "Please reduce your request rate."),
    "deny": ("403 Forbidden", "AccessDenied", "Access Denied"),
}


class Gateway:
    """The WSGI application: the gateway's own pages, faults, and moto for everything else."""

    def __init__(self, settings: GatewaySettings, workers: int) -> None:
        self._settings = settings
        os.environ["MOTO_PORT"] = str(settings.port)
        os.environ["MOTO_ACCOUNT_ID"] = settings.account_id
        # Larger objects would go to temporary files, one open descriptor each.
        os.environ["MOTO_S3_DEFAULT_KEY_BUFFER_SIZE"] = str(256 << 20)
        speed.install()
        gaps.install()
        self.authority = authority.Authority(settings, Principals(settings, self._of_worker))
        crawlers.install(settings, self.authority)
        self.bookmarks = bookmarks.install()
        self.outbox = outbox.install(settings)
        self.lambdas = lambdas.install(settings, self.authority)
        events.install(settings, self.lambdas, self.authority)
        self.http_apis = http_api.HttpApis(settings, self.lambdas)
        self.glue = glue_runtime.install(settings, workers, self.authority)
        step_functions.install(settings, self.glue.await_end, partial(ends.tell_of_execution, settings))
        self.redshift_serverless = redshift_serverless.RedshiftServerless(settings, self.authority.admit)
        scheduler.install(settings, self.authority)
        users = redshift_users.Users(settings, self.redshift_serverless)
        redshift.install(settings, users, self.authority)
        athena.install(settings, self.authority, lake_formation.install(settings, self.authority))
        self.event_sources = event_sources.install(settings, self.lambdas, self.authority)
        documents.install()
        authority.install(self.authority)
        self._moto: Wsgi = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        told = refusal({name: environ.get(f"HTTP_{name.upper().replace('-', '_')}") for name in DECIDING})
        if told is not None:
            start_response(_STATUS[403], [("Content-Type", "text/plain")])
            return [told.encode()]
        if environ["PATH_INFO"].startswith(_OWN_PAGES):
            return self._own_page(environ, start_response)
        with CLOCK.working():
            return self._served(environ, start_response)

    def _served(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if self.http_apis.takes(environ):
            return self.http_apis.answer(environ, start_response)
        if not faults.TABLE.armed:
            return self._aws(environ, start_response)
        fault = faults.TABLE.for_request(environ["REQUEST_METHOD"], _names_of(environ), self._caller(environ))
        if fault is None:
            return self._aws(environ, start_response)
        return self._with_fault(fault, environ, start_response)

    def _aws(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if self.redshift_serverless.takes(environ):
            return self.redshift_serverless.answer(environ, start_response)
        try:
            return self._moto(environ, start_response)
        except NotImplementedError:
            # A connection that drops would be tried again, and would tell nobody what is missing.
            said = f"the local stack lacks {escape(_names_of(environ)[0])}"
            code = "NotImplementedException"
            status, headers, body = refused(environ, _service_of(environ), _STATUS[501], code, said)
            start_response(status, headers)
            return [body]

    def _caller(self, environ: Environ) -> str:
        signature = calls.signature(environ.get("HTTP_AUTHORIZATION", ""))
        return self.glue.principal_of(signature[0]) if signature else ""

    def _of_worker(self, access_key: str) -> str | None:
        return self.glue.key_of_run(access_key)

    def close(self) -> None:
        """Ends every process that the gateway has started."""
        self.glue.close()
        self.event_sources.close()
        self.lambdas.close()

    def _with_fault(self, fault: faults.Fault, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if fault.action == "drop_reply":
            b"".join(self._aws(environ, lambda *_answer: None))
            raise ConnectionDroppedError
        answer = list(self._aws(environ, start_response)) if fault.when == "after" else None
        if fault.action == "kill" and fault.job is not None:
            self.glue.kill_job(fault.job)
            # The job that asked has been killed, or was not the one to kill.
            if answer is not None:
                return answer
            raise ConnectionDroppedError
        if fault.action == "throttle":
            status, headers, body = throttled(environ, _service_of(environ))
            start_response(status, headers)
            return [body]
        status, code, message = _REFUSALS[fault.action]
        start_response(status, [("Content-Type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>{message} (injected)</Message></Error>".encode()]

    def _own_page(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        page = environ["PATH_INFO"].removeprefix(_OWN_PAGES)
        query = {name: values[-1] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        body = environ["wsgi.input"].read()
        try:
            status, document = self._page(environ["REQUEST_METHOD"], page, query, json.loads(body) if body else {})
        except (faults.FaultRequestError, ClockRequestError, KeyError, TypeError) as error:
            status, document = 400, {"error": f"{type(error).__name__}: {error}"}
        start_response(_STATUS[status], [("Content-Type", "application/json")])
        return [json.dumps(document).encode()]

    def _page(self, method: str, page: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        name, _, rest = page.partition("/")
        if (method, page) == ("GET", "health"):
            about = {"ready": True, "home": str(self._settings.home)}
            return 200, {**about, "workers": self.glue.describe_workers()}
        if (method, page) == ("GET", "outbox"):
            return 200, {"messages": self.outbox.messages()}
        if page == "faults":
            if method == "POST":
                faults.TABLE.add(body)
            elif method == "DELETE":
                faults.TABLE.clear()
            return 200, {"faults": faults.TABLE.describe()}
        if page == "clock":
            if "pace" in body:
                CLOCK.keep(body["pace"])
            if "seconds" in body:
                CLOCK.move(body["seconds"], at_once=body.get("at_once", False))
            return 200, CLOCK.describe()
        if page == "calls":
            if method == "DELETE":
                self.authority.calls.forget()
            return 200, {"calls": self.authority.calls.describe()}
        if (method, page) == ("POST", "modified"):
            set_modified(self._settings, body)
            return 200, {}
        if name == "bookmarks" and rest:
            return self._bookmark(method, unquote(rest), query, body)
        return 404, {
            "error": f"no page {page!r}. hint: health, outbox, faults, clock, calls, modified, bookmarks/<job>"
        }

    def _bookmark(self, method: str, job: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        store = self.bookmarks
        if not bookmarks.may_keep(self._settings, self.authority, job, writes=method != "GET"):
            return 403, {
                "error": f"AccessDeniedException: the role of job {job} may not use its bookmark or the key of it"
            }
        if method == "GET":
            try:
                entry = store.of_run(job, query["run_id"]) if "run_id" in query else store.current(job)
            except EntityNotFoundException as error:
                return 404, {"error": error.message}
            return 200, entry.as_document()
        try:
            entry = store.commit(job, body["run_id"], body["attempt"], body["version"], body["states"])
        except bookmarks.VersionMismatchError as error:
            return 409, {"error": str(error)}
        return 200, entry.as_document()


def _service_of(environ: Environ) -> str:
    signed = calls.signature(environ.get("HTTP_AUTHORIZATION", ""))
    return signed[1] if signed else "s3"


def _names_of(environ: Environ) -> list[str]:
    # A request is known by its path (/bucket/key, or a REST call's) and, for the other protocols, by service.Action.
    names = [unquote(environ["RAW_URI"].partition("?")[0])]
    service = _service_of(environ)
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        names.insert(0, f"{service}.{target.rpartition('.')[2]}")
    elif "x-www-form-urlencoded" in environ.get("CONTENT_TYPE", ""):
        stream = environ["wsgi.input"]
        # Whoever has answered, or tried to, has read it.
        stream.seek(0)
        form = parse_qs(stream.read().decode())
        stream.seek(0)
        names.insert(0, f"{service}.{form.get('Action', ['?'])[0]}")
    return names


def serve(settings: GatewaySettings, workers: int) -> None:
    """Serves the AWS API on 127.0.0.1 until SIGTERM or SIGINT; then every child process is ended.

    Args:
        settings: where to listen, and the folder for logs, outbox, unpacked functions and worker files; made if need be.
        workers: Spark workers to start at once; with 0 one is started by the first job run.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    application: list[Gateway] = []

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not application:
            raise ConnectionDroppedError
        return application[0](environ, start_response)

    # Listening comes first: a port that is taken must not cost a Spark start.
    server = WsgiServer(settings.port, answer)
    gateway = Gateway(settings, workers)
    application.append(gateway)

    def stop(_signum: int, _frame: object) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    sys.stdout.write(f"AWS API on {settings.endpoint}, files in {settings.home}\n")
    sys.stdout.flush()
    try:
        server.serve_forever(poll_interval=0.1)
    finally:
        gateway.close()
        server.server_close()


@contextlib.contextmanager
def running_gateway(
    home: Path,
    workers: int = 0,
    *,
    warehouse_dsn: str | None = None,
    port: int | None = None,
    most_events: int = GatewaySettings.most_events,
) -> Iterator[str]:
    """Runs a gateway in a process of its own and yields its endpoint URL; for tests and for the local stack.

    Raises:
        RuntimeError: the gateway did not come up; the message has the end of its log.
    """
    port = port or free_port()
    home.mkdir(parents=True, exist_ok=True)
    log = home / "gateway.log"
    command = [sys.executable, "-m", "local.gateway", "--port", str(port), "--home", str(home)]
    command += ["--workers", str(workers), "--most-events", str(most_events)]
    if warehouse_dsn is not None:
        command += ["--warehouse-dsn", warehouse_dsn]
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        _await_health(endpoint, process, log)
        yield endpoint
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_health(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(f"{endpoint}/_headwater/health", timeout=5) as answer:  # noqa: S310 - our own address
                answer.read()
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    raise RuntimeError(f"the gateway did not come up:\n{log.read_text(errors='replace')[-4000:]}")
