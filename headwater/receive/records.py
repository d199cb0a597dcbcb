"""What the Lambda `receive_records` decides: records of a Kinesis stream become one raw batch, committed through the ledger.

Records come from the shards themselves, or through a pipe and a queue. From a shard the position is its last sequence number, and
what comes again at or below it is dropped; a queue has no order, so silver removes duplicates by key. A record whose data
cannot be read becomes a row all the same, with its problem, so no record can hold up those behind it. What Kinesis's producer library
has put together into one record is taken apart.

A shard that has been split or merged keeps its place as long as its records may come again. Where a stream comes in another way than
before, it is read from the oldest record that Kinesis has, and silver recognises what was there already.

A raw row has the fields of the record's data, if that is a JSON object, and beside them:

    _event_id                          <shard>:<sequence number>, of an aggregate's records with their number in it behind another
                                       colon; or the id of a message that holds no record
    _shard, _sequence, _partition_key  where the record was
    _arrived_at                        when Kinesis took it, ISO 8601 in UTC
    _value, _value_encoding            the data of a record that cannot be read, as text or as base64
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headwater.config import KinesisStream, QueueDelivery
from headwater.errors import TakenError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.positions import AnyPosition, RecordsPosition, ShardPlace, ShardsPosition
from headwater.ledger.raw import PROBLEM, Problem
from headwater.ledger.untrusted import read_json, read_object
from headwater.log import bind, get_logger
from headwater.open_project import OpenProject
from headwater.receive.aggregates import taken_apart

MOST_TRIES = 12
"""Tries to commit a batch while invocations for other shards take the same number."""
_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 2.0
# Beyond what Kinesis keeps nothing can come again from a shard; its clock and ours may differ.
_MARGIN = timedelta(days=1)

log = get_logger(__name__)


@dataclass(frozen=True)
class Record:
    """One record as it came: `item` is what the mapping knows it by, `data` is base64.

    A `stray` is a message of a queue that holds no record; its data is what it holds instead.
    """

    item: str
    stream_arn: str
    event_id: str
    shard: str
    sequence: int
    partition_key: str
    arrived_at: str
    data: str
    stray: bool = False

    @classmethod
    def of_shard(cls, record: Mapping[str, Any]) -> Record:
        """Takes a record as Lambda hands it over from a stream."""
        kinesis = record["kinesis"]
        return cls._of(str(kinesis["sequenceNumber"]), {**record, **kinesis})

    @classmethod
    def of_message(cls, message: Mapping[str, Any]) -> Record:
        """Takes a record out of a queue's message, as pipes put it there."""
        item, body = str(message["messageId"]), str(message["body"])
        try:
            # Whatever the message says of itself: it came out of this queue.
            return replace(cls._of(item, read_json(body)), stream_arn=str(message["eventSourceARN"]))
        except (ValueError, LookupError, TypeError, ArithmeticError, OSError):
            sent_at = datetime.fromtimestamp(int(message["attributes"]["SentTimestamp"]) / 1000, UTC)
            data = base64.b64encode(body.encode()).decode()
            arrived_at = sent_at.isoformat(timespec="milliseconds")
            return cls(item, str(message["eventSourceARN"]), item, "", 0, "", arrived_at, data, stray=True)

    @classmethod
    def _of(cls, item: str, record: Mapping[str, Any]) -> Record:
        shard, _, sequence = str(record["eventID"]).partition(":")
        arrived_at = datetime.fromtimestamp(float(record["approximateArrivalTimestamp"]), UTC)
        return cls(
            item=item,
            stream_arn=str(record["eventSourceARN"]),
            event_id=str(record["eventID"]),
            shard=shard,
            sequence=int(sequence),
            partition_key=str(record["partitionKey"]),
            arrived_at=arrived_at.isoformat(timespec="milliseconds"),
            data=str(record["data"]),
        )


@dataclass(frozen=True)
class RawRow:
    """What becomes of one record: the fields of its data, what is beside them, and its problem if it has one."""

    fields: dict[str, Any]
    added: dict[str, str]
    problem: Problem | None = None


def receive_records(
    opened: OpenProject,
    event: Mapping[str, Any],
    request_id: str,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, list[dict[str, str]]]:
    """Commits the records of one invocation as one batch of their stream; returns the partial batch response.

    Reported as failed are records of a stream that is not declared, and all records when other invocations were first
    MOST_TRIES times; whatever else goes wrong is raised, and the mapping tries again.
    """
    failed: list[str] = []
    records: dict[tuple[str, str], list[Record]] = {}
    places = _places(opened)
    for given in event["Records"]:
        record = Record.of_message(given) if given["eventSource"] == "aws:sqs" else Record.of_shard(given)
        place = places.get(record.stream_arn)
        if place is None:
            failed.append(record.item)
            log.warning("record of a stream that is not declared", arn=record.stream_arn)
        else:
            records.setdefault(place, []).append(record)
    for (source, stream), mine in records.items():
        with bind(source=source, stream=stream):
            failed += _RecordReceiver(opened, source, stream, request_id, sleep).receive(mine)
    return {"batchItemFailures": [{"itemIdentifier": item} for item in failed]}


def _places(opened: OpenProject) -> dict[str, tuple[str, str]]:
    """Finds source and stream by the ARN of the Kinesis stream, and by that of the queue behind it."""
    own = opened.project.environment
    places = {}
    for source, declared in opened.project.sources.items():
        for name, stream in declared.streams.items():
            if isinstance(stream, KinesisStream):
                received = own.record_stream(source, name)
                places[own.arn("kinesis", f"stream/{received}")] = (source, name)
                if isinstance(stream.delivery, QueueDelivery):
                    places[own.arn("sqs", received)] = (source, name)
    return places


@dataclass(frozen=True)
class _RecordReceiver:
    """Receives for one stream."""

    opened: OpenProject
    source: str
    stream: str
    request_id: str
    sleep: Callable[[float], None]

    def receive(self, records: Sequence[Record]) -> list[str]:
        """Commits what is new; returns the items that could not be stored."""
        for attempt in range(1, MOST_TRIES + 1):
            writer = self._writer()
            fresh = list(records) if self._queued else _fresh(records, _before(writer, ShardsPosition))
            if not fresh:
                log.info("nothing new", received=len(records))
                return []
            try:
                self._commit(writer, fresh)
            except TakenError:
                # Another shard's invocation committed first: its batch counts, and this one gets the next number. After any other
                # error the files stay, since this batch's own manifest may be there and name them.
                log.info("number taken", batch=writer.batch, attempt=attempt)
                self._forget(writer)
                self.sleep(random.uniform(0, min(_WAIT_SECONDS * 2**attempt, _LONGEST_WAIT_SECONDS)))
            else:
                log.info("received", batch=writer.batch, rows=len(fresh), again=len(records) - len(fresh))
                return []
        return [record.item for record in records]

    @property
    def _declared(self) -> KinesisStream:
        declared = self.opened.project.source(self.source).streams[self.stream]
        assert isinstance(declared, KinesisStream)  # noqa: S101 - only these have an ARN
        return declared

    @property
    def _queued(self) -> bool:
        return isinstance(self._declared.delivery, QueueDelivery)

    def _writer(self) -> BatchWriter:
        return BatchWriter.begin(
            self.opened.ledger.stream(self.source, self.stream),
            f"receive_records-{self.request_id}",
            self._declared.raw_fields,
            flag=self.opened.project.drift_of(self.source, self.stream) == "quarantine",
        )

    def _commit(self, writer: BatchWriter, fresh: Sequence[Record]) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "rows.jsonl.gz"
            with writer.open_rows(path) as file:
                for row in (row for record in fresh for row in raw_rows(record, self._declared.largest_bytes)):
                    file.write(row.fields, **row.added, **({PROBLEM: row.problem} if row.problem else {}))
            writer.learned.merge(file.learned)
            writer.add(path, file.rows)
        if self._queued:
            writer.commit(_counted(_before(writer, RecordsPosition), len(fresh)))
        else:
            kept = timedelta(hours=self._declared.retention_hours) + _MARGIN
            writer.commit(_moved(_before(writer, ShardsPosition), fresh, datetime.now(UTC) - kept))

    def _forget(self, writer: BatchWriter) -> None:
        bucket = writer.ledger.bucket
        for file in writer.files:
            bucket.s3.delete_object(Bucket=bucket.name, Key=file.key)


def _fresh(records: Sequence[Record], position: ShardsPosition | None) -> list[Record]:
    taken = {shard: place.sequence for shard, place in position.shards.items()} if position else {}
    return [record for record in records if record.sequence > taken.get(record.shard, -1)]


def _before(writer: BatchWriter, kind: type[AnyPosition]) -> AnyPosition | None:
    """The position before a batch, None where the stream came in another way until now: that position points into nothing here."""
    return writer.position_before if isinstance(writer.position_before, kind) else None


def _moved(before: ShardsPosition | None, fresh: Sequence[Record], forgotten: datetime) -> ShardsPosition:
    shards = dict(before.shards) if before else {}
    for record in sorted(fresh, key=lambda each: each.sequence):
        arrived_at = datetime.fromisoformat(record.arrived_at)
        shards[record.shard] = ShardPlace(sequence=record.sequence, arrived_at=arrived_at)
    return ShardsPosition(shards={shard: at for shard, at in sorted(shards.items()) if at.arrived_at > forgotten})


def _counted(before: RecordsPosition | None, rows: int) -> RecordsPosition:
    # A queue has no positions: it forgets what was taken, and silver recognises duplicates by key.
    return RecordsPosition(records=(before.records if before else 0) + rows)


def raw_rows(record: Record, largest_bytes: int) -> list[RawRow]:
    """Reads a record's data, an aggregate's one by one; what cannot be read is kept as it is, under its problem."""
    added = {
        "_event_id": record.event_id,
        "_shard": record.shard,
        "_sequence": str(record.sequence),
        "_partition_key": record.partition_key,
        "_arrived_at": record.arrived_at,
    }
    try:
        data = base64.b64decode(record.data, validate=True)
    except ValueError:
        return [RawRow({}, {**added, "_value": record.data, "_value_encoding": "text"}, "bad_encoding")]
    if record.stray:
        return [_kept(data, added, "bad_row")]
    apart = taken_apart(data)
    if apart is None:
        return [_raw_row(data, added, largest_bytes)]
    own = [{"_event_id": f"{record.event_id}:{number}", "_partition_key": key} for number, (key, _) in enumerate(apart)]
    return [_raw_row(data, {**added, **place}, largest_bytes) for place, (_, data) in zip(own, apart, strict=True)]


def _raw_row(data: bytes, added: dict[str, str], largest_bytes: int) -> RawRow:
    if len(data) > largest_bytes:
        return _kept(data, added, "too_large")
    try:
        fields, problem = read_object(data.decode())
    except UnicodeDecodeError:
        return _kept(data, added, "bad_encoding")
    return RawRow(fields, added) if problem is None else _kept(data, added, problem)


def _kept(data: bytes, added: dict[str, str], problem: Problem) -> RawRow:
    try:
        value, encoding = data.decode(), "text"
    except UnicodeDecodeError:
        value, encoding = base64.b64encode(data).decode(), "base64"
    return RawRow({}, {**added, "_value": value, "_value_encoding": encoding}, problem)
