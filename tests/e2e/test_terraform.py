"""Terraform provisions the local stack as it provisions AWS: applied, run, planned again without a change, and taken down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from headwater.client import Client
from headwater.deploy.deployment import Deployment
from headwater.deploy.project import load_project
from local.stack import ROOT, Stack
from local.terraform import NoProviderError, Terraform

from .pipeline import Pipeline, own_stack

HOUSEHOLDS = 60
SOURCES = frozenset({"facebook_ads", "fx_rates", "google_ads", "rds_postgres"})


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips, before a stack is started, where Terraform or its provider cannot be had."""
    try:
        Terraform(tmp_path_factory.mktemp("provider"), "-").init(Deployment(load_project(ROOT, "local"), ROOT))
    except NoProviderError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def stack(provider: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own with what gold is made of; `make terraform-local` does it with every source."""
    with own_stack(tmp_path_factory.mktemp("stack"), HOUSEHOLDS, SOURCES) as stack:
        yield stack


@pytest.fixture(scope="session")
def twin(stack: Stack) -> Pipeline:
    """The pipeline of the same sources under another name, which the AWS API has provisioned."""
    project = stack.project()
    warehouse = project.environment.warehouse.model_copy(update={"database": "twin"})
    environment = project.environment.model_copy(update={"prefix": "headwater-twin", "warehouse": warehouse})
    deployment = Deployment(project.model_copy(update={"environment": environment}), ROOT)
    stack.deploy(deployment)
    pipeline = Pipeline(stack, Client(deployment))
    pipeline.run_well()
    return pipeline


def gold(pipeline: Pipeline) -> dict[str, tuple[int, int]]:
    return {table: found for table, found in pipeline.content().items() if table.startswith(("gold", "warehouse"))}


def left_over(prefix: str) -> list[str]:
    """Names of what is there of an environment."""
    glue, functions = boto3.client("glue"), boto3.client("lambda")
    names = [
        *(bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]),
        *glue.list_jobs()["JobNames"],
        *glue.list_crawlers()["CrawlerNames"],
        *(database["Name"].replace("_", "-") for database in glue.get_databases()["DatabaseList"]),
        *(function["FunctionName"] for function in functions.list_functions()["Functions"]),
        *(machine["name"] for machine in boto3.client("stepfunctions").list_state_machines()["stateMachines"]),
        *(role["RoleName"] for role in boto3.client("iam").list_roles()["Roles"]),
    ]
    return [name for name in names if name.startswith(f"{prefix}-")]


def test_what_terraform_makes_runs_like_what_the_api_makes_and_goes_away_again(
    stack: Stack, twin: Pipeline, tmp_path: Path
) -> None:
    deployment = stack.deployment()
    terraform = Terraform(tmp_path, stack.aws_endpoint)
    terraform.init(deployment)
    stack.deploy(deployment, terraform.apply)
    pipeline = Pipeline(stack, Client(deployment))
    pipeline.run_well()
    made = gold(pipeline)
    assert len(made) == 2 * len(deployment.project.gold)
    assert made == gold(twin)
    assert terraform.changes(deployment) == []
    terraform.destroy(deployment)
    assert left_over(deployment.prefix) == []
