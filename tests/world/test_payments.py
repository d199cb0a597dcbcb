"""Payments are the orders' totals, shelves hold what was sold, and loyalty accounts leave no trace but their closing."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from local import world
from local.world.truth import Truth


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


NOT_PLANTED = "payment_id::text not in (select key from truth.defects where stream = 'rds_mysql.payments')"


@pytest.fixture
def moved_on(small_shop: str) -> Truth:
    return world.advance(small_shop, days=3, seed=5)


def test_every_order_since_the_payment_system_went_live_is_paid_once(small_shop: str, moved_on: Truth) -> None:
    [[payments, orders, differing]] = rows(
        small_shop,
        f"""select count(p.payment_id), count(*), count(*) filter (where p.amount is distinct from o.total_amount)
        from shop.orders o left join (select * from payments.payments where {NOT_PLANTED}) p using (order_id)
        where o.ordered_at >= '2017-11-06 05:00:00+00' and o.total_amount > 0 and o.deleted_at is null
            and o.order_id::text not in (select key from truth.defects where stream = 'orders')
            and o.order_id not in (select order_id from truth.mismatched_orders)""",
    )
    assert payments == orders > 300
    assert differing == 0


def test_a_payment_follows_its_order(small_shop: str, moved_on: Truth) -> None:
    followed = rows(
        small_shop,
        f"""select distinct o.status, p.status, o.deleted_at is null, p.deleted_at is null, p.refunded_on is not null
        from shop.orders o join payments.payments p using (order_id) where {NOT_PLANTED} and o.deleted_at is null""",
    )
    assert set(followed) == {
        ("completed", "captured", True, True, False),
        ("returned", "refunded", True, True, True),
        ("cancelled", "voided", True, True, False),
    }
    assert moved_on.changes["rds_mysql.payments", "delete"] >= 1


@pytest.mark.parametrize("stream", ["payments", "inventory"])
def test_a_step_changes_as_many_rows_as_it_says_and_all_after_its_beginning(
    small_shop: str, moved_on: Truth, stream: str
) -> None:
    [[changed]] = rows(
        small_shop, f"select count(*) from payments.{stream} where updated_at > '2018-01-01 05:00:00+00'"
    )
    told = sum(n for (name, _), n in moved_on.changes.items() if name == f"rds_mysql.{stream}")
    assert changed == told > 10


def test_shelves_never_hold_less_than_is_reserved_but_where_it_was_planted(small_shop: str, moved_on: Truth) -> None:
    wrong = rows(small_shop, "select inventory_id::text from payments.inventory where quantity < greatest(reserved, 0)")
    planted = rows(small_shop, "select distinct key from truth.defects where stream = 'rds_mysql.inventory'")
    assert sorted(wrong) == sorted(planted)


def test_closed_loyalty_accounts_are_gone_for_good(small_shop: str, moved_on: Truth) -> None:
    [[closed, there]] = rows(
        small_shop,
        "select count(*), count(a.account_id) from loyalty.closed left join loyalty.accounts a using (account_id)",
    )
    assert (closed, there) == (moved_on.changes["rds_postgres.loyalty_accounts", "delete"], 0)
    assert closed >= 1
