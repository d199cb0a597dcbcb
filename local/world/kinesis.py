"""The web site's Kinesis records: the browsing that led to an order from the browsers, its checkout from the server.

One order in `ONE_ORDER_IN` has a session. The rows of `web.records` are what producers put, in this order; some of them are put
twice, and some cannot be read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from random import Random
from typing import Any, NamedTuple

from local.world.dice import dice, draw
from local.world.part import Happened, Step
from local.world.tables import copy_rows
from local.world.truth import Connection, Defect, Kind, now

BROWSING = "web_events"
CHECKOUT = "web_events_queued"
STREAMS = (BROWSING, CHECKOUT)

ONE_ORDER_IN = 8
HISTORY_DAYS = 30
"""How much of the shop's year is sent again when the site is connected."""
LARGEST_BYTES = 262_144
"""Size beyond which config/sources/kinesis.yaml refuses a record."""

DDL = """
create schema web;
create table web.records (
    number bigint generated always as identity primary key, step int not null, since date not null, stream text not null,
    partition_key text not null, data bytea not null
);
"""
_DEVICES = ("desktop", "phone", "tablet")
_PAGES = ("/", "/offers", "/search?q=кофе", "/c/grocery", "/c/produce", "/c/baby-care")


class Record(NamedTuple):
    """One record as a producer puts it."""

    stream: str
    partition_key: str
    data: bytes


class WebEvents:
    """The part of the world that goes through Kinesis."""

    DDL = DDL
    SCHEMA = "web"

    def happen(self, connection: Connection, step: Step) -> Happened:
        """Writes the records of one step."""
        changes: Counter[tuple[str, Kind]] = Counter()
        records: list[Record] = []
        for order in _orders(connection, step):
            for record in _session(order, step.world_seed):
                records.append(record)
                changes[f"kinesis.{record.stream}", "insert"] += 1
                # A producer that got no answer puts the record again.
                if draw(60, step.world_seed, "web put twice", order[0], len(records)) == 0:
                    records.append(record)
                    changes[f"kinesis.{record.stream}", "touch"] += 1
        planted = list(_planted(step))
        records += [record for record, _ in planted]
        defects = [defect for _, found in planted for defect in found]
        rows = ((step.number, step.since, *record) for record in records)
        copy_rows(connection, "web.records (step, since, stream, partition_key, data)", rows)
        return Happened(defects, changes)


def _orders(connection: Connection, step: Step) -> Iterator[tuple[Any, ...]]:
    first = max(now(step.since), now(step.clock) - timedelta(days=HISTORY_DAYS))
    rows = connection.execute(
        "select order_id, customer_id, total_amount, trim(currency), ordered_at from shop.orders"
        " where updated_at >= %s and updated_at < %s and ordered_at >= %s and customer_id is not null"
        " and status = 'completed' and deleted_at is null order by order_id",
        [now(step.since), now(step.clock), first],
    )
    for row in rows:
        if draw(ONE_ORDER_IN, step.world_seed, "web session", row[0]) == 0:
            yield row


def _session(order: tuple[Any, ...], seed: int) -> Iterator[Record]:
    order_id, customer_id, total, currency, ordered_at = order
    rng = dice(seed, "web session", order_id)
    session, device = _name(seed, "session", order_id), rng.choice(_DEVICES)
    begun = ordered_at - timedelta(minutes=rng.randint(4, 40))
    steps = ["page_view", *["product_view"] * rng.randint(0, 2), "add_to_cart"]
    for number, kind in enumerate(steps):
        event = {
            "event_id": _name(seed, "event", order_id, number),
            "event_type": kind,
            "occurred_at": _iso(begun + (ordered_at - begun) * number / len(steps)),
            "session_id": session,
            "customer_id": customer_id,
            "page": rng.choice(_PAGES),
            "device": {"kind": device, "width": rng.choice([390, 820, 1920])},
        }
        yield Record(BROWSING, session, _json(event))
    for number, kind in enumerate(("checkout_started", "purchase")):
        event = {
            "event_id": _name(seed, "checkout", order_id, number),
            "event_type": kind,
            "occurred_at": _iso(ordered_at - timedelta(minutes=1 - number)),
            "session_id": session,
            "customer_id": customer_id,
            "page": "/checkout",
            "device": {"kind": device},
            "order_id": order_id,
            "amount": str(total),
            "currency": currency,
        }
        yield Record(CHECKOUT, session, _json(event))


def _planted(step: Step) -> Iterator[tuple[Record, list[Defect]]]:
    """Records that must end in quarantine; each has a partition key of its own, by which it is told apart."""
    rng = dice(step.world_seed, "web planted", step.number)
    for stream in STREAMS:
        makers = [_not_json, _not_utf8, _no_object, _unknown_type, _negative_amount, _no_time]
        for number, make in enumerate([*makers, *([_huge] if stream == BROWSING else [])]):
            key = f"planted-{stream}-{step.number}-{number}"
            event = {
                "event_id": key,
                "event_type": "page_view",
                "occurred_at": _iso(now(step.clock) - timedelta(hours=rng.randint(1, 20))),
                "session_id": _name(step.world_seed, key),
                "page": "/",
            }
            data, reasons = make(event, rng)
            yield Record(stream, key, data), [Defect(f"kinesis.{stream}", key, reason) for reason in reasons]


def _not_json(event: dict[str, Any], _rng: Random) -> tuple[bytes, tuple[str, ...]]:
    return _json(event)[:-2], ("not_json",)


def _not_utf8(event: dict[str, Any], _rng: Random) -> tuple[bytes, tuple[str, ...]]:
    return _json({**event, "page": "/café"}).replace("é".encode(), b"\xe9"), ("bad_encoding",)


def _no_object(event: dict[str, Any], _rng: Random) -> tuple[bytes, tuple[str, ...]]:
    return _json([event]), ("not_an_object",)


def _unknown_type(event: dict[str, Any], _rng: Random) -> tuple[bytes, tuple[str, ...]]:
    return _json({**event, "event_type": "TELEPORTED"}), ("event_type_known",)


def _negative_amount(event: dict[str, Any], rng: Random) -> tuple[bytes, tuple[str, ...]]:
    amount = -Decimal(rng.randint(1, 9999)).scaleb(-2)
    return _json({**event, "event_type": "purchase", "amount": str(amount)}), ("amount_non_negative",)


def _no_time(event: dict[str, Any], _rng: Random) -> tuple[bytes, tuple[str, ...]]:
    return _json({**event, "occurred_at": "yesterday"}), ("occurred_at_readable", "occurred_at_complete")


def _huge(event: dict[str, Any], _rng: Random) -> tuple[bytes, tuple[str, ...]]:
    return _json({**event, "page": "x" * LARGEST_BYTES}), ("too_large",)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _name(*parts: object) -> str:
    return blake2b("|".join(map(str, parts)).encode(), digest_size=12).hexdigest()


WEB_EVENTS = WebEvents()
