"""The gateway as its clients see it, with what tests of the local stack make there."""

from __future__ import annotations

import io
import json
import os
import uuid
import zipfile
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.config import Config
from localstack_client.config import get_service_endpoint
from localstack_client.session import Session

from headwater.deploy.job_arguments import spark_arguments
from tests.support.waiting import wait_for

ROLE = "arn:aws:iam::123456789012:role/headwater-local"


SERVICES = ("glue", "lambda", "pipes", "redshift", "redshift-serverless", "scheduler", "states")


def make_role(endpoint: str, name: str, statements: list[dict[str, Any]]) -> str:
    """Makes a role that every service assumes, with a policy of these statements, and returns its ARN."""
    services = [f"{service}.amazonaws.com" for service in SERVICES]
    trust = {"Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole"}
    iam = client_of(endpoint, "iam")
    document = {"Version": "2012-10-17", "Statement": [trust]}
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))["Role"]["Arn"]
    if statements:
        policy = {"Version": "2012-10-17", "Statement": statements}
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
    return str(arn)


def make_own_role(endpoint: str) -> None:
    """Makes the role that tests without roles of their own give to what they make; it may do everything."""
    make_role(endpoint, ROLE.rpartition("/")[2], [{"Effect": "Allow", "Action": "*", "Resource": "*"}])


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

    def client(self, service: str, caller: str = "test", **config: Any) -> Any:
        """Returns a boto3 client of a service, for whoever calls."""
        return client_of(self.endpoint, service, json.dumps(config, sort_keys=True), caller)

    def workgroup(self, name: str, database: str = "headwater") -> str:
        """Makes a Redshift Serverless workgroup with a namespace of its name, and returns the ARN of the administrator's secret."""
        redshift = self.client("redshift-serverless")
        made = redshift.create_namespace(namespaceName=name, dbName=database, manageAdminPassword=True)["namespace"]
        redshift.create_workgroup(workgroupName=name, namespaceName=name)
        return str(made["adminPasswordSecretArn"])

    def own(self, page: str, method: str = "GET", body: dict[str, Any] | None = None) -> Any:
        """Calls one of the gateway's own pages; elsewhere there are none, and the test is skipped."""
        if localstack():
            pytest.skip("asks for a page of our gateway's")
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.endpoint}/_headwater/{page}", data=data, method=method)
        with urlopen(request) as answer:
            return json.load(answer)

    def moved(self, seconds: float) -> dict[str, Any]:
        """Moves the gateway's clock on and returns what it shows once the move has ended."""
        self.own("clock", "POST", {"seconds": seconds})

        def look() -> dict[str, Any] | None:
            clock: dict[str, Any] = self.own("clock")
            return clock if clock["moves_to"] is None else None

        return wait_for(look)

    def put(self, key: str, body: bytes | str) -> str:
        """Writes an object to the test's bucket and returns its URI."""
        self.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def job(self, name: str, script: str, arguments: dict[str, str] | None = None, **settings: Any) -> str:
        """Creates a Glue job from a script; the name is made unique, and of Spark it says what ours do unless it is told."""
        name = f"{name}-{uuid.uuid4().hex[:6]}"
        uri = self.put(f"scripts/{name}.py", script)
        command = {"Name": "glueetl", "ScriptLocation": uri, "PythonVersion": "3"}
        defaults = {"DefaultArguments": spark_arguments("eu-west-1") if arguments is None else arguments}
        self.client("glue").create_job(
            Name=name, Command=command, **{"Role": ROLE, "GlueVersion": "5.1", **defaults, **settings}
        )
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
        """Reads what a run printed; elsewhere it lies in no folder, and the test is skipped."""
        if localstack():
            pytest.skip("reads a log of our gateway's")
        return (self.home / "logs" / job / f"{run['Id']}.log").read_text()

    def function(self, source: str, **settings: Any) -> str:
        """Creates a Lambda function from the source of a module with a `handler`."""
        name = f"function-{uuid.uuid4().hex[:6]}"
        given = {"Runtime": "python3.11", "Handler": "handler.handler", "Timeout": 10, "Role": ROLE, **settings}
        given.setdefault("Code", {"ZipFile": zipped({"handler.py": source})})
        self.client("lambda").create_function(FunctionName=name, **given)
        return name

    def role(self, name: str, *statements: dict[str, Any]) -> str:
        """Makes a role that every service assumes; its name, from which the answer's ARN is, is made unique."""
        return make_role(self.endpoint, f"{name}-{uuid.uuid4().hex[:6]}", list(statements))

    def machine(self, definition: dict[str, Any], role: str = ROLE) -> str:
        """Creates a state machine."""
        name = f"machine-{uuid.uuid4().hex[:6]}"
        states = self.client("stepfunctions")
        answer = states.create_state_machine(name=name, definition=json.dumps(definition), roleArn=role)
        return str(answer["stateMachineArn"])

    def executed(
        self, definition: dict[str, Any], given: dict[str, Any] | None = None, role: str = ROLE
    ) -> dict[str, Any]:
        """Runs a state machine to its end and returns the execution, its output parsed."""
        states = self.client("stepfunctions")
        arn = states.start_execution(stateMachineArn=self.machine(definition, role), input=json.dumps(given or {}))
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


def localstack() -> str | None:
    """The endpoint that HEADWATER_AWS=localstack asks for, by LocalStack's own variables: AWS_ENDPOINT_URL, else LOCALSTACK_HOST."""
    asked = os.environ.get("HEADWATER_AWS")
    if asked not in {None, "localstack"}:
        raise ValueError(f"HEADWATER_AWS={asked!r} is unknown; known: localstack")
    return get_service_endpoint("s3") if asked else None


class EndpointSession(Session):
    """LocalStack's session at one endpoint: of itself it knows not every service, and AWS_ENDPOINT_URL would go before its host."""

    def __init__(self, endpoint: str, caller: str) -> None:
        super().__init__(caller, "test", region_name="eu-west-1")
        self._service_endpoint_mapping = dict.fromkeys(_services(), endpoint)


@cache
def _services() -> list[str]:
    services: list[str] = boto3.session.Session().get_available_services()
    return services


@lru_cache(maxsize=128)
def client_of(endpoint: str, service: str, config: str = "{}", caller: str = "test") -> Any:
    """Returns the boto3 client of a service, the same one each time; its config is JSON."""
    return EndpointSession(endpoint, caller).client(service, config=Config(**json.loads(config)))


def assumed(
    aws: Aws, role: str, service: str = "s3", session_name: str = "person", config: Config | None = None
) -> Any:
    """A client of a role that a person has assumed."""
    credentials = aws.client("sts").assume_role(RoleArn=role, RoleSessionName=session_name)["Credentials"]
    session = boto3.session.Session(
        credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"], "eu-west-1"
    )
    return session.client(service, endpoint_url=aws.endpoint, config=config)


def person_role(aws: Aws, *statements: dict[str, Any]) -> str:
    """A role that the account's identities may assume."""
    role = aws.role("person", *statements)
    trust = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    aws.client("iam").update_assume_role_policy(RoleName=role.rpartition("/")[2], PolicyDocument=document)
    return role
