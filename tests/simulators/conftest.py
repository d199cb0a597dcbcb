"""The simulators as a process of their own, over a small world that every test of the folder shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local import world
from local.postgres import PostgresServer, free_port
from tests.support.simulators import TOKEN, Simulators, start, stop


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
