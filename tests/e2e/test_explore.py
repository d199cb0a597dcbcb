"""The way in for a source, against every counterpart of a stack: what may be read, and rows as they would be typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import pytest

from local.stack import ROOT, Stack

from .pipeline import Pipeline
from .story import SOURCES


def source(stack: Stack, *arguments: str) -> tuple[int, Any]:
    ports = {f"HEADWATER_{name.upper()}_PORT": str(port) for name, port in asdict(stack.ports).items()}
    small = {"HEADWATER_DRIVER_MEMORY": "1g"}
    environment = os.environ | ports | small | {"HEADWATER_HOME": str(stack.home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "headwater.cli", "source", *arguments, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_says_what_it_may_read(name: str, pipeline: Pipeline, stack: Stack) -> None:
    code, told = source(stack, "check", name)
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
def test_what_a_source_has_is_found(name: str, place: str, pipeline: Pipeline, stack: Stack) -> None:
    _, found = source(stack, "discover", name)
    assert place in {each["place"] for each in found}


@pytest.mark.parametrize("stream", ["rds_mysql.payments", "kafka.orders_events"])
def test_rows_are_shown_as_they_would_be_typed(stream: str, pipeline: Pipeline, stack: Stack) -> None:
    code, told = source(stack, "preview", stream, "--rows", "3")
    name, _, own = stream.partition(".")
    assert code == 0
    assert len(told[own]["typed"]) == 3
    columns = pipeline.client.project.sources[name].streams[own].columns
    assert [*told[own]["typed"][0]] == [*columns, "quarantined for"]
