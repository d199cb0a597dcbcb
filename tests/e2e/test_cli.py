"""The command line against a stack that is up: everything it prints can be read by programs."""

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


def headwater(stack: Stack, *arguments: str) -> Any:
    ports = {f"HEADWATER_{name.upper()}_PORT": str(port) for name, port in asdict(stack.ports).items()}
    environment = os.environ | ports | {"HEADWATER_HOME": str(stack.home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "headwater.cli", *arguments, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_status_tells_how_far_every_stream_is(pipeline: Pipeline, stack: Stack) -> None:
    streams = headwater(stack, "status")
    assert len(streams) == sum(len(source.streams) for source in pipeline.client.project.sources.values())
    assert all(stream["batch"] >= 1 for stream in streams)


def test_a_run_is_started_watched_and_listed(pipeline: Pipeline, stack: Stack) -> None:
    run = headwater(stack, "run", "--source", "fx_rates", "--wait")
    assert run["status"] == "SUCCEEDED"
    assert run["run_id"] in [listed["run_id"] for listed in headwater(stack, "history")]


@pytest.mark.parametrize(
    ("engine", "table"),
    [("redshift", "analytics.business_metrics"), ("athena", "headwater_local_gold.business_metrics")],
)
def test_a_query_answers_rows_by_column(pipeline: Pipeline, stack: Stack, engine: str, table: str) -> None:
    [row] = headwater(stack, "query", "--engine", engine, f"SELECT COUNT(*) AS months FROM {table}")
    assert int(row["months"]) > 0


def test_quarantine_is_counted_by_table_batch_and_reason(pipeline: Pipeline, stack: Stack) -> None:
    rows = headwater(stack, "quarantine", "list", "--table", "order_items")
    assert {row["reason"] for row in rows} >= {"quantity_non_negative", "product_id_known"}
    assert all(row["rows"] > 0 for row in rows)
