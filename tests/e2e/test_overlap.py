"""Two runs that are started at once: both end well, one waits for the other, and no row is there twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from headwater.client import Client, run_input

from .pipeline import Pipeline, own_stack

SOURCE = "fx_rates"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with own_stack(tmp_path_factory.mktemp("overlap"), 10, frozenset({SOURCE})) as stack:
        stack.deploy()
        yield Pipeline(stack, Client(stack.deployment()))


def turns(pipeline: Pipeline, run_id: str) -> list[dict[str, Any]]:
    """What a run was answered each time that it asked for its turn."""
    arn = pipeline.client.deployment.state_machine_arn.replace(":stateMachine:", ":execution:")
    pages = (
        boto3.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=f"{arn}:{run_id}")
    )
    left = [event.get("stateExitedEventDetails", {}) for page in pages for event in page["events"]]
    return [json.loads(details["output"])["turn"] for details in left if details.get("name") == "TakeTurn"]


def test_two_runs_at_once_take_turns_and_double_no_row(pipeline: Pipeline) -> None:
    asked = run_input((SOURCE,), None, None, pipeline.stack.clock())
    ids = [pipeline.client.start(asked) for _ in range(2)]
    ended = [pipeline.client.wait(run_id) for run_id in ids]
    assert [(run.status, run.cause) for run in ended] == [("SUCCEEDED", None)] * 2
    waited = {run_id: [turn["waits_for"] for turn in turns(pipeline, run_id) if not turn["taken"]] for run_id in ids}
    [first] = [run_id for run_id in ids if not waited[run_id]]
    [second] = [run_id for run_id in ids if waited[run_id]]
    assert set(waited[second]) == {first}
    table = pipeline.table("silver/fx_rates")
    assert table is not None
    rows = table.to_pyarrow_table()
    keys = rows.select([*pipeline.client.project.tables["fx_rates"].key]).to_pylist()
    assert len(keys) == len({tuple(key.values()) for key in keys}) > 0
    before = pipeline.content()
    pipeline.run_well(SOURCE)
    assert pipeline.content() == before
