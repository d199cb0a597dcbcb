"""One real gateway for all tests of the local stack, with one Spark worker that the first job run starts."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from local.gateway.server import running_gateway
from local.postgres import PostgresServer, free_port
from tests.support.aws import Aws, client_of, localstack, make_own_role


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A running gateway, or the LocalStack that HEADWATER_AWS asks for: endpoint and home folder."""
    home = tmp_path_factory.mktemp("gateway")
    other = localstack()
    with nullcontext(other) if other else running_gateway(home) as endpoint:
        make_own_role(endpoint)
        yield endpoint, home
    client_of.cache_clear()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server for the warehouse of a module's own gateway."""
    with PostgresServer(tmp_path_factory.mktemp("warehouse") / "data", free_port()) as server:
        yield server


@pytest.fixture
def aws(gateway: tuple[str, Path]) -> Iterator[Aws]:
    """The gateway with a bucket of the test's own; afterwards no faults are left over, and waits cost nothing again."""
    endpoint, home = gateway
    aws = Aws(endpoint, home, f"test-{uuid.uuid4().hex[:12]}")
    location = {"LocationConstraint": "eu-west-1"}
    aws.client("s3").create_bucket(Bucket=aws.bucket, CreateBucketConfiguration=location)
    yield aws
    if not localstack():
        aws.own("faults", "DELETE")
        aws.own("clock", "POST", {"pace": "skip"})
