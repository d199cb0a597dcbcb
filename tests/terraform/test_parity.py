"""What Terraform derives from config/ and what the library derives are the same, for every environment and kind of source."""

from __future__ import annotations

import json
from typing import Any

from headwater.deploy.roles import roles
from tests.terraform.conftest import LATE, Derive, Place


def test_jobs_have_the_same_names_arguments_and_sizes(place: Place, derive: Derive) -> None:
    found = {name: {**job, "script_uri": job["script_key"]} for name, job in derive(place)["project"]["jobs"].items()}
    expected = {job.name: job for job in place.deployment.jobs()}
    assert found.keys() == expected.keys()
    for name, job in expected.items():
        assert found[name]["arguments"] == job.arguments, name
        same = ("script", "timeout_minutes", "max_concurrent_runs", "worker_type", "workers", "flex")
        assert {key: found[name][key] for key in same} == {key: getattr(job, key) for key in same}
        assert place.deployment.script_uri(job).endswith("/" + found[name]["script_key"])


def test_lambdas_have_the_same_names_and_variables(place: Place, derive: Derive) -> None:
    found = derive(place)["project"]["lambdas"]
    expected = {
        function.name: (function.folder, function.variables, function.timeout_seconds)
        for function in place.deployment.lambdas()
    }
    assert {
        name: (value["folder"], value["variables"], value["timeout_seconds"]) for name, value in found.items()
    } == expected


def test_crawlers_have_the_same_targets_and_behaviour(place: Place, derive: Derive) -> None:
    found = {
        name: (value["database"], value["table_prefix"], sorted(value["tables"]), value["update"], value["delete"])
        for name, value in derive(place)["project"]["crawlers"].items()
    }
    assert found == {
        crawler.name: (
            crawler.database,
            crawler.table_prefix,
            sorted(crawler.tables),
            crawler.update,
            crawler.delete,
        )
        for crawler in place.deployment.crawlers()
    }


def test_schedules_call_the_same_at_the_same_times(place: Place, derive: Derive) -> None:
    found = derive(place)["project"]["schedules"]
    expected = {
        schedule.name: {
            "expression": schedule.expression,
            "time_zone": schedule.time_zone,
            "action": schedule.action,
            "input": schedule.input,
        }
        for schedule in place.deployment.schedules()
    }
    assert _read_input(found) == _read_input(expected)


def _read_input(schedules: dict[str, Any]) -> dict[str, Any]:
    # The run's input is JSON within JSON, and the two sides write its spaces differently.
    read: dict[str, Any] = json.loads(json.dumps(schedules))
    for schedule in read.values():
        if "Input" in schedule["input"]:
            schedule["input"]["Input"] = json.loads(schedule["input"]["Input"])
    return read


def test_roles_have_the_same_policies(place: Place, derive: Derive) -> None:
    found = {
        name: (json.loads(policy["trust"]), json.loads(policy["permissions"]))
        for name, policy in derive(place)["policies"].items()
    }
    expected = {role.name: (role.trust, role.permissions) for role in roles(place.deployment, LATE)}
    assert found.keys() == expected.keys()
    for name, policies in expected.items():
        assert _sorted(found[name]) == _sorted(policies), name


def _sorted(policies: tuple[dict[str, Any], dict[str, Any]]) -> Any:
    # IAM reads lists as sets.
    trust, permissions = policies
    statements = [{**allowed, "Resource": sorted(allowed["Resource"])} for allowed in permissions["Statement"]]
    return trust, {**permissions, "Statement": statements}


def test_entrances_are_the_same(place: Place, derive: Derive) -> None:
    project = derive(place)["project"]
    entrances = place.deployment.entrances
    assert {
        (value["name"], value["arn"], value["retention_hours"]) for value in project["record_streams"].values()
    } == {(spec.name, spec.arn, spec.retention_hours) for spec in entrances.record_streams()}
    assert {
        (name, value["visibility_seconds"], value["retention_seconds"], value["max_receive_count"])
        for name, value in project["queues"].items()
    } == {
        (spec.name, spec.visibility_seconds, spec.retention_seconds, spec.max_receive_count)
        for spec in entrances.queues()
    }
    prefix = project["prefix"]
    assert {
        (f"{prefix}-{value['folder']}", arn, value["batch_size"], value["window_seconds"], value["shards"])
        for arn, value in project["mappings"].items()
    } == {
        (spec.function, spec.source_arn, spec.batch_size, spec.window_seconds, spec.reads_shards)
        for spec in entrances.mappings()
    }
    patterns = [json.loads(project["drop_pattern"])] if project.get("drop_pattern") else []
    assert patterns == [spec.pattern for spec in entrances.drop_rules()]
    api = project.get("api")
    assert ([(api["name"], api["route"], api["calls_per_second"], api["burst"])] if api else []) == [
        (spec.name, spec.route, spec.calls_per_second, spec.burst) for spec in entrances.apis()
    ]
    assert ("landing" in project["buckets"]) == entrances.landing


def test_state_machine_topic_buckets_and_databases_have_the_same_names(place: Place, derive: Derive) -> None:
    project = derive(place)["project"]
    deployed = place.deployment
    assert derive(place)["definition"] == deployed.definition()
    assert project["state_machine"]["arn"] == deployed.state_machine_arn
    assert project["topic"] == {"name": deployed.topic, "arn": deployed.topic_arn}
    own = deployed.project.environment
    assert project["buckets"] == {purpose: own.bucket(purpose) for purpose in project["buckets"]}
    assert project["databases"] == {zone: own.database(zone) for zone in project["databases"]}


def test_what_an_environment_leaves_out_is_filled_in_the_same(place: Place, derive: Derive) -> None:
    found = derive(place)["project"]["environment"]
    expected = json.loads(place.deployment.project.environment.model_dump_json())
    expected["budget_usd"] = float(expected["budget_usd"])
    for stage, size in found["stages"].items():
        assert expected["stages"][stage] == size
    # Terraform reads of the differences by source just what it needs.
    assert {name: source["window_seconds"] for name, source in found.pop("sources").items()} == {
        name: source["window_seconds"] for name, source in expected["sources"].items()
    }
    assert found == {key: expected[key] for key in found}
