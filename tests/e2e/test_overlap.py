"""A schedule that is delivered twice starts two runs at once: both end well, one waits for the other, and no row is there twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
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


def turns(pipeline: Pipeline, run_id: str) -> list[dict[str, Any]]:
    """What a run was answered each time that it asked for its turn."""
    arn = pipeline.client.deployment.state_machine_arn.replace(":stateMachine:", ":execution:")
    pages = (
        boto3.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=f"{arn}:{run_id}")
    )
    left = [event.get("stateExitedEventDetails", {}) for page in pages for event in page["events"]]
    return [json.loads(details["output"])["turn"] for details in left if details.get("name") == "TakeTurn"]


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


def test_a_schedule_that_is_delivered_twice_starts_runs_that_take_turns_and_double_no_row(pipeline: Pipeline) -> None:
    ids = delivered_twice(pipeline)
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
    assert pipeline.alerts() == []
    queue = boto3.client("sqs").get_queue_url(QueueName=f"{pipeline.client.deployment.prefix}-dead-letters")["QueueUrl"]
    assert "Messages" not in boto3.client("sqs").receive_message(QueueUrl=queue)
    before = pipeline.content()
    pipeline.run_well(SOURCE)
    assert pipeline.content() == before
