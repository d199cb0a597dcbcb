"""What the shop holds after it was seeded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import psycopg
import pytest

from local import world
from local.postgres import PostgresServer
from local.world.journey import open_journey

BROKEN_ROWS = {
    ("order_items", "quantity_non_negative"): "select count(*) from shop.order_items where quantity < 0",
    ("order_items", "sales_value_non_negative"): "select count(*) from shop.order_items where sales_value < 0",
    ("order_items", "product_id_known"): "select count(*) from shop.order_items i where not exists"
    " (select from shop.products p where p.product_id = i.product_id)",
    ("order_items", "ordered_at_plausible"): "select count(*) from shop.order_items"
    " where ordered_at < '1970-01-01' or ordered_at > '2100-01-01'",
    ("orders", "customer_id_complete"): "select count(*) from shop.orders where customer_id is null",
    ("orders", "status_known"): "select count(*) from shop.orders"
    " where status not in ('completed', 'returned', 'cancelled')",
    ("customers", "email_wellformed"): r"select count(*) from shop.customers"
    r" where email !~ '^[^@[:space:]]+@[^@[:space:]]+\.[a-z]+$'",
    ("products", "list_price_non_negative"): "select count(*) from shop.products where list_price < 0",
}


HOUSEHOLDS = 300
UNLISTED = "select count(*), count(distinct product_id) from lines anti join products using (product_id)"
DESCRIBED = "select count(*) from demographics semi join lines using (household_id)"


def ask(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def shop(server: PostgresServer) -> str:
    """A shop of an eighth of the households: `make demo` fills and proves the whole one."""
    server.create_database("shop")
    world.seed(server.dsn_of("shop"), 1, HOUSEHOLDS)
    return server.dsn_of("shop")


@pytest.fixture(scope="module")
def journey() -> Iterator[duckdb.DuckDBPyConnection]:
    """The real data that the shop was filled from."""
    with open_journey(HOUSEHOLDS) as journey:
        yield journey


def sound_items(columns: str) -> str:
    return (
        f"select {columns} from shop.order_items where order_item_id not in"
        " (select key::bigint from truth.defects where stream = 'order_items')"
    )


def test_the_whole_journey_is_a_year_of_real_shopping_with_its_oddities():
    columns = (
        "count(*), sum(sales_value), count(distinct (basket_id, product_id)), count(distinct basket_id),"
        " count(distinct household_id), min(ordered_at)::text, max(ordered_at)::text,"
        " count(*) filter (where quantity = 0), count(*) filter (where quantity = 0 and sales_value = 0),"
        " max(quantity), min(quantity), min(sales_value)"
    )
    with open_journey() as whole:
        lines = whole.execute(f"select {columns} from lines").fetchone()
        unlisted = whole.execute(UNLISTED).fetchone()
        described = whole.execute(DESCRIBED).fetchone()
    times = ("2017-01-01 11:53:26", "2018-01-01 04:01:20")
    sums = (1_469_307, Decimal("4596039.58"), 1_469_307, 155_848, 2469)
    assert lines == (*sums, *times, 8869, 8840, 89_638, 0, Decimal("0.00"))
    assert unlisted == (4836, 17)
    assert described == (801,)


def test_every_real_line_is_in_the_shop_once_with_its_oddities(shop, journey):
    sold = sound_items("order_id, product_id, quantity, sales_value, retail_discount, coupon_discount")
    real = journey.execute(
        "select basket_id, product_id, quantity, sales_value, retail_discount, coupon_discount from lines"
    ).fetchall()
    assert len(real) > 100_000
    assert sorted(ask(shop, sold)) == sorted(real)


def test_products_that_the_list_lacks_are_sold_all_the_same(shop, journey):
    unlisted = journey.execute(UNLISTED).fetchone()
    found = (
        f"select count(*), count(distinct product_id) from ({sound_items('product_id')}) sold"
        " join shop.products using (product_id) where department is null"
    )
    assert ask(shop, found) == [unlisted]
    assert unlisted > (0, 0)


@pytest.mark.parametrize(("stream", "reason"), BROKEN_ROWS)
def test_planted_defects_are_all_the_defects_there_are(shop, stream, reason):
    [[broken]] = ask(shop, BROKEN_ROWS[stream, reason])
    assert broken == world.defects(shop)[stream, reason]
    assert broken >= 3


def test_a_few_lines_have_two_defects(shop):
    [[twice]] = ask(
        shop,
        "select count(*) from (select key from truth.defects where stream = 'order_items' group by key"
        " having count(*) = 2) twice",
    )
    assert twice >= 1


def test_orders_add_up_to_their_sound_items_except_those_that_are_counted(shop):
    found = ask(
        shop,
        f"select order_id from shop.orders left join ({sound_items('order_id, sum(sales_value) as total')}"
        " group by order_id) items using (order_id) where total_amount <> coalesce(total, 0) order by order_id",
    )
    assert [order_id for (order_id,) in found] == world.mismatched_orders(shop)
    assert found


def test_customers_are_the_real_households_with_names_in_several_scripts(shop, journey):
    [described] = journey.execute(DESCRIBED).fetchone()
    [found] = ask(
        shop,
        "select count(distinct customer_id), count(distinct customer_id) filter (where age_band is not null)"
        " from shop.customers where customer_id in (select customer_id from shop.orders)",
    )
    assert found == (HOUSEHOLDS, described)
    [[foreign]] = ask(shop, "select count(*) from shop.customers where first_name !~ '^[ -~]+$'")
    assert foreign > 50


def test_nothing_has_happened_after_the_clock(shop):
    assert world.clock(shop) == date(2018, 1, 1)
    for table in ("customers", "products", "orders"):
        [[newest]] = ask(shop, f"select max(updated_at) <= '2018-01-01 05:00Z' from shop.{table}")
        assert newest, table


def test_item_ids_grow_with_time_and_new_ones_follow(shop):
    [[backwards]] = ask(
        shop,
        "select count(*) from (select created_at, lag(created_at) over (order by order_item_id) as before"
        " from shop.order_items) ordered where created_at < before",
    )
    assert backwards == 0
    [[next_is_free]] = ask(
        shop,
        "select nextval(pg_get_serial_sequence('shop.order_items', 'order_item_id'))"
        " > (select max(order_item_id) from shop.order_items)",
    )
    assert next_is_free


def test_attributed_orders_fall_into_their_campaign(shop):
    [[attributed, outside]] = ask(
        shop,
        "select count(*), count(*) filter (where (ordered_at - interval '5 hours')::date not between start_day"
        " and coalesce(stop_day, '2100-01-01')) from shop.orders join truth.ad_campaigns using (campaign_id)",
    )
    assert attributed > 1000
    assert outside == 0


def test_the_truth_counts_every_inserted_row(shop):
    for table in ("customers", "products", "orders", "order_items"):
        assert ask(shop, f"select count(*) from shop.{table}") == [(world.changes(shop)[table, "insert"],)]


def test_the_same_seed_makes_the_same_shop(small_shop, another_database):
    world.seed(another_database, 7, 50)
    for table in ("customers", "products", "orders", "order_items"):
        fingerprint = f"select md5(string_agg(t::text, '|' order by t::text)) from shop.{table} t"
        assert ask(small_shop, fingerprint) == ask(another_database, fingerprint), table


def test_another_seed_makes_other_people_of_the_same_real_orders(small_shop, another_database):
    world.seed(another_database, 8, 50)
    real = sound_items("order_id, product_id, quantity, sales_value") + " order by order_id, product_id"
    assert ask(small_shop, real) == ask(another_database, real)
    people = "select customer_id, email from shop.customers order by customer_id"
    assert ask(small_shop, people) != ask(another_database, people)


def test_a_database_without_a_world_says_so(server):
    server.create_database("empty")
    with pytest.raises(world.NoWorldError, match="call seed first"):
        world.clock(server.dsn_of("empty"))
