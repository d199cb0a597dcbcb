"""S3 notifications through EventBridge, and HTTP APIs, both ending in functions; moto drops the one and lacks the other."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.aws import Aws
from tests.support.waiting import wait_for

NOTES = """
import boto3, json, os, uuid
s3 = boto3.client("s3")
def handler(event, context):
    key = f"notes/{uuid.uuid4().hex}"
    s3.put_object(Bucket=os.environ["BUCKET"], Key=key, Body=json.dumps(event))
    number = s3.list_objects_v2(Bucket=os.environ["BUCKET"], Prefix="notes/")["KeyCount"]
    if number <= int(os.environ.get("FAILURES", "0")):
        raise RuntimeError("not yet")
"""
ECHO = """
import json
def handler(event, context):
    asked = event.get("queryStringParameters", {})
    if asked.get("raise"):
        raise RuntimeError("asked to")
    if asked.get("plain"):
        return {"plain": True}
    return {"statusCode": 202, "headers": {"Content-Type": "application/json"}, "body": json.dumps(event)}
"""


class Drops:
    """A bucket whose uploads a rule sends to a function."""

    def __init__(self, aws: Aws, **variables: str) -> None:
        self.aws = aws
        self.rule = f"rule-{uuid.uuid4().hex[:8]}"
        self.landing = f"landing-{uuid.uuid4().hex[:8]}"
        s3, events = aws.client("s3"), aws.client("events")
        s3.create_bucket(Bucket=self.landing, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_bucket_notification_configuration(
            Bucket=self.landing, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        function = aws.function(NOTES, Environment={"Variables": {"BUCKET": aws.bucket, **variables}})
        arn = aws.client("lambda").get_function(FunctionName=function)["Configuration"]["FunctionArn"]
        pattern = {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": [self.landing]}, "object": {"key": [{"prefix": "in/"}]}},
        }
        events.put_rule(Name=self.rule, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=self.rule, Targets=[{"Id": "function", "Arn": arn}])

    def put(self, key: str) -> None:
        self.aws.client("s3").put_object(Bucket=self.landing, Key=key, Body=b"x")

    def notes(self) -> list[dict[str, Any]]:
        s3 = self.aws.client("s3")
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket=self.aws.bucket, Prefix="notes/").get("Contents", [])]
        return [json.load(s3.get_object(Bucket=self.aws.bucket, Key=key)["Body"]) for key in keys]


def test_an_upload_that_a_rule_matches_reaches_the_function_in_the_form_of_aws(aws: Aws) -> None:
    drops = Drops(aws)
    drops.put("elsewhere/file.csv")
    drops.put("in/a file.csv")
    [event] = wait_for(drops.notes)
    found = event["detail"]["object"]
    assert (found["key"], found["size"]) == ("in/a file.csv", 1)
    assert found["etag"] == "9dd4e461268c8034f5c8564e155c67a6"
    assert event["detail"]["reason"] == "PutObject"
    assert event["time"].endswith("Z")


def test_a_rule_that_is_switched_off_tells_nobody(aws: Aws) -> None:
    drops = Drops(aws)
    aws.client("events").disable_rule(Name=drops.rule)
    drops.put("in/1")
    aws.client("events").enable_rule(Name=drops.rule)
    drops.put("in/2")
    wait_for(drops.notes)
    assert [event["detail"]["object"]["key"] for event in drops.notes()] == ["in/2"]


def test_an_event_is_delivered_again_when_the_function_fails(aws: Aws) -> None:
    drops = Drops(aws, FAILURES="2")
    drops.put("in/1")
    wait_for(lambda: len(drops.notes()) == 3)
    assert len({event["id"] for event in drops.notes()}) == 1


def test_put_events_reaches_a_function_too(aws: Aws) -> None:
    drops = Drops(aws)
    detail = json.dumps({"bucket": {"name": drops.landing}, "object": {"key": "in/told"}})
    entry = {"Source": "aws.s3", "DetailType": "Object Created", "Detail": detail}
    aws.client("events").put_events(Entries=[entry])
    [event] = wait_for(drops.notes)
    assert event["detail"]["object"]["key"] == "in/told"


def test_a_queue_that_lets_the_rule_in_gets_the_whole_event(aws: Aws) -> None:
    drops = Drops(aws)
    name = f"queue-{uuid.uuid4().hex[:8]}"
    arn = f"arn:aws:sqs:eu-west-1:123456789012:{name}"
    source = {"ArnEquals": {"aws:SourceArn": f"arn:aws:events:eu-west-1:123456789012:rule/{drops.rule}"}}
    sender = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [sender | {"Resource": arn, "Condition": source}]})
    url = aws.client("sqs").create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]
    closed = aws.client("sqs").create_queue(QueueName=f"{name}-closed")["QueueUrl"]
    aws.client("events").put_targets(Rule=drops.rule, Targets=[{"Id": "closed", "Arn": f"{arn}-closed"}])
    aws.client("events").put_targets(Rule=drops.rule, Targets=[{"Id": "queue", "Arn": arn}])
    drops.put("in/1")
    [message] = wait_for(lambda: aws.client("sqs").receive_message(QueueUrl=url).get("Messages"))
    event = json.loads(message["Body"])
    assert (event["source"], event["account"], event["detail"]["object"]["key"]) == ("aws.s3", "123456789012", "in/1")
    assert len(wait_for(drops.notes)) == 1
    # A queue whose policy lets nobody in gets nothing.
    assert "Messages" not in aws.client("sqs").receive_message(QueueUrl=closed)


@pytest.fixture
def api(aws: Aws) -> Iterator[str]:
    client = aws.client("apigatewayv2")
    function = aws.function(ECHO)
    arn = aws.client("lambda").get_function(FunctionName=function)["Configuration"]["FunctionArn"]
    api_id = client.create_api(Name="echo", ProtocolType="HTTP")["ApiId"]
    integration = client.create_integration(
        ApiId=api_id, IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    for route in ("POST /events/{stream}", "GET /files/{path+}", "GET /files/list"):
        client.create_route(ApiId=api_id, RouteKey=route, Target=f"integrations/{integration}")
    client.create_stage(ApiId=api_id, StageName="$default", AutoDeploy=True)
    yield f"{aws.endpoint}/_aws/execute-api/{api_id}"
    client.delete_api(ApiId=api_id)


def test_a_request_reaches_the_function_of_its_route_and_the_answer_comes_back(api: str) -> None:
    answer = requests.post(
        f"{api}/events/orders?colour=blue&colour=green",
        data='{"n": 1}',
        headers={"Content-Type": "application/json", "X-Api-Key": "k"},
        timeout=10,
    )
    event = answer.json()
    assert answer.status_code == 202
    assert event["routeKey"] == "POST /events/{stream}"
    assert event["pathParameters"] == {"stream": "orders"}
    assert (event["headers"]["x-api-key"], event["headers"]["content-type"]) == ("k", "application/json")
    assert (event["body"], event["isBase64Encoded"]) == ('{"n": 1}', False)
    assert event["queryStringParameters"] == {"colour": "blue,green"}
    assert event["requestContext"]["http"]["method"] == "POST"


def test_a_body_that_is_no_text_is_base64(api: str) -> None:
    event = requests.post(f"{api}/events/x", data=b"\xff\x00", timeout=10).json()
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"\xff\x00"


def test_the_most_specific_route_answers(api: str) -> None:
    assert requests.get(f"{api}/files/list", timeout=10).json()["routeKey"] == "GET /files/list"
    event = requests.get(f"{api}/files/a/b%20c", timeout=10).json()
    assert event["pathParameters"] == {"path": "a/b c"}


def test_what_api_gateway_answers_by_itself(api: str) -> None:
    def answer(method: str, path: str, **given: Any) -> tuple[int, Any]:
        found = requests.request(method, f"{api}{path}", timeout=20, **given)
        return found.status_code, found.json()

    assert answer("PUT", "/events/x") == (404, {"message": "Not Found"})
    assert answer("POST", "/events/x?raise=1") == (500, {"message": "Internal Server Error"})
    assert answer("POST", "/events/x", data=b"x" * (10 * 1024 * 1024 + 1))[0] == 413
    assert answer("POST", "/events/x?plain=1") == (200, {"plain": True})


def test_an_api_is_reached_by_its_host_name_too(aws: Aws, api: str) -> None:
    host = f"{api.rpartition('/')[2]}.execute-api.localhost.localstack.cloud"
    answer = requests.post(f"{aws.endpoint}/events/x", headers={"Host": host}, timeout=10)
    assert answer.status_code == 202
