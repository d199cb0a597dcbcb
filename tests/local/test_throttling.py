"""Services throttle, each with its own code, at the rate that a test sets, and what calls them goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.endpoint
import pytest
from botocore.exceptions import ClientError

from headwater import cli
from headwater.deploy.deployment import Deployment
from headwater.deploy.packages import library_zip
from local.gateway.server import REPOSITORY as ROOT
from tests.support import declared
from tests.support.aws import ROLE, Aws

CALLS_THROTTLED = {
    "athena": ("list_work_groups", {}, "TooManyRequestsException"),
    "glue": ("get_databases", {}, "ThrottlingException"),
    "iam": ("list_roles", {}, "Throttling"),
    "kinesis": ("list_streams", {}, "ProvisionedThroughputExceededException"),
    "kms": ("list_keys", {}, "ThrottlingException"),
    "lambda": ("list_functions", {}, "TooManyRequestsException"),
    "logs": ("describe_log_groups", {}, "ThrottlingException"),
    "redshift-data": (
        "execute_statement",
        {"Database": "dev", "Sql": "SELECT 1", "WorkgroupName": "local"},
        "ThrottlingException",
    ),
    "s3": ("list_buckets", {}, "SlowDown"),
    "scheduler": ("list_schedules", {}, "ThrottlingException"),
    "secretsmanager": ("list_secrets", {}, "ThrottlingException"),
    "sns": ("list_topics", {}, "Throttling"),
    "sqs": ("list_queues", {}, "RequestThrottled"),
    "stepfunctions": ("list_state_machines", {}, "ThrottlingException"),
    "sts": ("get_caller_identity", {}, "Throttling"),
}
TEN_PERCENT = {"action": "throttle", "path": ".", "rate": 0.1}


@pytest.mark.parametrize("service", CALLS_THROTTLED)
def test_each_service_throttles_with_its_own_code_and_boto_tries_again(aws: Aws, service: str) -> None:
    method, given, code = CALLS_THROTTLED[service]
    aws.own("faults", "POST", {"action": "throttle", "path": ".", "times": 2})
    with pytest.raises(ClientError) as error:
        getattr(aws.client(service, retries={"total_max_attempts": 1}), method)(**given)
    assert error.value.response["Error"]["Code"] == code
    assert getattr(aws.client(service), method)(**given)
    assert [fault["fired"] for fault in aws.own("faults")["faults"]] == [2]


def test_a_rate_is_the_share_of_calls_that_are_throttled(aws: Aws) -> None:
    aws.own("faults", "POST", {"action": "throttle", "path": "glue.GetDatabases", "rate": 0.5})
    glue = aws.client("glue", retries={"total_max_attempts": 1})
    refused = 0
    for _ in range(200):
        try:
            glue.get_databases()
        except ClientError:
            refused += 1
    # Five standard deviations: one run in a million is further away.
    assert abs(refused - 100) < 36
    assert [fault["fired"] for fault in aws.own("faults")["faults"]] == [refused]


@pytest.mark.parametrize("fault", [{"rate": 0}, {"rate": 1.5}, {"rate": 0.1, "times": 3}])
def test_a_rate_that_makes_no_sense_is_refused(aws: Aws, fault: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="400"):
        aws.own("faults", "POST", {"action": "throttle", "path": ".", **fault})


def test_a_function_goes_on_while_one_call_in_ten_is_throttled(aws: Aws) -> None:
    # As often as headwater/__init__.py has a function try.
    source = (
        "import os\n"
        "os.environ.update(AWS_RETRY_MODE='standard', AWS_MAX_ATTEMPTS='8')\n"
        "import boto3\n"
        "def handler(event, context):\n"
        "    for number in range(30):\n"
        "        boto3.client('s3').put_object(Bucket=event['bucket'], Key=f'made/{number}', Body=b'1')\n"
        "        boto3.client('sqs').list_queues()\n"
    )
    function = aws.function(source, Timeout=60)
    aws.own("faults", "POST", TEN_PERCENT)
    answer = aws.client("lambda", retries={"total_max_attempts": 9}, read_timeout=90).invoke(
        FunctionName=function, Payload=json.dumps({"bucket": aws.bucket})
    )
    [fault] = aws.own("faults")["faults"]
    aws.own("faults", "DELETE")
    assert "FunctionError" not in answer, answer["Payload"].read()
    assert fault["fired"] > 0
    assert aws.client("s3").list_objects_v2(Bucket=aws.bucket, Prefix="made/")["KeyCount"] == 30


def test_a_task_of_the_state_machine_goes_on_while_calls_are_throttled(aws: Aws) -> None:
    state = json.loads(Deployment(declared.project("local"), ROOT).definition())["States"]["GrantTables"]
    state = {key: value for key, value in state.items() if key not in {"Next", "Catch"}} | {"End": True}
    state["Parameters"]["FunctionName"] = aws.function("def handler(event, context): pass")
    each = {"StartAt": "Grant", "States": {"Grant": state}}
    machine = {
        "StartAt": "Each",
        "States": {"Each": {"Type": "Map", "ItemProcessor": each, "MaxConcurrency": 1, "End": True}},
    }
    arn = aws.machine(machine)
    aws.own("faults", "POST", {"action": "throttle", "path": "/invocations", "rate": 0.3})
    started = aws.client("stepfunctions").start_execution(stateMachineArn=arn, input=json.dumps([1] * 20))
    ended = aws.execution_ended(started["executionArn"])
    [fault] = aws.own("faults")["faults"]
    assert (ended["status"], fault["fired"] > 0) == ("SUCCEEDED", True), ended.get("cause")


# One more than boto3 tries by itself.
FIVE_TIMES = {"action": "throttle", "times": 5}


class CommandLine:
    """The command line in this process, as somebody has it who deployed environment dev to the gateway."""

    def __init__(self, aws: Aws, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.patch, self.capture = patch, capture
        self.environment = {
            "AWS_ENDPOINT_URL": aws.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }
        # What is tried again is tried at once.
        patch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _seconds: None))

    def __call__(self, *arguments: str) -> Any:
        """Runs a command and reads what it prints; SystemExit when it fails."""
        for name, value in self.environment.items():
            self.patch.setenv(name, value)
        self.patch.setattr(boto3, "DEFAULT_SESSION", None)
        self.patch.setattr(sys, "argv", ["headwater", *arguments, "--env", "dev", "--json"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = self.capture.readouterr()
        assert ended.value.code == 0, said.err
        return json.loads(said.out)


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return Deployment(declared.project("dev"), ROOT)


@pytest.fixture
def headwater(
    aws: Aws, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    existing = {bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]}
    raw = deployment.project.environment.bucket("raw")
    if raw not in existing:
        location = {"LocationConstraint": "eu-west-1"}
        aws.client("s3").create_bucket(Bucket=raw, CreateBucketConfiguration=location)
        machine = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
        aws.client("stepfunctions").create_state_machine(
            name=deployment.state_machine, definition=json.dumps(machine), roleArn=ROLE
        )
    return CommandLine(aws, monkeypatch, capsys)


def test_the_command_line_goes_on_while_one_call_in_ten_is_throttled(
    aws: Aws, headwater: CommandLine, deployment: Deployment
) -> None:
    aws.own("faults", "POST", TEN_PERCENT)
    started = headwater("run", "--source", "fx_rates", "--as-of", "2024-05-06")["run_id"]
    assert started in {run["run_id"] for run in headwater("history")}
    streams = sum(len(source.streams) for source in deployment.project.sources.values())
    assert len(headwater("status")) == streams
    assert headwater("quarantine", "list") == []
    assert aws.own("faults")["faults"][0]["fired"] > 0


def test_a_command_survives_more_than_boto3_does_by_itself(
    aws: Aws, headwater: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.own("faults", "POST", {**FIVE_TIMES, "path": "ListExecutions"})
    headwater("history")
    for name in ("AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS"):
        monkeypatch.delenv(name)
    aws.own("faults", "POST", {**FIVE_TIMES, "path": "ListExecutions"})
    with pytest.raises(AssertionError, match="ThrottlingException"):
        headwater("history")


ENTRIES = [*ROOT.glob("lambdas/*/handler.py"), *ROOT.glob("glue_jobs/*.py")]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.parent.name}/{entry.stem}")
def test_every_entry_imports_what_has_boto3_try_again(entry: Path) -> None:
    assert "from headwater." in entry.read_text()


JOB = """
import os
for name in ("AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS"):
    # Glue sets none.
    os.environ.pop(name, None)
IMPORT
import types
import boto3
import botocore.endpoint
botocore.endpoint.time = types.SimpleNamespace(sleep=lambda seconds: None)
for number in range(50):
    boto3.client("s3").list_buckets()
print("databases", len(boto3.client("glue").get_databases()["DatabaseList"]))
"""


@pytest.mark.parametrize(("line", "state"), [("import headwater", "SUCCEEDED"), ("", "FAILED")])
def test_a_job_survives_more_than_boto3_does_by_itself_once_it_has_the_library(aws: Aws, line: str, state: str) -> None:
    library = aws.put("packages/library.zip", library_zip(ROOT))
    job = aws.job("throttled", JOB.replace("IMPORT", line), {"--extra-py-files": library})
    run = aws.start(job)
    aws.own("faults", "POST", {**FIVE_TIMES, "path": "glue.GetDatabases"})
    aws.own("faults", "POST", {"action": "throttle", "path": "^/$", "method": "GET", "rate": 0.1})
    ended = aws.ended(job, run)
    aws.own("faults", "DELETE")
    assert ended["JobRunState"] == state, aws.log(job, ended)
    assert state == "SUCCEEDED" or "ThrottlingException" in ended["ErrorMessage"]
