"""The local deploy makes what Terraform makes: everything else stands in local_differences.yaml, with its reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from pydantic import ValidationError

from headwater.deploy.deployment import Deployment
from headwater.deploy.job_arguments import jars
from headwater.deploy.packages import jar, wheels_zip
from headwater.deploy.project import load_project
from local.deploy import deploy, put_secrets
from local.gateway.server import running_gateway
from local.postgres import PostgresServer, free_port
from tests.support.paths import ROOT
from tests.terraform.every_kind import make
from tests.terraform.inventory.compared import Known, differences, known, unexpected
from tests.terraform.inventory.listed import of_gateway, without_defaults
from tests.terraform.inventory.made import of_terraform
from tests.terraform.inventory.shapes import Inventory
from tests.terraform.runner import HERE, Terraform, pack, stand_in

LIST = HERE / "local_differences.yaml"
PREFIX = "headwater-local"
ACCOUNT = "eu-west-1:123456789012"
CRAWLER = f"arn:aws:iam::123456789012:role/{PREFIX}-crawl-gold"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Environment local of a project with a source of every kind, in a network and with everybody to be told."""
    root = make(tmp_path_factory.mktemp("local_deploy") / "project")
    return Deployment(load_project(root, "local"), root)


@pytest.fixture(scope="module")
def terraform(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    """What Terraform makes of it, with the stand-in for the provider."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    settings = stand_in(tmp_path_factory.mktemp("stand_in"))
    if isinstance(settings, str):
        pytest.skip(settings)
    root = deployment.root
    shutil.copytree(ROOT / "terraform", root / "terraform", ignore=shutil.ignore_patterns(".terraform*", "*.tf*state*"))
    shutil.copytree(HERE / "local", root / "terraform" / "tests")
    pack(root)
    glue = root / "build" / "packages" / "glue"
    (glue / "headwater.gluewheels.zip").write_bytes(wheels_zip(root))
    for name in jars(deployment.project):
        (glue / name).write_bytes(jar(name))
    run = Terraform(root / "terraform", tmp_path_factory.mktemp("data"), settings)
    for command in (("init", "-backend=false", "-input=false"), ("test", "-json", "-verbose")):
        done = run(*command)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    [state] = [said["test_state"] for line in done.stdout.splitlines() if "test_state" in (said := json.loads(line))]
    return of_terraform(state["root_module"])


@pytest.fixture(scope="module")
def local(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inventory]:
    """What a gateway lists once the local deploy is through; the gateway stays for what is planted."""
    folder = tmp_path_factory.mktemp("gateway")
    with (
        PostgresServer(folder / "warehouse", free_port()) as warehouse,
        running_gateway(folder / "gateway", warehouse_dsn=warehouse.dsn) as endpoint,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("AWS_ENDPOINT_URL", endpoint)
        patched.setenv("AWS_ACCESS_KEY_ID", "local")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "local")
        patched.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        deploy(deployment)
        names = (name.removeprefix(f"{PREFIX}/") for name in deployment.secrets())
        put_secrets(PREFIX, {name: {"any": "secret"} for name in names})
        yield of_gateway()


def test_what_the_local_deploy_and_terraform_make_differs_only_as_listed(
    terraform: Inventory, local: Inventory
) -> None:
    found = differences(terraform, without_defaults(local, terraform))
    assert unexpected(found, known(LIST)) == [], f"hint: {LIST.relative_to(ROOT)}"


def test_enough_is_compared_to_trust_it(terraform: Inventory, local: Inventory) -> None:
    """A parser that finds nothing would find no difference either."""
    alike = [(kind, name) for kind in terraform for name in terraform[kind] if name in local.get(kind, {})]
    assert len({kind for kind, _ in alike}) >= 40
    settings = sum(len(terraform[kind][name]) for kind, name in alike)
    assert settings > 1500
    unnamed = [name for kind in terraform for name in terraform[kind] if not name.strip()]
    assert unnamed == []


@dataclass(frozen=True)
class Plant:
    """A difference that is made by hand."""

    type: str
    told: str
    make: Callable[[], object]


def _client(service: Any) -> Any:
    return boto3.client(service)


def _allowing(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


def _policy(action: str) -> str:
    return _allowing(Principal="*", Action=action, Resource="*")


def _role_policy() -> None:
    policy = _allowing(Action="s3:*", Resource="*")
    _client("iam").put_role_policy(RoleName=f"{PREFIX}-gold", PolicyName="gold", PolicyDocument=policy)


def _trust() -> None:
    trust = _allowing(Action="sts:AssumeRole", Principal={"Service": "ec2.amazonaws.com"})
    _client("iam").update_assume_role_policy(RoleName=f"{PREFIX}-gold", PolicyDocument=trust)


def _key_policy() -> None:
    [key] = [one for one in _client("kms").list_aliases()["Aliases"] if one["AliasName"] == f"alias/{PREFIX}-data"]
    _client("kms").put_key_policy(KeyId=key["TargetKeyId"], PolicyName="default", Policy=_policy("kms:*"))


def _bucket_policy() -> None:
    _client("s3").put_bucket_policy(Bucket=f"{PREFIX}-lake", Policy=_policy("s3:*"))


def _lifecycle() -> None:
    rule = {"ID": "old-versions", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    about = {"Bucket": f"{PREFIX}-raw", "LifecycleConfiguration": {"Rules": [rule]}}
    _client("s3").put_bucket_lifecycle_configuration(**about)


def _queue_policy() -> None:
    url = _client("sqs").get_queue_url(QueueName=f"{PREFIX}-drops")["QueueUrl"]
    _client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": _policy("sqs:*"), "VisibilityTimeout": "1"})


def _job() -> None:
    glue = _client("glue")
    job = glue.get_job(JobName=f"{PREFIX}-gold")["Job"]
    kept = ("Role", "Command", "DefaultArguments", "Timeout", "GlueVersion", "WorkerType", "NumberOfWorkers")
    update = {name: job[name] for name in kept}
    update["DefaultArguments"].pop("--conf")
    glue.update_job(JobName=job["Name"], JobUpdate=update | {"ExecutionClass": "FLEX"})


def _machine() -> None:
    arn = f"arn:aws:states:{ACCOUNT}:stateMachine:{PREFIX}-pipeline"
    _client("stepfunctions").update_state_machine(stateMachineArn=arn, loggingConfiguration={"level": "OFF"})


def _mapping() -> None:
    client = _client("lambda")
    source = f"arn:aws:sqs:{ACCOUNT}:{PREFIX}-drops"
    [mapping] = client.list_event_source_mappings(EventSourceArn=source)["EventSourceMappings"]
    client.update_event_source_mapping(UUID=mapping["UUID"], BatchSize=3)


def _schedule() -> None:
    client = _client("scheduler")
    told = client.get_schedule(GroupName=PREFIX, Name=f"{PREFIX}-daily")
    kept = ("Name", "GroupName", "FlexibleTimeWindow", "ScheduleExpression", "Target")
    target = {name: value for name, value in told["Target"].items() if name != "DeadLetterConfig"}
    client.update_schedule(**{name: told[name] for name in kept} | {"Target": target})


def _grants() -> None:
    lake = _client("lakeformation")
    role = {"DataLakePrincipalIdentifier": CRAWLER}
    database = {"Database": {"Name": "headwater_local_gold"}}
    lake.revoke_permissions(Principal=role, Resource=database, Permissions=["ALTER"])


PLANTS = {
    "a thing that is missing": Plant(
        "aws_glue_crawler",
        f"aws_glue_crawler {PREFIX}-silver: only terraform makes it",
        lambda: _client("glue").delete_crawler(Name=f"{PREFIX}-silver"),
    ),
    "a thing too many": Plant(
        "aws_sqs_queue",
        f"aws_sqs_queue {PREFIX}-more: only local makes it",
        lambda: _client("sqs").create_queue(QueueName=f"{PREFIX}-more"),
    ),
    "a function's memory": Plant(
        "aws_lambda_function",
        f"aws_lambda_function {PREFIX}-plan_run, memory_size: 512 by Terraform, 128 locally",
        lambda: _client("lambda").update_function_configuration(FunctionName=f"{PREFIX}-plan_run", MemorySize=128),
    ),
    "what a role may do": Plant(
        "aws_iam_role_policy", f"aws_iam_role_policy {PREFIX}-gold gold, policy: ", _role_policy
    ),
    "who may have a role": Plant("aws_iam_role", f"aws_iam_role {PREFIX}-gold, assume_role_policy: ", _trust),
    "who may use a key": Plant("aws_kms_key", f"aws_kms_key {PREFIX}: data., policy: ", _key_policy),
    "who may use a bucket": Plant(
        "aws_s3_bucket_policy", f"aws_s3_bucket_policy {PREFIX}-lake, policy: ", _bucket_policy
    ),
    "what expires": Plant(
        "aws_s3_bucket_lifecycle_configuration",
        f"aws_s3_bucket_lifecycle_configuration {PREFIX}-raw, rule",
        _lifecycle,
    ),
    "who may send": Plant("aws_sqs_queue_policy", f"aws_sqs_queue_policy {PREFIX}-drops, policy: ", _queue_policy),
    "a job's arguments": Plant("aws_glue_job", f"aws_glue_job {PREFIX}-gold, default_arguments.--conf: ", _job),
    "what a run logs": Plant(
        "aws_sfn_state_machine",
        f"aws_sfn_state_machine {PREFIX}-pipeline, logging_configuration.level: ERROR by Terraform, OFF locally",
        _machine,
    ),
    "a batch's size": Plant(
        "aws_lambda_event_source_mapping",
        f"aws_lambda_event_source_mapping arn:aws:sqs:{ACCOUNT}:{PREFIX}-drops, batch_size: 1000 by Terraform, 3 locally",
        _mapping,
    ),
    "a schedule's dead letters": Plant(
        "aws_scheduler_schedule",
        f"aws_scheduler_schedule {PREFIX}-daily, target.dead_letter_config.arn: arn:aws:sqs:{ACCOUNT}:{PREFIX}-dead-letters",
        _schedule,
    ),
    "a grant": Plant(
        "aws_lakeformation_permissions",
        f"aws_lakeformation_permissions {CRAWLER} database headwater_local_gold, permissions: ",
        _grants,
    ),
}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS.keys())
def test_a_planted_difference_is_told(plant: Plant, terraform: Inventory, local: Inventory) -> None:
    made = {plant.type: terraform[plant.type]}

    def told() -> list[str]:
        listed = without_defaults(of_gateway([plant.type]), terraform)
        found = unexpected(differences(made, listed), known(LIST))
        return [line for line in found if line.startswith(plant.told)]

    assert told() == []
    plant.make()
    assert told() != []


def test_an_entry_that_no_longer_differs_is_told(terraform: Inventory, local: Inventory) -> None:
    idle = Known(type="aws_lambda_function", setting="memory_size", why="It has been mended since.")
    found = differences(terraform, without_defaults(local, terraform))
    assert unexpected(found, [*known(LIST), idle]) == [
        "aws_lambda_function *, memory_size: no longer differs, take it off the list"
    ]


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "aws_sqs_queue", "only": "local"},
        {"type": "aws_sqs_queue", "only": "local", "why": "It is so."},
        {"type": "aws_sqs_queue", "why": "It says neither what is missing nor what differs."},
        {"type": "aws_sqs_queue", "only": "aws", "why": "There are two who make it."},
    ],
)
def test_an_entry_has_a_reason_and_says_what_differs(entry: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text(yaml.safe_dump([entry]))
    with pytest.raises(ValidationError):
        known(path)
