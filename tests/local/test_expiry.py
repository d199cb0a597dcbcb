"""What AWS lets expire does so on the gateway's clock: hidden messages, iterators, sessions of roles."""

from __future__ import annotations

import uuid

import pytest
from botocore.exceptions import ClientError

from tests.support.aws import Aws, assumed, person_role


@pytest.fixture
def held(aws: Aws) -> Aws:
    """The gateway with its clock held."""
    aws.own("clock", "POST", {"pace": "held"})
    return aws


def test_a_message_shows_again_after_its_visibility_timeout_and_not_before(held: Aws) -> None:
    sqs = held.client("sqs")
    queue = sqs.create_queue(QueueName=f"hidden-{uuid.uuid4().hex[:6]}", Attributes={"VisibilityTimeout": "600"})
    url = queue["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="1")
    assert len(sqs.receive_message(QueueUrl=url)["Messages"]) == 1
    held.moved(599)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    held.moved(2)
    assert len(sqs.receive_message(QueueUrl=url).get("Messages", [])) == 1


def test_an_iterator_expires_after_five_minutes(held: Aws) -> None:
    kinesis, name = held.client("kinesis"), f"stream-{uuid.uuid4().hex[:6]}"
    kinesis.create_stream(StreamName=name, ShardCount=1)
    shard = kinesis.list_shards(StreamName=name)["Shards"][0]["ShardId"]
    made = kinesis.get_shard_iterator(StreamName=name, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    kinesis.put_record(StreamName=name, Data=b"1", PartitionKey="1")
    held.moved(300)
    following = kinesis.get_records(ShardIterator=made)
    assert len(following["Records"]) == 1
    held.moved(1)
    with pytest.raises(kinesis.exceptions.ExpiredIteratorException):
        kinesis.get_records(ShardIterator=made)
    assert kinesis.get_records(ShardIterator=following["NextShardIterator"])["Records"] == []


@pytest.mark.parametrize(
    ("service", "method", "code"),
    [
        ("s3", "list_buckets", "ExpiredToken"),
        ("glue", "get_databases", "ExpiredTokenException"),
        ("iam", "list_roles", "ExpiredToken"),
    ],
)
def test_a_session_ends_after_its_hour(held: Aws, service: str, method: str, code: str) -> None:
    client = assumed(held, person_role(held, {"Effect": "Allow", "Action": "*", "Resource": "*"}), service)
    told = []
    for seconds in (3599, 1):
        held.moved(seconds)
        try:
            getattr(client, method)()
            told.append("answers")
        except ClientError as error:
            told.append(error.response["Error"]["Code"])
    assert told == ["answers", code]
