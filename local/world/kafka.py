"""The shop's Kafka records: the events of its web sessions as JSON, and the course of its orders as Avro.

Both follow the shop's orders, one in fifteen. The rows of `streaming.records` are what producers will send, in the order they
will: an Avro value is kept without its frame, since only a registry can tell the id of its schema. Producers make mistakes:
some values cannot be read, some events are sent twice, and what was erased is sent once more without a value.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple

import fastavro

from local.world.dice import dice, draw
from local.world.part import Happened, Step
from local.world.truth import Connection, Defect, Kind, now

EVENTS = "events"
ORDERS = "orders_events"

ONE_ORDER_IN = 15
HISTORY_DAYS = 45
"""How much of the shop's year the topics still hold."""

UNKNOWN_SCHEMA = 4_711
"""An id that no registry has given out."""

DDL = """
create schema streaming;
create table streaming.records (
    number bigint generated always as identity primary key, step int not null, topic text not null, key text not null,
    value bytea, schema text, headers jsonb not null, sent_at timestamptz not null
);
create index records_key on streaming.records (topic, key);
"""

_V1_FIELDS: list[dict[str, Any]] = [
    {"name": "order_id", "type": "long"},
    {"name": "customer_id", "type": ["null", "long"]},
    {"name": "event", "type": {"type": "enum", "name": "Event", "symbols": ["PLACED", "RETURNED", "CANCELLED"]}},
    {"name": "currency", "type": "string"},
    {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 14, "scale": 2}},
    {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
]
_V2_FIELDS: list[dict[str, Any]] = [
    *_V1_FIELDS,
    {"name": "campaign_id", "type": ["null", "long"], "default": None},
    {"name": "store", "type": {"type": "record", "name": "Store", "fields": [{"name": "store_id", "type": "long"}]}},
]
SCHEMAS: Mapping[str, dict[str, Any]] = {
    name: {"type": "record", "name": "OrderEvent", "namespace": "shop", "fields": fields}
    for name, fields in (("v1", _V1_FIELDS), ("v2", _V2_FIELDS))
}
"""The versions of the orders' schema, in the order in which producers registered them."""

_PARSED = {name: fastavro.parse_schema(dict(schema)) for name, schema in SCHEMAS.items()}
_DEVICES = ({"os": "iOS", "model": "iPhone 8"}, {"os": "Android", "model": "Pixel 2"}, {"os": "Windows", "model": None})
_EVENT_OF_STATUS = {"returned": "RETURNED", "cancelled": "CANCELLED"}
_PLANTED_ORDER = 800_000_000_000
_PLANTED_ORDERS = "800000"
_REPLAYED_GUID = "01" + "6c4b1f0e5a7d4c1b9e2f3a4b5c6d7e8f"


class Record(NamedTuple):
    """One record of a topic; without a value it is a tombstone, with a `schema` its value is Avro that lacks its frame."""

    topic: str
    key: str
    value: bytes | None
    schema: str | None
    headers: dict[str, str]
    """Header values in hexadecimal digits."""
    sent_at: datetime


class _Order(NamedTuple):
    order_id: int
    customer_id: int | None
    store_id: int
    campaign_id: int | None
    status: str
    currency: str
    total_amount: Decimal
    ordered_at: datetime
    updated_at: datetime
    deleted: bool
    is_new: bool


class StreamEvents:
    """The part of the world that goes through Kafka."""

    DDL = DDL
    SCHEMA = "streaming"

    def happen(self, connection: Connection, step: Step) -> Happened:
        """Writes the records of one step."""
        changes: Counter[tuple[str, Kind]] = Counter()
        records: list[Record] = []
        for order in _orders(connection, step):
            records += _course(order, step, changes)
            if order.is_new and not order.deleted:
                records += _session(order, step, changes)
        records += _erased(connection, step, {record.key for record in records}, changes)
        planted = list(_planted(step))
        defects = [defect for _, defect in planted]
        records += [record for record, _ in planted]
        # What was sent at the same moment goes out in a fixed order, too.
        records.sort(key=lambda record: (record.sent_at, record.topic, record.key, record.value or b""))
        columns = "step, topic, key, value, schema, headers, sent_at"
        with connection.cursor().copy(f"copy streaming.records ({columns}) from stdin") as copy:
            for record in records:
                copy.write_row(
                    (
                        step.number,
                        record.topic,
                        record.key,
                        record.value,
                        record.schema,
                        json.dumps(record.headers),
                        record.sent_at,
                    )
                )
        return Happened(defects, changes)


def _orders(connection: Connection, step: Step) -> Iterator[_Order]:
    """The orders of the sample that are new in this step or have changed in it, by id."""
    first = now(step.clock) - timedelta(days=HISTORY_DAYS) if step.number == 0 else None
    rows = connection.execute(
        """
        select o.order_id, o.customer_id, o.store_id, o.campaign_id, o.status, o.currency, o.total_amount, o.ordered_at,
            o.updated_at, o.deleted_at is not null, k.key is null
        from shop.orders o
        left join (select distinct key from streaming.records where topic = %(topic)s) k on k.key = o.order_id::text
        where o.updated_at >= %(since)s and o.updated_at < %(clock)s
            and (%(first)s::timestamptz is null or o.ordered_at >= %(first)s)
        order by o.order_id
        """,
        {"topic": ORDERS, "since": now(step.since), "clock": now(step.clock), "first": first},
    )
    for row in rows:
        order = _Order(*row)
        known = not order.is_new or order.ordered_at >= now(step.since) - timedelta(days=HISTORY_DAYS)
        if known and draw(ONE_ORDER_IN, step.world_seed, "streamed", order.order_id) == 0:
            yield order


def _course(order: _Order, step: Step, changes: Counter[tuple[str, Kind]]) -> Iterator[Record]:
    """What is said about an order: that it was placed, what became of it, and nothing any more once it is deleted."""
    stream = f"kafka.{ORDERS}"
    if order.is_new and order.deleted:
        return
    if order.is_new:
        changes[stream, "insert"] += 1
        # A late order is sent when it reaches the shop's database.
        placed_at = order.ordered_at if step.number == 0 else max(order.ordered_at, now(step.since))
        yield _order_event(order, "PLACED", order.ordered_at, placed_at, step)
    if order.deleted:
        changes[stream, "delete"] += 1
        yield Record(ORDERS, str(order.order_id), None, None, {}, order.updated_at)
    elif order.status in _EVENT_OF_STATUS and (not order.is_new or order.updated_at > order.ordered_at):
        changes[stream, "update"] += not order.is_new
        yield _order_event(order, _EVENT_OF_STATUS[order.status], order.updated_at, order.updated_at, step)


def _order_event(order: _Order, event: str, occurred_at: datetime, sent_at: datetime, step: Step) -> Record:
    # Half of history is older than the second version of the schema.
    is_old = step.number == 0 and sent_at < now(step.clock) - timedelta(days=HISTORY_DAYS // 2)
    value = {
        "order_id": order.order_id,
        "customer_id": order.customer_id,
        "event": event,
        "currency": order.currency,
        "total": order.total_amount,
        "occurred_at": occurred_at,
        "campaign_id": order.campaign_id,
        "store": {"store_id": order.store_id},
    }
    schema = "v1" if is_old else "v2"
    headers = {"producer": b"order-service".hex()}
    return Record(ORDERS, str(order.order_id), _avro(schema, value), schema, headers, sent_at)


def _avro(schema: str, value: dict[str, Any]) -> bytes:
    written = io.BytesIO()
    fields = {field["name"] for field in SCHEMAS[schema]["fields"]}
    fastavro.schemaless_writer(written, _PARSED[schema], {name: value[name] for name in fields})
    return written.getvalue()


def _session(order: _Order, step: Step, changes: Counter[tuple[str, Kind]]) -> Iterator[Record]:
    """The events of the session that led to an order; one event in a hundred is sent twice."""
    rng = dice(step.world_seed, "session", order.order_id)
    names = ["page_view"] * rng.randint(1, 3) + ["add_to_cart"] * rng.randint(1, 2) + ["checkout", "purchase"]
    bought_at = max(order.ordered_at, now(step.since))
    device = rng.choice(_DEVICES)
    for number, name in enumerate(names):
        at = bought_at - timedelta(seconds=20 * (len(names) - 1 - number) + rng.randrange(20))
        at = max(at, now(step.since))
        event_id = f"{order.order_id}-{number}"
        event: dict[str, Any] = {
            "event_id": event_id,
            "session_id": f"s-{order.order_id}",
            "customer_id": order.customer_id,
            "name": name,
            "occurred_at": at.isoformat(),
            "page": rng.choice(("/", "/søk?q=ost", "/cart", "/商品/42", "/deals 🎉")),
            "device": device,
        }
        if name == "purchase":
            event |= {"order_id": order.order_id, "amount": f"{order.total_amount}"}
        record = Record(EVENTS, event_id, _json(event), None, {"producer": b"web-shop".hex()}, at)
        changes[f"kafka.{EVENTS}", "insert"] += 1
        yield record
        if rng.random() < 0.01:
            yield record._replace(sent_at=at + timedelta(seconds=1))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _erased(connection: Connection, step: Step, busy: set[str], changes: Counter[tuple[str, Kind]]) -> Iterator[Record]:
    """Tombstones for all events of two sessions and for two orders of earlier steps, whose customers asked for it."""
    if step.number == 0:
        return
    rng = dice(step.seed, step.number, "erased")
    for topic in (EVENTS, ORDERS):
        rows = connection.execute(
            "select key from streaming.records where topic = %s and step < %s group by key"
            " having bool_and(value is not null) order by key",
            [topic, step.number],
        )
        # Nothing is said of planted keys a second time, nor of one that is in this step already.
        keys = [key for (key,) in rows if key[0].isdigit() and key not in busy and not key.startswith(_PLANTED_ORDERS)]
        groups = sorted({key.partition("-")[0] for key in keys})
        chosen = set(rng.sample(groups, min(2, len(groups))))
        for key in keys:
            if key.partition("-")[0] in chosen:
                changes[f"kafka.{topic}", "delete"] += 1
                yield Record(topic, key, None, None, {}, _moment(rng, step))


def _planted(step: Step) -> Iterator[tuple[Record, Defect]]:
    """Records that must end in quarantine, with the reason they must have there."""
    rng = dice(step.seed, step.number, "poison")
    each = 1 + min(4, (step.clock - step.since).days // 10)

    def event(reason: str, number: int, value: bytes) -> tuple[Record, Defect]:
        key = f"p{step.number}-{reason}-{number}"
        return Record(EVENTS, key, value, None, {}, _moment(rng, step)), Defect(f"kafka.{EVENTS}", key, reason)

    for number in range(each):
        whole: dict[str, Any] = {"name": "page_view", "occurred_at": _moment(rng, step).isoformat(), "page": "/"}
        yield event("not_json", number, _json(whole)[: rng.randint(5, 40)])
        yield event("not_an_object", number, _json([whole]))
        yield event("bad_encoding", number, '{"page": "/søk"}'.encode("latin-1"))
        yield event("name_known", number, _json({**whole, "name": "purchse"}))
        yield event("occurred_at_readable", number, _json({**whole, "occurred_at": "yesterday"}))
    for number, (reason, value, schema, headers) in enumerate(_planted_orders(rng, step, each)):
        key = str(_PLANTED_ORDER + step.number * 1_000 + number)
        record = Record(ORDERS, key, value, schema, headers, _moment(rng, step))
        yield record, Defect(f"kafka.{ORDERS}", key, reason)


def _planted_orders(rng: Random, step: Step, each: int) -> Iterator[tuple[str, bytes, str | None, dict[str, str]]]:
    whole: dict[str, Any] = {
        "order_id": _PLANTED_ORDER,
        "customer_id": None,
        "event": "PLACED",
        "currency": "USD",
        "total": Decimal("12.50"),
        "occurred_at": now(step.since),
        "campaign_id": None,
        "store": {"store_id": 1},
    }
    for _ in range(each):
        body = _avro("v2", whole)
        yield "bad_avro", body[: rng.randint(3, len(body) - 2)], "v2", {}
        yield "not_framed", _json({"order_id": 1}), None, {}
        yield "unknown_schema", b"\0" + UNKNOWN_SCHEMA.to_bytes(4, "big") + body, None, {}
        yield "schema_by_guid", body, None, {"__value_schema_id": _REPLAYED_GUID}


def _moment(rng: Random, step: Step) -> datetime:
    since = now(step.since)
    return since + timedelta(seconds=rng.randrange(int((now(step.clock) - since).total_seconds())))


STREAM_EVENTS = StreamEvents()
