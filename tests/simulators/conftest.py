"""The simulators as a process of their own, over a small world."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from local import world
from local.postgres import PostgresServer, free_port

ACCOUNT = "act_102000000000001"
RUPEE_ACCOUNT = "act_102000000000002"
TOKEN = "EAAB-local-token"


@dataclass(frozen=True)
class Simulators:
    """A running process and how to talk to it."""

    url: str
    dsn: str

    def facebook(
        self, path: str, method: str = "GET", /, token: str | None = TOKEN, **params: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        where = {"params": params} if method == "GET" else {"data": params}
        return requests.request(method, f"{self.url}/facebook/v26.0/{path}", headers=headers, timeout=20, **where)

    def fx(self, path: str, **params: Any) -> requests.Response:
        return requests.get(f"{self.url}/fx/{path}", params=params, timeout=20)

    def admin(self, path: str, method: str = "POST", /, **body: Any) -> dict[str, Any]:
        response = requests.request(method, f"{self.url}/_admin/{path}", json=body, timeout=20)
        assert response.ok, response.text
        return response.json()

    def try_misbehave(self, **rule: Any) -> str:
        """Adds a rule; the text says why it was refused, and is empty when it was not."""
        response = requests.post(f"{self.url}/_admin/misbehave", json=rule, timeout=20)
        return "" if response.ok else response.text

    def misbehave(self, **rule: Any) -> None:
        self.admin("misbehave", **rule)


def start(port: int, dsn: str, state: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "local.simulators", "--port", str(port), "--dsn", dsn, "--state", str(state)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    give_up = time.monotonic() + 30
    while True:
        try:
            requests.get(f"http://127.0.0.1:{port}/_admin/limits", timeout=1)
        except requests.ConnectionError:
            if process.poll() is not None or time.monotonic() > give_up:
                stop(process)
                raise
            time.sleep(0.05)
        else:
            # Tests let waits pass at once; HubSpot's limits count in real time, and would be met though nobody hurries.
            lax = {"calls_per_ten_seconds": 100_000, "searches_per_second": 100_000}
            requests.post(f"http://127.0.0.1:{port}/_admin/hubspot/switches", json=lax, timeout=10).raise_for_status()
            return process


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


@contextmanager
def own_world(folder: Path, households: int = 50) -> Iterator[Simulators]:
    """Simulators over a world of their own, which may be moved on."""
    with PostgresServer(folder / "data", free_port()) as server:
        world.seed(server.dsn, 7, households=households)
        port = free_port()
        process = start(port, server.dsn, folder / "state")
        try:
            yield Simulators(f"http://127.0.0.1:{port}", server.dsn)
        finally:
            stop(process)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres") / "data", free_port()) as running:
        world.seed(running.dsn, 7, households=50)
        yield running


@pytest.fixture(scope="session")
def running(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulators]:
    port = free_port()
    process = start(port, server.dsn, tmp_path_factory.mktemp("simulators"))
    yield Simulators(f"http://127.0.0.1:{port}", server.dsn)
    stop(process)


@pytest.fixture
def simulators(running: Simulators) -> Simulators:
    """The simulators, well-behaved, with an empty request log and the usual tokens and limits."""
    running.admin("misbehave", "DELETE")
    running.admin("requests", "DELETE")
    running.admin(
        "tokens",
        access_tokens={TOKEN: None},
        app_id="1020000000000",
        app_secret="local-app-secret",
        require_appsecret_proof=False,
    )
    running.admin(
        "limits",
        calls_per_hour=20000,
        page_rows=500,
        synchronous_days=7,
        report_polls=3,
        report_days=1000,
        old_reach_reports=10,
    )
    return running
