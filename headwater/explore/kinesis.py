"""Explores Kinesis streams: whether they are there and can be read, and what their oldest records hold. No position is moved."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from headwater.config import Environment, KinesisSource
from headwater.errors import FatalSourceError
from headwater.explore.found import Found, Sample
from headwater.explore.infer import fields_of, key_of, version_of
from headwater.explore.secret import client
from headwater.ledger.raw import PROBLEM, Row
from headwater.receive.records import Record, raw_rows

_SAMPLED_ROWS = 100
# Kinesis answers with nothing now and then although there is more.
_TRIES = 5


@dataclass(frozen=True)
class KinesisExplorer:
    """Explores the streams of one source."""

    source: KinesisSource
    environment: Environment
    api: Any

    def check(self, stream: str) -> str:
        """Describes a stream and reads from its first shard."""
        name = self.environment.record_stream(self.source.name, stream)
        try:
            about = self.api.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        except self.api.exceptions.ResourceNotFoundException:
            raise FatalSourceError(f"Kinesis stream {name} is not there. hint: deploying makes it") from None
        rows = self._rows(stream, 1)
        return f"{name} is {about['StreamStatus'].lower()}, {about['OpenShardCount']} shards{'' if rows else '; no record'}"

    def find(self) -> Iterator[Found]:
        """Samples the records of each declared stream: what can be received is what deploying makes."""
        for name in self.source.streams:
            rows = [{n: v for n, v in row.items() if not n.startswith("_")} for row in self._rows(name, _SAMPLED_ROWS)]
            fields = fields_of(rows)
            place = self.environment.record_stream(self.source.name, name)
            yield Found(name, place, fields, {}, key_of(fields, rows), version_of(fields), raw=True)

    def sample(self, stream: str, rows: int) -> Sample:
        """Reads the oldest records that the stream still has."""
        return Sample(self._rows(stream, rows))

    def _rows(self, stream: str, most: int) -> list[Row]:
        name = self.environment.record_stream(self.source.name, stream)
        arn = self.environment.arn("kinesis", f"stream/{name}")
        found: list[Row] = []
        for shard in self.api.list_shards(StreamName=name)["Shards"]:
            at = self.api.get_shard_iterator(
                StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            for _ in range(_TRIES):
                answer = self.api.get_records(ShardIterator=at, Limit=most)
                found += [
                    row for record in answer["Records"] for row in self._read(stream, arn, shard["ShardId"], record)
                ]
                at = answer.get("NextShardIterator")
                if len(found) >= most:
                    return found[:most]
                if at is None or not answer.get("MillisBehindLatest"):
                    break
        return found

    def _read(self, stream: str, arn: str, shard: str, record: Any) -> list[Row]:
        arrived = record["ApproximateArrivalTimestamp"].astimezone(UTC)
        taken = Record(
            item=record["SequenceNumber"],
            stream_arn=arn,
            event_id=f"{shard}:{record['SequenceNumber']}",
            shard=shard,
            sequence=int(record["SequenceNumber"]),
            partition_key=record["PartitionKey"],
            arrived_at=arrived.isoformat(timespec="milliseconds"),
            data=base64.b64encode(record["Data"]).decode(),
        )
        rows = raw_rows(taken, self.source.streams[stream].largest_bytes)
        return [{**row.fields, **row.added, **({PROBLEM: row.problem} if row.problem else {})} for row in rows]


@contextmanager
def open_kinesis(source: KinesisSource, environment: Environment) -> Iterator[KinesisExplorer]:
    """Opens Kinesis in the environment's region."""
    yield KinesisExplorer(source, environment, client("kinesis"))
