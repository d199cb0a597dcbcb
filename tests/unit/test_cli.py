"""The command line where no stack is needed: what it prints, and how it refuses."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock

import pytest

from headwater import cli
from headwater.client import Client, MaintainState, StageRun
from headwater.desk import environments
from headwater.warehouse.data_api import Rows
from local.postgres import free_port
from tests.support.declared import project
from tests.support.paths import ROOT

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def headwater(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    nobody = str(free_port())
    environment = os.environ | {"HEADWATER_HOME": str(home), "HEADWATER_AWS_PORT": nobody, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "headwater.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_version_is_the_one_that_pyproject_declares(tmp_path: Path) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    done = headwater("--version", home=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{declared}\n")


def test_validate_names_every_environment(tmp_path: Path) -> None:
    done = headwater("validate", "--json", home=tmp_path)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"environments": ["dev", "local", "prod", "staging"]})


def test_endpoints_are_listed_as_json(tmp_path: Path) -> None:
    endpoints = json.loads(headwater("local", "endpoints", "--json", home=tmp_path).stdout)
    assert {"aws", "warehouse", "rds_postgres", "facebook_ads", "fx_rates"} <= set(endpoints)
    elsewhere = {name: address for name, address in endpoints.items() if "127.0.0.1" not in address}
    assert {name: address for name, address in elsewhere.items() if not address.startswith("s3://")} == {
        "outbox": endpoints["outbox"]
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("status",), "the local stack is down"),
        (("maintain", "--wait"), "the local stack is down"),
        (("run", "--backfill", "2024-01-01"), "write FROM..TO as dates"),
        (("local", "advance"), "the local stack is down"),
        (("deploy",), "the local stack is down"),
        (("deploy", "--env", "nope"), "known: dev, local, prod, staging"),
        (("query", "--engine", "hive", "SELECT 1"), "known: athena, redshift"),
        (("status", "--env", "qa"), "known: dev, local, prod, staging"),
        (("deploy", "--env", "prod"), "terraform apply"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_a_way_out(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    done = headwater(*arguments, home=tmp_path)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_environment_local_is_refused_where_nothing_serves_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environments, "entry_points", lambda group: ())
    monkeypatch.setattr(sys, "argv", ["headwater", "status"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    environments.extra_environments.cache_clear()
    try:
        with pytest.raises(SystemExit, match="2"):
            cli.main()
    finally:
        environments.extra_environments.cache_clear()
    assert "the local stack is not installed" in " ".join(capsys.readouterr().err.split())


def gateway_of(said: dict[str, object]) -> ThreadingHTTPServer:
    """Something that answers for a gateway, on a free port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.asked = asked  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.mark.parametrize("said", [{"ready": True, "home": "/elsewhere/build/local"}, {"ready": True}])
@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("run",),
        ("query", "SELECT 1"),
        ("maintain", "--yes"),
        ("deploy",),
        ("up",),
        ("local", "advance"),
        ("source", "check", "fx_rates"),
    ],
)
def test_a_stack_of_another_checkout_is_told_of_and_not_touched(
    arguments: tuple[str, ...],
    said: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = gateway_of(said)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADWATER_AWS_PORT", str(server.server_port))
    monkeypatch.setattr(sys, "argv", ["headwater", *arguments])
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        server.shutdown()
        server.server_close()
    assert ended.value.code in {1, 2}
    told = capsys.readouterr().err
    assert str(said.get("home", "an older version")) in told
    assert str(tmp_path / "home") in told
    assert {*server.asked} == {"/_headwater/health"}  # type: ignore[attr-defined]
    # A counterpart may have written down which port it would take; nothing was started.
    assert not {path.name for path in (tmp_path / "home").glob("*")} & {"rds", "warehouse", "logs", "sources.json"}


def test_up_says_which_program_has_a_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HEADWATER_AWS_PORT", str(free_port()))
        monkeypatch.setenv("HEADWATER_WAREHOUSE_PORT", str(taken.getsockname()[1]))
        monkeypatch.setattr(sys, "argv", ["headwater", "up"])
        with pytest.raises(SystemExit, match="2"):
            cli.main()
    told = capsys.readouterr().err
    assert f"(process {os.getpid()}, in {Path.cwd()})" in told
    assert "HEADWATER_WAREHOUSE_PORT" in told
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("arguments", [[], ["--wait"]])
def test_maintain_says_what_it_will_do_and_starts_nothing_without_a_yes(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[str] = []
    monkeypatch.setattr(Client, "start_maintain", lambda self: started.append("maintain") or "jr_1")
    monkeypatch.setattr(Client, "wait_for_maintain", lambda self, job: MaintainState(job, "SUCCEEDED", NOW, NOW, None))
    for given, code, ran in ((arguments, 2, []), ([*arguments, "--yes"], 0, ["maintain"])):
        monkeypatch.setattr(sys, "argv", ["headwater", "maintain", "--env", "dev", *given])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == code
        assert started == ran
        told = capsys.readouterr().err
        assert "OPTIMIZE" in told
        assert "VACUUM" in told
        assert f"{project('dev').environment.retention.version_days} days" in told
        assert f"{len(project('dev').table_paths('bronze'))} of bronze" in told


@pytest.mark.parametrize(("answer", "ran"), [("y\n", ["maintain"]), ("n\n", []), ("\n", []), ("", [])])
def test_maintain_asks_a_person(answer: str, ran: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(Client, "start_maintain", lambda self: started.append("maintain") or "jr_1")
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr(sys, "argv", ["headwater", "maintain", "--env", "dev"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert started == ran
    assert ended.value.code == (0 if ran else 1)


def test_a_batch_that_is_not_halted_is_not_released(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    decided: list[int] = []
    monkeypatch.setattr(Client, "halted", lambda self, stream: [3, 5])
    monkeypatch.setattr(Client, "decide", lambda self, stream, batch, *_: decided.append(batch))
    for batch, code in (("4", 2), ("5", 0)):
        told = ["release", "fx_rates.rates", batch, "--reason", "x", "--env", "dev"]
        monkeypatch.setattr(sys, "argv", ["headwater", *told])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == code
    assert decided == [5]
    assert "halted: 3, 5" in capsys.readouterr().err


def test_columns_of_one_name_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = Rows(("?column?", "?column?", "n"), (("1", "2", "3"),))
    monkeypatch.setattr(Client, "query", lambda self, engine, sql: answer)
    monkeypatch.setattr(sys, "argv", ["headwater", "query", "SELECT 1, 2, 3 AS n", "--env", "dev", "--json"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert json.loads(capsys.readouterr().out) == [{"?column?": "1", "?column?_2": "2", "n": "3"}]


def test_a_stage_that_failed_is_told_of_with_its_cause_once(capsys: pytest.CaptureFixture[str]) -> None:
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    failed = StageRun("Extract", "desk", "FAILED", 0, moment, moment, "FatalSourceError: no secret")
    client = Mock(**{"stages.return_value": [failed, replace(failed, attempt=1)]})
    cli.watch(client, "r1")
    assert capsys.readouterr().err.count("Extract desk: FatalSourceError: no secret") == 1
