"""Conditional writes whose replies are lost, refused or crossed by others: each writer knows whether it has won."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headwater.config import Project
from headwater.deploy.entrances import Entrances
from headwater.errors import LedgerError
from headwater.ledger import bucket as bucket_module
from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import Book, CheckResult, Decision, Verdict
from headwater.ledger.lease import Lease, take_lease
from headwater.ledger.stream import Ledger
from headwater.open_project import OpenProject
from headwater.receive.records import receive_records
from tests.support.faulty_s3 import FAULTS, Fault, FaultyS3

ARRIVED = datetime.now(UTC)
SEVERAL = settings(
    max_examples=300,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
faults = st.lists(st.sampled_from([None, None, *FAULTS]), max_size=30)


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_module, "_CONFLICT_WAITS", (0.0,) * 3)


def bucket_of(s3: FaultyS3) -> Bucket:
    return Bucket(cast("Any", s3), "raw")


def no_more(given: list[Fault | None]) -> Iterator[Fault | None]:
    return chain(given, repeat(None))


@SEVERAL
@example(given=["lost_reply"], writers=1)
@example(given=["late"], writers=1)
@example(given=["conflict"], writers=2)
@given(given=faults, writers=st.integers(1, 4))
def test_of_many_writers_just_one_believes_that_it_has_won_and_its_object_is_there(
    given: list[Fault | None], writers: int
) -> None:
    waiting = list(range(writers))
    believed: dict[int, bool] = {}

    def write() -> None:
        if waiting:
            number = waiting.pop()
            with suppress(ClientError, LedgerError):
                believed[number] = bucket_of(s3).create("key", b"%d" % number)

    s3 = FaultyS3(no_more(given), write)
    while waiting:
        write()
    won = [number for number, has_won in believed.items() if has_won]
    there = s3.objects.get("key")
    assert all(there == b"%d" % number for number in won)
    # Who knows nothing may be the one whose object is there.
    assert len(won) == 1 or len(believed) < writers
    assert there is not None or not believed


class Shop:
    """The ledger of a project on an S3 that goes wrong."""

    def __init__(self, project: Project, given: list[Fault | None]) -> None:
        self.s3 = FaultyS3(no_more(given))
        self.opened = OpenProject(project)
        vars(self.opened)["ledger"] = Ledger(bucket_of(self.s3))
        self.stream = self.opened.ledger.stream("kinesis", "web_events")
        self.arn = Entrances(project).record_stream("kinesis", "web_events").arn

    def record(self, shard: int, number: int) -> dict[str, Any]:
        event = f"shardId-{shard:012d}:{number}"
        data = base64.b64encode(json.dumps({"event_id": event}).encode()).decode()
        kinesis = {"sequenceNumber": str(number), "partitionKey": "p", "data": data}
        kinesis["approximateArrivalTimestamp"] = cast("Any", ARRIVED.timestamp())
        return {"eventSource": "aws:kinesis", "eventID": event, "eventSourceARN": self.arn, "kinesis": kinesis}

    def received(self) -> Counter[str]:
        """The events in the files that manifests name."""
        found: Counter[str] = Counter()
        latest = self.stream.latest()
        for batch in range(1, latest.batch + 1 if latest else 1):
            manifest = self.stream.manifest(batch)
            assert {file.key for file in manifest.files} <= self.s3.objects.keys()
            lines = [
                line for file in manifest.files for line in gzip.decompress(self.s3.objects[file.key]).splitlines()
            ]
            assert len(lines) == manifest.rows
            found += Counter(json.loads(line)["event_id"] for line in lines)
        return found


@settings(SEVERAL, max_examples=150)
@example(given=[None, None, "lost_reply"], shards=1)
@example(given=[None, None, "broken_off"], shards=1)
@given(given=faults, shards=st.integers(1, 3))
def test_no_record_is_lost_or_doubled_and_none_is_acknowledged_that_is_in_no_manifest(
    project: Project, given: list[Fault | None], shards: int
) -> None:
    shop = Shop(project, given)
    given_to = {shard: [shop.record(shard, number) for number in range(1, 7)] for shard in range(shards)}
    busy: set[int] = set()

    def invoke(shard: int) -> None:
        """Hands a shard's next two records over, as Lambda does: again, unless they are acknowledged."""
        records = given_to[shard][:2]
        busy.add(shard)
        try:
            answer = receive_records(shop.opened, {"Records": records}, "r", sleep=lambda _: None)
        except (ClientError, LedgerError):
            return
        finally:
            busy.discard(shard)
        if not answer["batchItemFailures"]:
            del given_to[shard][:2]
            assert {record["eventID"] for record in records} <= set(shop.received())

    def rival() -> None:
        for shard, records in given_to.items():
            if records and shard not in busy:
                invoke(shard)
                return

    shop.s3.rival = rival
    while any(given_to.values()):
        for shard, records in given_to.items():
            if records:
                invoke(shard)
    assert shop.received() == Counter(
        f"shardId-{shard:012d}:{number}" for shard in range(shards) for number in range(1, 7)
    )


@SEVERAL
@example(given=["lost_reply"])
@given(given=st.lists(st.sampled_from([None, "lost_reply", "late", "conflict"]), max_size=6))
def test_a_writer_alone_never_hears_that_another_was_first(given: list[Fault | None]) -> None:
    s3 = FaultyS3(no_more(given))
    stream = Ledger(bucket_of(s3)).stream("shop", "orders")
    named = {"source": "shop", "stream": "orders", "batch": 1, "run_id": "r"}
    halt = Verdict(**named, verdict="halt", rows=1, checks=(CheckResult(check="c", level="halt", passed=False),))
    counts = {"silver_inserted": 1, "silver_updated": 0, "unchanged": 0, "quarantined": 0, "duplicates": 0}
    steps = [
        lambda: stream.judge(halt) == halt,
        lambda: stream.decide(Decision(batch=1, decision="release", reason="known", by="me", at=ARRIVED)) is None,
        lambda: stream.close(Book(**named, extracted=1, **counts)) is None,
        lambda: take_lease(stream.bucket, "run", "job", "run-1", lambda *_: False) == Lease(stream.bucket, "run", 1),
    ]
    for step in steps:
        try:
            assert step()
        except LedgerError as error:
            if "other writes were going on" not in str(error):
                pytest.fail(str(error))
