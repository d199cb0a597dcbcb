"""Services throttle, each with its own code, at the rate that a test sets, and what calls them goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from headwater.deploy.deployment import Deployment
from headwater.deploy.project import load_project
from local.gateway.server import REPOSITORY as ROOT
from tests.support.aws import Aws

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
    source = (
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
    state = json.loads(Deployment(load_project(ROOT, "local"), ROOT).definition())["States"]["GrantTables"]
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
