"""What the world knows about itself, kept beside the shop in schema `truth`: the clock, planted defects, changes.

The pipeline never reads this schema. Tests do: every number that the pipeline reports can be compared with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Any, Literal, NamedTuple, TypeAlias

import psycopg

from local.world.fx_rates import Restatement
from local.world.journey import UTC_HOUR_OF_MIDNIGHT

Connection: TypeAlias = psycopg.Connection[Any]

Kind: TypeAlias = Literal["insert", "update", "delete", "touch", "late"]
"""What happened to a row. `touch` moved updated_at and nothing else; `late` rows are among the inserts as well."""

DDL = """
create schema truth;
create table truth.world (
    step int primary key, clock date not null, seed bigint not null, days int not null,
    households int not null, written_at timestamptz not null default clock_timestamp()
);
create table truth.defects (
    step int not null, stream text not null, key text not null, reason text not null,
    primary key (stream, key, reason)
);
create table truth.changes (
    step int not null, stream text not null, kind text not null, n bigint not null, primary key (step, stream, kind)
);
create table truth.mismatched_orders (
    step int not null, order_id bigint primary key, total_amount numeric(14,2) not null
);
create table truth.fx_restated (
    step int not null, day date not null, currency char(3) not null, before numeric not null, after numeric not null,
    primary key (step, day, currency)
);
"""


class World(NamedTuple):
    """Where the world stands after its newest step."""

    step: int
    clock: date
    seed: int
    """The seed the world began with; later steps may have been made with other seeds."""
    households: int
    written_at: datetime
    """When the newest step was written, in real time: tells one world from another with the same numbers."""


class Defect(NamedTuple):
    """A planted row that a quality check must find."""

    stream: str
    key: str
    reason: str


class Truth(NamedTuple):
    """What one step did to the world."""

    step: int
    clock: date
    defects: dict[tuple[str, str], int]
    """Planted rows of this step by (stream, reason); a row with two reasons counts under both."""
    changes: dict[tuple[str, Kind], int]


class NoWorldError(LookupError):
    """The database has not been seeded."""


def now(clock: date) -> datetime:
    """The instant at which the world stands when its clock shows this date: the shop's midnight, in UTC."""
    return datetime.combine(clock, time(UTC_HOUR_OF_MIDNIGHT), UTC)


def read_world(connection: Connection) -> World:
    """The newest step. Raises NoWorldError before the first."""
    try:
        row = connection.execute(
            "select step, clock, (select seed from truth.world where step = 0), households, written_at"
            " from truth.world order by step desc limit 1"
        ).fetchone()
    except psycopg.errors.UndefinedTable as error:
        raise NoWorldError("no world in this database. hint: call seed first.") from error
    if row is None:
        raise NoWorldError("no world in this database. hint: call seed first.")
    return World(*row)


def record(
    connection: Connection,
    world: World,
    *,
    seed: int,
    days: int,
    defects: Iterable[Defect],
    changes: Counter[tuple[str, Kind]],
    restated: Iterable[Restatement] = (),
) -> Truth:
    """Writes one step: `seed` is the one this step was made with, `days` how far the clock moved."""
    connection.execute(
        "insert into truth.world (step, clock, seed, days, households, written_at) values (%s, %s, %s, %s, %s, %s)",
        (world.step, world.clock, seed, days, world.households, world.written_at),
    )
    found = list(defects)
    with connection.cursor().copy("copy truth.defects (step, stream, key, reason) from stdin") as copy:
        for defect in found:
            copy.write_row((world.step, *defect))
    with connection.cursor().copy("copy truth.changes (step, stream, kind, n) from stdin") as copy:
        for (stream, kind), n in sorted(changes.items()):
            if n:
                copy.write_row((world.step, stream, kind, n))
    with connection.cursor().copy("copy truth.fx_restated (step, day, currency, before, after) from stdin") as copy:
        for rate in restated:
            copy.write_row((world.step, *rate))
    counted = Counter((defect.stream, defect.reason) for defect in found)
    return Truth(world.step, world.clock, dict(counted), {key: n for key, n in sorted(changes.items()) if n})


def clock(dsn: str) -> date:
    """Today in the world: the first day that has not happened yet."""
    with psycopg.connect(dsn) as connection:
        return read_world(connection).clock


def households(dsn: str) -> int:
    """Households that shop in this world."""
    with psycopg.connect(dsn) as connection:
        return read_world(connection).households


def defects(dsn: str, step: int | None = None) -> dict[tuple[str, str], int]:
    """Planted rows by (stream, reason), of one step or of all steps so far."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select stream, reason, count(*) from truth.defects where %(step)s::int is null or step = %(step)s"
            " group by stream, reason order by stream, reason",
            {"step": step},
        ).fetchall()
    return {(stream, reason): n for stream, reason, n in rows}


def changes(dsn: str, step: int | None = None) -> dict[tuple[str, Kind], int]:
    """Changed rows by (stream, kind), of one step or of all steps so far."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select stream, kind, sum(n)::bigint from truth.changes where %(step)s::int is null or step = %(step)s"
            " group by stream, kind order by stream, kind",
            {"step": step},
        ).fetchall()
    return {(stream, kind): n for stream, kind, n in rows}


def mismatched_orders(dsn: str) -> list[int]:
    """Ids of the orders whose total is not the sum of their items."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("select order_id from truth.mismatched_orders order by order_id").fetchall()
    return [order_id for (order_id,) in rows]
