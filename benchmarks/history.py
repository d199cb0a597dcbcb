"""What a run costs that comes after a long history, and many batches that wait for it: `python -m benchmarks.history`.

The requests that a run makes of a stream's ledger are counted after 100 batches and after 100,000, which the ledger's own writers have
written; and the time is taken that Extract's append, Check and Silver take over 300 batches that wait, beside one of the same rows,
five times in turn. The first should be the same, the second no more than half as much again.
"""

from __future__ import annotations

import io
import logging
import os
import statistics
import tempfile
import time
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError
from pyspark.sql import SparkSession
from rich.console import Console
from rich.table import Table

from headwater.deploy.job_arguments import conf
from headwater.lake.session import configure
from headwater.ledger.batch import BatchWriter
from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import Book, Carried, Verdict
from headwater.ledger.stream import Ledger, StreamLedger
from headwater.run.audit import AuditedRun, audit_run
from headwater.run.verdicts import read_verdicts
from local.glue.spark import build_session
from local.jars import JOBS, class_path
from tests.spark.shop import STREAM, Shop, at, people, policy

HISTORIES = (100, 100_000)
WAITING = 300
ROWS = 3_000
ROUNDS = 5
_NOW = datetime(2024, 1, 1, tzinfo=UTC)


class CountingS3:
    """The calls of S3 that the ledger makes, over keys in order; counts them, and the keys that are listed."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.sorted: list[str] = []
        self.made: Counter[str] = Counter()

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str | None = None) -> None:  # noqa: ARG002, N803
        """Writes an object, or refuses to where one is there and none may be."""
        self.made["put"] += 1
        if Key in self.bodies:
            if IfNoneMatch:
                answer: Any = {"Error": {"Code": "PreconditionFailed"}, "ResponseMetadata": {"HTTPStatusCode": 412}}
                raise ClientError(answer, "PutObject")
        else:
            insort(self.sorted, Key)
        self.bodies[Key] = Body

    def upload_file(self, path: str, bucket: str, key: str) -> None:
        """Writes a file."""
        self.put_object(Bucket=bucket, Key=key, Body=Path(path).read_bytes())

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: ARG002, N803
        """Reads an object."""
        self.made["get"] += 1
        if Key not in self.bodies:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": io.BytesIO(self.bodies[Key])}

    def get_paginator(self, _name: str) -> CountingS3:
        """Lists keys: the only call that comes in pages."""
        return self

    def paginate(self, *, Bucket: str, Prefix: str, PaginationConfig: dict[str, int]) -> Iterator[dict[str, Any]]:  # noqa: ARG002, N803
        """Lists the keys with a prefix, page by page."""
        place, size = bisect_left(self.sorted, Prefix), PaginationConfig["PageSize"]
        while True:
            found = [key for key in self.sorted[place : place + size] if key.startswith(Prefix)]
            self.made["list"] += 1
            self.made["keys listed"] += len(found)
            yield {"Contents": [{"Key": key, "LastModified": _NOW, "Size": len(self.bodies[key])} for key in found]}
            if len(found) < size:
                return
            place += size


class Streamed:
    """A stream's ledger with a history, and the part of a run that is about it."""

    def __init__(self, history: int) -> None:
        self.s3 = CountingS3()
        bucket = Bucket(self.s3, "raw")  # type: ignore[arg-type]
        self.ledger: StreamLedger = Ledger(bucket).stream("shop", STREAM)
        environment = SimpleNamespace(
            warehouse=SimpleNamespace(copy_role="r", workgroup="w", database="d", secret=None)
        )
        self.opened: Any = SimpleNamespace(
            ledger=Ledger(bucket),
            lake=bucket,
            streams=lambda _source=None: iter([self.ledger]),
            project=SimpleNamespace(environment=environment),
        )
        for batch in range(1, history + 1):
            self.extract(f"run-{batch}")
            self.go_through(batch)
        self.audit("before")

    def extract(self, run_id: str) -> None:
        """Commits a batch of no rows."""
        BatchWriter.begin(self.ledger, run_id, ("id",)).commit(None)

    def go_through(self, batch: int) -> None:
        """Records what bronze, Check and Silver have done with a batch."""
        told = {"source": "shop", "stream": STREAM, "batch": batch, "run_id": f"run-{batch}"}
        self.ledger.carry(Carried(batch=batch, version=batch))
        self.ledger.judge(Verdict.model_validate({**told, "verdict": "pass", "rows": 0, "checks": ()}))
        counts = ("extracted", "silver_inserted", "silver_updated", "unchanged", "quarantined", "duplicates")
        self.ledger.close(Book.model_validate({**told, **dict.fromkeys(counts, 0)}))

    def audit(self, run_id: str) -> None:
        """Enters what none has entered."""
        client = SimpleNamespace(
            batch_execute_statement=lambda **_: {"Id": "1"}, describe_statement=lambda **_: {"Status": "FINISHED"}
        )
        audit_run(self.opened, client, AuditedRun(run_id, _NOW.isoformat(), in_part=False), {})

    def run(self) -> None:
        """Does what a run does of the ledger: a batch is extracted, swept, carried, judged, written and audited."""
        before = self.ledger.extracted_up_to()
        self.ledger.position()
        self.extract("now")
        self.ledger.sweep(_NOW)
        sources: list[dict[str, Any]] = [{"source": "shop", "optional": False}]
        read_verdicts(self.opened, "now", "Extract", sources, (), {})
        self.ledger.manifests(before + 1, self.ledger.extracted_up_to())
        self.go_through(before + 1)
        read_verdicts(self.opened, "now", "Silver", sources, (), {})
        self.audit("now")

    def requests(self) -> Counter[str]:
        """Counts what one run asks of S3."""
        self.s3.made.clear()
        self.run()
        return Counter(self.s3.made)


def waiting(spark: SparkSession, root: Path, batches: int) -> float:
    """Takes the seconds that a run takes over rows which wait in so many batches."""
    bad = policy({"id": "id_positive", "that": "id", "is": "positive"})
    shop = Shop(spark, root, people(), policy=bad)
    shop.batch([(1, "Graz", at(1))])
    shop.run()
    each = ROWS // batches
    for batch in range(batches):
        shop.batch([(batch * each + row, f"city {row}", at(2)) for row in range(each)])
    before = time.monotonic()
    shop.run()
    return time.monotonic() - before


def _side_by_side(spark: SparkSession, round_: Callable[[SparkSession, Path, int], float]) -> list[tuple[float, float]]:
    taken = []
    for number in range(ROUNDS + 1):
        order = (WAITING, 1) if number % 2 else (1, WAITING)
        with tempfile.TemporaryDirectory() as home:
            seconds = {batches: round_(spark, Path(home) / str(batches), batches) for batches in order}
        taken.append((seconds[WAITING], seconds[1]))
    # The first round is Spark's own first.
    return taken[1:]


def main() -> None:
    """Prints both."""
    console = Console()
    counted = {history: Streamed(history).requests() for history in HISTORIES}
    table = Table("requests of a run", *(f"after {history:,} batches" for history in HISTORIES))
    for kind in sorted(set().union(*counted.values())):
        table.add_row(kind, *(str(counted[history][kind]) for history in HISTORIES))
    console.print(table)
    os.environ.setdefault("SPARK_VERSION", "3.5")
    logging.getLogger("headwater").setLevel(logging.ERROR)
    spark = build_session("http://127.0.0.1:1", conf("eu-west-1"), ["delta"], class_path(JOBS))
    spark.sparkContext.setLogLevel("ERROR")
    configure(spark)
    taken = _side_by_side(spark, waiting)
    spark.stop()
    ratios = [many / one for many, one in taken]
    table = Table(f"{ROWS:,} rows that wait", f"{WAITING} batches", "1 batch", "ratio")
    for (many, one), ratio in zip(taken, ratios, strict=True):
        table.add_row("", f"{many:.1f} s", f"{one:.1f} s", f"{ratio:.2f}")
    table.add_row("median", "", "", f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    console.print(table)


if __name__ == "__main__":
    main()
