"""Runs at the same time, as a schedule that is delivered twice starts them: each ends well, they take turns, and no row is doubled."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import boto3
import pytest

from headwater.client import Client, run_input
from headwater.deploy.schedules import compact
from tests.support.waiting import wait_for

from .pipeline import Faults, Pipeline, own_stack

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


def delivered_twice(pipeline: Pipeline) -> list[str]:
    """Has the daily schedule fire, of which Scheduler delivers the call of its target twice, and names the runs."""
    deployment, scheduler = pipeline.client.deployment, boto3.client("scheduler")
    [daily] = [spec for spec in deployment.schedules() if spec.name.endswith("-daily")]
    made = scheduler.get_schedule(Name=daily.name, GroupName=deployment.prefix)
    asked = run_input((SOURCE,), None, None, pipeline.stack.clock())
    target = {**made["Target"], "Input": compact({**daily.input, "Input": compact(asked)})}
    Faults(pipeline.stack).arm(action="error", point="schedules.delivered")
    # A rate fires first when it is made.
    now = {"Name": "twice", "ScheduleExpression": "rate(10 days)", "Target": target, "KmsKeyArn": made["KmsKeyArn"]}
    scheduler.create_schedule(**now, GroupName=deployment.prefix, FlexibleTimeWindow={"Mode": "OFF"})
    wait_for(lambda: len(pipeline.client.runs()) == 2)
    scheduler.delete_schedule(Name="twice", GroupName=deployment.prefix)
    return [run.run_id for run in pipeline.client.runs()]


def test_a_schedule_that_is_delivered_twice_starts_runs_that_take_turns_double_no_row_and_alert_nobody(
    pipeline: Pipeline,
) -> None:
    ids = delivered_twice(pipeline)
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
    assert pipeline.alerts() == []
    queue = boto3.client("sqs").get_queue_url(QueueName=f"{pipeline.client.deployment.prefix}-dead-letters")["QueueUrl"]
    assert "Messages" not in boto3.client("sqs").receive_message(QueueUrl=queue)
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
