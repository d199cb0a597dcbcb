"""Failures that last: the run ends as FAILED, the targets are as they were, and one alert says what happened, without a secret."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import boto3
import psycopg

from local import world
from local.demo import footprint
from local.stack import Stack
from tests.support.canaries import ENCODED, FORMS, canaries, found_in, said

from .pipeline import Faults, Pipeline

SECRETS = ("EAAB-local-token", "local-app-secret", "local-shop-password", "local-warehouse-password")


def one_new_alert(pipeline: Pipeline, before: int) -> dict[str, Any]:
    alerts = pipeline.alerts()
    assert len(alerts) == before + 1
    text = str(alerts[-1])
    assert not any(secret in text for secret in SECRETS)
    return alerts[-1]


ITEMS = ("business_metrics", "order_values", "product_performance")
"""The gold tables that read the lines of orders."""
ORDERS = (
    *("channel_attribution", "cohort_retention", "customer_acquisition", "customer_analytics", "daily_kpis"),
    *("person_analytics", "regional_sales"),
)
"""Those that read orders, and no lines."""


def parted(pipeline: Pipeline, tables: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What some gold tables have, in the lake and in the warehouse, and what the others have."""
    places = [f"{where}/{table}" for where in ("gold", "warehouse") for table in tables]
    own, others = pipeline.content(*places), pipeline.content("gold", "warehouse")
    assert own
    return own, {name: content for name, content in others.items() if name not in own}


def test_a_halted_batch_holds_its_stream_and_what_reads_it_until_a_person_decides(
    pipeline: Pipeline, stack: Stack
) -> None:
    before, alerts = pipeline.content("gold", "warehouse", "silver/order"), len(pipeline.alerts())
    stale, others = parted(pipeline, ITEMS)
    with psycopg.connect(stack.rds_dsn) as connection:
        connection.execute(
            "INSERT INTO shop.order_items (order_id, product_id, quantity, sales_value, retail_discount, coupon_discount, "
            "ordered_at, created_at) SELECT order_id, product_id, -1, sales_value, 0, 0, ordered_at, created_at "
            "FROM shop.order_items ORDER BY order_item_id LIMIT 40"
        )
        # Another stream of the source brings something that all of them would show: a customer's first order counts no more.
        [order] = connection.execute(
            "SELECT order_id FROM shop.order_items AS items JOIN shop.orders USING (order_id) JOIN shop.products USING (product_id) "
            "WHERE status = 'completed' AND orders.deleted_at IS NULL AND NOT EXISTS (SELECT FROM shop.orders AS earlier "
            "WHERE earlier.customer_id = orders.customer_id AND earlier.status = 'completed' "
            "AND earlier.ordered_at < orders.ordered_at) ORDER BY items.sales_value DESC LIMIT 1"
        ).fetchone() or (None,)
        set_status(connection, order, "cancelled")
    run = pipeline.run("rds_postgres")
    assert (run.status, run.error) == ("FAILED", "FailedInPart")
    message = str(one_new_alert(pipeline, alerts))
    for part in (run.run_id, "stale: business_metrics", "held back: rds_postgres.order_items", "quantity_non_negative"):
        assert part in message
    assert "headwater release rds_postgres.order_items" in message
    assert not any(table in message for table in ORDERS)
    held, went_on = parted(pipeline, ITEMS)
    assert held == stale
    assert {name for name in others if others[name] != went_on[name]} == {
        name for name in others if name.endswith(ORDERS)
    }
    # So it stays, whatever sources a run takes and wherever it begins, until a person decides.
    for again in (pipeline.run("fx_rates"), pipeline.run("fx_rates", start_from="Gold")):
        assert (again.status, again.error) == ("FAILED", "FailedInPart")
        assert "stale: business_metrics" in str(again.cause)
    assert parted(pipeline, ITEMS) == (stale, went_on)
    [halted] = [row for row in pipeline.client.streams("rds_postgres") if row.halted]
    stream = f"{halted.source}.{halted.stream}"
    pipeline.client.decide(stream, int(halted.halted), "discard", "a test planted it", "test")
    pipeline.run_well("rds_postgres")
    caught_up, as_they_were = parted(pipeline, ITEMS)
    assert as_they_were == went_on
    assert {name for name in stale if stale[name] != caught_up[name]} == set(stale)
    with psycopg.connect(stack.rds_dsn) as connection:
        set_status(connection, order, "completed")
        connection.execute(
            "DELETE FROM shop.order_items WHERE quantity = -1 AND retail_discount = 0 AND coupon_discount = 0 "
            "AND order_item_id > (SELECT max(order_item_id) - 40 FROM shop.order_items)"
        )
    pipeline.run_well("rds_postgres")
    assert pipeline.content("gold", "warehouse") == {name: before[name] for name in before if "silver" not in name}


def set_status(connection: psycopg.Connection[Any], order: Any, status: str) -> None:
    connection.execute(
        "UPDATE shop.orders SET status = %s, updated_at = (SELECT max(updated_at) + interval '1 second' FROM shop.orders) "
        "WHERE order_id = %s",
        (status, order),
    )


def test_a_failed_copy_leaves_the_warehouse_as_it_was(
    pipeline: Pipeline, faults: Faults, moved_on: world.Truth
) -> None:
    before, alerts = pipeline.content("warehouse"), len(pipeline.alerts())
    ledger = pipeline.client.query("redshift", "SELECT load_id FROM etl.load_ledger ORDER BY load_id").rows
    faults.arm(method="GET", path="/headwater-local-lake/load/.*parquet", action="error", times=1000)
    run = pipeline.run("google_ads")
    assert run.status == "FAILED"
    assert pipeline.content("warehouse") == before
    assert pipeline.client.query("redshift", "SELECT load_id FROM etl.load_ledger ORDER BY load_id").rows == ledger
    message = str(one_new_alert(pipeline, alerts))
    for part in (run.run_id, "stage: Load", "LoadError"):
        assert part in message
    faults.clear()
    pipeline.run_well("google_ads", start_from="Load")
    assert pipeline.content("warehouse") != before


def test_an_optional_source_that_answers_500_for_ever_fails_the_run_in_part(
    pipeline: Pipeline, faults: Faults, moved_on: world.Truth
) -> None:
    alerts, ads = len(pipeline.alerts()), pipeline.content("silver/ad", "bronze/facebook_ads")
    # Its answers show what was sent, the token among it.
    faults.misbehave(source="facebook_ads", path=".*", kind="echo", status=500)
    run = pipeline.run("facebook_ads", "fx_rates")
    assert (run.status, run.error) == ("FAILED", "FailedInPart")
    assert pipeline.content("silver/ad", "bronze/facebook_ads") == ads
    message = str(one_new_alert(pipeline, alerts))
    for part in (run.run_id, "source: facebook_ads", "stage: Extract", "RetriableSourceError", "cannot serve", "***"):
        assert part in message


def test_rates_that_do_not_come_leave_gold_as_it_is_and_fail_the_run_in_part(
    pipeline: Pipeline, faults: Faults, moved_on: world.Truth
) -> None:
    before, alerts = (
        pipeline.content("gold/marketing", "warehouse/marketing", "silver/fx_rates"),
        len(pipeline.alerts()),
    )
    faults.misbehave(source="fx_rates", path=".*", kind="status", status=500)
    run = pipeline.run("fx_rates")
    assert (run.status, run.error) == ("FAILED", "FailedInPart")
    assert pipeline.content("gold/marketing", "warehouse/marketing", "silver/fx_rates") == before
    message = str(one_new_alert(pipeline, alerts))
    for part in (run.run_id, "source: fx_rates", "stage: Extract"):
        assert part in message
    assert "stale: " not in message
    faults.clear()
    pipeline.run_well("fx_rates")


def test_an_input_that_cannot_be_carried_out_fails_before_any_data_is_touched(pipeline: Pipeline) -> None:
    before, alerts = footprint(pipeline.client), len(pipeline.alerts())
    run_id = pipeline.client.start({"sources": ["facebok_ads"]})
    run = pipeline.client.wait(run_id)
    assert (run.status, run.error) == ("FAILED", "ConfigError")
    assert f"known: {min(pipeline.client.project.sources)}" in str(one_new_alert(pipeline, alerts))
    assert footprint(pipeline.client) == before
    # What has sent its alert is told of once.
    assert not [told for told in pipeline.bad_ends() if run_id in told]


def test_no_secret_is_in_anything_that_all_these_runs_have_said(pipeline: Pipeline, stack: Stack) -> None:
    secrets = canaries()
    assert len(secrets) > len(stack.counterparts())
    assert found_in(said(stack, pipeline.client), secrets) == []


def test_a_secret_that_gets_out_is_found_wherever_that_is(pipeline: Pipeline, stack: Stack) -> None:
    client = pipeline.client
    canary = 'a-canary/of+"this" test'
    prefix = client.deployment.prefix
    [topic] = [
        found["TopicArn"] for found in boto3.client("sns").list_topics()["Topics"] if prefix in found["TopicArn"]
    ]
    boto3.client("sns").publish(TopicArn=topic, Message=FORMS["percent"](canary))
    boto3.client("s3").put_object(
        Bucket=f"{prefix}-raw", Key="_failures/canary.json", Body=FORMS["JSON of PHP"](canary).encode()
    )
    (stack.home / "logs" / "canary.log").write_bytes(b"Basic " + ENCODED["Base64"](b"user:" + canary.encode()))
    run = client.wait(client.start({"sources": [canary]}))
    assert run.error == "ConfigError"
    with psycopg.connect(stack.warehouse_dsn) as connection:
        connection.execute(
            "INSERT INTO etl.quality_results (run_id, source, stream, batch, check_id, level, passed) "
            "VALUES (%s, '-', '-', 0, '-', '-', true)",
            (FORMS["HTML"](canary),),
        )
    found = " ".join(found_in(said(stack, client), {"canary": canary}))
    for place in (
        "outbox",
        "_failures/canary.json",
        "canary.log",
        run.run_id,
        ": history",
        "etl.quality_results",
        "log group",
    ):
        assert place in found, place
