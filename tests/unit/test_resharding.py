"""Kinesis streams that are split, merged and delivered in another way while they are read: nothing is lost, doubled or out of order."""

from __future__ import annotations

import base64
import gzip
import json
import uuid
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headwater.config import DirectDelivery, KinesisStream, Project, QueueDelivery
from headwater.ledger.bucket import Bucket
from headwater.ledger.positions import RecordsPosition, ShardsPosition
from headwater.ledger.stream import Ledger
from headwater.open_project import OpenProject
from headwater.receive.records import receive_records

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEYS = 16
NOW = datetime.now(UTC)


@dataclass
class Shard:
    """The records of some keys; the numbers of two shards say nothing of each other."""

    keys: range
    parents: tuple[str, ...] = ()
    records: list[tuple[int, int, str]] = field(default_factory=list)
    is_open: bool = True
    done: int = 0


@dataclass
class Stream:
    """A stream as AWS has it: its mapping reads a shard when what it was made of has been read, and may deliver anything again."""

    opened: OpenProject
    shards: dict[str, Shard] = field(default_factory=lambda: {"shardId-0": Shard(range(KEYS))})
    queue: list[tuple[str, int, int, str]] = field(default_factory=list)
    put: list[tuple[int, str]] = field(default_factory=list)

    @property
    def declared(self) -> KinesisStream:
        stream = self.opened.project.source("kinesis").streams["web_events"]
        assert isinstance(stream, KinesisStream)
        return stream

    @property
    def is_queued(self) -> bool:
        return isinstance(self.declared.delivery, QueueDelivery)

    def add(self, key: int) -> None:
        event = f"e{len(self.put)}"
        self.put.append((key, event))
        [shard] = [shard for shard in self.shards.values() if shard.is_open and key in shard.keys]
        last = shard.records[-1][0] if shard.records else 7 * shard.keys.start
        shard.records.append((last + 1, key, event))

    def split(self, choice: int) -> None:
        open_ = [(name, shard) for name, shard in self.shards.items() if shard.is_open and len(shard.keys) > 1]
        if open_:
            name, shard = open_[choice % len(open_)]
            shard.is_open = False
            middle = len(shard.keys) // 2
            for keys in (shard.keys[:middle], shard.keys[middle:]):
                self.shards[f"shardId-{len(self.shards)}"] = Shard(keys, (name,))

    def merge(self, choice: int) -> None:
        open_ = sorted(
            ((name, shard) for name, shard in self.shards.items() if shard.is_open), key=lambda each: each[1].keys.start
        )
        if len(open_) > 1:
            (left, one), (right, other) = open_[choice % (len(open_) - 1) :][:2]
            one.is_open = other.is_open = False
            keys = range(one.keys.start, other.keys.stop)
            self.shards[f"shardId-{len(self.shards)}"] = Shard(keys, (left, right))

    def has_ended(self, name: str) -> bool:
        shard = self.shards[name]
        return shard.done == len(shard.records) and all(map(self.has_ended, shard.parents))

    def ready(self) -> list[str]:
        return [
            name
            for name, shard in self.shards.items()
            if shard.done < len(shard.records) and all(map(self.has_ended, shard.parents))
        ]

    def deliver(self, choice: int, size: int, *, again: bool) -> None:
        """Hands on some records of a shard, or of the queue; `again` if whoever took them dies before saying so."""
        if self.is_queued and self.queue and choice % 2:
            # In no order.
            taken = sorted(self.queue, key=lambda each: zlib.crc32(f"{each}{choice}".encode()))[:size]
            self.receive([message(self.opened.project, *each) for each in taken])
            self.queue = self.queue if again else [each for each in self.queue if each not in taken]
            return
        ready = self.ready()
        if not ready:
            return
        name = ready[choice % len(ready)]
        shard = self.shards[name]
        records = [(name, *record) for record in shard.records[shard.done : shard.done + size]]
        if self.is_queued:
            self.queue += records
        else:
            self.receive([record(self.opened.project, *each) for each in records])
        shard.done += 0 if again else len(records)

    def receive(self, records: Sequence[dict[str, Any]]) -> None:
        answer = receive_records(self.opened, {"Records": records}, "r1", sleep=lambda _: None)
        assert answer == {"batchItemFailures": []}

    def change(self) -> None:
        """Delivers in the other way from now on, by a new mapping: it begins with the oldest record that is there."""
        delivery = DirectDelivery() if self.is_queued else QueueDelivery(kind="queue")
        source = self.opened.project.source("kinesis")
        stream = self.declared.model_copy(update={"delivery": delivery})
        changed = source.model_copy(update={"streams": {**source.streams, "web_events": stream}})
        sources = {**self.opened.project.sources, "kinesis": changed}
        ledger = self.opened.ledger
        self.opened = OpenProject(self.opened.project.model_copy(update={"sources": sources}))
        self.opened.__dict__["ledger"] = ledger
        self.queue.clear()
        for shard in self.shards.values():
            shard.done = 0

    def drain(self) -> None:
        while self.ready() or self.queue:
            for choice in (0, 1):
                self.deliver(choice, 100, again=False)

    def stored(self) -> list[dict[str, Any]]:
        ledger, found = self.opened.ledger.stream("kinesis", "web_events"), []
        latest = ledger.latest()
        for batch in range(1, latest.batch + 1 if latest else 1):
            for file in ledger.manifest(batch).files:
                body = ledger.bucket.read(file.key)
                assert body is not None
                found += [json.loads(line) for line in gzip.decompress(body).decode().split("\n") if line]
        return found


def record(project: Project, shard: str, sequence: int, key: int, event: str, at: datetime = NOW) -> dict[str, Any]:
    own = project.environment
    return {
        "eventSource": "aws:kinesis",
        "eventID": f"{shard}:{sequence}",
        "eventSourceARN": own.arn("kinesis", f"stream/{own.record_stream('kinesis', 'web_events')}"),
        "kinesis": {
            "sequenceNumber": str(sequence),
            "partitionKey": str(key),
            "approximateArrivalTimestamp": at.timestamp(),
            "data": base64.b64encode(json.dumps({"event_id": event}).encode()).decode(),
        },
    }


def message(project: Project, shard: str, sequence: int, key: int, event: str) -> dict[str, Any]:
    found = record(project, shard, sequence, key, event)
    own = project.environment
    return {
        "eventSource": "aws:sqs",
        "messageId": f"{shard}-{sequence}",
        "eventSourceARN": own.arn("sqs", own.record_stream("kinesis", "web_events")),
        "body": json.dumps({**found, **found["kinesis"]}),
        "attributes": {"SentTimestamp": "1514764800500"},
    }


Happened = Callable[[Sequence[tuple[Any, ...]]], Stream]
CHOICES = st.integers(0, 99)
ACTS = st.one_of(
    st.tuples(st.just("add"), st.integers(0, KEYS - 1)),
    st.tuples(st.just("split"), CHOICES),
    st.tuples(st.just("merge"), CHOICES),
    st.tuples(st.just("deliver"), CHOICES, st.integers(1, 4), st.booleans()),
)
DRAWN = settings(
    max_examples=8,
    phases=[Phase.generate],
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def happened(s3: S3Client, project: Project) -> Happened:
    """Makes a stream of its own go through some acts, and delivers all that is left."""

    def happen(acts: Sequence[tuple[Any, ...]]) -> Stream:
        bucket = f"raw-{uuid.uuid4().hex}"
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        opened = OpenProject(project)
        opened.__dict__["ledger"] = Ledger(Bucket(s3, bucket))
        stream = Stream(opened)
        for act, *told in acts:
            if act == "deliver":
                stream.deliver(*told[:2], again=told[2])
            else:
                getattr(stream, act)(*told)
        stream.drain()
        return stream

    return happen


@DRAWN
@given(acts=st.lists(ACTS, min_size=20, max_size=40))
def test_however_shards_are_split_and_merged_each_record_is_stored_once_and_those_of_a_key_in_order(
    happened: Happened, acts: list[tuple[Any, ...]]
) -> None:
    stream = happened(acts)
    rows = stream.stored()
    assert sorted(row["event_id"] for row in rows) == sorted(event for _, event in stream.put)
    for key in range(KEYS):
        found = [row["event_id"] for row in rows if row["_partition_key"] == str(key)]
        assert found == [event for of, event in stream.put if of == key]
    position = stream.opened.ledger.stream("kinesis", "web_events").position()
    places = position.shards if isinstance(position, ShardsPosition) else {}
    assert {name: place.sequence for name, place in places.items()} == {
        name: shard.records[-1][0] for name, shard in stream.shards.items() if shard.records
    }


@DRAWN
@given(acts=st.lists(st.one_of(ACTS, st.tuples(st.just("change"))), min_size=20, max_size=40))
def test_a_stream_that_comes_in_another_way_goes_on_and_nothing_is_lost(
    happened: Happened, acts: list[tuple[Any, ...]]
) -> None:
    stream = happened([*acts, ("change",), ("add", 3)])
    rows = stream.stored()
    # What comes a second time is the same event, by which silver knows it.
    assert {(row["_event_id"], row["event_id"]) for row in rows} == {
        (f"{name}:{number}", event) for name, shard in stream.shards.items() for number, _, event in shard.records
    }
    position = stream.opened.ledger.stream("kinesis", "web_events").position()
    assert isinstance(position, RecordsPosition if stream.is_queued else ShardsPosition)


@pytest.mark.parametrize(("hours", "is_kept"), [(167, True), (191, True), (193, False)])
def test_a_shard_keeps_its_place_as_long_as_its_records_may_come_again(
    happened: Happened, hours: int, is_kept: bool
) -> None:
    stream = happened([])
    assert stream.declared.retention_hours == 168
    for name, at in (("closed", NOW - timedelta(hours=hours)), ("open", NOW)):
        stream.receive([record(stream.opened.project, name, 1, 1, name, at)])
    position = stream.opened.ledger.stream("kinesis", "web_events").position()
    assert isinstance(position, ShardsPosition)
    assert position.shards.keys() == ({"closed", "open"} if is_kept else {"open"})
