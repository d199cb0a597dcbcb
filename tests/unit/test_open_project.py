"""A deployed project is opened from S3, and its secrets stand under its environment's prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest

from headwater.config import Project
from headwater.open_project import OpenProject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def opened(project: Project, s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> OpenProject:
    monkeypatch.setenv("PROJECT_URI", "s3://raw/some/project.json")
    s3.put_object(Bucket="raw", Key="some/project.json", Body=project.model_dump_json(by_alias=True).encode())
    return OpenProject.deployed()


def test_a_lambda_opens_the_project_that_was_deployed(opened: OpenProject, project: Project) -> None:
    assert opened.project == project
    assert opened.ledger.bucket.name == project.environment.bucket("raw")


def test_a_secret_is_read_and_saved_under_the_environments_prefix(opened: OpenProject, project: Project) -> None:
    name = f"{project.environment.prefix}/shop"
    manager = boto3.client("secretsmanager")
    manager.create_secret(Name=name, SecretString='{"token": "old"}')
    assert opened.secret("shop") == {"token": "old"}
    opened.save_secret("shop", {"token": "new"})
    saved = manager.get_secret_value(SecretId=name)["SecretString"]
    manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert saved == '{"token": "new"}'


def test_a_source_without_a_secret_has_an_empty_one(opened: OpenProject) -> None:
    assert opened.secret(None) == {}
