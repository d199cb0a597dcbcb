"""The requests that the stores' systems push: loyalty events, each with a key of its own, and requests that must be refused.

The rows of `push.requests` are what senders POST, in this order, with the status that they must get.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from local.world.dice import dice
from local.world.journey import HOUSEHOLDS
from local.world.part import Happened, Step
from local.world.truth import Connection, Defect, Kind, now

STREAM = "http_push.pushed_events"
SENDERS = ("stores", "call_centre")
WRONG_SENDER = "nobody"

HISTORY_EVENTS = 300
EVENTS_A_DAY = 12
"""For the whole shop; a smaller one pushes less."""

DDL = """
create schema push;
create table push.requests (
    number bigint generated always as identity primary key, step int not null, since date not null, sender text not null,
    idempotency_key text, content_type text not null, body bytea not null, status int not null, duplicate boolean not null
);
"""
_TYPES = ("loyalty_enrolled", "coupon_redeemed", "survey_answered")


class Sent(NamedTuple):
    """One request and the answer that it must get."""

    sender: str
    idempotency_key: str | None
    content_type: str
    body: bytes
    status: int = 202
    duplicate: bool = False


class PushedEvents:
    """The part of the world that comes over HTTP."""

    DDL = DDL
    SCHEMA = "push"

    def happen(self, connection: Connection, step: Step) -> Happened:
        """Writes the requests of one step."""
        days = min((step.clock - step.since).days, 30)
        whole = HISTORY_EVENTS if step.number == 0 else EVENTS_A_DAY * days
        events = list(_events(step, max(12, whole * step.households // HOUSEHOLDS), days))
        requests = [_sent(event) for event in events]
        refused = list(_refused(events, step))
        defects = []
        for number, (change, reason) in enumerate(_DEFECTS):
            event = {**events[0], "event_id": f"planted-{step.number}-{number}", **change}
            requests.append(_sent(event))
            defects.append(Defect(STREAM, event["event_id"], reason))
        columns = "step, since, sender, idempotency_key, content_type, body, status, duplicate"
        with connection.cursor().copy(f"copy push.requests ({columns}) from stdin") as copy:
            for request in (*requests, *refused):
                copy.write_row((step.number, step.since, *request))
        changes: Counter[tuple[str, Kind]] = Counter({(STREAM, "insert"): len(events)})
        return Happened(defects, changes)


# What the schema lets through and the policy does not.
_DEFECTS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"points": -50}, "points_non_negative"),
    ({"occurred_at": "0001-01-01T00:00:00Z"}, "occurred_at_plausible"),
)


def _events(step: Step, amount: int, days: int) -> Iterator[dict[str, Any]]:
    rng = dice(step.world_seed, "pushed events", step.number)
    for number in range(amount):
        at = now(step.clock) - timedelta(days=days) + timedelta(days=days) * number / amount
        kind = rng.choice(_TYPES)
        event: dict[str, Any] = {
            "event_id": f"{step.number}-{number:06d}",
            "event_type": kind,
            "occurred_at": at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "customer_id": rng.randint(1, 2500),
            "store_id": rng.randint(300, 450),
            "points": rng.randint(0, 500),
        }
        if kind == "coupon_redeemed":
            event["amount"] = str(Decimal(rng.randint(25, 2000)).scaleb(-2))
            event["currency"] = "USD"
        if kind == "survey_answered":
            event["answers"] = {"liked": rng.randint(1, 5), "words": rng.choice(["très bien", "好", "so so", "👍"])}
        yield event


def _sent(event: dict[str, Any]) -> Sent:
    body = json.dumps(event, ensure_ascii=False).encode()
    return Sent(SENDERS[int(event["store_id"]) % 2], f"key-{event['event_id']}", "application/json", body)


def _refused(events: list[dict[str, Any]], step: Step) -> Iterator[Sent]:
    """Requests of every kind that adds nothing: duplicates and malformed ones."""
    first, second = _sent(events[0]), _sent(events[1])
    spaced = json.dumps(json.loads(first.body), indent=2).encode()
    key = f"refused-{step.number}"
    yield first._replace(duplicate=True)
    yield first._replace(body=spaced, duplicate=True)
    yield first._replace(body=second.body, status=409)
    yield first._replace(sender=WRONG_SENDER, status=401)
    yield first._replace(idempotency_key=None, status=400)
    yield first._replace(idempotency_key=key, body=first.body[:-1], status=400)
    yield first._replace(idempotency_key=key, content_type="text/csv", status=415)
    yield first._replace(idempotency_key=key, body=b'{"event_id": "x"}', status=422)
    yield first._replace(idempotency_key=key, body=b" " * 300_000, status=413)


PUSHED_EVENTS = PushedEvents()
