"""What the state machine names must exist, and it must keep the house's rules for retries, timeouts and errors."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from headwater.config import Project
from headwater.deploy.deployment import LAMBDAS, Deployment
from headwater.open_project import OpenProject
from headwater.run import limits
from headwater.run.plan import plan_run
from tests.support import declared
from tests.support.machine_events import MOST_EVENTS, most_events
from tests.support.paths import ROOT


@pytest.fixture
def deployment(project: Project) -> Deployment:
    return Deployment(project, ROOT)


@pytest.fixture
def definition(deployment: Deployment) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(deployment.definition())
    return parsed


def states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in machine["States"].items():
        yield name, state
        if state["Type"] == "Map":
            yield from states(state["ItemProcessor"])
        for branch in state.get("Branches", []):
            yield from states(branch)


def tasks(definition: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, state) for name, state in states(definition) if state["Type"] == "Task"]


def test_it_starts_every_job_that_is_deployed_but_maintain(
    definition: dict[str, Any], deployment: Deployment, project: Project
) -> None:
    jobs = {job.name for job in deployment.jobs() if job.script != "maintain"}
    started = set()
    for _, state in tasks(definition):
        if ":glue:startJobRun" in state["Resource"]:
            parameters = state["Parameters"]
            if "JobName" in parameters:
                started.add(parameters["JobName"])
            else:
                pattern = parameters["JobName.$"].split("'")[1]
                started |= {pattern.format(source) for source in project.sources}
    assert started == jobs


def test_every_lambda_it_invokes_is_deployed_and_has_a_handler(
    definition: dict[str, Any], deployment: Deployment
) -> None:
    invoked = {s["Parameters"]["FunctionName"] for _, s in tasks(definition) if s["Resource"].endswith("lambda:invoke")}
    assert invoked == {f"{deployment.prefix}-{folder}" for folder in LAMBDAS}
    assert invoked <= {function.name for function in deployment.lambdas()}
    assert all((ROOT / "lambdas" / folder / "handler.py").exists() for folder in LAMBDAS)


def machines(machine: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield machine
    for state in machine["States"].values():
        for inner in [*([state["ItemProcessor"]] if state["Type"] == "Map" else []), *state.get("Branches", [])]:
            yield from machines(inner)


def test_every_state_is_reached(definition: dict[str, Any]) -> None:
    for machine in machines(definition):
        reached = {machine["StartAt"]}
        for state in machine["States"].values():
            ways = [state, *state.get("Choices", []), *state.get("Catch", [])]
            reached |= {way[key] for way in ways for key in ("Next", "Default") if key in way}
        assert reached == machine["States"].keys()


def test_no_placeholder_is_left(deployment: Deployment) -> None:
    assert "${" not in deployment.definition()


def test_no_arn_of_an_account_is_in_it() -> None:
    assert "123456789012" not in (ROOT / "step_functions" / "pipeline.asl.json").read_text()


# What each service says when it is asked too much, and what of its own is busy.
THROTTLING = {
    "lambda:invoke": {"Lambda.TooManyRequestsException", "Lambda.ServiceException", "Lambda.SdkClientException"},
    "glue:startJobRun.sync": {
        *("Glue.ThrottlingException", "Glue.AWSGlueException", "Glue.GlueException"),
        *("Glue.ConcurrentRunsExceededException", "Glue.ResourceNumberLimitExceededException"),
    },
}
# How long a run waits at each state that it looks at again.
LOOKED_AT = {
    "TakeTurn": limits.TURN_SECONDS,
    "Crawl": limits.CRAWL_SECONDS,
    "Load": limits.LOAD_SECONDS,
    "Audit": limits.AUDIT_SECONDS,
}
# Room in the history for looks that are retried.
SPARE_EVENTS = 5_000


@pytest.fixture(scope="module")
def prod() -> Deployment:
    return Deployment(declared.project("prod"), ROOT)


def test_every_task_is_limited_by_itself_or_by_the_job_that_it_starts(definition: dict[str, Any]) -> None:
    for name, state in tasks(definition):
        limit = "TimeoutSecondsPath" if ":glue:" in state["Resource"] else "TimeoutSeconds"
        assert limit in state, name


def test_no_task_ends_before_its_job_and_no_run_before_its_tasks(prod: Deployment) -> None:
    seconds = limits.stage_seconds(prod.project)
    jobs = {job.script: job.timeout_minutes * 60 for job in prod.jobs() if job.script in seconds}
    assert {stage: seconds[stage] > minutes for stage, minutes in jobs.items()} == dict.fromkeys(seconds, True)
    machine = json.loads(prod.definition())
    extracts = [limits.task_seconds(job.timeout_minutes) for job in prod.jobs() if job.script == "extract"]
    parts = 2 * max(extracts) + 2 * sum(seconds.values()) + sum(LOOKED_AT.values()) + 8 * limits.BUSY_SECONDS
    assert machine["TimeoutSeconds"] > parts


def test_a_lambda_ends_before_its_task_does(definition: dict[str, Any], deployment: Deployment) -> None:
    functions = {function.name: function.timeout_seconds for function in deployment.lambdas()}
    for name, state in tasks(definition):
        if state["Resource"].endswith("lambda:invoke"):
            assert state["TimeoutSeconds"] > functions[state["Parameters"]["FunctionName"]], name


def test_a_warehouse_that_could_not_be_asked_is_asked_again(definition: dict[str, Any]) -> None:
    for state in ("Load", "Audit"):
        again = [retry for retry in definition["States"][state]["Retry"] if "QueryError" in retry["ErrorEquals"]]
        assert [retry["MaxAttempts"] >= 2 for retry in again] == [True], state


def unkept(machine: dict[str, Any]) -> list[str]:
    """The tasks that do not retry what their service says when it is asked too much, or retry it at one fixed moment."""
    found = []
    for name, state in tasks(machine):
        retried = {error for retry in state.get("Retry", []) for error in retry["ErrorEquals"]}
        lacking = THROTTLING[state["Resource"].removeprefix("arn:aws:states:::")] - retried
        spread = all(
            retry.get("JitterStrategy") == "FULL" and retry.get("MaxDelaySeconds", 0) >= retry["IntervalSeconds"]
            for retry in state.get("Retry", [])
        )
        if lacking or not spread or not state.get("Catch"):
            found.append(name)
    return found


def test_every_task_retries_throttling_with_jitter_and_a_longest_delay_and_has_a_catch(
    definition: dict[str, Any],
) -> None:
    assert unkept(definition) == []


@pytest.mark.parametrize("lost", ["MaxDelaySeconds", "JitterStrategy", "Retry", "Catch"])
def test_a_task_that_keeps_less_is_found(definition: dict[str, Any], lost: str) -> None:
    audit = definition["States"]["Audit"]
    for holder in (audit, *audit["Retry"]):
        holder.pop(lost, None)
    assert unkept(definition) == ["Audit"]


def test_a_service_is_retried_in_one_way(definition: dict[str, Any]) -> None:
    ways: dict[str, set[str]] = {}
    for _, state in tasks(definition):
        for retry in state["Retry"]:
            if not {"States.TaskFailed"} & set(retry["ErrorEquals"]):
                ways.setdefault(retry["ErrorEquals"][0], set()).add(json.dumps(retry))
    assert {error: len(found) for error, found in ways.items() if len(found) > 1} == {}


def test_a_job_that_another_run_has_started_is_asked_for_as_long_as_a_job_takes(definition: dict[str, Any]) -> None:
    for name, state in tasks(definition):
        if ":glue:startJobRun" in state["Resource"]:
            busy = next(r for r in state["Retry"] if "Glue.ConcurrentRunsExceededException" in r["ErrorEquals"])
            delays = [min(busy["IntervalSeconds"] * 2**i, busy["MaxDelaySeconds"]) for i in range(busy["MaxAttempts"])]
            assert sum(delays) == limits.BUSY_SECONDS, name
            # A delay is half of its length on average, since it is spread at random.
            assert limits.BUSY_SECONDS / 2 > 4 * 3600


def test_every_catch_keeps_the_input(definition: dict[str, Any]) -> None:
    catches = [(name, catch) for name, state in states(definition) for catch in state.get("Catch", [])]
    assert catches
    assert [name for name, catch in catches if "ResultPath" not in catch] == []


def test_a_job_that_failed_runs_once_more(definition: dict[str, Any]) -> None:
    for name, state in tasks(definition):
        if ":glue:startJobRun" in state["Resource"]:
            attempts = {error: retry["MaxAttempts"] for retry in state["Retry"] for error in retry["ErrorEquals"]}
            assert attempts["States.TaskFailed"] == 1, name


def test_as_many_sources_run_at_once_as_the_limit_of_a_run_counts_with(definition: dict[str, Any]) -> None:
    assert definition["States"]["Sources"]["MaxConcurrency"] == limits.SOURCES_AT_ONCE


def test_an_alert_that_sns_does_not_take_is_tried_again_and_leaves_the_run_failed(
    definition: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "InternalError"}}, "Publish")

    monkeypatch.setattr(boto3, "client", lambda _service: SimpleNamespace(publish=publish))
    for name, value in (("ENVIRONMENT", "local"), ("TOPIC_ARN", "arn:aws:sns:eu-west-1:000000000000:alerts")):
        monkeypatch.setenv(name, value)
    failure = {
        "run_id": "run-1",
        "started_at": "2024-05-06T07:08:09Z",
        "stage": "Gold",
        "outcomes": [],
        "error": {"Error": "LoadError", "Cause": "gone"},
    }
    handler = runpy.run_path(str(ROOT / "lambdas" / "notify_failure" / "handler.py"))["handler"]
    # What the function swallowed, nobody would try again.
    with pytest.raises(ClientError, match="InternalError"):
        handler(failure, None)
    told = definition["States"]["NotifyFailure"]
    assert [retry["MaxAttempts"] for retry in told["Retry"] if "States.TaskFailed" in retry["ErrorEquals"]] == [3]
    assert [(catch["ErrorEquals"], catch["Next"]) for catch in told["Catch"]] == [(["States.ALL"], "AlertFailed")]
    assert definition["States"]["AlertFailed"]["Type"] == "Fail"


def test_every_failure_is_told_before_the_run_fails(definition: dict[str, Any]) -> None:
    # What failed Check or Silver is sorted by stream first, and what Gold has brought up to date is loaded.
    sorting = {"Check": "ReadVerdicts", "Silver": "ReadOutcomes", "Gold": "Crawl"}
    for name, state in states(definition):
        for catch in state.get("Catch", []):
            assert catch["Next"] == sorting.get(name, catch["Next"]), name
            assert name in sorting or catch["Next"].endswith("Failed"), name
    assert definition["States"]["NotifyFailure"]["Next"] == "RunFailed"
    assert definition["States"]["NotifyFailure"]["Catch"][0]["Next"] == "AlertFailed"


def events_of(deployment: Deployment, machine: dict[str, Any]) -> int:
    return most_events(machine, {"Extract": len(deployment.project.sources)}, LOOKED_AT)


def test_the_longest_run_stays_far_below_the_end_of_its_history(prod: Deployment) -> None:
    assert events_of(prod, json.loads(prod.definition())) < MOST_EVENTS - SPARE_EVENTS


@pytest.mark.parametrize(("state", "seconds"), [("WaitForTurn", 15), ("WaitForLoad", 5), ("WaitForCrawl", 2)])
def test_a_machine_that_looks_too_often_is_found(prod: Deployment, state: str, seconds: int) -> None:
    machine = json.loads(prod.definition())
    machine["States"][state]["Seconds"] = seconds
    assert events_of(prod, machine) > MOST_EVENTS


def test_what_is_looked_at_again_is_looked_at_rarely(definition: dict[str, Any]) -> None:
    waits = {state["Next"]: state["Seconds"] for _, state in states(definition) if state["Type"] == "Wait"}
    assert waits.keys() == LOOKED_AT.keys()
    assert min(waits.values()) >= 30


def test_no_sql_and_no_rows_are_in_the_state(definition: dict[str, Any]) -> None:
    text = json.dumps(definition).lower()
    assert [word for word in ("sqls", "batchexecutestatement", "insert into", "select ") if word in text] == []


def test_every_path_is_there_whatever_was_skipped(definition: dict[str, Any], opened: OpenProject) -> None:
    there = _leaves(plan_run(opened, "run-1", "2024-05-06T07:08:09.123Z", {}))
    there |= {catch["ResultPath"] for _, state in states(definition) for catch in state.get("Catch", [])}
    for _, state in tasks(definition):
        there |= {f"{state.get('ResultPath')}.{name.removesuffix('.$')}" for name in state.get("ResultSelector", {})}
    outside = {
        name: state for name, state in definition["States"].items() if name not in {"Plan", "RunFailed", "AlertFailed"}
    }
    read = set(_paths({**outside, "Sources": {**outside["Sources"], "ItemProcessor": {}}}))
    assert len(read) > 20
    assert read - there - {"$"} == set()


def _leaves(value: Any, path: str = "$") -> set[str]:
    inner = (
        set().union(*(_leaves(found, f"{path}.{name}") for name, found in value.items()))
        if isinstance(value, dict)
        else set()
    )
    return {path} | inner


def _paths(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in {"ResultSelector", "ResultPath", "Comment"}:
                yield from _paths(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _paths(inner)
    elif isinstance(value, str) and value.startswith("$."):
        yield value


def _throttled_errors(resource: str) -> set[str]:
    """Names under which Step Functions passes on that a service throttles."""
    if ":aws-sdk:" not in resource:
        service = resource.split(":")[5]
        return {"lambda": {"Lambda.TooManyRequestsException"}, "glue": {"Glue.AWSGlueException"}}[service]
    service = resource.split(":")[6]
    name = {"glue": "Glue", "redshiftdata": "RedshiftData"}[service]
    # The exception of the service's model, and the service's base exception where its model has none.
    return {f"{name}.ThrottlingException", f"{name}.{name}Exception"}


def test_every_task_is_tried_again_when_its_service_throttles(definition: dict[str, Any]) -> None:
    for name, state in tasks(definition):
        retried = {error for retry in state.get("Retry", []) for error in retry["ErrorEquals"]}
        if not retried & {"States.TaskFailed", "States.ALL"}:
            assert _throttled_errors(state["Resource"]) <= retried, name
