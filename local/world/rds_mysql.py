"""The shop's payment and stock systems, which run on MySQL: a payment for each order since they went live, and shelves.

The rows are kept here as they are to be there; the counterpart of rds_mysql copies them over. Every payment is an order's
total, every shelf holds a product that was sold, so that both can be added up and compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from local.world.dice import dice
from local.world.part import Happened, Step
from local.world.tables import copy_rows
from local.world.truth import Connection, Defect, Kind, now

PAYMENTS = "rds_mysql.payments"
INVENTORY = "rds_mysql.inventory"

LIVE_SINCE = "2017-11-06"
"""Older orders were paid in a system that is gone. It is the day after the clocks went back in New York."""

SHOP_ZONE = "America/New_York"
"""Zone of `paid_at`, which the payment system keeps as the wall's clock shows it."""

_UNKNOWN_PRODUCT = 99_500_000

DDL = """
create schema payments;
create table payments.payments (
    payment_id bigint primary key, order_id bigint not null, method text not null, features text not null,
    status text not null, amount numeric(14,2) not null, currency char(3) not null, gateway_ref numeric(20,0) not null,
    captured boolean not null, risk_flags int not null, attempts smallint not null, details text not null, message text,
    paid_at timestamp not null, refunded_on date, updated_at timestamptz not null, deleted_at timestamptz
);
create index payments_order_id on payments.payments (order_id);
create table payments.inventory (
    inventory_id bigint primary key, product_id bigint not null, warehouse text not null, quantity int not null,
    reserved int not null, shelf text not null, attributes text not null, counted_on date,
    updated_at timestamptz not null, deleted_at timestamptz
);
"""

_NEW_PAYMENTS = """
insert into payments.payments
select
    (select coalesce(max(payment_id), 0) from payments.payments) + row_number() over (order by updated_at, order_id),
    order_id,
    (array['card', 'card', 'card', 'cash', 'voucher', 'mobile'])[1 + h %% 6],
    (array['', 'contactless', 'receipt', 'contactless,receipt', 'contactless,receipt,loyalty'])[1 + h / 6 %% 5],
    case status when 'returned' then 'refunded' when 'cancelled' then 'voided' else 'captured' end,
    total_amount, currency,
    -- Half of them are beyond what a signed number of 64 bits holds.
    9223372036854775808 + (case when h %% 2 = 0 then 1 else -1 end) * (h %% 1000000000000),
    status <> 'cancelled', h / 30 %% 256, 1 + h / 7 %% 9,
    json_build_object('terminal', 'T' || h %% 500, 'installments', 1 + h / 11 %% 3)::text,
    (array[null, null, null, 'Danke schön', 'merci 🎁', 'ありがとう', 'Größe “XL”, ½ л'])[1 + h / 13 %% 7],
    ordered_at at time zone %(zone)s,
    case when status = 'returned' then (updated_at at time zone %(zone)s)::date end,
    updated_at, null
from (
    select *, hashtextextended(concat_ws('|', %(seed)s::text, 'payment', order_id), 0) & 9223372036854775807 as h
    from shop.orders
    where ordered_at >= %(live)s and updated_at >= %(since)s and deleted_at is null and total_amount > 0
        and customer_id is not null and status in ('completed', 'returned', 'cancelled')
        and order_id not in (select order_id from payments.payments)
        and order_id not in (select order_id from truth.mismatched_orders)
) o
"""

_PAYMENTS_FOLLOW_ORDERS = """
update payments.payments p set
    status = case o.status when 'returned' then 'refunded' when 'cancelled' then 'voided' else p.status end,
    refunded_on = case when o.status = 'returned' then (o.updated_at at time zone %(zone)s)::date else p.refunded_on end,
    updated_at = o.updated_at, deleted_at = o.deleted_at
from shop.orders o
where o.order_id = p.order_id and o.updated_at >= %(since)s and p.updated_at < %(since)s and p.amount > 0
    and p.deleted_at is null
    and ({changed})
"""
_MARKED = "o.deleted_at is not null"
_SETTLED = "o.deleted_at is null and p.status = 'captured' and o.status in ('returned', 'cancelled')"

_NEW_SHELVES = """
insert into payments.inventory
select
    (select coalesce(max(inventory_id), 0) from payments.inventory) + row_number() over (order by last_sale, product_id),
    product_id, (array['north', 'south', 'harbour'])[1 + h %% 3], 20 + h / 3 %% 180, h / 5 %% 20,
    (array['A', 'Ä', 'Ω', '棚'])[1 + h / 7 %% 4] || h %% 90,
    json_build_object('fragile', h %% 10 = 0, 'slots', h / 11 %% 4)::text,
    -- Some have never been counted.
    case when h %% 4 > 0 then (last_sale at time zone %(zone)s)::date end,
    last_sale, null
from (
    select i.product_id, max(i.created_at) as last_sale,
        hashtextextended(concat_ws('|', %(seed)s::text, 'shelf', i.product_id), 0) & 9223372036854775807 as h
    from shop.order_items i join shop.products p using (product_id)
    where i.created_at >= greatest(%(live)s::timestamptz, %(since)s) and p.deleted_at is null
        and i.product_id not in (select product_id from payments.inventory)
    group by i.product_id
) sold
where h / 17 %% 4 = 0
"""

_CLOSED_SHELVES = """
update payments.inventory i set deleted_at = p.deleted_at, updated_at = p.deleted_at
from shop.products p
where p.product_id = i.product_id and p.deleted_at >= %(since)s and i.deleted_at is null
"""

_SOLD_FROM_SHELVES = """
update payments.inventory i set
    quantity = case when i.quantity - i.reserved < sold then i.quantity + 100 else i.quantity - sold end,
    updated_at = last_sale
from (
    select product_id, least(sum(abs(quantity)), 50)::int as sold, max(created_at) as last_sale
    from shop.order_items where created_at >= %(since)s group by product_id
) s
where s.product_id = i.product_id and i.updated_at < %(since)s and i.deleted_at is null
"""


class _Payments:
    """Payments and inventory of one step."""

    DDL = DDL
    SCHEMA = "payments"

    def happen(self, connection: Connection, step: Step) -> Happened:
        """Pays new orders, follows the changed ones, sells from shelves; adds a few rows that cannot be."""
        given = {
            "seed": step.world_seed,
            "zone": SHOP_ZONE,
            "live": now(datetime.fromisoformat(LIVE_SINCE).date()),
            "since": now(step.since),
        }
        changes: Counter[tuple[str, Kind]] = Counter()

        def count(stream: str, kind: Kind, query: str) -> None:
            changes[stream, kind] += connection.execute(query, given).rowcount

        count(PAYMENTS, "delete", _PAYMENTS_FOLLOW_ORDERS.format(changed=_MARKED))
        count(PAYMENTS, "update", _PAYMENTS_FOLLOW_ORDERS.format(changed=_SETTLED))
        count(PAYMENTS, "insert", _NEW_PAYMENTS)
        count(INVENTORY, "delete", _CLOSED_SHELVES)
        count(INVENTORY, "update", _SOLD_FROM_SHELVES)
        count(INVENTORY, "insert", _NEW_SHELVES)
        defects = [*_impossible_payments(connection, step), *_impossible_shelves(connection, step)]
        for stream, rows in Counter(defect.stream for defect in defects).items():
            changes[stream, "insert"] += rows
        return Happened(defects, changes)


def _impossible_payments(connection: Connection, step: Step) -> list[Defect]:
    """Payments below zero, in a currency that does not exist, or made in 1900; beside real ones of the same orders."""
    rng = dice(step.seed, step.number, "impossible payments")
    [[first, rows]] = connection.execute("select max(payment_id) + 1, count(*) from payments.payments").fetchall()
    orders = [
        order
        for (order,) in connection.execute("select order_id from payments.payments order by payment_id desc limit 50")
    ]
    if not orders:
        return []
    each = max(2, rows // 3000) if step.number == 0 else 1
    planted: list[Sequence[Any]] = []
    defects = []
    for k in range(3 * each):
        amount, currency, paid_at = (
            Decimal(rng.randint(100, 9000)).scaleb(-2),
            "USD",
            now(step.clock) - timedelta(hours=9),
        )
        match k % 3:
            case 0:
                amount, reason = -amount, "amount_non_negative"
            case 1:
                currency, reason = "XXQ", "currency_known"
            case _:
                paid_at, reason = datetime(1900, 1, 1, tzinfo=paid_at.tzinfo), "paid_at_plausible"
        updated = now(step.clock) - timedelta(minutes=rng.randint(30, 600))
        order, reference = rng.choice(orders), rng.getrandbits(64)
        what = (order, "card", "", "captured", amount, currency, reference, True, 0, 1, "{}", None)
        planted.append((first + k, *what, paid_at.replace(tzinfo=None), None, updated, None))
        defects.append(Defect(PAYMENTS, str(first + k), reason))
    copy_rows(connection, "payments.payments", planted)
    return defects


def _impossible_shelves(connection: Connection, step: Step) -> list[Defect]:
    """Shelves that hold less than nothing, or less than is reserved on them."""
    rng = dice(step.seed, step.number, "impossible shelves")
    [[first, rows]] = connection.execute(
        "select coalesce(max(inventory_id), 0) + 1, count(*) from payments.inventory"
    ).fetchall()
    each = max(2, rows // 3000) if step.number == 0 else 1
    planted: list[Sequence[Any]] = []
    defects = []
    for k in range(2 * each):
        product = _UNKNOWN_PRODUCT + 1000 * step.number + k
        quantity, reserved, reason = (-rng.randint(1, 99), -100, "quantity_non_negative")
        if k % 2:
            quantity, reserved, reason = 5, rng.randint(6, 60), "reserved_in_stock"
        updated = now(step.clock) - timedelta(minutes=rng.randint(30, 600))
        planted.append((first + k, product, "north", quantity, reserved, "A1", "{}", None, updated, None))
        defects.append(Defect(INVENTORY, str(first + k), reason))
    copy_rows(connection, "payments.inventory", planted)
    return defects


PAYMENTS_AND_INVENTORY = _Payments()
