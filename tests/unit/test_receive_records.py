"""Records of Kinesis as raw batches: redelivery, two shards at once, poison, strangers."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headwater.config import Project
from headwater.deploy.entrances import Entrances
from headwater.ledger.bucket import Bucket
from headwater.ledger.positions import RecordsPosition, ShardsPosition
from headwater.ledger.raw import to_line
from headwater.ledger.stream import Ledger, StreamLedger
from headwater.ledger.untrusted import read_json
from headwater.open_project import OpenProject
from headwater.receive.records import MOST_TRIES, receive_records
from tests.support.kinesis import aggregate
from tests.support.poison import POISON

ARRIVED = datetime.now(UTC).replace(microsecond=500_000)


@pytest.fixture
def queued(ledger: Ledger) -> StreamLedger:
    return ledger.stream("kinesis", "web_events_queued")


ARNS: dict[str, str] = {}


def arn(project: Project, stream: str = "web_events") -> str:
    if not ARNS:
        derived = Entrances(project)
        ARNS.update({name: derived.record_stream("kinesis", name).arn for name in ("web_events", "web_events_queued")})
        ARNS["queue"] = next(queue.arn for queue in derived.queues() if queue.name.endswith("web_events_queued"))
    return ARNS[stream]


def record(project: Project, sequence: int, data: bytes | dict[str, Any], shard: int = 0) -> dict[str, Any]:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return {
        "eventSource": "aws:kinesis",
        "eventID": f"shardId-{shard:012d}:{sequence}",
        "eventSourceARN": arn(project),
        "kinesis": {
            "sequenceNumber": str(sequence),
            "partitionKey": "p",
            "approximateArrivalTimestamp": ARRIVED.timestamp(),
            "data": base64.b64encode(body).decode(),
        },
    }


def message(project: Project, number: int, body: dict[str, Any] | bytes | str) -> dict[str, Any]:
    if not isinstance(body, str):
        given = record(project, number, body)
        flat = {**given, **given["kinesis"], "eventSourceARN": arn(project, "web_events_queued")}
        body = json.dumps({name: value for name, value in flat.items() if name != "kinesis"})
    return {
        "eventSource": "aws:sqs",
        "messageId": f"message-{number}",
        "eventSourceARN": arn(project, "queue"),
        "body": body,
        "attributes": {"SentTimestamp": "1514764800500"},
    }


def receive(opened: OpenProject, *records: dict[str, Any]) -> list[str]:
    answer = receive_records(opened, {"Records": list(records)}, "r1", sleep=lambda _: None)
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def rows(stream: StreamLedger, batch: int) -> list[dict[str, Any]]:
    found = []
    for file in stream.manifest(batch).files:
        body = stream.bucket.read(file.key)
        assert body is not None
        found += [read_json(line) for line in gzip.decompress(body).decode().splitlines()]
    return found


def events(*numbers: int) -> list[dict[str, Any]]:
    return [{"event_id": f"e{number}"} for number in numbers]


def test_records_become_a_batch_whose_position_is_the_last_sequence_number_of_the_shard(
    opened: OpenProject, project: Project, web_events: StreamLedger
) -> None:
    assert receive(opened, record(project, 7, {"event_id": "a"}), record(project, 9, {"event_id": "b"})) == []
    latest = web_events.latest()
    assert latest is not None
    assert (latest.batch, latest.rows) == (1, 2)
    assert isinstance(latest.position_after, ShardsPosition)
    assert latest.position_after.shards["shardId-000000000000"].sequence == 9
    first = rows(web_events, 1)[0]
    assert (first["event_id"], first["_sequence"], first["_arrived_at"]) == (
        "a",
        "7",
        ARRIVED.isoformat(timespec="milliseconds"),
    )


def test_what_is_delivered_again_is_dropped(opened: OpenProject, project: Project, web_events: StreamLedger) -> None:
    given = [record(project, number, event) for number, event in enumerate(events(1, 2, 3), 1)]
    receive(opened, *given[:2])
    receive(opened, *given)
    assert [row["event_id"] for row in rows(web_events, 2)] == ["e3"]
    receive(opened, *given)
    latest = web_events.latest()
    assert latest is not None
    assert latest.batch == 2


def test_sequence_numbers_are_compared_as_numbers(
    opened: OpenProject, project: Project, web_events: StreamLedger
) -> None:
    receive(opened, record(project, 9, {"event_id": "a"}))
    receive(opened, record(project, 10, {"event_id": "b"}))
    assert [row["event_id"] for row in rows(web_events, 2)] == ["b"]


class OtherShard:
    """A bucket in which another shard's invocation commits just before this one does, a number of times."""

    def __init__(self, opened: OpenProject, project: Project, times: int) -> None:
        self.left = times
        self.sequence = 100
        self.opened = opened
        self.project = project
        self.bucket = opened.ledger.bucket
        rival = Bucket(self.bucket.s3, self.bucket.name)
        original = Bucket.create

        def create(bucket: Bucket, key: str, body: bytes) -> bool:
            if bucket is not rival and "/manifests/" in key and self.left:
                self.left -= 1
                self.sequence += 1
                other = OpenProject(project)
                vars(other)["ledger"] = Ledger(rival)
                receive(other, record(project, self.sequence, {"event_id": f"o{self.sequence}"}, shard=1))
            return original(bucket, key, body)

        self.create = create


def test_of_two_shards_at_once_both_are_stored_once(
    opened: OpenProject, project: Project, web_events: StreamLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bucket, "create", OtherShard(opened, project, 3).create)
    assert receive(opened, record(project, 1, {"event_id": "mine"})) == []
    found = [row["event_id"] for batch in range(1, 5) for row in rows(web_events, batch)]
    assert found == ["o101", "o102", "o103", "mine"]
    position = web_events.position()
    assert isinstance(position, ShardsPosition)
    assert {shard: str(last.sequence) for shard, last in position.shards.items()} == {
        "shardId-000000000000": "1",
        "shardId-000000000001": "103",
    }


def test_an_attempt_that_lost_leaves_no_files_behind(
    opened: OpenProject, project: Project, web_events: StreamLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bucket, "create", OtherShard(opened, project, 2).create)
    receive(opened, record(project, 1, {"event_id": "mine"}))
    stored = {key for key, _, _ in web_events.bucket.keys(f"{web_events.prefix}/data/")}
    assert stored == {file.key for batch in range(1, 4) for file in web_events.manifest(batch).files}


def test_who_never_gets_a_number_reports_every_record_as_failed(
    opened: OpenProject, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bucket, "create", OtherShard(opened, project, MOST_TRIES).create)
    assert receive(opened, record(project, 1, {}), record(project, 2, {})) == ["1", "2"]


def kept(row: dict[str, Any]) -> bytes:
    value: str = row.get("_value", "")
    return base64.b64decode(value) if row["_value_encoding"] == "base64" else value.encode()


@pytest.mark.parametrize("way", ["shard", "queue", "aggregates"])
def test_of_many_records_those_that_are_poison_have_their_reasons_and_all_others_arrive(
    opened: OpenProject, project: Project, web_events: StreamLedger, queued: StreamLedger, way: str
) -> None:
    data = [b'{"event_id":"e%d","amount":0.10}' % number for number in range(10_000)]
    poison = [*POISON]
    data[7::100] = [poison[number % len(poison)] for number in range(100)]
    if way == "aggregates":
        given = [record(project, n, aggregate(*data[at : at + 50])) for n, at in enumerate(range(0, len(data), 50), 1)]
    elif way == "queue":
        given = [message(project, number, body) for number, body in enumerate(data, 1)]
    else:
        given = [record(project, number, body) for number, body in enumerate(data, 1)]
    assert receive(opened, *given) == []
    found = rows(queued if way == "queue" else web_events, 1)
    assert len({row["_event_id"] for row in found}) == len(found) == len(data)
    for body, row in zip(data, found, strict=True):
        assert row.get("_problem") == POISON.get(body)
        assert (kept(row) if body in POISON else to_line(read_json(body.decode()))) == (
            body if body in POISON else to_line({name: row[name] for name in ("amount", "event_id")})
        )


def test_a_message_belongs_to_the_stream_of_its_queue_whatever_it_says(
    opened: OpenProject, project: Project, web_events: StreamLedger, queued: StreamLedger
) -> None:
    body = json.loads(message(project, 10**30, {"event_id": "e"})["body"])
    assert receive(opened, message(project, 1, json.dumps({**body, "eventSourceARN": arn(project)}))) == []
    assert web_events.latest() is None
    assert [row["event_id"] for row in rows(queued, 1)] == ["e"]


def test_numbers_stay_as_they_were_written(opened: OpenProject, project: Project, web_events: StreamLedger) -> None:
    receive(opened, record(project, 1, b'{"amount": 0.10000000000000000001}'))
    body = web_events.bucket.read(web_events.manifest(1).files[0].key)
    assert b"0.10000000000000000001" in gzip.decompress(body or b"")


def test_a_record_of_a_stream_that_is_not_declared_is_reported(opened: OpenProject, project: Project) -> None:
    stranger = {**record(project, 5, {}), "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/other"}
    assert receive(opened, stranger, record(project, 6, {})) == ["5"]


def test_messages_become_a_batch_and_the_position_counts_them(
    opened: OpenProject, project: Project, queued: StreamLedger
) -> None:
    assert receive(opened, *[message(project, n, event) for n, event in enumerate(events(1, 2), 1)]) == []
    receive(opened, message(project, 3, {"event_id": "e1"}))
    assert queued.position() == RecordsPosition(records=3)
    assert [row["event_id"] for row in rows(queued, 1)] == ["e1", "e2"]
    assert rows(queued, 2)[0]["_shard"] == "shardId-000000000000"


@pytest.mark.parametrize("body", ["hello", '{"hello": "world"}', "[1]", "null"])
def test_a_message_that_holds_no_record_is_a_row_with_its_problem(
    opened: OpenProject, project: Project, queued: StreamLedger, body: str
) -> None:
    assert receive(opened, message(project, 1, body)) == []
    [row] = rows(queued, 1)
    assert (row["_problem"], row["_value"], row["_event_id"]) == ("bad_row", body, "message-1")


def test_a_new_field_is_drift(opened: OpenProject, project: Project, web_events: StreamLedger) -> None:
    receive(opened, record(project, 1, {"event_id": "a"}))
    receive(opened, record(project, 2, {"event_id": "b", "colour": "blue"}))
    drift: Sequence[Any] = web_events.manifest(2).drift
    assert [(change.field, change.change) for change in drift] == [("colour", "new")]


def test_a_shard_that_has_been_silent_for_longer_than_kinesis_remembers_is_forgotten(
    opened: OpenProject, project: Project, web_events: StreamLedger
) -> None:
    old = record(project, 1, {"event_id": "a"}, shard=0)
    old["kinesis"]["approximateArrivalTimestamp"] = (ARRIVED - timedelta(days=400)).timestamp()
    receive(opened, old)
    receive(opened, record(project, 1, {"event_id": "b"}, shard=1))
    position = web_events.position()
    assert isinstance(position, ShardsPosition)
    assert list(position.shards) == ["shardId-000000000001"]
