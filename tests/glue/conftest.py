"""A gateway, a project's artifacts in its S3, and the backend that runs jobs."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from headwater.deploy.job_arguments import DEEQU_JAR, LIBRARY_KEY, WHEELS_KEY, spark_arguments
from headwater.deploy.packages import jar, library_zip, wheels_zip
from local.gateway.server import running_gateway
from tests.support.aws import Aws, client_of, make_own_role
from tests.support.glue_backends import Backend, Container, Runtime
from tests.support.paths import ROOT


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    home = tmp_path_factory.mktemp("gateway")
    with running_gateway(home) as endpoint:
        make_own_role(endpoint)
        aws = Aws(endpoint, home, f"glue-{uuid.uuid4().hex[:12]}")
        location = {"LocationConstraint": "eu-west-1"}
        aws.client("s3").create_bucket(Bucket=aws.bucket, CreateBucketConfiguration=location)
        yield aws
    client_of.cache_clear()


@pytest.fixture(scope="session")
def backend(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Backend:
    if os.environ.get("HEADWATER_GLUE") == "container":
        return Container(aws, tmp_path_factory.mktemp("workspace"))
    return Runtime(aws)


@pytest.fixture(scope="session")
def arguments(aws: Aws) -> dict[str, str]:
    """What every job of a deployment says of its runtime, its artifacts in place."""
    artifacts = {
        LIBRARY_KEY: library_zip(ROOT),
        WHEELS_KEY: wheels_zip(ROOT),
        f"packages/{DEEQU_JAR}": jar(DEEQU_JAR),
    }
    uris = {key: aws.put(key, content) for key, content in artifacts.items()}
    return {
        **spark_arguments("eu-west-1"),
        "--extra-py-files": uris[LIBRARY_KEY],
        "--extra-jars": uris[f"packages/{DEEQU_JAR}"],
        "--user-jars-first": "true",
        "--additional-python-modules": uris[WHEELS_KEY],
        "--python-modules-installer-option": "--no-index",
        "--root": f"s3://{aws.bucket}",
    }
