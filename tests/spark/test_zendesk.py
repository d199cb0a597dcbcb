"""The declared columns of Zendesk's streams, over rows as its simulator gives them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F
from starlette.requests import Request

from headwater.lake.columns import REASONS
from headwater.ledger.raw import ADDED, to_line
from headwater.quality.predicates import judge_rows, row_predicates
from headwater.quality.typed import typed
from local.simulators import zendesk as simulator
from local.world.zendesk import Rating, Ticket
from tests.support.declared import http_source, policy, table

from .shop import placed

AT = datetime(2018, 1, 2, 3, 4, 5, tzinfo=UTC)
REQUEST = Request({"type": "http", "scheme": "https", "server": ("api", 443), "path": "/", "headers": []})


def shaped(spark: SparkSession, name: str, *rows: dict[str, Any]) -> list[Row]:
    """Shapes raw rows as they go through bronze, where nested values are JSON text; with the reasons for quarantine."""
    declared = http_source("zendesk").streams[name]
    fields = ", ".join(f"`{field}` string" for field in (*declared.raw_fields, *ADDED))
    lines = spark.createDataFrame([(to_line(row),) for row in rows], "value string")
    raw = placed(lines.select(F.from_json("value", fields).alias("row")).select("row.*"))
    fed = table(declared.table)
    judged = judge_rows(typed(declared, fed, raw), row_predicates(declared, fed, policy(fed.table)), {})
    return judged.select(*fed.columns, REASONS).collect()


def ticket(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "ticket_id": 7,
        "order_id": 31_242_778_817,
        "customer_id": 42,
        "subject": "返品 “x”",
        "description": "a\nb",
        "kind": "incident",
        "priority": None,
        "status": "open",
        "channel": "web",
        "tags": ["vip", 'say "hi"'],
        "assignee_id": 7001,
        "created_at": AT,
        "updated_at": AT + timedelta(hours=1),
        "generated_at": AT + timedelta(hours=2),
        **changes,
    }
    return simulator._ticket(Ticket(**values), REQUEST)


def test_a_ticket_has_its_order_its_customer_and_its_times(spark: SparkSession) -> None:
    [row] = shaped(spark, "tickets", ticket())
    assert (row.ticket_id, row.order_id, row.customer_id, row.subject) == (7, 31_242_778_817, 42, "返品 “x”")
    assert (row.type, row.priority, row.status, row.channel) == ("incident", None, "open", "web")
    assert (row.tags, row.assignee_id, row.is_deleted) == (["vip", 'say "hi"'], 7001, False)
    assert row.created_at == AT.replace(tzinfo=None)
    assert row.exported_at == (AT + timedelta(hours=2)).replace(tzinfo=None)
    assert row[REASONS] == []


def test_a_ticket_without_the_shops_numbers_is_a_row(spark: SparkSession) -> None:
    raw = {**ticket(), "external_id": None, "custom_fields": [], "tags": []}
    [row] = shaped(spark, "tickets", raw)
    assert (row.order_id, row.customer_id, row.tags, row[REASONS]) == (None, None, [], [])


def test_a_deleted_ticket_says_so(spark: SparkSession) -> None:
    [row] = shaped(spark, "tickets", ticket(status="deleted"))
    assert (row.is_deleted, row[REASONS]) == (True, [])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"subject": None}, "subject_complete"),
        ({"created_at": AT + timedelta(days=1)}, "created_before_updated"),
        ({"status": "spam"}, "status_known"),
    ],
)
def test_what_cannot_be_is_quarantined(spark: SparkSession, changes: dict[str, Any], reason: str) -> None:
    [row] = shaped(spark, "tickets", ticket(**changes))
    assert row[REASONS] == [reason]


def test_a_rating_is_good_or_bad(spark: SparkSession) -> None:
    good, unsure = (
        simulator._rating(Rating(1, 7, 42, score, "Danke", None, AT, AT), REQUEST) for score in ("good", "unsure")
    )
    rows = shaped(spark, "satisfaction_ratings", good, unsure)
    assert [(row.rating_id, row.ticket_id, row.score, row[REASONS]) for row in rows] == [
        (1, 7, "good", []),
        (1, 7, "unsure", ["score_known"]),
    ]
