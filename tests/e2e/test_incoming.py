"""What comes in by itself, all the way: records, pushed events and dropped files reach silver, and bad ones quarantine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from headwater.client import Client
from headwater.ledger import Book
from headwater.runs import books_of
from local import world
from local.demo import footprint
from local.postgres import free_port
from local.stack import Ports, Stack, running
from tests.e2e.conftest import HOUSEHOLDS, Pipeline
from tests.local.conftest import wait_for

SOURCES = frozenset({"kinesis", "http_push", "s3_drops"})


@pytest.fixture(scope="module")
def incoming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A pipeline over the sources that come in by themselves, with their history taken in."""
    ports = Ports(free_port(), free_port(), free_port(), free_port())
    with running(Stack(tmp_path_factory.mktemp("incoming"), ports, SOURCES), HOUSEHOLDS) as stack:
        stack.use()
        stack.deploy()
        yield Pipeline(stack, Client(stack.deployment()))


def books(pipeline: Pipeline, run: dict[str, Any]) -> list[Book]:
    found = books_of(pipeline.client.environment, run["run_id"])
    assert all(book.balances for book in found)
    return found


def reasons(found: list[Book]) -> dict[tuple[str, str], int]:
    counted: Counter[tuple[str, str]] = Counter()
    for book in found:
        counted.update({(f"{book.source}.{book.stream}", reason): number for reason, number in book.reasons.items()})
    return dict(counted)


def own(counts: dict[Any, int]) -> dict[Any, int]:
    return {(stream, name): number for (stream, name), number in counts.items() if stream.split(".")[0] in SOURCES}


def sums(found: list[Book], *names: str) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for book in found:
        counted[f"{book.source}.{book.stream}"] += sum(getattr(book, name) for name in names)
    return {stream: number for stream, number in counted.items() if number}


def of_kind(pipeline: Pipeline, step: int, kind: str) -> dict[str, int]:
    changes = own(world.changes(pipeline.stack.rds_dsn, step))
    return {stream: number for (stream, found), number in changes.items() if found == kind}


def check(pipeline: Pipeline, step: int) -> None:
    """Runs, and compares what became of the rows with what the world has made."""
    found = books(pipeline, pipeline.run_well())
    assert sums(found, "silver_inserted") == of_kind(pipeline, step, "insert")
    assert sums(found, "silver_updated") == of_kind(pipeline, step, "update")
    assert sums(found, "duplicates", "unchanged") == of_kind(pipeline, step, "touch")
    assert reasons(found) == own(world.defects(pipeline.stack.rds_dsn, step))


def test_what_comes_in_is_in_silver_or_in_quarantine_and_nothing_comes_twice(incoming: Pipeline) -> None:
    check(incoming, 0)
    incoming.stack.advance(3, 11)
    check(incoming, 1)
    before = footprint(incoming.client)
    incoming.run_well()
    assert footprint(incoming.client) == before


def test_a_file_that_somebody_drops_is_in_silver_without_anybody_starting_a_run(incoming: Pipeline) -> None:
    header = "order_id;ordered_at;sku;quantity;unit_price;currency;customer;note\n"
    row = "BY-EVENT;2018-01-02T00:00:00Z;SKU-1;2;3.50;EUR;Zoë;=1+1\n"
    landing = incoming.client.project.environment.bucket("landing")
    boto3.client("s3").put_object(
        Bucket=landing, Key="s3_drops/partner_orders/by-event.csv", Body=(header + row).encode("utf-8-sig")
    )
    states = boto3.client("stepfunctions")
    machine = incoming.client.deployment.state_machine_arn

    def started() -> str | None:
        listed = states.list_executions(stateMachineArn=machine)["executions"]
        return next((found["name"] for found in listed if found["name"].startswith("drop-s3_drops-")), None)

    run = incoming.client.wait(wait_for(started))
    assert run["status"] == "SUCCEEDED"
    assert [book.extracted for book in books(incoming, run)] == [1]
    database = incoming.client.project.environment.database("silver")
    sql = f"SELECT quantity, unit_price, note FROM {database}.partner_orders WHERE order_id = 'BY-EVENT'"
    assert [[str(value) for value in found] for found in incoming.client.query("athena", sql).rows] == [
        ["2", "3.50", "=1+1"]
    ]
