"""What every source goes through once, for all tests of the whole pipeline's contract: it costs minutes.

Its stack stays up, and the modules that share it run in the order of LONGEST in tests/run.py. Most only look. What is changed:
test_databases.py runs a backfill, test_pipeline.py rewinds a bookmark and runs again, test_cli.py starts a run, and
test_failures.py, the last, plants rows, moves the world on and arms faults, which it clears. A test that changes anything else
goes after all that only look, or has a stack of its own (tests/e2e/pipeline.py: own_stack).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import requests

from headwater.client import Client, RunState
from headwater.ledger.entries import Book
from headwater.ledger.landing import ARRIVALS
from headwater.run.audit import books_of
from local import proofs, query_api, world
from local.demo import footprint
from local.gateway.calls import Call
from local.stack import Stack
from tests.support import declared
from tests.support.iam import recorded
from tests.support.waiting import wait_for

from .databases import differing
from .pipeline import Faults, Pipeline, own_stack, send

HOUSEHOLDS = 60
"""Of fewer, one day has so few orders that the one bad row among them is more than its check lets pass."""
DROPPED = "BY-EVENT;2018-01-02T00:00:00Z;SKU-1;2;3.50;EUR;Zoë;=1+1\n"
SOURCES = tuple(declared.project("local").sources)
STREAMS = tuple((name, stream) for name in SOURCES for stream in declared.project("local").sources[name].streams)
EXTRACTED = tuple(name for name in SOURCES if declared.project("local").sources[name].kind != "kinesis")


@dataclass(kw_only=True)
class Story:
    """What came of each run, and every call that AWS saw of it."""

    pipeline: Pipeline
    history: dict[tuple[str, str], list[Book]]
    wrong_after_history: list[Any]
    moved: world.Truth
    after_step: dict[tuple[str, str], list[Book]]
    kills: int
    nothing: RunState
    audited: set[str | None]
    before_nothing: dict[str, Any]
    after_nothing: dict[str, Any]
    dropped: RunState
    answered: dict[str, list[dict[str, Any]]]
    calls: list[Call]


def _books(client: Client, run: RunState) -> dict[tuple[str, str], list[Book]]:
    found: dict[tuple[str, str], list[Book]] = {}
    for book in books_of(client.opened, {run.run_id}):
        found.setdefault((book.source, book.stream), []).append(book)
    return found


def wrong(stack: Stack, client: Client) -> list[Any]:
    """What the tables say and the sources do not: proofs that fail, defects not in quarantine as they were planted, rows unlike."""
    failed = [proof for proof in proofs.prove(stack, client, proofs.read_gold(client)) if not proof.ok]
    refused = proofs.quarantine(stack, client)
    assert refused
    return [*failed, *(row for row in refused if not row["matches"]), *differing(stack, client)]


def _audits(client: Client) -> set[str | None]:
    return {run_id for (run_id,) in client.query("redshift", "SELECT run_id FROM etl.runs").rows}


def _kill_before_the_manifest(faults: Faults, prefix: str, source: str) -> None:
    faults.kill(f"{prefix}-{source}-extract", f"/{prefix}-raw/{source}/.*/manifests/")


def _drop(client: Client, name: str, rows: str = "") -> None:
    landing = client.project.environment.bucket("landing")
    body = f"order_id;ordered_at;sku;quantity;unit_price;currency;customer;note\n{rows}".encode("utf-8-sig")
    boto3.client("s3").put_object(Bucket=landing, Key=f"s3_drops/partner_orders/{name}.csv", Body=body)


def _registered(client: Client) -> int:
    return sum(1 for _ in client.opened.ledger.bucket.keys(f"s3_drops/partner_orders/{ARRIVALS}/"))


def _started_by_drops(client: Client) -> set[str]:
    listed = boto3.client("stepfunctions").list_executions(stateMachineArn=client.deployment.state_machine_arn)
    return {found["name"] for found in listed["executions"] if found["name"].startswith("drop-s3_drops-")}


def _run_after_drop(client: Client, name: str, rows: str = "") -> str:
    """Drops a file and waits for the run that it starts."""
    before = _started_by_drops(client)
    _drop(client, name, rows)
    return wait_for(lambda: next(iter(_started_by_drops(client) - before), None))


def _a_dropped_file_starts_a_run_that_fails(stack: Stack, client: Client, faults: Faults) -> None:
    # Killed at its first try and refused at its second; another file is dropped meanwhile.
    prefix = client.deployment.prefix
    _kill_before_the_manifest(faults, prefix, "s3_drops")
    faults.fail_the_retry(prefix, f"{prefix}-s3_drops-extract")
    registered = _registered(client)
    # The second try comes when time goes on: not before the other file was found to arrive during the run.
    pace = f"{stack.aws_endpoint}/_headwater/clock"
    send("POST", pace, {"pace": "held"})
    run_id = _run_after_drop(client, "first")
    _drop(client, "second")
    wait_for(lambda: _registered(client) == registered + 2)
    send("POST", pace, {"pace": "skip"})
    assert client.wait(run_id).status == "FAILED"


def _answered(stack: Stack, client: Client, query: str) -> Iterator[dict[str, Any]]:
    """What the query API answers to one of its consumers, page by page."""
    url = query_api.address(stack.aws_endpoint, client.deployment)
    [keys] = query_api.keys(client.deployment).values()
    page: dict[str, str] = {}
    while True:
        asked = requests.get(f"{url}/{query}", params=page, headers={"x-api-key": keys["power_bi"]}, timeout=40)
        assert asked.status_code in {200, 202}, asked.text
        yield from asked.json().get("rows", ())
        if asked.json()["next"] is None:
            return
        page = {"page": asked.json()["next"]}


@contextmanager
def told(home: Path) -> Iterator[Story]:
    """Runs history, a step of the world with kills, nothing new, a file's run, two that fail, and asks; the stack stays up."""
    with own_stack(home, HOUSEHOLDS) as stack:
        stack.deploy()
        client = Client(stack.deployment())
        pipeline = Pipeline(stack, client)
        history = _books(client, pipeline.run_well())
        wrong_after_history = wrong(stack, client)
        moved = stack.advance(2, 11)
        faults = Faults(stack)
        for source in EXTRACTED:
            # The first batch of each source is cut off between its files and its manifest.
            _kill_before_the_manifest(faults, client.deployment.prefix, source)
        after_step = _books(client, pipeline.run_well())
        kills = faults.fired("kill")
        faults.clear()
        before_nothing, audits = footprint(client), _audits(client)
        nothing = pipeline.run_well()
        after_nothing, audited = footprint(client), _audits(client) - audits
        dropped = client.wait(_run_after_drop(client, "by-event", DROPPED))
        _a_dropped_file_starts_a_run_that_fails(stack, client, faults)
        faults.clear()
        # One that ends before its audit, which is told by what notifies.
        client.wait(client.start({"sources": ["nobody"]}))
        answered = {
            query: list(_answered(stack, client, query)) for query in ("monthly_revenue", "customers_by_segment")
        }
        yield Story(
            pipeline=pipeline,
            history=history,
            wrong_after_history=wrong_after_history,
            moved=moved,
            after_step=after_step,
            kills=kills,
            nothing=nothing,
            audited=audited,
            before_nothing=before_nothing,
            after_nothing=after_nothing,
            dropped=dropped,
            answered=answered,
            calls=recorded(stack.aws_endpoint),
        )
