"""A day of an environment: it is deployed, a schedule starts the run, an analyst asks, a day later nothing is to be changed, somebody
else deploys, and all of it goes away. Once as Terraform provisions AWS, once through the AWS API.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from headwater.client import Client, RunState
from headwater.deploy.deployment import Deployment
from headwater.errors import QueryError
from local import proofs
from local.stack import ROOT, Stack
from local.terraform import NoProviderError, Terraform
from tests.support import declared
from tests.support.waiting import wait_for

from .pipeline import Pipeline, own_stack, send

HOUSEHOLDS = 60
SOURCES = frozenset({"rds_postgres"})
DAY = 86_400
RUN_SECONDS = 900
COLLEAGUE = "test"
"""The key of an administrator who has deployed nothing yet."""


class ByTerraform:
    """The modules that provision AWS, applied by whoever signs."""

    def __init__(self, folder: Path, deployment: Deployment, stack: Stack) -> None:
        self._terraform = Terraform(folder, stack.aws_endpoint)
        self._deployment, self._stack = deployment, stack
        self._terraform.init(deployment)

    def deploy(self) -> None:
        self._stack.deploy(self._deployment, self._terraform.apply)

    def deploy_as(self, key: str) -> None:
        self._terraform.sign_as(key)
        self._terraform.apply(self._deployment)

    def changes(self) -> list[str]:
        return self._terraform.changes(self._deployment)

    def destroy(self) -> None:
        self._terraform.destroy(self._deployment)


class ByApi:
    """The local deploy, which plans nothing: what it would change is what a second one makes besides."""

    def __init__(self, _folder: Path, deployment: Deployment, stack: Stack) -> None:
        self._deployment, self._stack = deployment, stack

    def deploy(self) -> None:
        self._stack.deploy(self._deployment)

    def deploy_as(self, key: str) -> None:
        with signing_as(key):
            self._stack.deploy(self._deployment)

    def changes(self) -> list[str]:
        before = there(self._deployment.prefix)
        self._stack.deploy(self._deployment)
        return sorted(set(there(self._deployment.prefix)) ^ set(before))

    def destroy(self) -> None:
        self._stack.down()


@contextmanager
def signing_as(key: str, token: str | None = None) -> Iterator[None]:
    """Lets this process sign with another key."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", key)
        if token:
            patch.setenv("AWS_SESSION_TOKEN", token)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        yield


def there(prefix: str) -> list[str]:
    """Kind and name of what is there of an environment."""
    glue, functions = boto3.client("glue"), boto3.client("lambda")
    names = {
        "bucket": [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]],
        "job": glue.list_jobs()["JobNames"],
        "crawler": glue.list_crawlers()["CrawlerNames"],
        "database": [database["Name"].replace("_", "-") for database in glue.get_databases()["DatabaseList"]],
        "function": [function["FunctionName"] for function in functions.list_functions()["Functions"]],
        "machine": [
            machine["name"] for machine in boto3.client("stepfunctions").list_state_machines()["stateMachines"]
        ],
        "role": [role["RoleName"] for role in boto3.client("iam").list_roles()["Roles"]],
        "schedule": [schedule["Name"] for schedule in boto3.client("scheduler").list_schedules()["Schedules"]],
    }
    return [
        f"{kind} {name}"
        for kind, found in names.items()
        for name in found
        if name.startswith(f"{prefix}-") and not name.endswith("-analysts")
    ]


@dataclass
class Day:
    """What became of the day."""

    deployment: Deployment
    runs: dict[str, RunState] = field(default_factory=dict)
    wrong: list[proofs.Proof] = field(default_factory=list)
    seen: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    hidden: str = ""
    planned: dict[str, list[str]] = field(default_factory=dict)
    contents: list[dict[str, tuple[int, int]]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def _deployment(stack: Stack) -> Deployment:
    """The environment with its daily schedule switched on."""
    project = stack.project()
    daily = {
        name: schedule.model_copy(update={"enabled": True}) for name, schedule in project.environment.schedules.items()
    }
    environment = project.environment.model_copy(update={"schedules": daily})
    return Deployment(project.model_copy(update={"environment": environment}), stack.deployment().root)


def _scheduled_run(stack: Stack, client: Client) -> RunState:
    """Moves the clock on by a day, and waits for the one run that its schedule starts."""
    known = {run.run_id for run in client.runs()}
    stack.move_clock(DAY)
    wait_for(lambda: {run.run_id for run in client.runs()} - known, RUN_SECONDS)
    [started] = {run.run_id for run in client.runs()} - known
    found = client.wait(started)
    wait_for(lambda: send("GET", f"{stack.aws_endpoint}/_headwater/clock")["moves_to"] is None, RUN_SECONDS)
    return found


def _analyst(deployment: Deployment) -> tuple[str, str]:
    """Key and token of a session of the analysts' role, which somebody has given the environment's policy for analysts."""
    iam = boto3.client("iam")
    role, *_ = [arn.rpartition("/")[2] for arn in deployment.project.environment.analysts.roles]
    policy = f"{deployment.prefix}-analyst"
    policies = {made["PolicyName"]: made["Arn"] for made in iam.list_policies(Scope="Local")["Policies"]}
    if policy in policies:
        trust = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}}'
        # The local deploy makes it; Terraform has it made elsewhere.
        with suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)
        iam.attach_role_policy(RoleName=role, PolicyArn=policies[policy])
    arn = iam.get_role(RoleName=role)["Role"]["Arn"]
    session = boto3.client("sts").assume_role(RoleArn=arn, RoleSessionName="ana")["Credentials"]
    return session["AccessKeyId"], session["SessionToken"]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips, before a stack is started, where Terraform or its provider cannot be had."""
    try:
        Terraform(tmp_path_factory.mktemp("provider"), "-").init(Deployment(declared.project("local"), ROOT))
    except NoProviderError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=[ByTerraform, ByApi])
def day(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    if request.param is ByTerraform:
        request.getfixturevalue("provider")
    with own_stack(tmp_path_factory.mktemp("day"), HOUSEHOLDS, SOURCES) as stack:
        deployment = _deployment(stack)
        deployer = request.param(tmp_path_factory.mktemp("deployer"), deployment, stack)
        client = Client(deployment)
        pipeline = Pipeline(stack, client)
        day = Day(deployment)
        deployer.deploy()
        day.runs["first"] = _scheduled_run(stack, client)
        day.wrong = [proof for proof in proofs.prove(stack, client, proofs.read_gold(client)) if not proof.ok]
        day.contents.append(pipeline.content("silver", "gold", "warehouse"))
        database = deployment.project.environment.database("silver")
        with signing_as(*_analyst(deployment)):
            day.seen["athena"] = list(client.query("athena", "SELECT * FROM business_metrics").rows)
            day.seen["redshift"] = list(client.query("redshift", "SELECT * FROM analytics.business_metrics").rows)
            day.seen["customers"] = list(client.query("athena", f"SELECT customer_id FROM {database}.customers").rows)
            with pytest.raises(QueryError) as refused:
                client.query("athena", f"SELECT email FROM {database}.customers")
            day.hidden = str(refused.value)
        day.runs["a day later"] = _scheduled_run(stack, client)
        day.planned["a day later"] = deployer.changes()
        boto3.client("glue").delete_job(JobName=f"{deployment.prefix}-maintain")
        day.planned["after a hand"] = deployer.changes()
        deployer.deploy_as(COLLEAGUE)
        day.planned["after a colleague"] = deployer.changes()
        day.runs["after a colleague"] = pipeline.run_well()
        day.contents.append(pipeline.content("silver", "gold", "warehouse"))
        deployer.destroy()
        day.left = there(deployment.prefix) if stack.is_up() else []
        yield day


def test_the_schedule_starts_a_run_a_day_and_each_succeeds(day: Day) -> None:
    assert {when: (run.status, run.cause) for when, run in day.runs.items()} == dict.fromkeys(
        day.runs, ("SUCCEEDED", None)
    )
    assert [run.run_id.startswith("daily-") for run in day.runs.values()] == [True, True, False]


def test_gold_says_in_both_engines_what_the_sources_say(day: Day) -> None:
    assert day.wrong == []


def test_an_analyst_sees_gold_in_both_engines_and_no_hidden_column(day: Day) -> None:
    assert len(day.seen["athena"]) == len(day.seen["redshift"]) > 0
    assert day.seen["customers"]
    assert "email" in day.hidden


def test_a_day_later_nothing_is_to_be_changed_but_what_a_hand_has_changed_is(day: Day) -> None:
    assert day.planned["a day later"] == []
    assert "maintain" in " ".join(day.planned["after a hand"])
    assert day.planned["after a colleague"] == []


def test_what_was_loaded_stays_whoever_deploys(day: Day) -> None:
    first, last = day.contents
    assert first.keys() == last.keys()
    assert {name: rows for name, (rows, _) in first.items()} == {name: rows for name, (rows, _) in last.items()}


def test_it_goes_away_as_a_whole(day: Day) -> None:
    assert day.left == []
