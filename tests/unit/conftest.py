from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from headwater.config import Project
from headwater.ledger.bucket import Bucket
from headwater.ledger.stream import Ledger, StreamLedger
from headwater.open_project import OpenProject
from tests.support import declared
from tests.support.aws import client_of, localstack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="session")
def project() -> Project:
    return declared.project("local")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """An S3 with a bucket: moto's, or that of the endpoint that HEADWATER_AWS asks for."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    if endpoint := localstack():
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with _bucket(client_of(endpoint, "s3")) as client:
            yield client
        return
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="raw", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield client


@contextmanager
def _bucket(client: S3Client) -> Iterator[S3Client]:
    """The bucket of one test; afterwards all that the test has made is gone."""
    before = _buckets(client)
    client.create_bucket(Bucket="raw", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    try:
        yield client
    finally:
        for bucket in _buckets(client) - before:
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                if found := page.get("Contents"):
                    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": item["Key"]} for item in found]})
            client.delete_bucket(Bucket=bucket)


def _buckets(client: S3Client) -> set[str]:
    return {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}


@pytest.fixture
def ledger(s3: S3Client) -> Ledger:
    return Ledger(Bucket(s3, "raw"))


@pytest.fixture
def opened(project: Project, ledger: Ledger) -> OpenProject:
    opened = OpenProject(project)
    opened.__dict__["ledger"] = ledger
    return opened


@pytest.fixture
def web_events(ledger: Ledger) -> StreamLedger:
    return ledger.stream("kinesis", "web_events")
