"""terraform validate and terraform test: what Terraform makes is what deployment.json says, and bad plans are refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.terraform.every_kind import make
from tests.terraform.provider.schema import declared
from tests.terraform.runner import HERE, SCHEMAS, Terraform, changed, pack, stand_in, words

# As good.tftest.hcl mocks them.
LATE = {
    **{
        f"{key}_key": f"arn:aws:kms:eu-west-1:123456789012:key/{key}"
        for key in ("data", "secrets", "bookmarks", "alerts")
    },
    **{
        f"{kind}_arn": f"arn:aws:redshift-serverless:eu-west-1:123456789012:{kind}/mocked"
        for kind in ("workgroup", "namespace")
    },
}


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """A copy of the project with a source of every kind, initialised without its backend."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    folder = tmp_path_factory.mktemp("plans")
    root = make(folder / "project")
    shutil.copytree(ROOT / "terraform", root / "terraform", ignore=shutil.ignore_patterns(".terraform", "*.tfplan"))
    (root / "terraform" / "tests").mkdir()
    for path in HERE.glob("*.tftest.hcl"):
        shutil.copy(path, root / "terraform" / "tests")
    pack(root)
    real = Terraform(root / "terraform", folder / "data", {})
    if real("init", "-backend=false", "-input=false").returncode == 0:
        return real
    settings = stand_in(folder)
    if isinstance(settings, str):
        pytest.skip(f"terraform init finds no provider, and {settings}")
    ours = Terraform(root / "terraform", folder / "data", settings)
    done = ours("init", "-backend=false", "-input=false")
    assert done.returncode == 0, done.stdout + done.stderr
    return ours


def test_the_stand_in_knows_all_that_is_declared() -> None:
    known: set[tuple[str, str]] = set()
    for path in SCHEMAS:
        text = subprocess.run(["zcat", "-f", str(path)], capture_output=True, check=True).stdout
        [schema] = json.loads(text)["provider_schemas"].values()
        for kind in ("resource", "data"):
            key = "resource_schemas" if kind == "resource" else "data_source_schemas"
            known |= {(kind, name) for name in schema.get(key, {})}
    missing = declared(ROOT) - known
    assert missing == set(), "hint: tests/terraform/provider/schema.py"


def test_the_configuration_is_valid(terraform: Terraform) -> None:
    done = terraform("validate", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr


def test_bad_plans_are_refused(terraform: Terraform) -> None:
    done = terraform("test", "-no-color", "-filter=tests/refused.tftest.hcl")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Success!" in done.stdout


Made = dict[str, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def applied(terraform: Terraform) -> dict[str, Made]:
    """What good.tftest.hcl has applied: values by type and address, by environment."""
    done = terraform("test", "-json", "-verbose", "-filter=tests/good.tftest.hcl")
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, [line["@message"] for line in said if line["@level"] == "error"]
    found: dict[str, Made] = {}
    for line in said:
        if "test_state" in line:
            made: Made = {}
            for resource in _resources(line["test_state"]["root_module"]):
                made.setdefault(resource["type"], {})[resource["address"]] = resource["values"]
            found[line["@testrun"].partition("_")[0]] = made
    return found


def _resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _resources(child)


@pytest.fixture(params=["dev", "prod"])
def made(request: pytest.FixtureRequest, applied: dict[str, Made]) -> Made:
    return applied[request.param]


@pytest.fixture
def deployment(made: Made, terraform: Terraform) -> dict[str, Any]:
    [job] = [address for address in made["aws_glue_job"] if address.endswith('-gold"]')]
    environment = "prod" if "headwater-prod" in job else "dev"
    read: dict[str, Any] = json.loads((terraform.packages / environment / "deployment.json").read_text())
    return read


def _by(name: str, found: dict[str, dict[str, Any]], *values: str) -> dict[str, Any]:
    return {resource[name]: tuple(resource[value] for value in values) for resource in found.values()}


def test_jobs_are_made_as_they_were_derived(made: Made, deployment: dict[str, Any]) -> None:
    derived = deployment["jobs"]
    found = {job["name"]: job for job in made["aws_glue_job"].values()}
    assert found.keys() == derived.keys()
    for name, job in derived.items():
        made_job = found[name]
        assert made_job["default_arguments"] == job["arguments"], name
        assert made_job["worker_type"] == job["worker_type"]
        assert (made_job["number_of_workers"], made_job["timeout"]) == (job["workers"], job["timeout_minutes"])
        assert made_job["execution_class"] == ("FLEX" if job["flex"] else "STANDARD")
        assert made_job["execution_property"][0]["max_concurrent_runs"] == job["max_concurrent_runs"]
        assert made_job["command"][0]["script_location"].endswith("/" + job["script_key"])
        assert list(made_job["connections"] or []) == ([job["connection"]] if job["connection"] else [])
    connections = {job["connection"] for job in derived.values() if job["connection"]}
    assert {connection["name"] for connection in made.get("aws_glue_connection", {}).values()} == connections
    assert {secret["name"] for secret in made["aws_secretsmanager_secret"].values()} == set(deployment["secrets"])


def test_functions_are_made_as_they_were_derived(made: Made, deployment: dict[str, Any]) -> None:
    found = {function["function_name"]: function for function in made["aws_lambda_function"].values()}
    assert {name: (value["timeout"], value["environment"][0]["variables"]) for name, value in found.items()} == {
        name: (value["timeout_seconds"], value["variables"]) for name, value in deployment["lambdas"].items()
    }


def test_crawlers_and_schedules_are_made_as_they_were_derived(made: Made, deployment: dict[str, Any]) -> None:
    crawlers = {
        crawler["name"]: (
            crawler["database_name"],
            crawler["table_prefix"],
            crawler["schedule"],
            crawler["delta_target"][0]["delta_tables"],
            crawler["schema_change_policy"],
        )
        for crawler in made["aws_glue_crawler"].values()
    }
    assert crawlers == {
        name: (
            crawler["database"],
            crawler["table_prefix"],
            crawler["schedule"],
            crawler["tables"],
            [{"update_behavior": crawler["update"], "delete_behavior": crawler["delete"]}],
        )
        for name, crawler in deployment["crawlers"].items()
    }
    schedules = {
        schedule["name"]: (
            schedule["schedule_expression"],
            schedule["schedule_expression_timezone"],
            schedule["target"][0]["arn"],
            schedule["target"][0]["input"],
            schedule["state"] == "ENABLED",
        )
        for schedule in made["aws_scheduler_schedule"].values()
    }
    assert schedules == {
        name: (
            schedule["expression"],
            schedule["time_zone"],
            schedule["action"],
            schedule["input"],
            schedule["enabled"],
        )
        for name, schedule in {**deployment["schedules"], **deployment["snapshots"]}.items()
    }


def test_roles_are_made_as_they_were_derived(made: Made, deployment: dict[str, Any]) -> None:
    derived = {role["name"]: role for role in _roles(deployment)}
    assert _by("name", made["aws_iam_role"], "assume_role_policy") == {
        name: (role["trust"],) for name, role in derived.items()
    }
    policies = {
        address.partition(".aws_iam_role_policy.")[0]: policy for address, policy in made["aws_iam_role_policy"].items()
    }
    names = {address.partition(".aws_iam_role.")[0]: role["name"] for address, role in made["aws_iam_role"].items()}
    assert policies.keys() == names.keys()
    for address, policy in policies.items():
        role = derived[names[address]]
        assert policy["name"] == role["file"]
        expected = role["permissions"]
        for name, arn in LATE.items():
            expected = expected.replace(f'"${{{name}}}"', f'"{arn}"')
        assert policy["policy"] == expected, role["name"]


def _roles(part: Any) -> Iterator[dict[str, str]]:
    if isinstance(part, dict):
        if part.keys() == {"name", "file", "trust", "permissions"}:
            yield part
        for inner in part.values():
            yield from _roles(inner)


def test_entrances_are_made_as_they_were_derived(made: Made, deployment: dict[str, Any]) -> None:
    derived = deployment["entrances"]
    assert _by("name", made["aws_kinesis_stream"], "retention_period") == {
        stream["name"]: (stream["retention_hours"],) for stream in derived["record_streams"].values()
    }
    limits = ("visibility_timeout_seconds", "message_retention_seconds")
    dead_letters = f"{deployment['environment']['prefix']}-dead-letters"
    queues = {
        name: value for name, value in _by("name", made["aws_sqs_queue"], *limits).items() if name != dead_letters
    }
    assert queues == {
        name: (queue["visibility_seconds"], queue["retention_seconds"]) for name, queue in derived["queues"].items()
    }
    bites = ("batch_size", "maximum_batching_window_in_seconds", "starting_position")
    assert _by("event_source_arn", made["aws_lambda_event_source_mapping"], *bites) == {
        arn: (mapping["batch_size"], mapping["window_seconds"], "TRIM_HORIZON" if mapping["reads_shards"] else None)
        for arn, mapping in derived["mappings"].items()
    }
    rules = _by("name", made["aws_cloudwatch_event_rule"], "event_pattern")
    assert {name: rules[name] for name in derived["drop_rules"]} == {
        name: (rule["pattern"],) for name, rule in derived["drop_rules"].items()
    }
    assert {api["name"] for api in made["aws_apigatewayv2_api"].values()} == derived["apis"].keys()
    pipes = {stream["name"] for stream in derived["record_streams"].values() if stream["pipe_role"]}
    assert pipes
    assert {pipe["name"] for pipe in made["aws_pipes_pipe"].values()} == pipes


def test_the_rest_is_named_as_it_was_derived(made: Made, deployment: dict[str, Any]) -> None:
    [machine] = made["aws_sfn_state_machine"].values()
    derived = deployment["state_machine"]
    assert (machine["name"], machine["definition"]) == (derived["name"], derived["definition"])
    [topic] = made["aws_sns_topic"].values()
    assert topic["name"] == deployment["topic"]["name"]
    buckets = {bucket["bucket"] for bucket in made["aws_s3_bucket"].values()}
    assert buckets == {*deployment["buckets"].values(), f"{deployment['environment']['prefix']}-access"}
    databases = {database["name"] for database in made["aws_glue_catalog_database"].values()}
    assert databases == set(deployment["databases"].values())
    proxies = {proxy["name"] for proxy in made.get("aws_db_proxy", {}).values()}
    assert proxies == {proxy["name"] for proxy in deployment["rds_proxies"].values()}
    statements = {statement["sql"] for statement in made["aws_redshiftdata_statement"].values()}
    assert {f'CREATE USER "IAMR:{name}" PASSWORD DISABLE' for name in deployment["warehouse_users"]} <= statements
    assert deployment["warehouse_tables"]
    assert set(deployment["warehouse_tables"].values()) <= statements


def test_what_was_changed_after_packing_is_not_planned(terraform: Terraform) -> None:
    path = terraform.folder.parent / "config" / "sources" / "fx_rates.yaml"
    with changed(path, path.read_text() + "wrkers: 9\n"):
        done = terraform("test", "-no-color", "-filter=tests/refused.tftest.hcl")
    assert done.returncode != 0
    assert "has changed since it was packed: run `make package ENV=dev` first" in words(done)
