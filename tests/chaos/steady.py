"""Producers that never rest, while runs go by: `make steady RUNS=10`, or `python -m tests.chaos.steady 10`.

A record a second goes into Kinesis, an event a second is pushed, and a file a minute is dropped, which starts runs of its own. Every
run has to end well, and what was produced has to be in silver once when the producers have stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import boto3
import requests

from headwater.client import Client
from headwater.desk import frames
from local.proofs import went_well
from local.stack import Stack
from tests.e2e.pipeline import Pipeline, own_stack
from tests.e2e.story import HOUSEHOLDS

SOURCES = frozenset({"kinesis", "http_push", "s3_drops"})
EVERY = {"record": 1.0, "event": 1.0, "file": 60.0}
"""Seconds from one to the next."""
TABLES = {
    "record": ("web_events", "event_id"),
    "event": ("pushed_events", "event_id"),
    "file": ("partner_orders", "order_id"),
}
_RUNS_AFTER = 5
"""Runs after the producers have stopped, at most: the last records are with Lambda for a while."""


@dataclass
class Producers:
    """What is produced, each by a thread of its own, until they are stopped."""

    client: Client
    stack: Stack
    made: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in EVERY})
    failed: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def producing(self) -> Iterator[None]:
        """Produces for the length of the block."""
        threads = [threading.Thread(target=self._produce, args=(kind, getattr(self, f"_{kind}"))) for kind in EVERY]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            for thread in threads:
                thread.join()

    def _produce(self, kind: str, make: Callable[[str], None]) -> None:
        began = time.monotonic()
        while not self.stopped.is_set():
            name = f"steady-{kind}-{len(self.made[kind])}"
            try:
                make(name)
            except Exception as error:  # noqa: BLE001 - whatever it was, it is told at the end, and the others go on
                self.failed.append(f"{name}: {type(error).__name__}: {error}")
                return
            self.made[kind].append(name)
            self.stopped.wait(began + len(self.made[kind]) * EVERY[kind] - time.monotonic())

    def _record(self, name: str) -> None:
        told = {"event_id": name, "event_type": "page_view", "occurred_at": _now(), "session_id": "steady", "page": "/"}
        stream = self.client.deployment.entrances.record_stream("kinesis", "web_events").name
        boto3.client("kinesis").put_record(StreamName=stream, PartitionKey=name, Data=json.dumps(told).encode())

    def _event(self, name: str) -> None:
        told = {
            "event_id": name,
            "event_type": "survey_answered",
            "occurred_at": _now(),
            "customer_id": 7,
            "store_id": 300,
        }
        [push] = [counterpart for counterpart in self.stack.counterparts() if counterpart.source == "http_push"]
        secret = push.secret()
        assert secret is not None
        headers = {"x-api-key": secret["stores"], "idempotency-key": name}
        answer = requests.post(push.endpoints()["http_push"], json=told, headers=headers, timeout=30)
        answer.raise_for_status()

    def _file(self, name: str) -> None:
        row = f"{name};{_now()};SKU-1;2;3.50;EUR;Zoë;"
        body = f"order_id;ordered_at;sku;quantity;unit_price;currency;customer;note\n{row}\n".encode("utf-8-sig")
        landing = self.client.project.environment.bucket("landing")
        boto3.client("s3").put_object(Bucket=landing, Key=f"s3_drops/partner_orders/{name}.csv", Body=body)


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def missing(client: Client, made: dict[str, list[str]]) -> dict[str, list[str]]:
    """What was produced and is not in silver, and what is there twice."""
    database = client.project.environment.database("silver")
    wrong = {}
    for kind, (table, key) in TABLES.items():
        read = frames.read(client, f"SELECT {key} FROM {database}.{table} WHERE {key} LIKE 'steady-%'").to_pylist()
        found = [row[key] for row in read]
        wrong[kind] = sorted({*made[kind]} ^ {*found} | {name for name in found if found.count(name) > 1})
    return {kind: names for kind, names in wrong.items() if names}


def main() -> int:
    """Runs so often beside the producers; returns 0 when each run ended well and nothing is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int, nargs="?", default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, own_stack(Path(home), HOUSEHOLDS, SOURCES) as stack:
        stack.deploy()
        pipeline = Pipeline(stack, Client(stack.deployment()))
        producers = Producers(pipeline.client, stack)
        runs = []
        with producers.producing():
            for number in range(1, asked.runs + 1):
                began = time.monotonic()
                runs.append(pipeline.run())
                made = {kind: len(names) for kind, names in producers.made.items()}
                print(f"run {number}: {runs[-1].status} in {time.monotonic() - began:.0f} s, made {made}", flush=True)  # noqa: T201
        for _ in range(_RUNS_AFTER):
            runs.append(pipeline.run())
            if not (lacking := missing(pipeline.client, producers.made)):
                break
    print(f"failed to produce: {producers.failed}; missing: {lacking}; runs: {[run.status for run in runs]}")  # noqa: T201
    return int(bool(producers.failed or lacking or not all(map(went_well, runs))))


if __name__ == "__main__":
    sys.exit(main())
