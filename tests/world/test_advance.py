"""What happens when time passes."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from local import world

TABLES = {
    "customers": "customer_id",
    "products": "product_id",
    "orders": "order_id",
}


def snapshot(dsn: str, stream: str) -> dict[int, dict[str, Any]]:
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        key = TABLES[stream]
        return {row[key]: row for row in connection.execute(f"select * from shop.{stream}").fetchall()}


def ask(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()


def kind_of_change(old: dict[str, Any] | None, new: dict[str, Any]) -> str | None:
    if old is None:
        return "insert"
    if old == new:
        return None
    if new["deleted_at"] != old["deleted_at"]:
        return "delete"
    return "touch" if {**old, "updated_at": None} == {**new, "updated_at": None} else "update"


@pytest.mark.parametrize("stream", TABLES)
def test_the_truth_counts_what_really_changed(small_shop, stream):
    before = snapshot(small_shop, stream)
    told = world.advance(small_shop, days=7, seed=3)
    found: dict[str, int] = {}
    for key, row in snapshot(small_shop, stream).items():
        kind = kind_of_change(before.get(key), row)
        if kind is not None:
            found[kind] = found.get(kind, 0) + 1
    assert found == {kind: n for (name, kind), n in told.changes.items() if name == stream and kind != "late"}
    assert found.keys() == {"insert", "update", "delete", "touch"}


@pytest.mark.parametrize("stream", TABLES)
def test_every_changed_row_carries_a_time_between_the_two_clocks(small_shop, stream):
    before = snapshot(small_shop, stream)
    world.advance(small_shop, days=3, seed=3)
    changed = [row for key, row in snapshot(small_shop, stream).items() if before.get(key) != row]
    times = [row["updated_at"].isoformat() for row in changed]
    assert min(times) > "2018-01-01T05:00:00"
    assert max(times) <= "2018-01-04T05:00:00"


def test_new_orders_come_with_their_items_and_add_up(small_shop):
    [[last]] = ask(small_shop, "select max(order_item_id) from shop.order_items")
    told = world.advance(small_shop, days=2, seed=3)
    [[items, first]] = ask(
        small_shop, f"select count(*), min(order_item_id) from shop.order_items where order_item_id > {last}"
    )
    assert (items, first) == (told.changes["order_items", "insert"], last + 1)
    found = ask(
        small_shop,
        "select order_id from shop.orders left join (select order_id, sum(sales_value) as total from shop.order_items"
        " where order_item_id not in (select key::bigint from truth.defects where stream = 'order_items')"
        " group by order_id) items using (order_id) where total_amount <> coalesce(total, 0) order by order_id",
    )
    assert [order_id for (order_id,) in found] == world.mismatched_orders(small_shop)


def test_late_orders_were_made_days_before_they_arrived(small_shop):
    told = world.advance(small_shop, days=14, seed=3)
    [[late]] = ask(
        small_shop,
        "select count(*) from shop.orders where updated_at > '2018-01-01 05:00Z' and status = 'completed'"
        " and order_id in (select order_id from shop.order_items where created_at > '2018-01-01 05:00Z'"
        " and ordered_at < created_at - interval '1 day' and ordered_at > '2000-01-01')",
    )
    assert late == told.changes["orders", "late"] > 0


def test_rows_with_a_defect_never_change_again(small_shop):
    planted = {
        (stream, int(key))
        for stream, key in ask(small_shop, "select stream, key from truth.defects")
        if stream in TABLES
    }
    before = {stream: snapshot(small_shop, stream) for stream in TABLES}
    world.advance(small_shop, days=14, seed=3)
    after = {stream: snapshot(small_shop, stream) for stream in TABLES}
    assert all(before[stream][key] == after[stream][key] for stream, key in planted)


def test_nothing_that_was_sold_is_delisted(small_shop):
    world.advance(small_shop, days=14, seed=3)
    assert ask(
        small_shop,
        "select count(*) from shop.products where deleted_at is not null"
        " and product_id in (select product_id from shop.order_items)",
    ) == [(0,)]


def test_the_same_steps_make_the_same_world(small_shop, another_database):
    world.seed(another_database, 7, households=50)
    for dsn in (small_shop, another_database):
        world.advance(dsn, days=2, seed=3)
        world.advance(dsn, days=5, seed=4)
    assert world.clock(small_shop) == date(2018, 1, 8)
    for table in ("shop.customers", "shop.orders", "shop.order_items", "truth.ads", "truth.defects", "truth.changes"):
        fingerprint = f"select md5(string_agg(t::text, '|' order by t::text)) from {table} t"
        assert ask(small_shop, fingerprint) == ask(another_database, fingerprint), table


def test_each_step_counts_its_own_defects(small_shop):
    first = world.defects(small_shop)
    told = world.advance(small_shop, days=7, seed=3)
    assert world.defects(small_shop, step=1) == told.defects
    assert world.defects(small_shop) == {
        key: first.get(key, 0) + told.defects.get(key, 0) for key in first.keys() | told.defects.keys()
    }
    for reason in ("quantity_non_negative", "sales_value_non_negative", "product_id_known", "ordered_at_plausible"):
        assert told.defects["order_items", reason] >= 7


def test_a_step_of_no_days_is_refused_and_changes_nothing(small_shop):
    with pytest.raises(ValueError, match="1 day or more"):
        world.advance(small_shop, days=0, seed=3)
    assert world.clock(small_shop) == date(2018, 1, 1)


def test_a_failed_step_leaves_the_world_as_it_was(small_shop):
    before = world.changes(small_shop)
    with psycopg.connect(small_shop) as connection:
        connection.execute("alter table truth.changes add constraint full_up check (step < 1)")
    with pytest.raises(psycopg.errors.CheckViolation):
        world.advance(small_shop, days=1, seed=3)
    assert world.changes(small_shop) == before
    assert ask(small_shop, "select count(*) from shop.orders where updated_at > '2018-01-01 05:00Z'") == [(0,)]


def test_every_day_sells(small_shop):
    world.advance(small_shop, days=7, seed=3)
    days = ask(
        small_shop,
        "select distinct (ordered_at - interval '5 hours')::date from shop.orders"
        " where ordered_at >= '2018-01-01 05:00Z' order by 1",
    )
    assert [day for (day,) in days] == [date(2018, 1, 1) + timedelta(days=k) for k in range(7)]
