"""The shop's helpdesk: customers write about their orders, agents answer, and some who were helped rate it.

A ticket that is deleted stays, with that as its status. `generated_at` is when a ticket last changed in any way, which is a
little later than what its people did to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import class_row

from local.world.part import Happened, Step
from local.world.truth import Connection, Defect, Kind

TICKETS = "zendesk.tickets"
RATINGS = "zendesk.satisfaction_ratings"

_HISTORY_DAYS = 365
_PLANTED = 900_000_000

DDL = """
create schema helpdesk;
create table helpdesk.tickets (
    ticket_id bigint primary key, order_id bigint not null, customer_id bigint not null, subject text,
    description text not null, kind text not null, priority text, status text not null, channel text not null, tags text[] not null,
    assignee_id bigint, created_at timestamptz not null, updated_at timestamptz not null, generated_at timestamptz not null
);
create table helpdesk.ratings (
    rating_id bigint primary key, ticket_id bigint not null, customer_id bigint not null, score text not null, comment text,
    reason text, created_at timestamptz not null, updated_at timestamptz not null
);
"""

_HASH = "hashtextextended(concat_ws('|', %(seed)s::text, {parts}), 0) & 9223372036854775807"

_WRITTEN = f"""
insert into helpdesk.tickets
select
    (select coalesce(max(ticket_id), 0) from helpdesk.tickets where ticket_id < {_PLANTED})
        + row_number() over (order by created_at, order_id),
    order_id, customer_id,
    (array['Where is my order?', 'Wrong item', 'Refund', 'Gutschein “10 €” geht nicht', '返品したい', 'Damaged 🎁'])[1 + h / 40 %% 6],
    'Order ' || order_id || E':\\nplease help, it is "urgent".',
    (array['question', 'incident', 'problem', 'task'])[1 + h / 240 %% 4],
    (array[null, 'low', 'normal', 'high', 'urgent'])[1 + h / 960 %% 5], status,
    (array['web', 'email', 'chat', 'api'])[1 + h / 4800 %% 4],
    case h / 19200 %% 3 when 0 then array['delivery'] when 1 then array['refund', 'vip'] else '{{}}'::text[] end,
    case when status <> 'new' then 7000 + h / 57600 %% 12 end, created_at, updated_at,
    updated_at + (h / 40 %% 30) * interval '1 second'
from (
    select *, case
        when created_at > %(end)s - interval '1 day' then 'new'
        when created_at > %(end)s - interval '2 days' then 'open'
        when created_at > %(end)s - interval '4 days' then 'pending'
        when created_at > %(end)s - interval '9 days' then 'solved'
        else 'closed' end as status,
        least(created_at + interval '1 hour' * (1 + h / 40 %% 200), %(end)s - interval '1 minute') as updated_at
    from (
        select *, least(ordered_at + interval '1 minute' * (1 + h / 40 %% 2880), %(end)s - interval '2 minutes') as created_at
        from (
            select order_id, customer_id, ordered_at, {_HASH.format(parts="'ticket', order_id")} as h from shop.orders
            where ordered_at >= %(since)s and ordered_at < %(end)s and customer_id is not null and deleted_at is null
        ) orders
        where h %% 40 = 0
    ) written
) tickets
"""

_ANSWERED = f"""
update helpdesk.tickets t set
    status = case t.status when 'new' then 'open' when 'open' then 'pending' when 'pending' then 'solved' else 'closed' end,
    assignee_id = coalesce(t.assignee_id, 7000 + h %% 12), updated_at = at, generated_at = at + interval '20 seconds'
from (
    select ticket_id, h, %(since)s + interval '1 second' * (h %% %(seconds)s) as at
    from (select ticket_id, {_HASH.format(parts="'answer', %(step)s, ticket_id")} as h from helpdesk.tickets) hashed
) a
where a.ticket_id = t.ticket_id and t.ticket_id < {_PLANTED} and t.updated_at < %(since)s
    and t.status in ('new', 'open', 'pending', 'solved')
"""

_DELETED = f"""
update helpdesk.tickets t set status = 'deleted', updated_at = at, generated_at = at
from (
    select ticket_id, %(since)s + interval '1 second' * (h %% %(seconds)s) as at
    from (
        select ticket_id, {_HASH.format(parts="'delete', %(step)s, ticket_id")} as h from helpdesk.tickets
        where ticket_id < {_PLANTED} and updated_at < %(since)s and status <> 'deleted'
    ) hashed
    order by h limit greatest(1, (select count(*) / 500 from helpdesk.tickets))
) gone
where gone.ticket_id = t.ticket_id
"""

_RATED = f"""
insert into helpdesk.ratings
select
    (select coalesce(max(rating_id), 0) from helpdesk.ratings where rating_id < {_PLANTED})
        + row_number() over (order by rated_at, ticket_id),
    ticket_id, customer_id, case when h / 3 %% 4 = 0 then 'bad' else 'good' end,
    (array[null, 'Thank you!', 'Zu langsam: “nie wieder”', 'ありがとう'])[1 + h / 12 %% 4],
    case when h / 3 %% 4 = 0 then 'It took too long' end, rated_at, rated_at
from (
    select *, least(updated_at + interval '1 minute' * (1 + h / 48 %% 600), %(end)s - interval '30 seconds') as rated_at
    from (
        select t.*, {_HASH.format(parts="'rating', ticket_id")} as h from helpdesk.tickets t
        where ticket_id < {_PLANTED} and status in ('solved', 'closed') and updated_at >= %(since)s
            and ticket_id not in (select ticket_id from helpdesk.ratings)
    ) helped
    where h %% 3 = 0
) rated
"""

_THOUGHT_AGAIN = f"""
update helpdesk.ratings r set score = 'good', reason = null, updated_at = at
from (
    select rating_id, %(since)s + interval '1 second' * (h %% %(seconds)s) as at
    from (
        select rating_id, {_HASH.format(parts="'again', %(step)s, rating_id")} as h from helpdesk.ratings
        where rating_id < {_PLANTED} and score = 'bad' and updated_at < %(since)s
            and created_at > %(since)s - interval '20 days'
    ) hashed
    where h / 7 %% 4 = 0
) a
where a.rating_id = r.rating_id
"""


@dataclass(frozen=True)
class Ticket:
    """What a customer wrote about an order, and how far it has come."""

    ticket_id: int
    order_id: int
    customer_id: int
    subject: str | None
    description: str
    kind: str
    priority: str | None
    status: str
    channel: str
    tags: Sequence[str]
    assignee_id: int | None
    created_at: datetime
    updated_at: datetime
    generated_at: datetime


@dataclass(frozen=True)
class Rating:
    """What a customer thought of the help."""

    rating_id: int
    ticket_id: int
    customer_id: int
    score: str
    comment: str | None
    reason: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Desk:
    """All tickets in the order in which they last changed, and all ratings in that of their ids."""

    tickets: Sequence[Ticket]
    ratings: Sequence[Rating]


def read_desk(connection: Connection) -> Desk:
    """Reads the helpdesk as it stands."""
    with connection.cursor(row_factory=class_row(Ticket)) as cursor:
        tickets = cursor.execute("select * from helpdesk.tickets order by generated_at, ticket_id").fetchall()
    with connection.cursor(row_factory=class_row(Rating)) as cursor:
        ratings = cursor.execute("select * from helpdesk.ratings order by rating_id").fetchall()
    return Desk(tickets, ratings)


class Helpdesk:
    """The part of the world behind source zendesk."""

    DDL = DDL
    SCHEMA = "helpdesk"

    def happen(self, connection: Connection, step: Step) -> Happened:
        """Agents move older tickets on and delete a few, customers write about the step's orders and rate who helped."""
        since, end = step.span(_HISTORY_DAYS)
        seconds = int((end - since).total_seconds()) - 120
        given = {"seed": step.world_seed, "step": step.number, "since": since, "end": end, "seconds": seconds}
        changes: Counter[tuple[str, Kind]] = Counter()

        def count(stream: str, kind: Kind, query: str) -> None:
            changes[stream, kind] += connection.execute(query, given).rowcount

        if step.number:
            count(TICKETS, "update", _ANSWERED)
            count(TICKETS, "delete", _DELETED)
            count(RATINGS, "update", _THOUGHT_AGAIN)
        count(TICKETS, "insert", _WRITTEN)
        count(RATINGS, "insert", _RATED)
        defects = _planted(connection, step, end)
        for defect in defects:
            changes[defect.stream, "insert"] += 1
        return Happened(defects, changes)


def _planted(connection: Connection, step: Step, end: datetime) -> list[Defect]:
    """Tickets without a subject, or older than their own beginning, and ratings that are neither good nor bad."""
    first = _PLANTED + 100 * step.number
    defects = []
    for number in range(first, first + (4 if step.number == 0 else 1)):
        at = end - timedelta(minutes=1 + number % 50)
        early = {**_BAD, "ticket_id": number + 50, "created": at + timedelta(days=1), "at": at}
        connection.execute(_PLANT, {**_BAD, "ticket_id": number, "subject": None, "created": at, "at": at})
        connection.execute(_PLANT, early)
        connection.execute(
            "insert into helpdesk.ratings values (%s, %s, 1, 'unsure', null, null, %s, %s)", [number, number, at, at]
        )
        defects += [
            Defect(TICKETS, str(number), "subject_complete"),
            Defect(TICKETS, str(number + 50), "created_before_updated"),
            Defect(RATINGS, str(number), "score_known"),
        ]
    return defects


_BAD: Mapping[str, Any] = {"subject": "Help"}
_PLANT = """
insert into helpdesk.tickets values (
    %(ticket_id)s, 1, 1, %(subject)s, 'planted', 'question', 'low', 'new', 'api', '{}', null, %(created)s, %(at)s, %(at)s
)
"""

HELPDESK = Helpdesk()
