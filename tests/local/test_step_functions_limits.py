"""Step Functions' limits: an execution whose history is full fails as a whole, and what passes on too much fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from headwater.deploy.deployment import Deployment
from headwater.deploy.resource_policies import topic_policy
from local.deploy_access import deploy_access
from local.deploy_alerts import deploy_bad_ends, deploy_topic
from local.gateway.server import running_gateway
from tests.support import declared
from tests.support.aws import ROLE, Aws, make_own_role
from tests.support.paths import ROOT
from tests.support.waiting import wait_for

MOST_EVENTS = 60
MOST_BYTES = 262_144
ALL = {"ErrorEquals": ["States.ALL"], "Next": "Caught"}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """A gateway of its own, whose histories are short."""
    home: Path = tmp_path_factory.mktemp("limits")
    with running_gateway(home, most_events=MOST_EVENTS) as endpoint:
        make_own_role(endpoint)
        yield Aws(endpoint, home, "-")


def _passes(count: int) -> dict[str, Any]:
    states = {f"S{number}": {"Type": "Pass", "Next": f"S{number + 1}"} for number in range(count - 1)}
    return {"StartAt": "S0", "States": {**states, f"S{count - 1}": {"Type": "Pass", "End": True}}}


def _for_ever() -> dict[str, Any]:
    return {
        "StartAt": "Wait",
        "States": {
            "Wait": {"Type": "Wait", "Seconds": 60, "Next": "Again"},
            "Again": {"Type": "Pass", "Next": "Wait"},
        },
    }


def _caught(state: dict[str, Any], *catches: dict[str, Any]) -> dict[str, Any]:
    """A machine of one state, which ends well where an error is caught."""
    task = {**state, "Catch": list(catches), "End": True}
    return {"StartAt": "Task", "States": {"Task": task, "Caught": {"Type": "Succeed"}}}


def _history(aws: Aws, execution: dict[str, Any]) -> list[str]:
    pages = aws.client("stepfunctions").get_paginator("get_execution_history")
    found = pages.paginate(executionArn=execution["executionArn"])
    return [event["type"] for page in found for event in page["events"]]


def test_a_history_that_ends_with_its_last_event_is_that_of_a_success(aws: Aws) -> None:
    execution = aws.executed(_passes((MOST_EVENTS - 2) // 2))
    history = _history(aws, execution)
    assert (execution["status"], len(history), history[-1]) == ("SUCCEEDED", MOST_EVENTS, "ExecutionSucceeded")


@pytest.mark.parametrize("machine", [_passes(MOST_EVENTS // 2), _for_ever()])
def test_an_execution_whose_history_is_full_fails_as_on_aws(aws: Aws, machine: dict[str, Any]) -> None:
    execution = aws.executed(machine)
    assert (execution["status"], execution.get("error")) == ("FAILED", "States.Runtime")
    assert execution["cause"] == f"The execution reached the maximum number of history events ({MOST_EVENTS})."
    history = _history(aws, execution)
    assert (len(history), history[-1]) == (MOST_EVENTS, "ExecutionFailed")


@pytest.mark.parametrize(
    "several",
    [
        {"Type": "Parallel", "Branches": [_for_ever(), _for_ever(), _passes(3)]},
        {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 3, "ItemProcessor": _for_ever()},
        {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 2, "ItemProcessor": _passes(1)},
    ],
)
def test_nothing_catches_it_and_no_branch_goes_on(aws: Aws, several: dict[str, Any]) -> None:
    retry = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 60, "MaxAttempts": 3}
    execution = aws.executed(_caught({**several, "Retry": [retry]}, ALL), {"items": list(range(40))})
    assert (execution["status"], execution["error"]) == ("FAILED", "States.Runtime")
    assert "maximum number of history events" in execution["cause"]
    assert len(_history(aws, execution)) == MOST_EVENTS
    wait_for(lambda: aws.own("clock")["working"] == 0 and aws.own("clock")["waiting"] == 0)


def test_an_input_of_more_than_256_kib_starts_nothing(aws: Aws) -> None:
    states = aws.client("stepfunctions", parameter_validation=False)
    machine = aws.machine(_passes(1))
    with pytest.raises(states.exceptions.ClientError, match="length less than or equal to 262144"):
        states.start_execution(stateMachineArn=machine, input=json.dumps("x" * (MOST_BYTES - 1)))
    states.start_execution(stateMachineArn=machine, input=json.dumps("x" * (MOST_BYTES - 2)))


@pytest.mark.parametrize(("more", "status"), [(0, "SUCCEEDED"), (1, "FAILED")])
def test_an_output_may_have_256_kib_and_not_one_byte_more(aws: Aws, more: int, status: str) -> None:
    once = "x" * ((MOST_BYTES - len('{"a":"","bc":""}')) // 2)
    twice = {"Type": "Pass", "Parameters": {"a.$": "$.text", "bc.$": f"States.Format('{{}}{'y' * more}', $.text)"}}
    execution = aws.executed({"StartAt": "S", "States": {"S": {**twice, "End": True}}}, {"text": once})
    assert execution["status"] == status
    assert execution.get("error") == (None if status == "SUCCEEDED" else "States.DataLimitExceeded")


def _invoke(function: str, **more: Any) -> dict[str, Any]:
    parameters = {"FunctionName": function, "Payload": {"a.$": "$.text", "b.$": "$.text"}}
    return {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": parameters, **more}


def test_a_result_that_is_too_large_is_caught_by_its_name_alone(aws: Aws) -> None:
    large = _invoke(aws.function("def handler(event, context):\n    return 'x' * 262144"))
    refused = aws.executed(_caught(large, ALL), {"text": ""})
    assert (refused["status"], refused.get("error")) == ("FAILED", "States.DataLimitExceeded")
    named = {"ErrorEquals": ["States.DataLimitExceeded"], "Next": "Caught"}
    assert aws.executed(_caught(large, named, ALL), {"text": ""})["status"] == "SUCCEEDED"


def test_a_task_with_too_large_an_input_is_not_begun(aws: Aws) -> None:
    function = aws.function("def handler(event, context):\n    return 1")
    refused = aws.executed(_caught(_invoke(function), ALL), {"text": "x" * (MOST_BYTES // 2)})
    assert (refused["status"], refused["error"]) == ("FAILED", "States.DataLimitExceeded")
    assert "TaskScheduled" not in _history(aws, refused)


@pytest.fixture(scope="module")
def deployment(aws: Aws) -> Iterator[Deployment]:
    """The topic of alerts and what tells of bad ends, as the local deploy makes them."""
    with pytest.MonkeyPatch.context() as patched:
        given = {"ENDPOINT_URL": aws.endpoint, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}
        for name, value in {**given, "DEFAULT_REGION": "eu-west-1"}.items():
            patched.setenv(f"AWS_{name}", value)
        patched.setattr(boto3, "DEFAULT_SESSION", None)
        deployment = Deployment(declared.project("local"), ROOT)
        deploy_topic(deployment, deploy_access(deployment)["alerts"])
        deploy_bad_ends(deployment)
        deploy_bad_ends(deployment)
        yield deployment


@contextmanager
def _pipeline(aws: Aws, deployment: Deployment, definition: dict[str, Any]) -> Iterator[str]:
    """The deployment's state machine with another definition, while the block runs."""
    states = aws.client("stepfunctions")
    made = states.create_state_machine(name=deployment.state_machine, definition=json.dumps(definition), roleArn=ROLE)
    try:
        yield made["stateMachineArn"]
    finally:
        states.delete_state_machine(stateMachineArn=made["stateMachineArn"])
        aws.own("clock", "POST", {"pace": "skip"})


def _told(aws: Aws, deployment: Deployment) -> list[str]:
    messages = aws.own("outbox")["messages"]
    return [message["message"] for message in messages if message["topic"] == deployment.topic_arn]


@pytest.mark.parametrize(
    ("machine", "status"),
    [
        (_for_ever(), "FAILED"),
        (_caught({"Type": "Pass", "Parameters": {"x.$": "States.Format('{}{}{}', $.x, $.x, $.x)"}}), "FAILED"),
        (
            {
                **_passes(1),
                "TimeoutSeconds": 5,
                "StartAt": "W",
                "States": {"W": {"Type": "Wait", "Seconds": 60, "End": True}},
            },
            "TIMED_OUT",
        ),
        (None, "ABORTED"),
    ],
)
def test_an_end_that_no_state_can_report_is_told_from_outside(
    aws: Aws, deployment: Deployment, machine: dict[str, Any] | None, status: str
) -> None:
    states = aws.client("stepfunctions")
    waits = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3600, "End": True}}}
    aws.own("clock", "POST", {"pace": "skip" if machine else "held"})
    before = _told(aws, deployment)
    with _pipeline(aws, deployment, machine or waits) as arn:
        run = states.start_execution(stateMachineArn=arn, input=json.dumps({"x": "x" * 100_000}))["executionArn"]
        if status == "TIMED_OUT":
            aws.moved(10)
        if status == "ABORTED":
            states.stop_execution(executionArn=run)
        assert aws.execution_ended(run)["status"] == status
        wait_for(lambda: len(_told(aws, deployment)) > len(before))
    [told] = _told(aws, deployment)[len(before) :]
    assert f"run {run.rpartition(':')[2]} ended as {status}" in told


def test_a_run_that_ends_well_and_one_of_another_machine_are_told_of_by_nobody(
    aws: Aws, deployment: Deployment
) -> None:
    before = _told(aws, deployment)
    with _pipeline(aws, deployment, _passes(2)) as arn:
        started = aws.client("stepfunctions").start_execution(stateMachineArn=arn)
        aws.execution_ended(started["executionArn"])
    assert aws.executed(_for_ever())["status"] == "FAILED"
    assert _told(aws, deployment) == before


def test_what_the_topic_does_not_let_events_do_is_not_told(aws: Aws, deployment: Deployment) -> None:
    own = topic_policy(deployment)
    closed = {**own, "Statement": [kept for kept in own["Statement"] if kept["Sid"] != "OwnRules"]}
    told = []
    for policy in (closed, own):
        aws.client("sns").set_topic_attributes(
            TopicArn=deployment.topic_arn, AttributeName="Policy", AttributeValue=json.dumps(policy)
        )
        before = _told(aws, deployment)
        with _pipeline(aws, deployment, _for_ever()) as arn:
            started = aws.client("stepfunctions").start_execution(stateMachineArn=arn)
            aws.execution_ended(started["executionArn"])
            wait_for(lambda: aws.own("clock")["working"] == 0)
        told.append(len(_told(aws, deployment)) - len(before))
    assert told == [0, 1]


def test_an_end_that_the_run_itself_has_told_of_is_told_no_more(aws: Aws, deployment: Deployment) -> None:
    """The pipeline's two ends: RunFailed after its alert, AlertFailed where that could not be sent."""
    states, before, ended = aws.client("stepfunctions"), _told(aws, deployment), []
    machine = json.loads(deployment.definition())["States"]
    for name in ("RunFailed", "AlertFailed"):
        with _pipeline(aws, deployment, {"StartAt": name, "States": {name: machine[name]}}) as arn:
            failed = json.dumps({"error": {"Error": "LoadError", "Cause": "refused"}})
            ended.append(states.start_execution(stateMachineArn=arn, input=failed)["executionArn"])
            assert aws.execution_ended(ended[-1])["status"] == "FAILED"
    wait_for(lambda: len(_told(aws, deployment)) > len(before))
    said = f"run {ended[1].rpartition(':')[2]} ended as FAILED, and has sent no alert"
    assert [said in told for told in _told(aws, deployment)[len(before) :]] == [True]
