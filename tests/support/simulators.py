"""The simulators as a process of their own, over a small world, and how tests talk to them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from local import world
from local.postgres import PostgresServer, free_port

ACCOUNT = "act_102000000000001"
RUPEE_ACCOUNT = "act_102000000000002"
TOKEN = "EAAB-local-token"
GOOGLE_ADS_DEFAULTS = {
    "limits": {
        "page_rows": 10_000,
        "page_token_seconds": 7200,
        "access_token_seconds": 3599,
        "calls_per_second": 50,
        "operations_per_day": 15_000,
    },
    "tokens": {"refresh_tokens": ["1//local-refresh-token"], "access_tokens": {}},
    "accounts": {"not_enabled": []},
}


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
