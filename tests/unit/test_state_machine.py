"""What the state machine names must exist, and it must keep the house's rules for retries, timeouts and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from headwater.config import Project
from headwater.deploy.deployment import LAMBDAS, SHARED_STAGE_RUNS, Deployment
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


def test_no_placeholder_is_left(deployment: Deployment) -> None:
    assert "${" not in deployment.definition()


def test_no_arn_of_an_account_is_in_it() -> None:
    assert "123456789012" not in (ROOT / "step_functions" / "pipeline.asl.json").read_text()


def test_every_task_has_a_timeout(definition: dict[str, Any]) -> None:
    assert [name for name, state in tasks(definition) if "TimeoutSeconds" not in state] == []


def test_every_catch_keeps_the_input(definition: dict[str, Any]) -> None:
    catches = [(name, catch) for name, state in states(definition) for catch in state.get("Catch", [])]
    assert catches
    assert [name for name, catch in catches if "ResultPath" not in catch] == []


def test_glue_stages_are_retried_once_for_a_failed_run_and_more_for_the_service(definition: dict[str, Any]) -> None:
    for name, state in tasks(definition):
        if ":glue:startJobRun" in state["Resource"]:
            attempts = {error: retry["MaxAttempts"] for retry in state["Retry"] for error in retry["ErrorEquals"]}
            assert attempts["States.TaskFailed"] == 1, name
            assert attempts["Glue.ConcurrentRunsExceededException"] == 4, name


def test_as_many_sources_run_at_once_as_a_stage_may_have_runs(definition: dict[str, Any]) -> None:
    assert definition["States"]["Sources"]["MaxConcurrency"] == SHARED_STAGE_RUNS


def test_every_failure_is_told_before_the_run_fails(definition: dict[str, Any]) -> None:
    for name, state in states(definition):
        for catch in state.get("Catch", []):
            if name != "NotifyFailure":
                assert catch["Next"].endswith("Failed"), name
    assert definition["States"]["NotifyFailure"]["Next"] == "RunFailed"


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
