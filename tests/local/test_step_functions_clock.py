"""Executions on the gateway's clock: waits that cost nothing, limits that a test reaches, and threads that are counted right."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.aws import Aws
from tests.support.waiting import wait_for

HOUR = 3600


def _chain(*states: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Makes a machine of states one after the other."""
    names = [f"S{number}" for number in range(len(states))]
    following = [{"Next": name} for name in names[1:]] + [{"End": True}]
    named = {name: {**state, **then} for name, state, then in zip(names, states, following, strict=True)}
    return {"StartAt": names[0], "States": named, **more}


def _wait(seconds: int) -> dict[str, Any]:
    return {"Type": "Wait", "Seconds": seconds}


def _started(aws: Aws, definition: dict[str, Any], given: Any = None) -> str:
    states = aws.client("stepfunctions")
    machine = aws.machine(definition)
    return str(states.start_execution(stateMachineArn=machine, input=json.dumps(given or {}))["executionArn"])


def _status(aws: Aws, arn: str) -> str:
    return str(aws.client("stepfunctions").describe_execution(executionArn=arn)["status"])


def _seconds(execution: dict[str, Any]) -> float:
    return float((execution["stopDate"] - execution["startDate"]).total_seconds())


def _idle(aws: Aws) -> None:
    wait_for(lambda: aws.own("clock")["working"] == 0 and aws.own("clock")["waiting"] == 0)


def test_hours_of_waiting_pass_at_once_and_are_in_the_executions_times(aws: Aws) -> None:
    began = time.monotonic()
    execution = aws.executed(_chain(_wait(10 * HOUR), _wait(HOUR)))
    assert _seconds(execution) == pytest.approx(11 * HOUR, abs=10)
    assert time.monotonic() - began < 10


def test_a_wait_on_a_held_clock_ends_when_it_is_moved_there_and_not_before(aws: Aws) -> None:
    aws.own("clock", "POST", {"pace": "held"})
    arn = _started(aws, _chain(_wait(HOUR)))
    wait_for(lambda: aws.own("clock")["waiting"] == 1)
    aws.moved(HOUR - 1)
    assert _status(aws, arn) == "RUNNING"
    aws.moved(1)
    assert _seconds(aws.execution_ended(arn)) == HOUR


def test_a_wait_until_a_time_is_on_the_clock(aws: Aws) -> None:
    aws.own("clock", "POST", {"pace": "held"})
    until = aws.own("clock")["now"][:13] + ":59:59Z"
    arn = _started(aws, _chain({"Type": "Wait", "TimestampPath": "$.until"}), {"until": until})
    aws.moved(2 * HOUR)
    execution = aws.execution_ended(arn)
    assert execution["status"] == "SUCCEEDED"
    assert _seconds(execution) <= HOUR


def test_a_machine_past_its_limit_times_out_in_the_middle_of_a_wait(aws: Aws) -> None:
    execution = aws.executed(_chain(_wait(10 * HOUR), TimeoutSeconds=HOUR))
    assert execution["status"] == "TIMED_OUT"
    assert _seconds(execution) == pytest.approx(HOUR, abs=10)
    _idle(aws)


def test_a_retry_waits_on_the_clock_and_ends_with_its_execution(aws: Aws) -> None:
    failing = aws.function("def handler(event, context):\n    raise ValueError('no')")
    retry = {"ErrorEquals": ["ValueError"], "IntervalSeconds": HOUR, "MaxAttempts": 2, "BackoffRate": 2}
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": failing},
        "Retry": [retry],
    }
    assert _seconds(aws.executed(_chain(task))) == pytest.approx(3 * HOUR, abs=30)
    aws.own("clock", "POST", {"pace": "held"})
    arn = _started(aws, _chain(task))
    wait_for(lambda: aws.own("clock")["waiting"] == 1)
    aws.client("stepfunctions").stop_execution(executionArn=arn)
    _idle(aws)
    assert _status(aws, arn) == "ABORTED"


def test_a_task_past_its_limit_on_the_clock_fails_although_no_such_time_has_passed(aws: Aws) -> None:
    slow = aws.function("import time\ndef handler(event, context):\n    time.sleep(5)")
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": slow},
        "TimeoutSeconds": HOUR,
    }
    aws.own("clock", "POST", {"pace": "held"})
    arn = _started(aws, _chain(task))
    history = aws.client("stepfunctions").get_execution_history
    wait_for(lambda: any(event["type"] == "TaskStarted" for event in history(executionArn=arn)["events"]))
    aws.own("clock", "POST", {"seconds": HOUR, "at_once": True})
    execution = aws.execution_ended(arn)
    assert (execution["status"], execution["error"]) == ("FAILED", "States.Timeout")


def _parts(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=3)
    mapped = st.tuples(st.just("map"), inner, st.integers(0, 4), st.integers(0, 3))
    return st.one_of(st.tuples(st.just("chain"), several), st.tuples(st.just("parallel"), several), mapped)


machines = st.recursive(st.tuples(st.just("wait"), st.integers(0, 100_000)), _parts, max_leaves=5)


def _state(part: Any) -> dict[str, Any]:
    match part:
        case ("wait", seconds):
            return _wait(seconds)
        case ("chain", parts):
            return {"Type": "Parallel", "Branches": [_chain(*map(_state, parts))], "ResultPath": None}
        case ("parallel", parts):
            return {"Type": "Parallel", "Branches": [_chain(_state(each)) for each in parts], "ResultPath": None}
        case ("map", each, items, at_once):
            given: dict[str, Any] = {"Type": "Pass", "Result": list(range(items)), "ResultPath": "$.items"}
            run: dict[str, Any] = {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": at_once, "ItemSelector": {}}
            run |= {"ItemProcessor": _chain(_state(each)), "ResultPath": None}
            return {"Type": "Parallel", "Branches": [_chain(given, run)], "ResultPath": None}
    raise AssertionError(part)


def _length(part: Any) -> int:
    match part:
        case ("wait", int(seconds)):
            return seconds
        case ("chain", parts):
            return sum(_length(each) for each in parts)
        case ("parallel", parts):
            return max(_length(each) for each in parts)
        case ("map", each, items, at_once):
            return int(-(-items // (at_once or max(items, 1)))) * _length(each)
    raise AssertionError(part)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(machine=machines)
def test_a_machine_takes_as_long_as_its_longest_way_and_leaves_nobody_counted(aws: Aws, machine: Any) -> None:
    began = time.monotonic()
    execution = aws.executed(_chain(_state(machine)))
    assert execution["status"] == "SUCCEEDED", execution
    assert 0 <= _seconds(execution) - _length(machine) < time.monotonic() - began + 1
    _idle(aws)


@pytest.mark.parametrize("kind", ["Parallel", "Map"])
def test_a_branch_that_fails_leaves_nobody_counted(aws: Aws, kind: str) -> None:
    fails = _chain(_wait(5), {"Type": "Choice", "Choices": [], "Default": "Failed"})
    fails["States"]["S1"].pop("End")
    fails["States"]["S1"]["Choices"] = [{"Variable": "$.x", "IsPresent": True, "Next": "Failed"}]
    fails["States"]["Failed"] = {"Type": "Fail", "Error": "Broken"}
    if kind == "Parallel":
        state: dict[str, Any] = {"Type": "Parallel", "Branches": [fails, _chain(_wait(HOUR)), _chain(_wait(2 * HOUR))]}
    else:
        state = {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 2, "ItemProcessor": fails}
    execution = aws.executed(_chain(state), {"items": [{}, {}, {}]})
    assert (execution["status"], execution["error"]) == ("FAILED", "Broken")
    _idle(aws)
