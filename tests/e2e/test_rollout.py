"""A provider changes its API, played through: two shapes give the same tables while accounts move from one to the other, a
change without notice is held back, and the way out of it loses nothing.

One environment is on version 1 and moves to version 2 account by account; its twin is on version 2 from the start.
"""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
import pytest

from headwater.client import Client, RunState, run_input
from headwater.config import HttpSource, Rollout, SourceOverride
from headwater.deploy.deployment import Deployment
from headwater.deploy.project import restricted
from headwater.desk import frames
from headwater.ledger.entries import Manifest, Verdict
from headwater.run.audit import books_of
from headwater.sources.http.rollout import rolled_out
from local import world
from local.stack import ROOT, Stack

from .pipeline import Pipeline, renamed

SOURCE = "clevertap"
STREAMS = ("events", "profiles")
TABLES = ("app_events", "app_profiles")


def deploy(stack: Stack, name: str, share: float) -> Pipeline:
    """Deploys an environment in which version 2 reads a share of the accounts."""
    project = restricted(stack.project(), frozenset({SOURCE}))
    environment = renamed(project.environment, name)
    override = environment.sources.get(SOURCE, SourceOverride()).model_copy(
        update={"rollout": {stream: Rollout(parser="v2", share=share) for stream in STREAMS}}
    )
    changed = environment.model_copy(update={"sources": {**environment.sources, SOURCE: override}})
    deployment = Deployment(project.model_copy(update={"environment": changed}), ROOT)
    stack.deploy(deployment)
    return Pipeline(stack, Client(deployment))


def set_simulator(stack: Stack, **settings: Any) -> None:
    request = urllib.request.Request(
        f"{stack.simulators_url}/_admin/{SOURCE}/settings", method="POST", data=json.dumps(settings).encode()
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


def silver(pipeline: Pipeline) -> dict[str, tuple[int, int]]:
    """Rows and content hash of the silver tables."""
    found = pipeline.content()
    return {table: found[f"silver/{table}"] for table in TABLES}


def reasons(pipeline: Pipeline) -> dict[str, dict[str, int]]:
    """Rows in quarantine by table and reason, each row once however often it was read."""
    database = pipeline.client.project.environment.database("quarantine")
    keys = {"app_events": "'$.event_key'", "app_profiles": "'$.profile_key'"}
    counted = {}
    for table in TABLES:
        sql = (
            f'SELECT reason, COUNT(DISTINCT json_extract_scalar("row", {keys[table]})) AS found FROM {database}.{table} '
            "CROSS JOIN UNNEST(reasons) AS t (reason) GROUP BY reason"
        )
        counted[table] = {row["reason"]: row["found"] for row in frames.read(pipeline.client, sql).to_pylist()}
    return counted


def newest(pipeline: Pipeline, stream: str) -> tuple[Manifest, Verdict]:
    ledger = pipeline.client.stream_ledger(f"{SOURCE}.{stream}")
    manifest = ledger.latest()
    assert manifest is not None
    verdict = ledger.verdict(manifest.batch)
    assert verdict is not None
    return manifest, verdict


def accounts_by_parser(pipeline: Pipeline) -> dict[str | None, set[str]]:
    """Accounts of the newest batch of events, by the parser that has read them."""
    batch = newest(pipeline, "events")[0].batch
    database = pipeline.client.project.environment.database("bronze")
    sql = f"SELECT DISTINCT _parser, _account FROM {database}.{SOURCE}_events WHERE _batch = {batch}"
    found: dict[str | None, set[str]] = {}
    for parser, account in pipeline.client.query("athena", sql).rows:
        found.setdefault(parser, set()).add(str(account))
    return found


def moved(pipeline: Pipeline) -> set[str]:
    """Accounts that the environment has version 2 read."""
    source = pipeline.client.project.source(SOURCE)
    assert isinstance(source, HttpSource)
    return set(rolled_out(source, "events"))


def planted(stack: Stack) -> dict[str, dict[str, int]]:
    tables = {f"{SOURCE}.{stream}": table for stream, table in zip(STREAMS, TABLES, strict=True)}
    counted: dict[str, dict[str, int]] = {table: {} for table in TABLES}
    for (stream, reason), count in world.defects(stack.rds_dsn).items():
        if stream in tables:
            counted[tables[stream]][reason] = count
    return counted


@dataclass
class Stage:
    """What the two environments hold after a run of both."""

    first: dict[str, tuple[int, int]]
    twin: dict[str, tuple[int, int]]
    first_reasons: dict[str, dict[str, int]]
    twin_reasons: dict[str, dict[str, int]]
    planted: dict[str, dict[str, int]]
    parsers: tuple[dict[str | None, set[str]], dict[str | None, set[str]]]
    moved: set[str]
    failed_checks: list[str]


@dataclass
class Unannounced:
    """What the first environment does about an API that has changed overnight."""

    run: RunState
    before: dict[str, tuple[int, int]]
    held: dict[str, tuple[int, int]]
    manifest: Manifest
    verdict: Verdict
    alerts: list[dict[str, Any]]
    after: dict[str, tuple[int, int]]
    twin: dict[str, tuple[int, int]]


@dataclass
class Story:
    """The change of the API from its announcement to its end."""

    at_0: Stage
    at_half: Stage
    unannounced: Unannounced
    truth: tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]


def _stage(stack: Stack, first: Pipeline, twin: Pipeline) -> Stage:
    failed = []
    for pipeline in (first, twin):
        run = pipeline.run_well(SOURCE)
        assert all(book.balances for book in books_of(pipeline.client.opened, {run.run_id}))
        for stream in STREAMS:
            failed += [check.check for check in newest(pipeline, stream)[1].checks if not check.passed]
    return Stage(
        silver(first),
        silver(twin),
        reasons(first),
        reasons(twin),
        planted(stack),
        (accounts_by_parser(first), accounts_by_parser(twin)),
        moved(first),
        failed,
    )


def _purchases(stack: Stack, pipeline: Pipeline) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Purchases in the app by the shop's database, and by the silver table: order, customer, time and cents."""
    with psycopg.connect(stack.rds_dsn) as connection:
        connection.execute("set time zone 'UTC'")
        truth = connection.execute(
            "select o.order_id, o.customer_id, to_char(o.ordered_at, 'YYYY-MM-DD HH24:MI:SS'), (o.total_amount * 100)::int"
            " from shop.orders o where o.order_id in"
            " (select (properties->>'Charged ID')::bigint from app.events where name = 'Charged') order by 1"
        ).fetchall()
    table = f"{pipeline.client.project.environment.database('silver')}.app_events"
    sql = (
        "SELECT order_id, customer_id, date_format(occurred_at, '%Y-%m-%d %H:%i:%s'), CAST(amount * 100 AS INTEGER) "
        f"FROM {table} WHERE event_name = 'Charged' ORDER BY 1"
    )
    rows = pipeline.client.query("athena", sql).rows
    found = [(int(str(a)), int(str(b)), str(c), int(str(d))) for a, b, c, d in rows]
    return truth, found


@pytest.fixture(scope="module")
def story(small_stack: Stack) -> Story:
    stack = small_stack
    first, twin = deploy(stack, "first", 0), deploy(stack, "twin", 1)
    at_0 = _stage(stack, first, twin)
    stack.advance(3, 11)
    first = deploy(stack, "first", 0.5)
    at_half = _stage(stack, first, twin)
    stack.advance(2, 12)
    return Story(at_0, at_half, _unannounced(stack, first, twin), _purchases(stack, twin))


def _unannounced(stack: Stack, first: Pipeline, twin: Pipeline) -> Unannounced:
    before, alerts = silver(first), len(first.alerts())
    set_simulator(stack, unannounced=True)
    run = first.run(SOURCE)
    held = silver(first)
    manifest, verdict = newest(first, "events")
    told = first.alerts()[alerts:]
    # The way out: every account moves to the parser that knows the new shape, what was held back is dropped, and its days
    # are read again.
    mended = deploy(stack, "first", 1)
    days = set()
    for row in mended.client.streams(SOURCE):
        if row.halted:
            stream, batch = f"{SOURCE}.{row.stream}", int(row.halted)
            days |= {
                date.fromisoformat(piece["day"])
                for piece in mended.client.stream_ledger(stream).manifest(batch).slices or ()
            }
            mended.client.decide(stream, batch, "discard", "shape of version 2", "test")
    window = (min(days), max(days))
    again = mended.client.wait(mended.client.start(run_input((SOURCE,), None, window, stack.clock())))
    assert again.status == "SUCCEEDED", again.cause
    twin.run_well(SOURCE)
    return Unannounced(run, before, held, manifest, verdict, told, silver(mended), silver(twin))


def test_both_versions_give_the_same_tables(story: Story) -> None:
    first, twin = story.at_0.parsers
    assert (first.keys(), twin.keys()) == ({None}, {"v2"})
    assert len(first[None]) == len(twin["v2"]) == 4
    assert story.at_0.first == story.at_0.twin
    assert all(rows > 10 for rows, _ in story.at_0.first.values())


def test_half_of_the_accounts_on_the_new_version_give_the_same_tables(story: Story) -> None:
    first, twin = story.at_half.parsers
    assert (first.keys(), twin.keys()) == ({None, "v2"}, {"v2"})
    assert len(story.at_half.moved) == 2
    assert first["v2"] == story.at_half.moved
    assert first[None].isdisjoint(story.at_half.moved)
    assert story.at_half.first == story.at_half.twin
    assert story.at_half.first != story.at_0.first


def test_both_versions_quarantine_what_was_planted(story: Story) -> None:
    for stage in (story.at_0, story.at_half):
        assert stage.first_reasons == stage.twin_reasons == stage.planted


def test_moving_accounts_to_a_declared_parser_is_no_drift(story: Story) -> None:
    assert story.at_0.failed_checks == story.at_half.failed_checks == []


def test_a_change_without_notice_is_recorded_as_drift(story: Story) -> None:
    changes = {(change.change, change.field) for change in story.unannounced.manifest.drift}
    assert changes == {("missing", field) for field in ("event_props", "profile", "ts")}


def test_a_change_without_notice_is_held_back_and_told(story: Story) -> None:
    found = story.unannounced
    assert found.run.status == "FAILED"
    assert found.verdict.verdict == "halt"
    assert "occurred_at_complete" in {check.check for check in found.verdict.checks if not check.passed}
    assert found.held == found.before
    message = str(found.alerts)
    for part in (found.run.run_id, "source: clevertap", "stage: Check", "occurred_at_complete"):
        assert part in message


def test_the_way_out_loses_nothing(story: Story) -> None:
    assert story.unannounced.after == story.unannounced.twin
    assert story.unannounced.after != story.unannounced.before


def test_purchases_in_the_app_are_the_orders_of_the_shop(story: Story) -> None:
    truth, found = story.truth
    assert found == truth
    assert len(found) > 50
