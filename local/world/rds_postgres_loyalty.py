"""The shop's loyalty accounts: a table without a time of change, whose rows are updated in place and deleted for good.

Only the database's log tells what happened to them. `loyalty.closed` is the truth about the deleted ones.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from local.world.dice import dice
from local.world.part import Happened, Step
from local.world.truth import Connection, Defect, Kind, now

LOYALTY_ACCOUNTS = "rds_postgres.loyalty_accounts"
PUBLICATION = "headwater"

_PLANTED = 900_000_000

DDL = f"""
create schema loyalty;
create table loyalty.accounts (
    account_id bigint primary key, customer_id bigint not null, tier text not null, points bigint not null,
    balance numeric(12,2) not null, consent boolean not null, preferences jsonb not null, biography text,
    joined_at timestamptz not null
);
-- A deleted row's values are in the log only then, and long values that an update leaves alone.
alter table loyalty.accounts replica identity full;
create table loyalty.closed (account_id bigint primary key, step int not null);
drop publication if exists {PUBLICATION};
create publication {PUBLICATION} for table loyalty.accounts;
"""

_TIER = "case when {points} >= 4000 then 'gold' when {points} >= 1500 then 'silver' else 'basic' end"

_JOIN = """
insert into loyalty.accounts
select c.customer_id, c.customer_id, {tier}, points, round(points / 100.0, 2), h %% 5 > 0,
    jsonb_build_object('newsletter', h %% 2 = 0, 'stores', jsonb_build_array(h %% 90, h %% 7)),
    -- Long enough to be stored beside the row, and of a kind that does not compress.
    case when h / 7 %% 4 = 0 then (select string_agg(md5(h::text || n::text), ' ') from generate_series(1, 250) n) end,
    greatest(c.created_at, '2017-01-01'::timestamptz)
from (
    select c.customer_id, c.created_at,
        hashtextextended(concat_ws('|', %(seed)s::text, 'loyalty', c.customer_id), 0) & 9223372036854775807 as h,
        coalesce((select floor(sum(o.total_amount))::bigint from shop.orders o where o.customer_id = c.customer_id), 0)
            as points
    from shop.customers c
    where c.deleted_at is null and c.created_at >= %(since)s
) c
where h / 3 %% 3 = 0
"""

_EARN = """
update loyalty.accounts a set points = a.points + earned, balance = balance + round(earned / 100.0, 2), tier = {tier}
from (
    select customer_id, floor(sum(total_amount))::bigint as earned from shop.orders
    where updated_at >= %(since)s and ordered_at >= %(since)s and deleted_at is null and status = 'completed'
    group by customer_id
) o
where o.customer_id = a.customer_id and a.joined_at < %(since)s and earned > 0 and a.points >= 0
    and a.account_id not in (select account_id from loyalty.closed where step = %(step)s)
"""

_CLOSE = """
with leaving as (
    delete from loyalty.accounts a where a.points >= 0 and a.joined_at < %(since)s and (
        exists (select from shop.customers c where c.customer_id = a.customer_id and c.deleted_at >= %(since)s)
        or a.account_id in (
            select account_id from loyalty.accounts where points >= 0 and joined_at < %(since)s
            order by hashtextextended(concat_ws('|', %(seed)s::text, 'close', %(step)s::text, account_id), 0)
            limit greatest(1, (select count(*) / 200 from loyalty.accounts))
        )
    )
    returning account_id
)
insert into loyalty.closed select account_id, %(step)s from leaving
"""


class _Loyalty:
    """Loyalty accounts of one step."""

    DDL = DDL
    SCHEMA = "loyalty"

    def happen(self, connection: Connection, step: Step) -> Happened:
        """Customers join, earn points and leave; a few accounts owe points, which cannot be."""
        since = now(step.since) if step.number else now(step.since) - timedelta(days=36500)
        given = {"seed": step.world_seed, "since": since, "step": step.number}
        changes: Counter[tuple[str, Kind]] = Counter()

        def count(kind: Kind, query: str) -> None:
            changes[LOYALTY_ACCOUNTS, kind] += connection.execute(query, given).rowcount

        if step.number:
            count("delete", _CLOSE)
            count("update", _EARN.format(tier=_TIER.format(points="(a.points + earned)")))
        count("insert", _JOIN.format(tier=_TIER.format(points="points")))
        defects = _in_debt(connection, step)
        changes[LOYALTY_ACCOUNTS, "insert"] += len(defects)
        return Happened(defects, changes)


def _in_debt(connection: Connection, step: Step) -> list[Defect]:
    rng = dice(step.seed, step.number, "accounts in debt")
    defects = []
    for k in range(3 if step.number == 0 else 1):
        account = _PLANTED + 100 * step.number + k
        connection.execute(
            "insert into loyalty.accounts values (%s, %s, 'basic', %s, 0, true, '{}', null, %s)",
            [account, account, -rng.randint(1, 500), now(step.clock) - timedelta(minutes=rng.randint(30, 600))],
        )
        defects.append(Defect(LOYALTY_ACCOUNTS, str(account), "points_non_negative"))
    return defects


LOYALTY = _Loyalty()
