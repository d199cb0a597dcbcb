"""The wholesale business behind Snowflake and the analysts' sessions behind Redshift: what the truth counts is what changed."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from local import world
from local.world import redshift, snowflake

STREAMS = {
    snowflake.CUSTOMERS: ("b2b.customers", "customer_id"),
    snowflake.PRODUCTS: ("b2b.products", "product_id"),
    snowflake.ORDERS: ("b2b.orders", "order_id"),
    redshift.CUSTOMER_BEHAVIOR: ("behavior.customer_behavior", "session_id"),
}
# What a planted row has that no other row has.
WRONG = {
    (
        snowflake.CUSTOMERS,
        "contact_email_wellformed",
    ): "contact_email !~ '^[^@[:space:]]+@[^@[:space:]]+[.][^@[:space:]]+$'",
    (snowflake.CUSTOMERS, "credit_limit_non_negative"): "credit_limit < 0",
    (snowflake.PRODUCTS, "list_price_non_negative"): "list_price < 0",
    (snowflake.ORDERS, "quantity_positive"): "quantity <= 0",
    (snowflake.ORDERS, "status_known"): "status not in ('open', 'shipped', 'invoiced', 'paid')",
    (snowflake.ORDERS, "customer_id_complete"): "customer_id is null",
    (snowflake.ORDERS, "customer_id_known"): "customer_id not in (select customer_id from b2b.customers)",
    (redshift.CUSTOMER_BEHAVIOR, "page_views_positive"): "page_views <= 0",
    (redshift.CUSTOMER_BEHAVIOR, "conversion_value_non_negative"): "conversion_value < 0",
    (redshift.CUSTOMER_BEHAVIOR, "session_duration_plausible"): "session_duration > 86400",
    (redshift.CUSTOMER_BEHAVIOR, "customer_id_complete"): "customer_id is null",
}
LATE = {snowflake.ORDERS: snowflake.LATE_MINUTES, redshift.CUSTOMER_BEHAVIOR: redshift.LATE_MINUTES}


def rows(dsn: str, stream: str) -> dict[int, dict[str, Any]]:
    """Rows without a planted defect, by key."""
    table, key = STREAMS[stream]
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        found = connection.execute(
            f"select * from {table} where {key}::text not in (select key from truth.defects where stream = %s)".encode(),
            [stream],
        ).fetchall()
    return {row[key]: row for row in found}


def newest(dsn: str, stream: str) -> datetime:
    """The watermark, which planted rows move like all others."""
    with psycopg.connect(dsn) as connection:
        [[moment]] = connection.execute(f"select max(updated_at) from {STREAMS[stream][0]}".encode()).fetchall()
    return moment


def changed(old: dict[str, Any] | None, new: dict[str, Any]) -> str | None:
    if old is None:
        return "insert"
    if old == new:
        return None
    if old["deleted_at"] != new["deleted_at"]:
        return "delete"
    return "touch" if {**old, "updated_at": None} == {**new, "updated_at": None} else "update"


def test_what_is_counted_is_what_changed_and_every_change_moves_the_watermark(small_shop: str) -> None:
    before = {stream: rows(small_shop, stream) for stream in STREAMS}
    marks = {stream: newest(small_shop, stream) for stream in STREAMS}
    truth = world.advance(small_shop, 3, 5)
    for stream in STREAMS:
        old, new = before[stream], rows(small_shop, stream)
        kinds = Counter(changed(old.get(key), row) for key, row in new.items())
        counted = {kind: n for (name, kind), n in truth.changes.items() if name == stream and kind != "late"}
        assert counted == {kind: n for kind, n in kinds.items() if kind is not None}, stream
        assert {"insert", "update", "delete"} <= counted.keys()
        assert all(new[key]["updated_at"] > row["updated_at"] for key, row in old.items() if new[key] != row)
        behind = {key for key, row in new.items() if key not in old and row["updated_at"] <= marks[stream]}
        late = [marks[stream] - new[key]["updated_at"] for key in behind]
        assert late == [timedelta(minutes=LATE.get(stream, 0))] * truth.changes.get((stream, "late"), 0)
        assert bool(late) == (stream in LATE)


def test_only_planted_rows_have_their_defect(small_shop: str) -> None:
    world.advance(small_shop, 3, 5)
    with psycopg.connect(small_shop) as connection:
        for (stream, reason), condition in WRONG.items():
            table, key = STREAMS[stream]
            wrong = connection.execute(f"select {key}::text from {table} where {condition}".encode()).fetchall()
            planted = connection.execute(
                "select key from truth.defects where stream = %s and reason = %s", [stream, reason]
            ).fetchall()
            assert sorted(wrong) == sorted(planted), (stream, reason)
            assert len(planted) > 1


def test_the_same_steps_make_the_same_rows(small_shop: str, another_database: str) -> None:
    world.seed(another_database, 7, households=50)
    for dsn in (small_shop, another_database):
        world.advance(dsn, 2, 9)
    for stream in STREAMS:
        assert rows(small_shop, stream) == rows(another_database, stream)
