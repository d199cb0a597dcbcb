"""The command line where no stack is needed: what it prints, and how it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from headwater import cli
from local.postgres import free_port
from tests.support.paths import ROOT


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
        (("run", "--backfill", "2024-01-01"), "the local stack is down"),
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
    monkeypatch.setattr(cli, "entry_points", lambda group: ())
    monkeypatch.setattr(sys, "argv", ["headwater", "status"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    cli._extra_environments.cache_clear()
    try:
        with pytest.raises(SystemExit, match="2"):
            cli.main()
    finally:
        cli._extra_environments.cache_clear()
    assert "the local stack is not installed" in " ".join(capsys.readouterr().err.split())
