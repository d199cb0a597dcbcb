"""The web site that puts its events into Kinesis."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import psycopg

from headwater.deploy.entrances import Entrances
from headwater.errors import HeadwaterError
from headwater.ledger.bucket import Bucket
from headwater.ledger.positions import Position, RecordsPosition, ShardsPosition
from headwater.ledger.stream import StreamLedger
from local.counterparts.entrance import ThroughEntrance, local_project

_MOST_RECORDS = 500
_MOST_BYTES = 4_000_000
_PATIENCE_SECONDS = 180.0


class Kinesis(ThroughEntrance):
    """The counterpart of source `kinesis`: producers that put records, and wait until the Lambda has stored them."""

    source = "kinesis"

    def _send(self, since: date) -> None:
        project = local_project()
        entrances = Entrances(project)
        bucket = Bucket(self._aws("s3"), project.environment.bucket("raw"))
        for stream in project.sources[self.source].streams:
            ledger = StreamLedger(bucket, self.source, stream)
            before = ledger.position()
            name = entrances.record_stream(self.source, stream).name
            put = _put(self._aws("kinesis"), name, _records(self._place.world_dsn, stream, since))
            _wait_until_stored(ledger, before, put)


def _records(dsn: str, stream: str, since: date) -> list[tuple[str, bytes]]:
    with psycopg.connect(dsn) as connection:
        return [
            (key, bytes(data))
            for key, data in connection.execute(
                "select partition_key, data from web.records where stream = %s and since >= %s order by number",
                [stream, since],
            )
        ]


def _put(client: Any, name: str, records: Sequence[tuple[str, bytes]]) -> list[tuple[str, int]]:
    """Puts records; returns shard and sequence number of each."""
    put = []
    for chunk in _chunks(records):
        entries = [{"PartitionKey": key, "Data": data} for key, data in chunk]
        answer = client.put_records(StreamName=name, Records=entries)
        if answer["FailedRecordCount"]:
            raise HeadwaterError(f"{name}: {answer['FailedRecordCount']} records were not taken")
        put += [(record["ShardId"], int(record["SequenceNumber"])) for record in answer["Records"]]
    return put


def _chunks(records: Sequence[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    chunk: list[tuple[str, bytes]] = []
    size = 0
    for record in records:
        if chunk and (len(chunk) == _MOST_RECORDS or size + len(record[1]) > _MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(record)
        size += len(record[1])
    if chunk:
        yield chunk


def _wait_until_stored(ledger: StreamLedger, before: Position | None, put: Sequence[tuple[str, int]]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while put and not _has_all(ledger.position(), before, put):
        if time.monotonic() > deadline:
            raise HeadwaterError(
                f"{ledger.prefix}: not all records were stored within {_PATIENCE_SECONDS:.0f} s. hint: look into logs/lambda"
            )
        time.sleep(0.2)


def _has_all(position: Position | None, before: Position | None, put: Sequence[tuple[str, int]]) -> bool:
    if position is None:
        return False
    if isinstance(position, RecordsPosition):
        return position.records - (before.records if isinstance(before, RecordsPosition) else 0) >= len(put)
    taken = {s: at.sequence for s, at in position.shards.items()} if isinstance(position, ShardsPosition) else {}
    return all(taken.get(shard, -1) >= sequence for shard, sequence in put)
