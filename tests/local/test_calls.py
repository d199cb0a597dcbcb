"""Recorded calls of the gateway: who, which action, on what."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.aws import Aws
from tests.support.waiting import wait_for

S3 = "arn:aws:s3:::"
PLACE = "eu-west-1:123456789012"
Does = Callable[[Any, str], Any]


@pytest.fixture
def calls(aws: Aws) -> Callable[[str], set[tuple[str, str, str | None]]]:
    """Returns action, resource and prefix of each call of a principal; none were made before the test."""
    aws.own("calls", "DELETE")

    def of(principal: str) -> set[tuple[str, str, str | None]]:
        found = aws.own("calls")["calls"]
        return {(call["action"], call["resource"], call["prefix"]) for call in found if call["principal"] == principal}

    return of


ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def name_of(role: str) -> str:
    return role.rpartition("/")[2]


@pytest.fixture
def person(aws: Aws) -> tuple[str, Any]:
    """A user who may do everything: the name, and its client of S3."""
    iam = aws.client("iam")
    name = f"person-{uuid.uuid4().hex[:6]}"
    iam.create_user(UserName=name)
    policy = json.dumps({"Version": "2012-10-17", "Statement": [ALL]})
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    session = boto3.session.Session(key["AccessKeyId"], key["SecretAccessKey"])
    return name, session.client("s3", endpoint_url=aws.endpoint, region_name="eu-west-1")


def test_a_job_is_told_by_its_role_whether_python_or_spark_calls(aws: Aws, calls: Any) -> None:
    script = """
import boto3, sys
from awsglue.context import GlueContext
from pyspark.context import SparkContext
bucket = sys.argv[sys.argv.index("--bucket") + 1]
boto3.client("s3").put_object(Bucket=bucket, Key="by/python", Body=b"1")
GlueContext(SparkContext.getOrCreate()).spark_session.range(3).write.parquet(f"s3://{bucket}/by/spark")
"""
    role = aws.role("teller", ALL)
    job = aws.job("teller", script, Role=role)
    run = aws.run(job, bucket=aws.bucket)
    assert run["JobRunState"] == "SUCCEEDED", run
    found = calls(name_of(role))
    # Glue reads the script with the job's own role.
    assert any(action == "s3:GetObject" and what.startswith(f"{S3}{aws.bucket}/scripts/") for action, what, _ in found)
    assert ("s3:PutObject", f"{S3}{aws.bucket}/by/python", None) in found
    assert ("s3:PutObject", f"{S3}{aws.bucket}/by/spark/_SUCCESS", None) in found
    assert ("s3:PutObject", f"{S3}{aws.bucket}/by/spark/#.parquet", None) in found
    assert ("s3:ListBucket", f"{S3}{aws.bucket}", "by/spark/") in found
    assert calls("test") >= {("glue:StartJobRun", f"arn:aws:glue:{PLACE}:job/{job}", None)}


def test_a_function_is_told_by_its_role(aws: Aws, calls: Any) -> None:
    secret = aws.client("secretsmanager").create_secret(Name="teller/secret", SecretString="{}")["ARN"]
    source = """
import boto3
def handler(event, context):
    client = boto3.client("secretsmanager")
    client.get_secret_value(SecretId=event["name"])
    client.get_secret_value(SecretId=event["arn"])
"""
    role = aws.role("teller", ALL)
    function = aws.function(source, Role=role)
    event = json.dumps({"name": "teller/secret", "arn": secret})
    aws.client("lambda").invoke(FunctionName=function, Payload=event)
    action = "secretsmanager:GetSecretValue"
    logged = f"arn:aws:logs:{PLACE}:log-group:/aws/lambda/{function}"
    assert calls(name_of(role)) == {
        (action, secret, None),
        ("logs:CreateLogGroup", logged, None),
        ("logs:CreateLogStream", f"{logged}:log-stream:#", None),
        ("logs:PutLogEvents", f"{logged}:log-stream:#", None),
    }
    assert ("lambda:InvokeFunction", f"arn:aws:lambda:{PLACE}:function:{function}", None) in calls("test")


def test_a_state_machine_is_told_apart_from_whoever_started_it(aws: Aws, calls: Any) -> None:
    function = aws.function("def handler(event, context): pass")
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": function},
        "End": True,
    }
    role = aws.role("machine", ALL)
    assert aws.executed({"StartAt": "Call", "States": {"Call": task}}, role=role)["status"] == "SUCCEEDED"
    invoked = ("lambda:InvokeFunction", f"arn:aws:lambda:{PLACE}:function:{function}", None)
    assert calls(name_of(role)) == {invoked}
    assert invoked not in calls("test")


def test_the_poller_of_a_queue_calls_as_the_function_that_it_feeds(aws: Aws, calls: Any) -> None:
    role = aws.role("polled", ALL)
    function = aws.function("def handler(event, context): pass", Role=role)
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="polled")["QueueUrl"]
    arn = f"arn:aws:sqs:{PLACE}:polled"
    aws.client("lambda").create_event_source_mapping(EventSourceArn=arn, FunctionName=function)
    sqs.send_message(QueueUrl=url, MessageBody="1")
    expected = {("sqs:ReceiveMessage", arn, None), ("sqs:DeleteMessage", arn, None)}
    wait_for(lambda: expected <= calls(name_of(role)))


def _upload(s3: Any, bucket: str, *, finish: bool) -> None:
    of = {"Bucket": bucket, "Key": "large"}
    of["UploadId"] = s3.create_multipart_upload(**of)["UploadId"]
    part = s3.upload_part(**of, PartNumber=1, Body=b"1")
    if finish:
        parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
        s3.complete_multipart_upload(**of, MultipartUpload={"Parts": parts})
    else:
        s3.abort_multipart_upload(**of)


@pytest.mark.parametrize(
    ("does", "expected"),
    [
        (lambda s3, b: s3.get_object(Bucket=b, Key="there"), {("GetObject", "/there", None)}),
        (lambda s3, b: s3.head_object(Bucket=b, Key="there"), {("GetObject", "/there", None)}),
        # Nobody who may not list a bucket is told that something is not in it.
        (
            lambda s3, b: s3.head_object(Bucket=b, Key="not there"),
            {("GetObject", "/not there", None), ("ListBucket", "", None)},
        ),
        (lambda s3, b: s3.list_objects_v2(Bucket=b, Prefix="a/00001/"), {("ListBucket", "", "a/#/")}),
        (lambda s3, b: s3.list_objects(Bucket=b, Prefix=""), {("ListBucket", "", "")}),
        (lambda s3, b: s3.list_objects_v2(Bucket=b), {("ListBucket", "", None)}),
        (lambda s3, b: s3.head_bucket(Bucket=b), {("ListBucket", "", None)}),
        (lambda s3, b: _upload(s3, b, finish=True), {("PutObject", "/large", None)}),
        (
            lambda s3, b: _upload(s3, b, finish=False),
            {("PutObject", "/large", None), ("AbortMultipartUpload", "/large", None)},
        ),
        (
            lambda s3, b: s3.copy_object(Bucket=b, Key="copy", CopySource={"Bucket": b, "Key": "there"}),
            {("PutObject", "/copy", None), ("GetObject", "/there", None)},
        ),
        (lambda s3, b: s3.delete_object(Bucket=b, Key="x"), {("DeleteObject", "/x", None)}),
        (
            lambda s3, b: s3.delete_objects(Bucket=b, Delete={"Objects": [{"Key": "a&b"}, {"Key": "c"}]}),
            {("DeleteObject", "/a&b", None), ("DeleteObject", "/c", None)},
        ),
    ],
)
def test_what_a_call_of_s3_needs(aws: Aws, calls: Any, person: tuple[str, Any], does: Does, expected: set[Any]) -> None:
    aws.put("there", b"1")
    with suppress(ClientError):
        does(person[1], aws.bucket)
    assert calls(person[0]) == {(f"s3:{action}", f"{S3}{aws.bucket}{key}", prefix) for action, key, prefix in expected}


def test_names_that_grow_with_the_data_are_told_once(aws: Aws, calls: Any, person: tuple[str, Any]) -> None:
    writer, s3 = person
    for number in range(3):
        s3.put_object(
            Bucket=aws.bucket, Key=f"s3_drops/orders/data/{number:09d}/3fa9b2c1d4e5/part-{number:05d}.jsonl.gz"
        )
    assert calls(writer) == {("s3:PutObject", f"{S3}{aws.bucket}/s3_drops/orders/data/#/#/#.gz", None)}


def test_calls_are_forgotten_on_demand(aws: Aws, calls: Any, person: tuple[str, Any]) -> None:
    writer, s3 = person
    s3.put_object(Bucket=aws.bucket, Key="x")
    assert calls(writer)
    assert aws.own("calls", "DELETE") == {"calls": []}
    assert not calls(writer)
