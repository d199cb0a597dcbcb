"""Readers of Kinesis streams: what a mapping or a pipe has read of each shard, and how it hands the records on.

Each shard has one reader, which goes on only when its records are done: in order, again when they fail, in halves where the mapping
bisects, and to the dead letters when tries or age are used up. A shard that was made by a split or a merge waits for its parents.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from moto.awslambda.models import EventSourceMapping
from moto.kinesis.models import Record, Shard, Stream, kinesis_backends
from moto.pipes.models import Pipe
from moto.sqs.models import SQSBackend

from local.gateway.clock import CLOCK
from local.gateway.settings import GatewaySettings

# What one invocation may carry, less what the envelope takes.
PAYLOAD_BYTES = 6 * 1024 * 1024 - 64 * 1024
ENVELOPE_BYTES = 600
_LONGEST_BACKOFF_SECONDS = 5.0

Deliver: TypeAlias = Callable[[Shard, Sequence[Record]], frozenset[str]]
"""Hands records on, and tells the sequence numbers of those that failed."""


@dataclass
class ShardReader:
    """How far one mapping or pipe has read one shard, and how its next try goes."""

    done: int = 0
    failures: int = 0
    halved: int | None = None
    resume_at: float = 0.0
    seen_at: float | None = None
    busy: bool = False

    def succeed(self, last: int) -> None:
        """Moves behind the last record that is done."""
        self.done, self.failures, self.halved, self.resume_at = last, 0, None, 0.0

    def fail(self, records: int, bisect: bool) -> None:
        """Tries the same records again, fewer of them if the mapping bisects; a bisected batch costs no try."""
        if bisect and records > 1:
            self.halved = records // 2
        else:
            self.failures += 1
        self.resume_at = time.monotonic() + min(0.1 * 2**self.failures, _LONGEST_BACKOFF_SECONDS)

    def is_due(self, batch_size: int, window: float, found: int) -> bool:
        """True when the batch has enough records, or has waited long enough."""
        now = time.monotonic()
        self.seen_at = self.seen_at or now
        if self.halved is None and found < batch_size and now - self.seen_at < window:
            return False
        self.seen_at = None
        return True


@dataclass(frozen=True)
class Reading:
    """The settings with which a mapping or a pipe reads a stream; -1 is no limit, as in the API."""

    name: str
    stream_arn: str
    batch_size: int
    window: float
    most_retries: int
    longest_age: int
    bisect: bool
    dead_letters: str | None

    @classmethod
    def of_mapping(cls, mapping: EventSourceMapping) -> Reading:
        """Reads a mapping's settings."""
        destinations = mapping.destination_config or {}
        return cls(
            name=mapping.uuid,
            stream_arn=mapping.event_source_arn,
            batch_size=mapping.batch_size,
            window=float(mapping.max_batch_window or 0),
            most_retries=-1 if mapping.max_retry_attempts is None else int(mapping.max_retry_attempts),
            longest_age=-1 if mapping.max_record_age is None else int(mapping.max_record_age),
            bisect=bool(mapping.bisect_on_error),
            dead_letters=destinations.get("OnFailure", {}).get("Destination"),
        )

    @classmethod
    def of_pipe(cls, pipe: Pipe) -> Reading:
        """Reads a pipe's settings."""
        given = (pipe.source_parameters or {}).get("KinesisStreamParameters", {})
        return cls(
            name=pipe.arn,
            stream_arn=pipe.source,
            batch_size=int(given.get("BatchSize", 100)),
            window=float(given.get("MaximumBatchingWindowInSeconds", 0)),
            most_retries=int(given.get("MaximumRetryAttempts", -1)),
            longest_age=int(given.get("MaximumRecordAgeInSeconds", -1)),
            bisect=given.get("OnPartialBatchItemFailure") == "AUTOMATIC_BISECT",
            dead_letters=given.get("DeadLetterConfig", {}).get("Arn"),
        )


@dataclass
class StreamReaders:
    """Every reader of every shard."""

    settings: GatewaySettings
    sqs: Callable[[], SQSBackend]
    pool: Executor
    _readers: dict[tuple[str, str], ShardReader] = field(default_factory=dict)

    def look(self, reading: Reading, deliver: Deliver) -> None:
        """Hands on what is new in a stream, a batch of each shard at a time."""
        stream = self._stream(reading.stream_arn)
        for shard in list(stream.shards.values()) if stream is not None else []:
            reader = self._readers.setdefault((reading.name, shard.shard_id), ShardReader())
            if reader.busy or time.monotonic() < reader.resume_at or self._waits(reading, stream, shard):
                continue
            records = _records(shard, reader.done, reader.halved or reading.batch_size)
            if records and reader.is_due(reading.batch_size, reading.window, len(records)):
                reader.busy = True
                self.pool.submit(self._deliver, shard, records, reader, reading, deliver)

    def _waits(self, reading: Reading, stream: Stream | None, shard: Shard) -> bool:
        """Whether a shard of which this one was made, or one before that, has records that are not done."""
        for name in (shard.parent, shard.adjacent_parent):
            parent = stream.shards.get(name) if stream is not None and name is not None else None
            if parent is not None:
                reader = self._readers.setdefault((reading.name, parent.shard_id), ShardReader())
                if parent.get_max_sequence_number() > reader.done or self._waits(reading, stream, parent):
                    return True
        return False

    def _stream(self, arn: str) -> Stream | None:
        streams = kinesis_backends[self.settings.account_id][self.settings.region].streams
        return streams.get(arn.rpartition("/")[2])

    def _deliver(
        self, shard: Shard, records: list[Record], reader: ShardReader, reading: Reading, deliver: Deliver
    ) -> None:
        try:
            if 0 <= reading.longest_age < CLOCK.now() - records[0].created_at:
                self._give_up(shard, [records[0]], reader, reading, "RecordAgeExceeded")
                return
            failed = deliver(shard, records)
            numbers = [str(record.sequence_number) for record in records]
            first = next((index for index, number in enumerate(numbers) if number in failed), None)
            if first is None:
                reader.succeed(records[-1].sequence_number)
                return
            if first > 0:
                reader.succeed(records[first - 1].sequence_number)
            rest = records[first:]
            used_up = 0 <= reading.most_retries <= reader.failures
            if used_up and (len(rest) == 1 or not reading.bisect):
                self._give_up(shard, rest, reader, reading, "RetryAttemptsExhausted")
            else:
                reader.fail(len(rest), reading.bisect)
        finally:
            reader.busy = False

    def _give_up(
        self, shard: Shard, records: Sequence[Record], reader: ShardReader, reading: Reading, condition: str
    ) -> None:
        # A dead letter says where the records are, not what is in them: they are read from the stream.
        if reading.dead_letters is not None:
            batch = {
                "shardId": shard.shard_id,
                "startSequenceNumber": str(records[0].sequence_number),
                "endSequenceNumber": str(records[-1].sequence_number),
                "batchSize": len(records),
                "streamArn": reading.stream_arn,
            }
            letter = {"requestContext": {"condition": condition}, "version": "1.0", "KinesisBatchInfo": batch}
            self.sqs().send_message(queue_name(reading.dead_letters), json.dumps(letter))
        reader.succeed(records[-1].sequence_number)


def queue_name(arn: str) -> str:
    """Takes the name out of a queue's ARN."""
    return arn.rpartition(":")[2]


def _records(shard: Shard, after: int, limit: int) -> list[Record]:
    newest_first = []
    for number in reversed(list(shard.records)):
        if number <= after:
            break
        newest_first.append(shard.records[number])
    records: list[Record] = []
    size = 0
    for record in reversed(newest_first):
        size += len(record.data) + ENVELOPE_BYTES
        if len(records) >= limit or (records and size > PAYLOAD_BYTES):
            break
        records.append(record)
    return records


def kinesis_part(record: Record) -> dict[str, Any]:
    """Renders the part of a record that mappings nest and pipes do not."""
    return {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": record.partition_key,
        "sequenceNumber": str(record.sequence_number),
        "data": record.data,
        "approximateArrivalTimestamp": round(record.created_at, 3),
    }


def origin_part(settings: GatewaySettings, stream: str, shard: Shard, record: Record) -> dict[str, Any]:
    """Renders where a record comes from."""
    return {
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard.shard_id}:{record.sequence_number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": f"arn:aws:iam::{settings.account_id}:role/event-source",
        "awsRegion": settings.region,
        "eventSourceARN": stream,
    }


def number_records_one_by_one() -> None:
    """Closes a gap between two steps of moto's, which takes a sequence number and then writes, for many threads at once."""
    original, lock = Shard.put_record, threading.Lock()

    def put_record(self: Shard, partition_key: str, data: str, explicit_hash_key: str) -> str:
        with lock:
            return str(original(self, partition_key, data, explicit_hash_key))

    Shard.put_record = put_record
