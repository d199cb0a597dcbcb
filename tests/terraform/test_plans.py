"""terraform validate and terraform test: what Terraform makes is what deployment.json says, and bad plans are refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.terraform import take_any_provider
from tests.support.paths import ROOT
from tests.terraform.every_kind import make
from tests.terraform.provider.schema import declared
from tests.terraform.runner import HERE, SCHEMAS, Terraform, changed, pack, stand_in, words

IGNORED = shutil.ignore_patterns(".terraform*", "*.tfplan", "*.tfstate*")
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
    "admin_secret": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mocked",
}


@pytest.fixture(scope="module")
def stand_in_settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str] | str:
    """The settings that make Terraform use the stand-in, or why there is none."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    return stand_in(tmp_path_factory.mktemp("stand_in"))


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory, stand_in_settings: dict[str, str] | str) -> Terraform:
    """A copy of the project with a source of every kind, initialised without its backend, with any provider that there is."""
    folder = tmp_path_factory.mktemp("plans")
    root = make(folder / "project")
    shutil.copytree(ROOT / "terraform", root / "terraform", ignore=IGNORED)
    take_any_provider(root / "terraform")
    (root / "terraform" / "tests").mkdir()
    for path in HERE.glob("*.tftest.hcl"):
        shutil.copy(path, root / "terraform" / "tests")
    pack(root)
    real = Terraform(root / "terraform", folder / "data", {})
    if real("init", "-backend=false", "-input=false").returncode == 0:
        return real
    if isinstance(stand_in_settings, str):
        pytest.skip(f"terraform init finds no provider, and {stand_in_settings}")
    ours = Terraform(root / "terraform", folder / "data", stand_in_settings)
    done = ours("init", "-backend=false", "-input=false")
    assert done.returncode == 0, done.stdout + done.stderr
    return ours


@pytest.mark.parametrize("root", ["terraform", "terraform/bootstrap"])
def test_the_configuration_is_valid_for_the_provider_that_it_pins(
    root: str, tmp_path: Path, stand_in_settings: dict[str, str] | str
) -> None:
    if isinstance(stand_in_settings, str):
        pytest.skip(stand_in_settings)
    shutil.copytree(ROOT / "terraform", tmp_path / "terraform", ignore=IGNORED)
    pinned = Terraform(tmp_path / root, tmp_path / "data", stand_in_settings)
    for command in (("init", "-backend=false", "-input=false"), ("validate", "-no-color")):
        done = pinned(*command)
        assert done.returncode == 0, done.stdout + done.stderr


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
        assert list(made_job["connections"] or []) == job["connections"]
    subnets = {
        connection["name"]: connection["physical_connection_requirements"][0]["subnet_id"]
        for connection in made["aws_glue_connection"].values()
    }
    assert subnets == {
        name: subnet
        for job in derived.values()
        for name, subnet in zip(job["connections"], deployment["environment"]["network"]["subnets"], strict=False)
    }
    assert {secret["name"] for secret in made["aws_secretsmanager_secret"].values()} == set(deployment["secrets"])


def test_functions_are_made_as_they_were_derived(made: Made, deployment: dict[str, Any]) -> None:
    found = {function["function_name"]: function for function in made["aws_lambda_function"].values()}
    assert {name: (value["timeout"], value["environment"][0]["variables"]) for name, value in found.items()} == {
        name: (value["timeout_seconds"], value["variables"]) for name, value in deployment["lambdas"].items()
    }
    reserved = deployment["environment"]["reserved_concurrency"] or -1
    assert {value["reserved_concurrent_executions"] for value in found.values()} == {reserved}


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
    assert _by("name", made["aws_iam_role"], "assume_role_policy", "permissions_boundary") == {
        name: (role["trust"], role["boundary"]) for name, role in derived.items()
    }
    assert {role["boundary"] for role in derived.values()} == {"arn:aws:iam::123456789012:policy/headwater-boundary"}
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
        if part.keys() == {"name", "file", "boundary", "trust", "permissions"}:
            yield part
        for inner in part.values():
            yield from _roles(inner)


def test_lines_are_counted_in_the_groups_that_jobs_write_to(made: Made, deployment: dict[str, Any]) -> None:
    written = {group["name"] for group in made["aws_cloudwatch_log_group"].values()}
    counted: dict[str, set[str]] = {}
    for lines in made["aws_cloudwatch_log_metric_filter"].values():
        counted.setdefault(lines["metric_transformation"][0]["name"], set()).add(lines["log_group_name"])
    extract, silver = (
        {f"{job['log_group']}/output" for job in deployment["jobs"].values() if job["script"] == script}
        for script in ("extract", "silver")
    )
    assert counted == {
        **dict.fromkeys(("started", "appended", "token"), extract),
        **dict.fromkeys(("extracted", "quarantined"), silver),
    }
    assert extract | silver <= written


def test_a_queue_takes_no_place_that_its_function_has_not_reserved(made: Made, deployment: dict[str, Any]) -> None:
    # A receive that Lambda refuses counts towards the dead letters.
    queues = [
        mapping
        for mapping in made["aws_lambda_event_source_mapping"].values()
        if ":sqs:" in mapping["event_source_arn"]
    ]
    reserved = deployment["environment"]["reserved_concurrency"] or 10
    assert queues
    assert [one["scaling_config"] and one["scaling_config"][0]["maximum_concurrency"] < reserved for one in queues] == [
        True for _ in queues
    ]


def test_who_knocks_without_a_key_is_limited_by_what_is_declared(made: Made, deployment: dict[str, Any]) -> None:
    limits = ("throttling_rate_limit", "throttling_burst_limit")
    stages = [stage["default_route_settings"][0] for stage in made["aws_apigatewayv2_stage"].values()]
    assert [tuple(stage[limit] for limit in limits) for stage in stages] == [
        (api["calls_per_second"], api["burst"]) for api in deployment["entrances"]["apis"].values()
    ]


def test_a_workgroup_that_is_there_is_not_made_again(applied: dict[str, Made]) -> None:
    existing = applied["existing"]
    assert {kind for kind in existing if "redshiftserverless" in kind} == {"aws_redshiftserverless_workgroup"}
    assert [address for address in existing["aws_redshiftserverless_workgroup"] if ".data." not in f".{address}"] == []


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
    prefix = deployment["environment"]["prefix"]
    assert buckets == {*deployment["buckets"].values(), f"{prefix}-access", f"{prefix}-trail"}
    databases = {database["name"] for database in made["aws_glue_catalog_database"].values()}
    assert databases == set(deployment["databases"].values())
    proxies = {proxy["name"] for proxy in made.get("aws_db_proxy", {}).values()}
    assert proxies == {proxy["name"] for proxy in deployment["rds_proxies"].values()}


def test_the_warehouse_is_made_by_migrations_alone_which_run_again_when_they_change(
    made: Made, deployment: dict[str, Any]
) -> None:
    assert "aws_redshiftdata_statement" not in made
    [invocation] = made["aws_lambda_invocation"].values()
    assert invocation["function_name"] == deployment["migrations"]["function"]
    called = json.loads(invocation["input"])
    assert str(called.pop("admin_secret")).startswith("arn:aws:secretsmanager:")
    assert called == deployment["migrations"]["input"]


def test_analysts_get_tables_by_each_run_and_never_by_terraform(made: Made, deployment: dict[str, Any]) -> None:
    assert "aws_lakeformation_data_cells_filter" not in made
    granted = made["aws_lakeformation_permissions"].values()
    passed_on = [grant for grant in granted if grant["permissions_with_grant_option"]]
    assert {grant["principal"] for grant in passed_on} == {"arn:aws:iam::123456789012:role/mocked"}
    assert [[table["wildcard"] for table in grant["table"]] for grant in passed_on] == [[True], [True]]
    [policy] = made["aws_iam_policy"].values()
    expected = deployment["analyst_policy"]["policy"]
    for name, arn in LATE.items():
        expected = expected.replace(f'"${{{name}}}"', f'"{arn}"')
    assert (policy["name"], policy["policy"]) == (deployment["analyst_policy"]["name"], expected)


def test_no_plan_trips_over_the_parameters_that_redshift_completes() -> None:
    workgroup = (ROOT / "terraform" / "modules" / "warehouse" / "redshift.tf").read_text()
    assert "config_parameter {" not in workgroup
    assert "ignore_changes = [config_parameter]" in workgroup


def test_jobs_reach_aws_through_endpoints_or_by_way_of_a_nat_gateway(made: Made, deployment: dict[str, Any]) -> None:
    anywhere = [
        (rule["ip_protocol"], rule["from_port"], rule["to_port"])
        for rule in made["aws_vpc_security_group_egress_rule"].values()
        if rule["cidr_ipv4"] == "0.0.0.0/0"
    ]
    endpoints = deployment["environment"]["network"]["endpoints"]
    assert anywhere == ([] if endpoints else [("tcp", 443, 443)])
    assert bool(made.get("aws_vpc_endpoint")) == endpoints
    for endpoint in made.get("aws_vpc_endpoint", {}).values():
        if endpoint["vpc_endpoint_type"] == "Gateway":
            statements = json.loads(endpoint["policy"])["Statement"]
            beyond = [allowed["Action"] for allowed in statements if "Condition" not in allowed]
            assert beyond == ["s3:GetObject"]
            account = {"StringEquals": {"aws:ResourceAccount": deployment["environment"]["account"]}}
            assert [allowed["Condition"] for allowed in statements if "Condition" in allowed] == [account]
    groups = [group["name"] for group in made["aws_security_group"].values()]
    assert [name for name in groups if not name.startswith(deployment["environment"]["prefix"])] == []


def test_the_state_machine_logs_what_failed_and_not_each_poll(made: Made) -> None:
    [machine] = made["aws_sfn_state_machine"].values()
    [logging] = machine["logging_configuration"]
    assert (logging["level"], logging["include_execution_data"]) == ("ERROR", True)


def test_a_database_has_no_default_of_its_own_for_who_reads_its_tables(made: Made) -> None:
    # The provider cannot say an empty list; bootstrap has emptied the account's, which a database takes.
    assert [
        database["create_table_default_permission"]
        for database in made["aws_glue_catalog_database"].values()
        if database["create_table_default_permission"]
    ] == []


def test_a_trail_tells_who_read_and_wrote_the_objects_of_the_lake(made: Made, deployment: dict[str, Any]) -> None:
    [trail] = made["aws_cloudtrail"].values()
    prefix = deployment["environment"]["prefix"]
    [selector] = trail["advanced_event_selector"]
    fields = {field["field"]: field["equals"] or field["starts_with"] for field in selector["field_selector"]}
    assert fields == {
        "eventCategory": ["Data"],
        "resources.type": ["AWS::S3::Object"],
        "resources.ARN": [f"arn:aws:s3:::{prefix}-{purpose}/" for purpose in ("raw", "lake", "landing")],
    }
    [policy] = [
        json.loads(policy["policy"])["Statement"]
        for address, policy in made["aws_s3_bucket_policy"].items()
        if address.endswith('"trail"]')
    ]
    arn = f"arn:aws:cloudtrail:eu-west-1:123456789012:trail/{trail['name']}"
    writers = [said for said in policy if said["Effect"] == "Allow"]
    assert [said["Action"] for said in writers] == ["s3:GetBucketAcl", "s3:PutObject"]
    assert {said["Condition"]["StringEquals"]["aws:SourceArn"] for said in writers} == {arn}


def test_access_logs_go_sooner_than_the_others(made: Made, deployment: dict[str, Any]) -> None:
    days = {
        address.split('"')[1]: rule["expiration"][0]["days"]
        for address, rules in made["aws_s3_bucket_lifecycle_configuration"].items()
        for rule in rules["rule"]
        if rule["id"] == "logs"
    }
    retention = deployment["environment"]["retention"]
    assert days == {"access": retention["access_logs"], **dict.fromkeys(("trail", "logs", "lake"), retention["logs"])}
    assert 30 <= days["access"] <= 90


def test_what_was_changed_after_packing_is_not_planned(terraform: Terraform) -> None:
    path = terraform.folder.parent / "config" / "sources" / "fx_rates.yaml"
    with changed(path, path.read_text() + "wrkers: 9\n"):
        done = terraform("test", "-no-color", "-filter=tests/refused.tftest.hcl")
    assert done.returncode != 0
    assert "has changed since it was packed: run `make package ENV=dev` first" in words(done)
