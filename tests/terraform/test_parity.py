"""What Terraform derives from config/ and what headwater.deployment derives are the same, for every environment."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headwater.config import load_project
from headwater.deployment import Deployment
from headwater.roles import roles
from tests.terraform.conftest import ENVIRONMENTS, LATE, Derive
from tests.unit.conftest import ROOT

pytestmark = pytest.mark.parametrize("environment", ENVIRONMENTS)


def deployment(environment: str) -> Deployment:
    return Deployment(load_project(ROOT, environment), ROOT)


def test_jobs_have_the_same_names_arguments_and_sizes(environment: str, derive: Derive) -> None:
    found = {
        name: {**job, "script_uri": job["script_key"]} for name, job in derive(environment)["project"]["jobs"].items()
    }
    expected = {job.name: job for job in deployment(environment).jobs()}
    assert found.keys() == expected.keys()
    for name, job in expected.items():
        assert found[name]["arguments"] == job.arguments, name
        same = ("script", "timeout_minutes", "max_concurrent_runs", "worker_type", "workers", "flex")
        assert {key: found[name][key] for key in same} == {key: getattr(job, key) for key in same}
        assert deployment(environment).script_uri(job).endswith("/" + found[name]["script_key"])


def test_lambdas_have_the_same_names_and_variables(environment: str, derive: Derive) -> None:
    found = derive(environment)["project"]["lambdas"]
    expected = {
        function.name: (function.folder, function.variables, function.timeout_seconds)
        for function in deployment(environment).lambdas()
    }
    assert {
        name: (value["folder"], value["variables"], value["timeout_seconds"]) for name, value in found.items()
    } == expected


def test_crawlers_have_the_same_targets_and_behaviour(environment: str, derive: Derive) -> None:
    found = {
        name: (value["database"], value["table_prefix"], sorted(value["tables"]), value["update"], value["delete"])
        for name, value in derive(environment)["project"]["crawlers"].items()
    }
    assert found == {
        crawler.name: (
            crawler.database,
            crawler.table_prefix,
            sorted(crawler.tables),
            crawler.update,
            crawler.delete,
        )
        for crawler in deployment(environment).crawlers()
    }


def test_schedules_call_the_same_at_the_same_times(environment: str, derive: Derive) -> None:
    found = derive(environment)["project"]["schedules"]
    expected = {
        schedule.name: {
            "expression": schedule.expression,
            "time_zone": schedule.time_zone,
            "action": schedule.action,
            "input": schedule.input,
        }
        for schedule in deployment(environment).schedules()
    }
    assert _read_input(found) == _read_input(expected)


def _read_input(schedules: dict[str, Any]) -> dict[str, Any]:
    # The run's input is JSON within JSON, and the two sides write its spaces differently.
    read: dict[str, Any] = json.loads(json.dumps(schedules))
    for schedule in read.values():
        if "Input" in schedule["input"]:
            schedule["input"]["Input"] = json.loads(schedule["input"]["Input"])
    return read


def test_roles_have_the_same_policies(environment: str, derive: Derive) -> None:
    found = {
        name: (json.loads(policy["trust"]), json.loads(policy["permissions"]))
        for name, policy in derive(environment)["policies"].items()
    }
    expected = {role.name: (role.trust, role.permissions) for role in roles(deployment(environment), LATE)}
    assert found.keys() == expected.keys()
    for name, policies in expected.items():
        assert _sorted(found[name]) == _sorted(policies), name


def _sorted(policies: tuple[dict[str, Any], dict[str, Any]]) -> Any:
    # IAM reads lists as sets.
    trust, permissions = policies
    statements = [{**allowed, "Resource": sorted(allowed["Resource"])} for allowed in permissions["Statement"]]
    return trust, {**permissions, "Statement": statements}


def test_state_machine_topic_buckets_and_databases_have_the_same_names(environment: str, derive: Derive) -> None:
    project = derive(environment)["project"]
    deployed = deployment(environment)
    assert derive(environment)["definition"] == deployed.definition()
    assert project["state_machine"]["arn"] == deployed.state_machine_arn
    assert project["topic"] == {"name": deployed.topic, "arn": deployed.topic_arn}
    own = deployed.project.environment
    assert project["buckets"] == {purpose: own.bucket(purpose) for purpose in project["buckets"]}
    assert project["databases"] == {zone: own.database(zone) for zone in project["databases"]}


def test_what_an_environment_leaves_out_is_filled_in_the_same(environment: str, derive: Derive) -> None:
    found = derive(environment)["project"]["environment"]
    expected = json.loads(deployment(environment).project.environment.model_dump_json())
    expected["budget_usd"] = float(expected["budget_usd"])
    for stage, size in found["stages"].items():
        assert expected["stages"][stage] == size
    assert found == {key: expected[key] for key in found}
