"""How customers behave in the web shop: one row for each session, as the analysts' warehouse sums them up.

Sessions are those of the shop's own customers, and those that ended in an order have its value. A session is closed half an hour
after its last page, and some get their conversion days later. Who objects to being tracked is given a tombstone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from local.world.part import Happened, Step, StepWriter
from local.world.tables import copy_rows
from local.world.truth import Connection, Kind

CUSTOMER_BEHAVIOR = "redshift.customer_behavior"

LATE_MINUTES = 4
"""How far behind the newest row a session is dated that was committed late."""

_HISTORY_DAYS = 365
_FIRST_SESSION = 500_000_000_001
_CLOSED_AFTER = timedelta(minutes=30)
_CHANNELS = ("direct", "organic_search", "paid_social", "paid_search", "email", "referral")
_DEVICES = ("mobile", "mobile", "desktop", "tablet")
_CLEAN = "session_id::text not in (select key from truth.defects where stream = %s)"

DDL = """
create schema behavior;
create table behavior.customer_behavior (
    session_id bigint primary key, customer_id bigint, channel text not null, device text not null,
    started_at timestamp not null, session_duration int not null, page_views int not null, products_viewed int not null,
    added_to_cart boolean not null, conversions int not null, conversion_value numeric(14,2) not null,
    updated_at timestamptz not null, deleted_at timestamptz
);
"""


class Behavior:
    """The part of the world behind source redshift."""

    DDL = DDL
    SCHEMA = "behavior"

    def happen(self, connection: Connection, step: Step) -> Happened:
        """Writes a year of sessions in step 0; afterwards those of the step's days, and what became of older ones."""
        return _Days(connection, step).write()


BEHAVIOR = Behavior()


class _Days(StepWriter):
    """One step, history being the first. A session changes at most once in a step, and never in the one that made it."""

    def __init__(self, connection: Connection, step: Step) -> None:
        super().__init__(connection, step, "behavior", _HISTORY_DAYS)

    def write(self) -> Happened:
        """What became of older sessions, then the new ones."""
        [[newest, last]] = self._connection.execute(
            "select max(updated_at), coalesce(max(session_id), %s) from behavior.customer_behavior",
            [_FIRST_SESSION - 1],
        ).fetchall()
        if newest is not None:
            self._change()
        self._sessions(int(last) + 1, newest)
        return Happened(self._defects, self._changes)

    def _sessions(self, first: int, newest: datetime | None) -> None:
        customers = [
            row[0]
            for row in self._connection.execute(
                "select customer_id from shop.customers where deleted_at is null order by customer_id"
            )
        ]
        new = max(80, self._count(12_000)) if self._history else max(6, self._count(35 * self._days))
        reasons = (
            "page_views_positive",
            "conversion_value_non_negative",
            "session_duration_plausible",
            "customer_id_complete",
        )
        wrong = reasons * 4 if self._history else reasons
        rows: list[list[Any]] = []
        for session_id in range(first, first + new + len(wrong)):
            seconds, pages = self._rng.randint(5, 3600), self._rng.randint(1, 60)
            bought = self._rng.random() < 0.08
            value = Decimal(self._rng.randint(500, 40_000)).scaleb(-2) if bought else Decimal(0)
            # Every session is closed before the step ends, so that a reader after it sees it.
            room = (self._end - self._start - _CLOSED_AFTER).total_seconds() - seconds
            started = self._start + timedelta(seconds=self._rng.randrange(int(room)))
            row = [
                session_id,
                self._rng.choice(customers),
                self._rng.choice(_CHANNELS),
                self._rng.choice(_DEVICES),
                started.replace(tzinfo=None),
                seconds,
                pages,
                self._rng.randint(0, pages),
                bought or self._rng.random() < 0.2,
                int(bought),
                value,
                started + timedelta(seconds=seconds, microseconds=self._rng.randrange(1_000_000)) + _CLOSED_AFTER,
                None,
            ]
            if session_id >= first + new:
                reason = wrong[session_id - first - new]
                self._defect(CUSTOMER_BEHAVIOR, session_id, reason)
                _spoil(row, reason)
            rows.append(row)
        if newest is not None:
            # A transaction that began before the last read committed after it.
            rows[0][11] = newest - timedelta(minutes=LATE_MINUTES)
            self._changes[CUSTOMER_BEHAVIOR, "late"] += 1
        copy_rows(self._connection, "behavior.customer_behavior", rows)
        self._changes[CUSTOMER_BEHAVIOR, "insert"] += new

    def _change(self) -> None:
        """Conversions that are attributed late, and customers who object."""
        keys = [
            row[0]
            for row in self._connection.execute(
                f"select session_id from behavior.customer_behavior where deleted_at is null and {_CLEAN} order by 1",
                [CUSTOMER_BEHAVIOR],
            )
        ]
        pool = self._rng.sample(keys, len(keys))
        converted, erased = ([pool.pop() for _ in range(max(1, self._count(n * self._days)))] for n in (8, 2))
        values = [Decimal(self._rng.randint(50_000, 90_000)).scaleb(-2) for _ in converted]
        self._set("update", converted, "conversions = conversions + 1, conversion_value = v.value", values)
        self._set("delete", erased, "deleted_at = v.at", [Decimal(0)] * len(erased))

    def _set(self, kind: Kind, keys: Sequence[int], assignment: str, values: Sequence[Decimal]) -> None:
        seconds = self._days * 86_400
        moments = [self._start + timedelta(seconds=self._rng.randrange(1, seconds)) for _ in keys]
        self._connection.execute(
            f"update behavior.customer_behavior t set {assignment}, updated_at = v.at"
            " from unnest(%s::bigint[], %s::numeric[], %s::timestamptz[]) as v (key, value, at)"
            " where t.session_id = v.key",
            [list(keys), list(values), moments],
        )
        self._changes[CUSTOMER_BEHAVIOR, kind] += len(keys)


def _spoil(row: list[Any], reason: str) -> None:
    """Gives a session the defect that a check must find."""
    match reason:
        case "page_views_positive":
            row[6], row[7] = 0, 0
        case "conversion_value_non_negative":
            row[10] = Decimal("-9.99")
        case "session_duration_plausible":
            row[5] = 90_000_000
        case _:
            row[1] = None
