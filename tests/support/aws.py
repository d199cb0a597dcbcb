"""The gateway as its clients see it, with what tests of the local stack make there."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
from botocore.config import Config

from tests.support.waiting import wait_for

ROLE = "arn:aws:iam::123456789012:role/headwater-local"


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
        return client_of(self.endpoint, service, json.dumps(config, sort_keys=True))

    def own(self, page: str, method: str = "GET", body: dict[str, Any] | None = None) -> Any:
        """Calls one of the gateway's own pages."""
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
def client_of(endpoint: str, service: str, config: str = "{}") -> Any:
    """Returns the boto3 client of a service, the same one each time; its config is JSON."""
    session = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test")
    return session.client(service, endpoint_url=endpoint, region_name="eu-west-1", config=Config(**json.loads(config)))
