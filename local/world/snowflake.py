"""The shop's wholesale business: firms that buy in bulk on account, with products and prices of its own, kept in Snowflake.

Nothing here is the retail shop's: customers are firms, a product is a case or a pallet, and ids of one are no ids of the other.
Every order has one product. Now and then an order is committed after it is dated, behind rows that have been read.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg.types.json import Jsonb

from local.world.part import Happened, Step, StepWriter
from local.world.people import CITIES, person
from local.world.tables import copy_rows
from local.world.truth import Connection, Kind

CUSTOMERS, ORDERS, PRODUCTS = "snowflake.customers", "snowflake.orders", "snowflake.products"

LATE_MINUTES = 4
"""How far behind the newest row an order is dated that was committed late."""

_HISTORY_DAYS = 400
_FIRST_CUSTOMER, _FIRST_PRODUCT, _FIRST_ORDER = 700_001, 810_001, 9_100_000_001
_FIRM_KINDS = ("Catering", "Grocers", "Canteens", "Hotels", "Wholesale", "Bistro", "Schools", "Großküchen", "食品")
_SEGMENTS = ("gastronomy", "retail", "institution", "reseller")
_COUNTRIES = ("US", "US", "US", "CA", "MX", "DE")
_GOODS = (
    "Flour",
    "Olive oil",
    "Coffee",
    "Rice",
    "Tomatoes",
    "Paper towels",
    "Detergent",
    "Frozen peas",
    "Crème fraîche",
)
_PACKS = (("case", 12), ("case", 24), ("pallet", 480))
_STATUSES = ("open", "shipped", "invoiced", "paid")
_MALFORMED = ("orders(at)firm.example", "@firm.example", "buyer@", "none")
_PRICE = Decimal("0.000001")
_CENT = Decimal("0.01")

DDL = """
create schema b2b;
create table b2b.customers (
    customer_id bigint primary key, company_name text not null, segment text not null, country text not null, city text,
    contact_email text, credit_limit numeric(38,2), attributes jsonb, created_at timestamptz not null,
    updated_at timestamptz not null, deleted_at timestamptz
);
create table b2b.products (
    product_id bigint primary key, sku text not null, name text not null, category text not null,
    list_price numeric(38,6) not null, specification jsonb, updated_at timestamptz not null, deleted_at timestamptz
);
create table b2b.orders (
    order_id bigint primary key, customer_id bigint, product_id bigint not null, quantity bigint not null,
    unit_price numeric(38,6) not null, amount numeric(38,2) not null, currency text not null, status text not null,
    terms jsonb, ordered_at timestamptz not null, updated_at timestamptz not null, deleted_at timestamptz
);
"""


class B2b:
    """The part of the world behind source snowflake."""

    DDL = DDL
    SCHEMA = "b2b"

    def happen(self, connection: Connection, step: Step) -> Happened:
        """Writes 400 days of history in step 0; afterwards what the days of the step brought."""
        return _Days(connection, step).write()


B2B = B2b()


class _Days(StepWriter):
    """One step, history being the first. A row changes at most once in a step, and never in the one that made it."""

    def __init__(self, connection: Connection, step: Step) -> None:
        super().__init__(connection, step, "b2b", _HISTORY_DAYS)

    def write(self) -> Happened:
        """Products and firms first: orders need both."""
        newest = self._one("select max(updated_at) from b2b.orders")
        if not self._history:
            self._change()
        self._products()
        self._customers()
        self._orders(newest)
        return Happened(self._defects, self._changes)

    def _products(self) -> None:
        new, planted = (max(40, self._count(250)), 2) if self._history else (1, 1)
        first = self._next("products", "product_id", _FIRST_PRODUCT)
        rows: list[Sequence[Any]] = []
        for product_id in range(first, first + new + planted):
            good, (pack, units) = self._rng.choice(_GOODS), self._rng.choice(_PACKS)
            price = self._price(5, 900)
            if product_id >= first + new:
                price = -price
                self._defect(PRODUCTS, product_id, "list_price_non_negative")
            made = {"pack": pack, "units": units, "gross_kg": self._rng.randint(2, 900), "storage": ["dry", "cool"]}
            moment = self._moment()
            rows.append(
                (
                    product_id,
                    f"{good[:3].upper()}-{product_id}",
                    f"{good}, {pack} of {units}",
                    good,
                    price,
                    Jsonb(made),
                    moment,
                    None,
                )
            )
        self._copy(PRODUCTS, rows, new)

    def _customers(self) -> None:
        new, planted = (max(30, self._count(400)), 3) if self._history else (max(1, self._count(self._days)), 1)
        first = self._next("customers", "customer_id", _FIRST_CUSTOMER)
        rows: list[Sequence[Any]] = []
        for customer_id in range(first, first + new + planted):
            who = person(self._rng, customer_id)
            email, limit = who.email, Decimal(self._rng.randrange(5, 500)) * 1000
            if customer_id >= first + new:
                # Every third one has two defects.
                email = self._rng.choice(_MALFORMED)
                self._defect(CUSTOMERS, customer_id, "contact_email_wellformed")
                if customer_id % 3 == 0:
                    limit = -limit
                    self._defect(CUSTOMERS, customer_id, "credit_limit_non_negative")
            known = {"employees": self._rng.randrange(3, 900), "tags": self._rng.sample(_SEGMENTS, 2), "vat": None}
            moment = self._moment()
            rows.append(
                (
                    customer_id,
                    f"{who.last_name} {self._rng.choice(_FIRM_KINDS)}",
                    self._rng.choice(_SEGMENTS),
                    self._rng.choice(_COUNTRIES),
                    who.city,
                    email,
                    limit,
                    Jsonb(known),
                    moment,
                    moment,
                    None,
                )
            )
        self._copy(CUSTOMERS, rows, new)

    def _orders(self, newest: datetime | None) -> None:
        new = max(60, self._count(6000)) if self._history else max(4, self._count(15 * self._days))
        customers = self._keys(CUSTOMERS, "deleted_at is null")
        products = self._connection.execute(
            "select product_id, list_price from b2b.products where deleted_at is null and list_price > 0 order by 1"
        ).fetchall()
        first = self._next("orders", "order_id", _FIRST_ORDER)
        reasons = ("quantity_positive", "status_known", "customer_id_known", "customer_id_complete")
        wrong = reasons * 3 if self._history else reasons
        rows: list[Sequence[Any]] = []
        for order_id in range(first, first + new + len(wrong)):
            customer_id: int | None = self._rng.choice(customers)
            product_id, price = self._rng.choice(products)
            quantity, status, moment = self._rng.randint(1, 40), self._rng.choice(_STATUSES), self._moment()
            if order_id >= first + new:
                reason = wrong[order_id - first - new]
                self._defect(ORDERS, order_id, reason)
                match reason:
                    case "quantity_positive":
                        quantity = -quantity
                    case "status_known":
                        status = "lost in the post"
                    case "customer_id_known":
                        customer_id = 790_000_000 + order_id % 1000
                    case _:
                        customer_id = None
            amount = (quantity * price).quantize(_CENT)
            terms = {"net_days": self._rng.choice((14, 30, 60)), "incoterm": "DAP", "notes": ["ring twice", "№ 7"]}
            rows.append(
                (
                    order_id,
                    customer_id,
                    product_id,
                    quantity,
                    price,
                    amount,
                    "USD",
                    status,
                    Jsonb(terms),
                    moment,
                    moment,
                    None,
                )
            )
        if newest is not None:
            # A transaction that began before the last read committed after it.
            late = newest - timedelta(minutes=LATE_MINUTES)
            rows[0] = (*rows[0][:9], late, late, *rows[0][11:])
            self._changes[ORDERS, "late"] += 1
        self._copy(ORDERS, rows, new)

    def _change(self) -> None:
        """Firms move, get more credit or leave; prices change; orders are paid, and a few taken back."""
        credited, moved, touched, left = self._picked(CUSTOMERS, 2 * self._days, self._days, self._days, 1)
        limits = [Decimal(self._rng.randrange(5, 500)) * 1000 + 500 for _ in credited]
        self._set(CUSTOMERS, "update", credited, "credit_limit = v.value::numeric", limits)
        self._set(
            CUSTOMERS, "update", moved, "city = v.value", [f"{self._rng.choice(CITIES)}, new site" for _ in moved]
        )
        self._set(CUSTOMERS, "touch", touched, "")
        self._set(CUSTOMERS, "delete", left, "deleted_at = v.at")
        priced, dropped = self._picked(PRODUCTS, self._days, 1)
        # Dearer than anything has been so far.
        prices = [self._price(1000, 1200) for _ in priced]
        self._set(PRODUCTS, "update", priced, "list_price = v.value::numeric", prices)
        self._set(PRODUCTS, "delete", dropped, "deleted_at = v.at")
        paid, cancelled = self._picked(ORDERS, 8 * self._days, self._days, condition="status <> 'paid'")
        self._set(ORDERS, "update", paid, "status = v.value", ["paid"] * len(paid))
        self._set(ORDERS, "delete", cancelled, "deleted_at = v.at")

    def _picked(self, stream: str, *counts: int, condition: str = "true") -> list[list[int]]:
        """Groups of rows without a defect, so many of each for the whole business; no row is in two groups."""
        keys = self._keys(stream, f"deleted_at is null and {condition}")
        pool = self._rng.sample(keys, len(keys))
        return [[pool.pop() for _ in range(min(max(1, self._count(n)), len(pool)))] for n in counts]

    def _keys(self, stream: str, condition: str) -> list[int]:
        """Ids of rows without a planted defect, ascending."""
        table = stream.partition(".")[2]
        rows = self._connection.execute(
            f"select {table[:-1]}_id from b2b.{table} where {condition} and {table[:-1]}_id::text not in"
            " (select key from truth.defects where stream = %s) order by 1",
            [stream],
        ).fetchall()
        planted = {int(defect.key) for defect in self._defects if defect.stream == stream}
        return [key for (key,) in rows if key not in planted]

    def _set(
        self, stream: str, kind: Kind, keys: Sequence[int], assignment: str, values: Sequence[object] | None = None
    ) -> None:
        table = stream.partition(".")[2]
        texts = [None] * len(keys) if values is None else [str(value) for value in values]
        self._connection.execute(
            f"update b2b.{table} t set {assignment}{', ' if assignment else ''}updated_at = v.at"
            " from unnest(%s::bigint[], %s::text[], %s::timestamptz[]) as v (key, value, at)"
            f" where t.{table[:-1]}_id = v.key",
            [list(keys), texts, [self._moment() for _ in keys]],
        )
        self._changes[stream, kind] += len(keys)

    def _copy(self, stream: str, rows: Sequence[Sequence[Any]], good: int) -> None:
        """Adds rows, of which so many have no defect."""
        copy_rows(self._connection, f"b2b.{stream.partition('.')[2]}", rows)
        self._changes[stream, "insert"] += good

    def _next(self, table: str, key: str, first: int) -> int:
        newest = self._one(f"select max({key}) from b2b.{table}")
        return first if newest is None else int(newest) + 1

    def _one(self, query: str) -> Any:
        [[value]] = self._connection.execute(query).fetchall()
        return value

    def _price(self, low: int, high: int) -> Decimal:
        return (Decimal(self._rng.randrange(low * 1000, high * 1000)) / 7000).quantize(_PRICE)

    def _moment(self) -> datetime:
        seconds = self._days * 86_400
        return self._start + timedelta(
            seconds=self._rng.randrange(1, seconds), microseconds=self._rng.randrange(1_000_000)
        )
