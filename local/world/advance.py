"""Time passes: the shop sells on, customers move, prices change, rows are deleted, and the platforms restate the past.

One call is one step. Within a step a row changes at most once, and a row that is new in a step does not change in it:
so a reader that looks after the step sees every change that the truth counts. Rows with a planted defect stay as they
are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import duckdb
import psycopg

from local.world import facebook_ads, fx_rates
from local.world.advertising import Sale
from local.world.dice import dice
from local.world.facebook_ads_breakdowns import planted_parts
from local.world.journey import HOUSEHOLDS, open_journey
from local.world.part import Step
from local.world.parts import PARTS
from local.world.people import CITIES, Person, address, person
from local.world.rds_postgres import (
    ATTRIBUTED_ORDERS,
    ITEMS,
    MALFORMED_EMAILS,
    copy_query,
    number_items,
    planted_items,
    planted_orders,
    register_campaigns,
    sales_of,
    write_mismatched,
)
from local.world.tables import copy_rows
from local.world.truth import Connection, Defect, Kind, Truth, World, now, read_world, record

ORDERS_PER_DAY = (600, 1500)
"""For the whole shop; a shop of fewer households sells proportionally less."""


def advance(dsn: str, days: int, seed: int) -> Truth:
    """Moves the world on by `days` (1 or more) and returns what happened; the same calls in order give the same world.

    Raises NoWorldError if the database was not seeded. Everything happens in one transaction.
    """
    if days < 1:
        raise ValueError(f"days is {days}. hint: time moves forward, by 1 day or more.")
    with psycopg.connect(dsn) as connection:
        connection.execute("set time zone 'UTC'")
        before = read_world(connection)
        with open_journey(before.households) as journey:
            return _Step(connection, journey, before, days, seed).write()


class _Step:
    """One step, in one transaction."""

    def __init__(
        self, connection: Connection, journey: duckdb.DuckDBPyConnection, before: World, days: int, seed: int
    ) -> None:
        self._connection = connection
        self._journey = journey
        self._before = before
        self._seed = seed
        self._step = before.step + 1
        self._days = [before.clock + timedelta(days=k) for k in range(days)]
        self._clock = before.clock + timedelta(days=days)
        self._size = before.households / HOUSEHOLDS
        self._defects: list[Defect] = []
        self._changes: Counter[tuple[str, Kind]] = Counter()

    def write(self) -> Truth:
        """Every table in turn; the ads come before the orders, which name their campaign."""
        shoppers = self._customers()
        self._products()
        running = self._ads()
        sales = self._orders(shoppers, running)
        facebook_ads.write_sales(self._connection, sales)
        restated = list(fx_rates.restated(self._before.clock, self._clock, self._before.seed))
        self._changes["rates", "update"] += len(restated)
        world = World(self._step, self._clock, self._before.seed, self._before.households, datetime.now(UTC))
        after = facebook_ads.AdWorld(
            self._before.seed,
            self._clock,
            running.campaigns,
            running.ad_sets,
            running.ads,
            {**running.sales, **sales},
        )
        self._defects.extend(facebook_ads.planted_in(after, self._before.clock, self._clock))
        self._defects.extend(planted_parts(after, self._before.clock, self._clock))
        self._count_insights(running, after)
        step = Step(self._step, self._before.clock, self._clock, self._seed, self._before.seed, self._before.households)
        for part in PARTS:
            happened = part.happen(self._connection, step)
            self._defects.extend(happened.defects)
            self._changes.update(happened.changes)
        return record(
            self._connection,
            world,
            seed=self._seed,
            days=len(self._days),
            defects=self._defects,
            changes=self._changes,
            restated=restated,
        )

    def _customers(self) -> list[int]:
        """Some move or change their address, a few leave and some are new; returns who may shop, newcomers last."""
        rng = dice(self._seed, self._step, "customers")
        alive = self._ids("customers", "deleted_at is null")
        pool = rng.sample(alive, len(alive))
        moved, mailed, left, touched = (
            [pool.pop() for _ in range(min(self._count(n), len(pool)))] for n in (12, 8, 2, 20)
        )
        people = {
            customer_id: Person(*who)
            for customer_id, *who in self._connection.execute(
                "select customer_id, first_name, last_name, email, city from shop.customers"
                " where customer_id = any(%s)",
                [moved + mailed],
            )
        }
        cities = [rng.choice([city for city in CITIES if city != people[mover].city]) for mover in moved]
        self._update("customers", "city", moved, cities, rng)
        self._update("customers", "email", mailed, [_new_address(rng, people[key], key) for key in mailed], rng)
        self._delete("customers", left, rng)
        self._touch("customers", touched, rng)

        first_free = self._next_id("customers", "customer_id")
        new, planted = self._count(4), max(1, len(self._days) // 3)
        rows: list[Sequence[Any]] = []
        for customer_id in range(first_free, first_free + new + planted):
            who, at = person(rng, customer_id), self._moment(rng)
            if customer_id >= first_free + new:
                who = who._replace(email=rng.choice(MALFORMED_EMAILS))
                self._defects.append(Defect("customers", str(customer_id), "email_wellformed"))
            rows.append((customer_id, *who[:3], *[None] * 7, who.city, at, at, None))
        copy_rows(self._connection, "shop.customers", rows)
        self._changes["customers", "insert"] += len(rows)
        gone = set(left)
        return [customer for customer in alive if customer not in gone] + list(range(first_free, first_free + new))

    def _products(self) -> None:
        """Prices change, and products that never sold are delisted: nothing that an order names disappears."""
        rng = dice(self._seed, self._step, "products")
        pool = self._ids("products", "deleted_at is null")
        sold = {product for (product,) in self._journey.execute("select distinct product_id from lines").fetchall()}
        unsold = [product for product in pool if product not in sold]
        delisted = rng.sample(unsold, min(self._count(15), len(unsold)))
        pool = sorted(set(pool) - set(delisted))
        chosen = rng.sample(pool, min(self._count(150) + self._count(100), len(pool)))
        repriced, touched = chosen[: self._count(150)], chosen[self._count(150) :]
        prices: dict[int, Decimal] = dict(
            self._connection.execute(
                "select product_id, list_price from shop.products where product_id = any(%s)", [repriced]
            ).fetchall()
        )
        new_prices = [_new_price(rng, prices[product]) for product in repriced]
        self._update("products", "list_price", repriced, new_prices, rng)
        self._delete("products", delisted, rng)
        self._touch("products", touched, rng)

        first_free = self._next_id("products", "product_id")
        new, planted = self._count(6), max(1, len(self._days) // 3)
        rows: list[Sequence[Any]] = []
        for product_id in range(first_free, first_free + new + planted):
            at, price = self._moment(rng), Decimal(rng.randint(49, 2500)).scaleb(-2)
            if product_id >= first_free + new:
                price = -price
                self._defects.append(Defect("products", str(product_id), "list_price_non_negative"))
            rows.append((product_id, None, "GROCERY", "Private", "NEW ITEMS", None, None, price, at, at, None))
        copy_rows(self._connection, "shop.products", rows)
        self._changes["products", "insert"] += len(rows)

    def _ads(self) -> facebook_ads.AdWorld:
        """Ads and campaigns end, one ad is stopped early, two budgets change and one ad is new, in every step."""
        rng = dice(self._seed, self._step, "ads")
        for table in ("ad_campaigns", "ad_sets", "ads"):
            ended = self._connection.execute(
                f"update truth.{table} set status = 'PAUSED', updated_at = stop_day + interval '1 day 5 hours'"
                " where stop_day >= %s and stop_day < %s and status = 'ACTIVE'",
                [self._before.clock, self._clock],
            ).rowcount
            self._changes[_AD_STREAMS[table], "update"] += ended
        running = facebook_ads.read_ads(self._connection)
        live = [ad for ad in running.ads if ad.status == "ACTIVE" and ad.start_day < self._before.clock]
        if live:
            stopped = rng.choice(live)
            self._connection.execute(
                "update truth.ads set status = 'DELETED', stop_day = %s, updated_at = %s where ad_id = %s",
                [self._before.clock, now(self._before.clock + timedelta(days=1)), stopped.ad_id],
            )
            self._changes["ads", "update"] += 1
        open_sets = [ad_set for ad_set in running.ad_sets if ad_set.status == "ACTIVE"]
        for ad_set in rng.sample(open_sets, min(2, len(open_sets))):
            self._connection.execute(
                "update truth.ad_sets set daily_budget_minor = %s, updated_at = %s where ad_set_id = %s",
                [ad_set.daily_budget_minor * rng.randint(105, 150) // 100, self._moment(rng), ad_set.ad_set_id],
            )
            self._changes["ad_sets", "update"] += 1
        always_on = [ad_set for ad_set in open_sets if ad_set.stop_day is None]
        ad = facebook_ads.new_ad(
            self._before.seed, rng.choice(always_on), len(running.ads), self._before.clock, self._before.clock
        )
        facebook_ads.write_ad(self._connection, ad)
        self._changes["ads", "insert"] += 1
        return facebook_ads.read_ads(self._connection)

    def _orders(self, shoppers: list[int], running: facebook_ads.AdWorld) -> dict[tuple[int, date], Sale]:
        """Real baskets of the same weekday are bought again; older orders are returned, cancelled, deleted, touched."""
        rng = dice(self._seed, self._step, "orders")
        first_order = self._next_id("orders", "order_id")
        self._change_orders(rng)
        next_order = self._new_orders(rng, shoppers, first_order)
        copy_query(
            self._journey,
            self._connection,
            "shop.orders",
            """
            select n.order_id, household_id, store_id, ordered_at, 'completed', 'USD', n.total_amount, arrived_at, null,
                campaign_id
            from new_orders n left join attributed a using (order_id) order by n.order_id
            """,
        )
        times = [self._moment(rng) for _ in range(1000)]
        each = max(1, len(self._days) // 3)
        planted, defects, mismatched = planted_orders(self._seed, self._step, next_order, each, shoppers, times)
        copy_rows(self._connection, "shop.orders", planted)
        write_mismatched(self._connection, self._step, mismatched)
        self._defects.extend(defects)
        self._changes["orders", "insert"] += next_order - first_order + len(planted)
        self._new_items()
        attributed = self._journey.execute("select * from attributed order by order_id").fetchall()
        return sales_of(running.ads, attributed, self._before.seed)

    def _change_orders(self, rng: Random) -> None:
        """Returns, cancellations and corrections among the orders of the last three weeks."""
        recent = self._ids(
            "orders",
            f"deleted_at is null and status = 'completed' and ordered_at >= '{self._before.clock - timedelta(days=21)}'"
            " and order_id not in (select order_id from truth.mismatched_orders)",
        )
        pool = rng.sample(recent, len(recent))
        returned, cancelled, deleted, touched = (
            [pool.pop() for _ in range(min(self._count(n), len(pool)))] for n in (18, 4, 3, 40)
        )
        self._update("orders", "status", returned, ["returned"] * len(returned), rng)
        self._update("orders", "status", cancelled, ["cancelled"] * len(cancelled), rng)
        self._delete("orders", deleted, rng)
        self._touch("orders", touched, rng)

    def _new_orders(self, rng: Random, shoppers: list[int], first_id: int) -> int:
        """Makes the tables `new_orders` and `attributed`; returns the first order id that is still free.

        One order in a hundred is late: it was made two to six days before it reached the shop's database.
        """
        known = set(shoppers)
        newcomers = [customer for customer in shoppers[-len(shoppers) // 20 :] if customer > _LAST_HOUSEHOLD]
        by_weekday: dict[int, list[tuple[int, int, timedelta]]] = {}
        for basket_id, household_id, ordered_at, day in self._journey.execute(
            "select basket_id, household_id, ordered_at, day from baskets order by basket_id"
        ).fetchall():
            if household_id in known:
                by_weekday.setdefault(day.weekday(), []).append((basket_id, household_id, ordered_at - _midnight(day)))
        picks = []
        for day in self._days:
            amount = max(3, round(rng.randint(*ORDERS_PER_DAY) * self._size))
            for basket_id, household_id, time_of_day in rng.choices(by_weekday[day.weekday()], k=amount):
                arrived = _midnight(day) + time_of_day
                delay = timedelta(days=rng.randint(2, 6)) if rng.random() < 0.01 else timedelta(0)
                customer = rng.choice(newcomers) if newcomers and rng.random() < 0.01 else household_id
                picks.append((basket_id, customer, arrived, arrived - delay, (arrived - delay).date()))
        picks.sort(key=lambda pick: (pick[2], pick[0]))
        late = sum(arrived != ordered for _, _, arrived, ordered, _ in picks)
        self._changes["orders", "late"] += late
        self._journey.execute(
            """
            create table new_orders as
            with picks as (
                select unnest($ids::bigint[]) as order_id, unnest($baskets::bigint[]) as basket_id,
                    unnest($customers::bigint[]) as household_id, unnest($arrived::timestamp[]) as arrived_at,
                    unnest($ordered::timestamp[]) as ordered_at
            )
            select p.order_id, p.basket_id, p.household_id, b.store_id, p.ordered_at, p.arrived_at, b.total_amount,
                (p.arrived_at - interval 5 hour)::date as day
            from picks p join baskets b using (basket_id)
            """,
            {
                "ids": list(range(first_id, first_id + len(picks))),
                "baskets": [pick[0] for pick in picks],
                "customers": [pick[1] for pick in picks],
                "arrived": [pick[2] for pick in picks],
                "ordered": [pick[3] for pick in picks],
            },
        )
        running = facebook_ads.read_ads(self._connection)
        register_campaigns(self._journey, running.campaigns)
        on_time = "(select * from new_orders where ordered_at = arrived_at)"
        self._journey.execute(
            "create table attributed as " + ATTRIBUTED_ORDERS.format(baskets=on_time), {"seed": self._before.seed}
        )
        return first_id + len(picks)

    def _new_items(self) -> None:
        self._journey.execute(
            """
            create table new_lines as
            select row_number() over (order by n.arrived_at, n.order_id, l.product_id) - 1 as i,
                n.order_id as basket_id, l.product_id, l.quantity, l.sales_value, l.retail_discount, l.coupon_discount,
                n.ordered_at, n.arrived_at
            from new_orders n join lines l using (basket_id)
            """
        )
        [[lines, late]] = self._journey.execute(
            "select count(*), count(*) filter (ordered_at <> arrived_at) from new_lines"
        ).fetchall()
        items = planted_items(self._seed, self._step, max(1, 2 * len(self._days)))
        rng = dice(self._seed, self._step, "planted beside")
        beside = sorted(rng.choices(range(lines), k=len(items)))
        first_id = self._next_id("order_items", "order_item_id")
        self._defects.extend(
            number_items(self._journey, "new_lines", beside, items, first_id=first_id, late_column="arrived_at")
        )
        copy_query(self._journey, self._connection, "shop.order_items", ITEMS)
        total = lines + len(items)
        self._connection.execute(f"alter table shop.order_items alter order_item_id restart {first_id + total}")
        self._changes["order_items", "insert"] += total
        self._changes["order_items", "late"] += late

    def _count_insights(self, running: facebook_ads.AdWorld, after: facebook_ads.AdWorld) -> None:
        """Compares what the platform said before and says now about the days that can still change."""
        since = self._before.clock - timedelta(days=facebook_ads.SETTLED_AFTER_DAYS + 1)
        before = facebook_ads.AdWorld(**{**vars(running), "clock": self._before.clock})
        old = {(row.ad_id, row.day): row for row in facebook_ads.insights(before, since, self._before.clock)}
        new = {(row.ad_id, row.day): row for row in facebook_ads.insights(after, since, self._clock)}
        self._changes["ads_insights", "insert"] += len(new.keys() - old.keys())
        self._changes["ads_insights", "delete"] += len(old.keys() - new.keys())
        self._changes["ads_insights", "update"] += sum(old[key] != new[key] for key in old.keys() & new.keys())

    def _count(self, per_day: int) -> int:
        """How many in this step, of something that the whole shop has so many of in a day; at least one."""
        return max(1, round(per_day * len(self._days) * self._size))

    def _moment(self, rng: Random) -> datetime:
        return now(rng.choice(self._days)) + timedelta(seconds=rng.randrange(1, 86_400))

    def _ids(self, stream: str, condition: str) -> list[int]:
        """Keys of rows that hold up and meet the condition, ascending."""
        key = _KEYS[stream]
        rows = self._connection.execute(
            f"select {key} from shop.{stream} where {condition} and {key} not in"
            f" (select key::bigint from truth.defects where stream = '{stream}') order by {key}"
        ).fetchall()
        return [row[0] for row in rows]

    def _next_id(self, stream: str, key: str) -> int:
        [[number]] = self._connection.execute(f"select max({key}) + 1 from shop.{stream}").fetchall()
        return int(number)

    def _update(self, stream: str, column: str, keys: Sequence[int], values: Sequence[Any], rng: Random) -> None:
        self._set(stream, f"{column} = v.value, updated_at = v.at", keys, values, rng)
        self._changes[stream, "update"] += len(keys)

    def _delete(self, stream: str, keys: Sequence[int], rng: Random) -> None:
        self._set(stream, "deleted_at = v.at, updated_at = v.at", keys, [None] * len(keys), rng)
        self._changes[stream, "delete"] += len(keys)

    def _touch(self, stream: str, keys: Sequence[int], rng: Random) -> None:
        self._set(stream, "updated_at = v.at", keys, [None] * len(keys), rng)
        self._changes[stream, "touch"] += len(keys)

    def _set(self, stream: str, assignments: str, keys: Sequence[int], values: Sequence[Any], rng: Random) -> None:
        type_name = "numeric" if values and isinstance(values[0], Decimal) else "text"
        self._connection.execute(
            f"update shop.{stream} t set {assignments}"
            f" from unnest(%s::bigint[], %s::{type_name}[], %s::timestamptz[]) as v (key, value, at)"
            f" where t.{_KEYS[stream]} = v.key",
            [list(keys), list(values), [self._moment(rng) for _ in keys]],
        )


_KEYS = {"customers": "customer_id", "products": "product_id", "orders": "order_id"}
_AD_STREAMS = {"ad_campaigns": "campaigns", "ad_sets": "ad_sets", "ads": "ads"}
_LAST_HOUSEHOLD = 2500


def _midnight(day: date) -> datetime:
    """Start of the shop's day, in UTC without a zone, as DuckDB keeps it."""
    return now(day).replace(tzinfo=None)


def _new_address(rng: Random, who: Person, customer_id: int) -> str:
    while (email := address(rng, who.first_name, who.last_name, customer_id)) == who.email:
        pass
    return email


def _new_price(rng: Random, price: Decimal) -> Decimal:
    changed = (price * rng.randint(80, 125) / 100).quantize(Decimal("0.01"))
    return changed if changed != price else price + Decimal("0.01")
