"""Mappings and pipes from Kinesis and SQS; moto alone invokes within the put, one record at a time, and never again."""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.gateway.lambdas.event_sources import reported
from tests.support.aws import Aws
from tests.support.waiting import wait_for

# Notes every invocation in the bucket, and fails as the record's text asks.
NOTES = """
import base64, boto3, json, os, uuid, time
s3 = boto3.client("s3")
def handler(event, context):
    records = event["Records"]
    texts = [text_of(record) for record in records]
    begun = time.time()
    time.sleep(float(os.environ.get("SECONDS", "0")))
    note = {"texts": texts, "begun": begun, "ended": time.time(), "first": records[0]}
    s3.put_object(Bucket=os.environ["BUCKET"], Key=f"notes/{time.time_ns()}-{uuid.uuid4().hex}", Body=json.dumps(note))
    if "raise" in texts:
        raise RuntimeError("asked to")
    return {"batchItemFailures": [{"itemIdentifier": name_of(r)} for r, t in zip(records, texts) if t.startswith("fail")]}
def text_of(record):
    return record["body"] if "body" in record else base64.b64decode(record["kinesis"]["data"]).decode()
def name_of(record):
    return record.get("messageId") or record["kinesis"]["sequenceNumber"]
"""


class Route:
    """A stream or a queue, a function that notes what it got, and the mapping between them."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.name = f"source-{uuid.uuid4().hex[:8]}"
        self.mappings: list[str] = []

    def stream(self, shards: int = 1) -> str:
        self.aws.client("kinesis").create_stream(StreamName=self.name, ShardCount=shards)
        return f"arn:aws:kinesis:eu-west-1:123456789012:stream/{self.name}"

    def queue(self, name: str, **attributes: str) -> str:
        self.aws.client("sqs").create_queue(QueueName=f"{self.name}-{name}", Attributes=attributes)
        return f"arn:aws:sqs:eu-west-1:123456789012:{self.name}-{name}"

    def map(self, arn: str, seconds: str = "0", **settings: Any) -> str:
        variables = {"BUCKET": self.aws.bucket, "SECONDS": seconds}
        function = self.aws.function(NOTES, Environment={"Variables": variables}, Timeout=10)
        given = {"FunctionResponseTypes": ["ReportBatchItemFailures"], **settings}
        if ":kinesis:" in arn:
            given["StartingPosition"] = "TRIM_HORIZON"
        answer = self.aws.client("lambda").create_event_source_mapping(
            EventSourceArn=arn, FunctionName=function, **given
        )
        self.mappings.append(answer["UUID"])
        return str(answer["UUID"])

    def put(self, *texts: str, key: str = "one") -> None:
        records = [{"Data": text.encode(), "PartitionKey": key} for text in texts]
        self.aws.client("kinesis").put_records(StreamName=self.name, Records=records)

    def send(self, queue: str, *texts: str) -> None:
        url = self.aws.client("sqs").get_queue_url(QueueName=queue.rpartition(":")[2])["QueueUrl"]
        for text in texts:
            self.aws.client("sqs").send_message(QueueUrl=url, MessageBody=text)

    def notes(self) -> list[dict[str, Any]]:
        s3 = self.aws.client("s3")
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket=self.aws.bucket, Prefix="notes/").get("Contents", [])]
        return [json.load(s3.get_object(Bucket=self.aws.bucket, Key=key)["Body"]) for key in keys]

    def texts(self) -> list[list[str]]:
        return [note["texts"] for note in self.notes()]

    def wait_texts(self, seen: Callable[[list[list[str]]], bool]) -> list[list[str]]:
        wait_for(lambda: seen(self.texts()), 30)
        return self.texts()

    def letters(self, queue: str) -> list[str]:
        url = self.aws.client("sqs").get_queue_url(QueueName=queue.rpartition(":")[2])["QueueUrl"]
        found = self.aws.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
        return [message["Body"] for message in found.get("Messages", [])]


@pytest.fixture
def route(aws: Aws) -> Iterator[Route]:
    route = Route(aws)
    yield route
    for mapping in route.mappings:
        aws.client("lambda").delete_event_source_mapping(UUID=mapping)


def test_records_come_in_batches_and_in_order(route: Route) -> None:
    route.map(route.stream(), BatchSize=3, MaximumBatchingWindowInSeconds=1)
    route.put("a", "b", "c", "d")
    assert route.wait_texts(lambda texts: len(texts) == 2) == [["a", "b", "c"], ["d"]]
    first = route.notes()[0]["first"]
    assert first["eventSource"] == "aws:kinesis"
    assert first["eventID"].startswith("shardId-000000000000:")
    assert base64.b64decode(first["kinesis"]["data"]) == b"a"


def test_a_producer_does_not_wait_for_the_function(route: Route) -> None:
    route.map(route.stream(), seconds="2")
    began = time.monotonic()
    route.put("a")
    assert time.monotonic() - began < 1
    route.wait_texts(lambda texts: texts == [["a"]])


def test_shards_are_read_at_the_same_time(route: Route) -> None:
    route.map(route.stream(shards=2), seconds="1")
    route.put("left", key="one")
    route.put("right", key="a")
    route.wait_texts(lambda texts: len(texts) == 2)
    left, right = route.notes()
    assert max(left["begun"], right["begun"]) < min(left["ended"], right["ended"])


def test_a_shard_that_was_made_of_others_is_read_after_them_and_no_record_twice(route: Route) -> None:
    arn = route.stream(shards=2)
    kinesis = route.aws.client("kinesis")

    def shards() -> list[dict[str, Any]]:
        found = [s for s in kinesis.list_shards(StreamName=route.name)["Shards"] if s["ShardId"] not in closed]
        return sorted(found, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))

    # Of one key each record is in the one shard that had it at the time.
    closed: set[str] = set()
    texts = []
    for number, act in enumerate(["split 0", "merge 1", "merge 0", "split 0", "split 1", "merge 0"]):
        if number not in {1, 3, 4}:
            # A shard may also be closed before it has a record.
            texts += [f"{number}a", f"{number}b"]
            route.put(*texts[-2:])
        word, _, at = act.partition(" ")
        here = shards()[int(at) :]
        if word == "split":
            first, last = (int(here[0]["HashKeyRange"][end]) for end in ("StartingHashKey", "EndingHashKey"))
            middle = str((first + last) // 2)
            kinesis.split_shard(StreamName=route.name, ShardToSplit=here[0]["ShardId"], NewStartingHashKey=middle)
            closed.add(here[0]["ShardId"])
        else:
            pair = [shard["ShardId"] for shard in here[:2]]
            kinesis.merge_shards(StreamName=route.name, ShardToMerge=pair[0], AdjacentShardToMerge=pair[1])
            closed.update(pair)
    with pytest.raises(ClientError, match="has already been merged or split"):
        kinesis.split_shard(StreamName=route.name, ShardToSplit=min(closed), NewStartingHashKey="7")
    # The first batch takes its time, and whoever does not wait for it is ahead.
    route.map(arn, seconds="0.2", BatchSize=1)
    seen = route.wait_texts(lambda found: len(found) >= len(texts))
    assert [text for [text] in seen] == texts


def test_a_failed_item_is_tried_again_with_what_comes_after_it(route: Route) -> None:
    route.map(route.stream(), BatchSize=10, MaximumRetryAttempts=1, BisectBatchOnFunctionError=True)
    route.put("a", "fail", "b")
    texts = route.wait_texts(lambda texts: any(seen[-1] == "b" and "fail" not in seen for seen in texts))
    assert sum("a" in seen for seen in texts) == 1
    assert sum("fail" in seen for seen in texts) >= 2


def test_a_batch_that_raises_is_bisected_until_the_culprit_is_alone(route: Route) -> None:
    letters = route.queue("letters")
    route.map(
        route.stream(),
        BatchSize=10,
        MaximumRetryAttempts=1,
        BisectBatchOnFunctionError=True,
        DestinationConfig={"OnFailure": {"Destination": letters}},
        FunctionResponseTypes=[],
    )
    route.put("a", "b", "raise", "c")
    texts = route.wait_texts(lambda texts: texts[-1:] == [["c"]])
    assert ["raise"] in texts
    [letter] = wait_for(lambda: route.letters(letters))
    batch = json.loads(letter)["KinesisBatchInfo"]
    assert (batch["startSequenceNumber"], batch["batchSize"]) == ("3", 1)


def test_a_mapping_that_is_switched_off_reads_nothing_and_goes_on_where_it_stood(route: Route) -> None:
    mapping = route.map(route.stream())
    route.put("a")
    route.wait_texts(lambda texts: len(texts) == 1)
    route.aws.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=False)
    route.put("b")
    time.sleep(0.5)
    assert route.texts() == [["a"]]
    route.aws.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=True)
    route.wait_texts(lambda texts: texts == [["a"], ["b"]])


def test_messages_come_in_a_batch_and_are_deleted(route: Route) -> None:
    queue = route.queue("queue", VisibilityTimeout="10")
    route.map(queue, BatchSize=10, MaximumBatchingWindowInSeconds=1)
    route.send(queue, "a", "b", "c")
    [texts] = route.wait_texts(lambda texts: len(texts) == 1)
    assert sorted(texts) == ["a", "b", "c"]
    assert route.notes()[0]["first"]["attributes"]["ApproximateReceiveCount"] == "1"
    url = route.aws.client("sqs").get_queue_url(QueueName=queue.rpartition(":")[2])["QueueUrl"]

    def left() -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = route.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(number) for number in found.values())

    wait_for(lambda: left() == 0)


def test_a_message_that_keeps_failing_ends_in_the_dead_letter_queue_and_the_others_do_not(route: Route) -> None:
    letters = route.queue("letters")
    policy = json.dumps({"deadLetterTargetArn": letters, "maxReceiveCount": 2})
    queue = route.queue("queue", VisibilityTimeout="5", RedrivePolicy=policy)
    function = route.aws.function(NOTES, Timeout=5, Environment={"Variables": {"BUCKET": route.aws.bucket}})
    answer = route.aws.client("lambda").create_event_source_mapping(
        EventSourceArn=queue, FunctionName=function, FunctionResponseTypes=["ReportBatchItemFailures"]
    )
    route.mappings.append(answer["UUID"])
    route.send(queue, "good", "fail always")
    assert wait_for(lambda: route.letters(letters), 30) == ["fail always"]
    texts = [text for seen in route.texts() for text in seen]
    assert (texts.count("good"), texts.count("fail always")) == (1, 2)


def test_a_queue_that_hides_messages_for_less_than_the_function_may_take_is_refused(route: Route) -> None:
    with pytest.raises(ClientError, match="less than Function timeout"):
        route.map(route.queue("queue", VisibilityTimeout="5"))


def test_a_pipe_takes_records_of_a_stream_to_a_queue(route: Route) -> None:
    stream, queue = route.stream(), route.queue("queue", VisibilityTimeout="30")
    pipes = route.aws.client("pipes")
    pipes.create_pipe(
        Name=route.name,
        RoleArn="arn:aws:iam::123456789012:role/headwater-local",
        Source=stream,
        Target=queue,
        SourceParameters={"KinesisStreamParameters": {"StartingPosition": "TRIM_HORIZON", "BatchSize": 10}},
    )
    route.put("a", "b")
    bodies: list[dict[str, Any]] = []

    def look() -> bool:
        bodies.extend(json.loads(body) for body in route.letters(queue))
        return len(bodies) >= 2

    wait_for(look, 30)
    assert sorted(base64.b64decode(body["data"]) for body in bodies) == [b"a", b"b"]
    assert {body["eventSourceARN"] for body in bodies} == {stream}
    pipes.delete_pipe(Name=route.name)


def test_every_record_of_many_producers_has_a_number_of_its_own(route: Route) -> None:
    route.stream()
    threads = [threading.Thread(target=route.put, args=[f"{n}-{k}" for k in range(25)]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kinesis = route.aws.client("kinesis")
    place = kinesis.get_shard_iterator(
        StreamName=route.name, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )
    records = kinesis.get_records(ShardIterator=place["ShardIterator"], Limit=1000)["Records"]
    assert len(records) == len({record["SequenceNumber"] for record in records}) == 200


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (None, []),
        ({}, []),
        ({"batchItemFailures": []}, []),
        ({"batchItemFailures": None}, []),
        ({"batchItemFailures": [{"itemIdentifier": "2"}]}, ["2"]),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, ["1", "2"]),
        ({"batchItemFailures": [{"itemIdentifier": "9"}]}, ["1", "2"]),
    ],
)
def test_a_partial_batch_response_is_read_as_aws_reads_it(answer: Any, failed: list[str]) -> None:
    assert sorted(reported(json.dumps(answer).encode(), frozenset({"1", "2"}))) == failed
