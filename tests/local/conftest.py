"""One real gateway for all tests of the local stack, with one Spark worker that the first job run starts."""

from __future__ import annotations

import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.config import Config

from local.gateway.server import running_gateway

T = TypeVar("T")
ROLE = "arn:aws:iam::123456789012:role/headwater-local"
PATIENCE_SECONDS = 120.0


def wait_for(look: Callable[[], T | None], seconds: float = PATIENCE_SECONDS) -> T:
    """Looks again and again until there is something to see."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing came of it within {seconds:.0f} s")


def zipped(files: dict[str, str]) -> bytes:
    """Packs text files into a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


@dataclass(frozen=True)
class Aws:
    """The gateway as its clients see it."""

    endpoint: str
    home: Path
    bucket: str

    def client(self, service: str, **config: Any) -> Any:
        """Returns a boto3 client of a service."""
        return _client(self.endpoint, service, json.dumps(config, sort_keys=True))

    def own(self, page: str, method: str = "GET", body: dict[str, Any] | None = None) -> Any:
        """Calls one of the gateway's own pages."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.endpoint}/_headwater/{page}", data=data, method=method)
        with urlopen(request) as answer:
            return json.load(answer)

    def put(self, key: str, body: bytes | str) -> str:
        """Writes an object to the test's bucket and returns its URI."""
        self.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def job(self, name: str, script: str, **settings: Any) -> str:
        """Creates a Glue job from a script; the name is made unique."""
        name = f"{name}-{uuid.uuid4().hex[:6]}"
        uri = self.put(f"scripts/{name}.py", script)
        command = {"Name": "glueetl", "ScriptLocation": uri, "PythonVersion": "3"}
        self.client("glue").create_job(Name=name, Role=ROLE, Command=command, GlueVersion="5.0", **settings)
        return name

    def start(self, job: str, **arguments: str) -> str:
        """Starts a run; keyword arguments become job arguments, underscores kept."""
        given = {f"--{name}": value for name, value in arguments.items()}
        return str(self.client("glue").start_job_run(JobName=job, Arguments=given)["JobRunId"])

    def ended(self, job: str, run_id: str) -> dict[str, Any]:
        """Waits for the end of a run and returns it."""

        def look() -> dict[str, Any] | None:
            run: dict[str, Any] = self.client("glue").get_job_run(JobName=job, RunId=run_id)["JobRun"]
            return run if "CompletedOn" in run else None

        return wait_for(look)

    def run(self, job: str, **arguments: str) -> dict[str, Any]:
        """Runs a job to its end."""
        return self.ended(job, self.start(job, **arguments))

    def log(self, job: str, run: dict[str, Any]) -> str:
        """Reads what a run printed."""
        return (self.home / "logs" / job / f"{run['Id']}.log").read_text()

    def function(self, source: str, **settings: Any) -> str:
        """Creates a Lambda function from the source of a module with a `handler`."""
        name = f"function-{uuid.uuid4().hex[:6]}"
        given = {"Runtime": "python3.11", "Handler": "handler.handler", "Timeout": 10, **settings}
        given.setdefault("Code", {"ZipFile": zipped({"handler.py": source})})
        self.client("lambda").create_function(FunctionName=name, Role=ROLE, **given)
        return name

    def machine(self, definition: dict[str, Any]) -> str:
        """Creates a state machine."""
        name = f"machine-{uuid.uuid4().hex[:6]}"
        states = self.client("stepfunctions")
        answer = states.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)
        return str(answer["stateMachineArn"])

    def executed(self, definition: dict[str, Any], given: dict[str, Any] | None = None) -> dict[str, Any]:
        """Runs a state machine to its end and returns the execution, its output parsed."""
        states = self.client("stepfunctions")
        arn = states.start_execution(stateMachineArn=self.machine(definition), input=json.dumps(given or {}))
        return self.execution_ended(arn["executionArn"])

    def execution_ended(self, arn: str) -> dict[str, Any]:
        """Waits for the end of an execution and returns it, its output parsed."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.client("stepfunctions").describe_execution(executionArn=arn)
            return None if found["status"] == "RUNNING" else found

        execution = wait_for(look)
        if "output" in execution:
            execution["output"] = json.loads(execution["output"])
        return execution


@lru_cache(maxsize=128)
def _client(endpoint: str, service: str, config: str) -> Any:
    session = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test")
    return session.client(service, endpoint_url=endpoint, region_name="eu-west-1", config=Config(**json.loads(config)))


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A running gateway: endpoint and home folder."""
    home = tmp_path_factory.mktemp("gateway")
    with running_gateway(home) as endpoint:
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        _client(endpoint, "iam", "{}").create_role(RoleName=ROLE.rpartition("/")[2], AssumeRolePolicyDocument=policy)
        yield endpoint, home
    _client.cache_clear()


@pytest.fixture
def aws(gateway: tuple[str, Path]) -> Iterator[Aws]:
    """The gateway with a bucket of the test's own, and no faults left over."""
    endpoint, home = gateway
    aws = Aws(endpoint, home, f"test-{uuid.uuid4().hex[:12]}")
    location = {"LocationConstraint": "eu-west-1"}
    aws.client("s3").create_bucket(Bucket=aws.bucket, CreateBucketConfiguration=location)
    yield aws
    aws.own("faults", "DELETE")
