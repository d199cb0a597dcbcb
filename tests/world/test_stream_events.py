from __future__ import annotations

import io
import json
from collections import Counter
from decimal import Decimal
from typing import Any

import fastavro
import psycopg
import pytest

from local import world
from local.postgres import PostgresServer
from local.world.kafka import EVENTS, ORDERS, SCHEMAS

EVENTS_STREAM, ORDERS_STREAM = f"kafka.{EVENTS}", f"kafka.{ORDERS}"


def records(dsn: str, step: int | None = None) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "select topic, key, value, schema, headers, sent_at from streaming.records"
            " where %(step)s::int is null or step = %(step)s order by number",
            {"step": step},
        ).fetchall()


def planted(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        return {key for (key,) in connection.execute("select key from truth.defects where stream like 'kafka.%'")}


def test_the_same_seed_sends_the_same_records(small_shop: str, server: PostgresServer, another_database: str) -> None:
    world.advance(small_shop, 3, 11)
    world.seed(another_database, 7, households=50)
    world.advance(another_database, 3, 11)
    assert records(small_shop) == records(another_database)
    assert records(small_shop)


def test_every_order_event_is_about_an_order_of_the_shop(small_shop: str) -> None:
    bad = planted(small_shop)
    with psycopg.connect(small_shop) as connection:
        totals = dict(connection.execute("select order_id, total_amount from shop.orders"))
    seen = 0
    for topic, key, value, schema, _, _ in records(small_shop):
        if topic == ORDERS and value is not None and key not in bad:
            event = fastavro.schemaless_reader(io.BytesIO(value), json.loads(json.dumps(SCHEMAS[schema])), None)
            assert event["total"] == totals[event["order_id"]]
            assert key == str(event["order_id"])
            seen += 1
    assert seen > 10


def test_both_versions_of_the_schema_are_in_use(small_shop: str) -> None:
    assert {schema for topic, _, _, schema, _, _ in records(small_shop) if topic == ORDERS} >= {"v1", "v2"}


def test_a_purchase_has_the_total_of_its_order(small_shop: str) -> None:
    with psycopg.connect(small_shop) as connection:
        totals = dict(connection.execute("select order_id, total_amount from shop.orders"))
    bad = planted(small_shop)
    events = [json.loads(value) for topic, key, value, *_ in records(small_shop) if topic == EVENTS and key not in bad]
    bought = [event for event in events if event["name"] == "purchase"]
    assert bought
    assert all(Decimal(event["amount"]) == totals[event["order_id"]] for event in bought)


def test_what_the_truth_counts_is_what_was_sent(small_shop: str) -> None:
    moved = world.advance(small_shop, 3, 11)
    bad = planted(small_shop)
    sent = records(small_shop, 1)
    before = {(topic, key) for topic, key, *_ in records(small_shop, 0)}
    events = {key for topic, key, value, *_ in sent if topic == EVENTS and value is not None} - bad
    erased = {key for topic, key, value, *_ in sent if topic == EVENTS and value is None}
    placed = {key for topic, key, value, *_ in sent if topic == ORDERS and value is not None} - bad
    purged = {key for topic, key, value, *_ in sent if topic == ORDERS and value is None}
    assert moved.changes[EVENTS_STREAM, "insert"] == len(events) > 0
    assert moved.changes[EVENTS_STREAM, "delete"] == len(erased) > 0
    assert all((EVENTS, key) in before for key in erased)
    assert moved.changes[ORDERS_STREAM, "delete"] == len(purged) > 0
    assert not purged & (placed | bad)
    assert moved.changes.get((ORDERS_STREAM, "insert"), 0) == sum((ORDERS, key) not in before for key in placed)


@pytest.mark.parametrize("step", [0, 1])
def test_every_step_plants_each_defect(small_shop: str, step: int) -> None:
    if step:
        world.advance(small_shop, 1, 11)
    found = Counter(stream_reason for stream_reason in world.defects(small_shop, step))
    reasons = {reason for stream, reason in found if stream == EVENTS_STREAM}
    assert reasons == {"not_json", "not_an_object", "bad_encoding", "name_known", "occurred_at_readable"}
    reasons = {reason for stream, reason in found if stream == ORDERS_STREAM}
    assert reasons == {"bad_avro", "not_framed", "unknown_schema", "schema_by_guid"}


def test_nothing_is_sent_at_a_time_that_has_not_come(small_shop: str) -> None:
    truth = world.advance(small_shop, 2, 11)
    late = [sent_at for *_, sent_at in records(small_shop) if sent_at.date() > truth.clock]
    assert late == []
