"""What every source goes through once, for all tests of the whole pipeline's contract: it costs minutes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from headwater.client import Client
from headwater.config import load_project
from headwater.ledger import Book
from headwater.runs import books_of
from local.demo import footprint
from local.gateway.calls import Call
from local.postgres import free_port
from local.stack import ROOT, Ports, Stack, running
from tests.e2e.conftest import Faults, Pipeline
from tests.iam import recorded
from tests.local.conftest import wait_for

HOUSEHOLDS = 40
SOURCES = tuple(load_project(ROOT, "local").sources)
STREAMS = tuple((name, stream) for name in SOURCES for stream in load_project(ROOT, "local").sources[name].streams)
EXTRACTED = tuple(name for name in SOURCES if load_project(ROOT, "local").sources[name].kind != "kinesis")


@dataclass
class Story:
    """What came of each run, and every call that AWS saw of it."""

    pipeline: Pipeline
    history: dict[tuple[str, str], list[Book]]
    after_step: dict[tuple[str, str], list[Book]]
    kills: int
    before_nothing: dict[str, Any]
    after_nothing: dict[str, Any]
    before_nothing_again: dict[str, Any]
    after_nothing_again: dict[str, Any]
    calls: list[Call]


def _books(client: Client, run: dict[str, Any]) -> dict[tuple[str, str], list[Book]]:
    found: dict[tuple[str, str], list[Book]] = {}
    for book in books_of(client.environment, run["run_id"]):
        found.setdefault((book.source, book.stream), []).append(book)
    return found


def _kill_before_the_manifest(faults: Faults, prefix: str, source: str) -> None:
    faults.arm(
        method="PUT",
        path=f"/{prefix}-raw/{source}/.*/manifests/",
        when="before",
        job=f"{prefix}-{source}-extract",
        action="kill",
    )


def _drop(client: Client, name: str) -> None:
    landing = client.project.environment.bucket("landing")
    body = b"order_id;ordered_at;sku;quantity;unit_price;currency;customer;note\n"
    boto3.client("s3").put_object(Bucket=landing, Key=f"s3_drops/partner_orders/{name}.csv", Body=body)


def _a_dropped_file_starts_a_run_that_fails(client: Client, faults: Faults) -> None:
    # Killed at its first try and refused at its second; another file is dropped meanwhile.
    prefix = client.deployment.prefix
    _kill_before_the_manifest(faults, prefix, "s3_drops")
    faults.fail_the_retry(prefix, f"{prefix}-s3_drops-extract")
    _drop(client, "first")
    machine = client.deployment.state_machine_arn
    states = boto3.client("stepfunctions")

    def started() -> str | None:
        listed = states.list_executions(stateMachineArn=machine)["executions"]
        return next((found["name"] for found in listed if found["name"].startswith("drop-s3_drops-")), None)

    run_id = wait_for(started)
    _drop(client, "second")
    assert client.wait(run_id)["status"] == "FAILED"


@contextmanager
def told(home: Path) -> Iterator[Story]:
    """Runs history, nothing new, a step of the world with kills, nothing new, and a run that fails; the stack stays up meanwhile."""
    ports = Ports(free_port(), free_port(), free_port(), free_port())
    with running(Stack(home, ports), HOUSEHOLDS) as stack:
        stack.use()
        stack.deploy()
        client = Client(stack.deployment())
        pipeline = Pipeline(stack, client)
        history = _books(client, pipeline.run_well())
        before_nothing = footprint(client)
        pipeline.run_well()
        after_nothing = footprint(client)
        stack.advance(2, 11)
        faults = Faults(stack)
        for source in EXTRACTED:
            # The first batch of each source is cut off between its files and its manifest.
            _kill_before_the_manifest(faults, client.deployment.prefix, source)
        after_step = _books(client, pipeline.run_well())
        kills = faults.kills()
        faults.clear()
        before_nothing_again = footprint(client)
        pipeline.run_well()
        after_nothing_again = footprint(client)
        _a_dropped_file_starts_a_run_that_fails(client, faults)
        faults.clear()
        yield Story(
            pipeline,
            history,
            after_step,
            kills,
            before_nothing,
            after_nothing,
            before_nothing_again,
            after_nothing_again,
            recorded(stack.aws_endpoint),
        )
