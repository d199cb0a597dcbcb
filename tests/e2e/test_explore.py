"""The way in for a source, against every counterpart of a stack: what may be read, and rows as they would be typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import pytest

from headwater import cli
from local.stack import ROOT, Stack

from .pipeline import Pipeline
from .story import SOURCES


def surroundings(stack: Stack) -> dict[str, str]:
    ports = {f"HEADWATER_{name.upper()}_PORT": str(port) for name, port in asdict(stack.ports).items()}
    return {**ports, "HEADWATER_HOME": str(stack.home)}


def source(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str
) -> tuple[object, Any]:
    for name, value in surroundings(stack).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["headwater", "source", *arguments, "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, json.loads(capfd.readouterr().out)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_says_what_it_may_read(
    name: str,
    pipeline: Pipeline,
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    code, told = source(stack, monkeypatch, capfd, "check", name)
    assert code == 0, told
    assert [row["stream"] for row in told] == list(pipeline.client.project.sources[name].streams)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("rds_postgres", "shop.orders"),
        ("rds_mysql", "payments.payments"),
        ("snowflake", "B2B.ORDERS"),
        ("redshift", "behavior.customer_behavior"),
        ("kafka", "topic orders_events"),
    ],
)
def test_what_a_source_has_is_found(
    name: str,
    place: str,
    pipeline: Pipeline,
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    code, found = source(stack, monkeypatch, capfd, "discover", name)
    assert code == 0
    assert place in {each["place"] for each in found}


def test_rows_are_shown_as_they_would_be_typed(pipeline: Pipeline, stack: Stack) -> None:
    environment = os.environ | surroundings(stack) | {"HEADWATER_DRIVER_MEMORY": "1g", "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "headwater.cli",
        "source",
        "preview",
        "kafka.orders_events",
        "--rows",
        "3",
        "--json",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    typed = json.loads(done.stdout)["orders_events"]["typed"]
    project = pipeline.client.project
    columns = project.tables[project.sources["kafka"].streams["orders_events"].table].columns
    assert [[*row] for row in typed] == [[*columns, "quarantined for"]] * 3
