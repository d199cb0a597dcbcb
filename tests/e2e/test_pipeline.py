"""The pipeline as people use it: history, increment, nothing new; the numbers are the sources' numbers in both engines."""

from __future__ import annotations

import json
from decimal import Decimal

import boto3
import pytest

from headwater.deploy.cost.glue import STAGES
from headwater.deploy.cost.measured import entered, measured
from headwater.deploy.cost.run import Run, load_way, run_of
from headwater.deploy.cost.workload import load_work
from headwater.log import APPENDED, CLOSED, STARTED
from local.stack import ROOT, Stack

from .pipeline import Pipeline
from .story import Story, wrong


def test_after_its_history_every_number_is_the_sources(story: Story) -> None:
    assert story.wrong_after_history == []


def test_after_changes_and_kills_every_number_is_the_sources(story: Story, pipeline: Pipeline) -> None:
    assert wrong(pipeline.stack, pipeline.client) == []


def test_an_increment_reads_what_changed(story: Story) -> None:
    [items] = story.after_step["rds_postgres", "order_items"]
    assert items.extracted == story.moved.changes["order_items", "insert"]
    [customers] = story.after_step["rds_postgres", "customers"]
    assert customers.unchanged >= story.moved.changes["customers", "touch"]


def test_a_run_with_nothing_new_writes_nothing_but_its_audit_entry(story: Story) -> None:
    assert story.after_nothing == story.before_nothing
    assert story.audited == {story.nothing.run_id}


def test_a_run_id_is_used_once(story: Story, pipeline: Pipeline) -> None:
    with pytest.raises(Exception, match="a run id is used once"):
        pipeline.client.start({"sources": ["fx_rates"], "as_of": "2018-01-02"}, story.nothing.run_id)


def test_a_rewound_bookmark_doubles_nothing(pipeline: Pipeline) -> None:
    zones = ("bronze/rds_postgres", "silver/order_items", "quarantine/order_items", "gold", "warehouse")
    before = pipeline.content(*zones)
    pipeline.client.rewind("rds_postgres", None)
    pipeline.run_well("rds_postgres")
    assert pipeline.content(*zones) == before


def test_what_alarms_count_is_in_the_jobs_logs(pipeline: Pipeline, stack: Stack) -> None:
    lines = [
        json.loads(line)
        for path in (stack.home / "logs").glob("headwater-*/*.log")
        for line in path.read_text(errors="replace").splitlines()
        if line.startswith('{"time"')
    ]
    for word in (STARTED, APPENDED):
        assert pipeline.client.project.sources.keys() <= {line["source"] for line in lines if line["event"] == word}
    closed = [line for line in lines if line["event"] == CLOSED]
    assert closed
    assert all(isinstance(line[count], int) for line in closed for count in ("extracted", "quarantined"))
    assert sum(line["quarantined"] for line in closed) > 0


def test_the_cost_model_counts_what_a_run_did(story: Story, pipeline: Pipeline) -> None:
    did = entered(pipeline.client, story.dropped.run_id)

    def modelled(seconds: int) -> Run:
        waits = dict.fromkeys(way.waits.values(), Decimal(seconds))
        return run_of(pipeline.client.deployment.definition(), way, 1, waits)

    way = load_way(ROOT)
    least, looking = modelled(0), modelled(1)
    looks = looking.visits - least.visits
    assert {name: (n, did[name]) for name, n in least.visits.items() if n != did[name] and not looks[name]} == {}
    assert did.keys() <= looking.visits.keys()
    # How often a run looks again is a matter of seconds, and each look enters four states at most.
    assert least.transitions <= did.total() <= least.transitions + 4 * sum(did[wait] for wait in way.waits)


def test_what_runs_show_takes_the_place_of_what_is_assumed(pipeline: Pipeline) -> None:
    found = measured(pipeline.client, load_work(ROOT).assumed)
    assert {f"{stage}_seconds" for stage in STAGES} <= found.keys()
    # A few megabytes show nothing of a rate.
    assert not [name for name in found if name.endswith("_gb_a_dpu_hour")]


def test_a_consumer_of_the_query_api_gets_what_the_warehouse_has(story: Story, pipeline: Pipeline) -> None:
    months = pipeline.client.query(
        "redshift", "SELECT month, category, revenue FROM analytics.business_metrics ORDER BY month, category"
    ).rows
    answered = story.answered["monthly_revenue"]
    assert len(answered) > 10
    assert [(row["month"], row["category"], f"{row['revenue']:.2f}") for row in answered] == [
        (str(month), category, str(revenue)) for month, category, revenue in months
    ]
    [[customers]] = pipeline.client.query(
        "redshift", "SELECT count(*) FROM analytics.customer_analytics WHERE orders >= 1"
    ).rows
    assert sum(row["customers"] for row in story.answered["customers_by_segment"]) == int(str(customers))


def test_every_table_is_in_the_catalog_after_a_run(pipeline: Pipeline) -> None:
    glue = boto3.client("glue")
    for zone in ("bronze", "silver", "gold"):
        database = pipeline.client.project.environment.database(zone)
        names = {table["Name"] for table in glue.get_tables(DatabaseName=database)["TableList"]}
        expected = {name.replace("/", "_") for name in pipeline.client.project.table_paths(zone)}
        assert expected <= names


def test_a_row_in_quarantine_carries_its_reasons_its_batch_and_its_raw_file(pipeline: Pipeline) -> None:
    database = pipeline.client.project.environment.database("quarantine")
    rows = pipeline.client.query(
        "athena", f'SELECT reasons, batch, raw_file, "row" FROM {database}.order_items LIMIT 5'
    ).rows
    assert rows
    for reasons, batch, raw_file, row in rows:
        assert reasons not in (None, "[]")
        assert int(str(batch)) >= 1
        assert str(raw_file).startswith("s3")
        assert "order_item_id" in str(row)
