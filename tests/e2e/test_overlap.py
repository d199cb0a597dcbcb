"""Runs at the same time: each ends well, they take turns, and no row is there twice."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
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


def start(pipeline: Pipeline, start_from: str | None = None) -> str:
    return pipeline.client.start(run_input((SOURCE,), start_from, None, pipeline.stack.clock()))


def end_well(pipeline: Pipeline, ids: list[str]) -> None:
    ended = [pipeline.client.wait(run_id) for run_id in ids]
    assert [(run.status, run.cause) for run in ended] == [("SUCCEEDED", None)] * len(ids)


def turns(pipeline: Pipeline, run_id: str) -> list[tuple[datetime, dict[str, Any]]]:
    """When a run asked for its turn, and what it was answered."""
    arn = pipeline.client.deployment.state_machine_arn.replace(":stateMachine:", ":execution:")
    pages = (
        boto3.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=f"{arn}:{run_id}")
    )
    left = [event for page in pages for event in page["events"] if event["type"] == "TaskStateExited"]
    return [
        (event["timestamp"], json.loads(event["stateExitedEventDetails"]["output"])["turn"])
        for event in left
        if event["stateExitedEventDetails"]["name"] == "TakeTurn"
    ]


def has_its_turn(pipeline: Pipeline, run_id: str) -> bool:
    return any(answer["taken"] for _, answer in turns(pipeline, run_id))


def test_two_runs_at_once_have_their_turns_one_after_the_other_and_double_no_row(pipeline: Pipeline) -> None:
    ids = [start(pipeline) for _ in range(2)]
    end_well(pipeline, ids)
    began = {run_id: at for run_id in ids for at, answer in turns(pipeline, run_id) if answer["taken"]}
    earlier, later = sorted(ids, key=lambda run_id: began[run_id])
    ended = pipeline.client.describe(earlier).ended
    assert ended is not None
    assert ended <= began[later]
    table = pipeline.table("silver/fx_rates")
    assert table is not None
    rows = table.to_pyarrow_table()
    keys = rows.select([*pipeline.client.project.tables["fx_rates"].key]).to_pylist()
    assert len(keys) == len({tuple(key.values()) for key in keys}) > 0
    before = pipeline.content()
    pipeline.run_well(SOURCE)
    assert pipeline.content() == before


def test_a_run_waits_for_the_run_that_has_the_turn(pipeline: Pipeline) -> None:
    first = start(pipeline)
    while not has_its_turn(pipeline, first):
        assert pipeline.client.describe(first).status == "RUNNING"
        time.sleep(0.05)
    # It asks as its first deed, while the first run has all its jobs before it.
    second = start(pipeline, "Check")
    end_well(pipeline, [first, second])
    assert {answer["waits_for"] for _, answer in turns(pipeline, second) if not answer["taken"]} == {first}
