"""The pipeline as people use it: history, increment, nothing new; the numbers are the sources' numbers in both engines."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from headwater.runs import books_of
from local import proofs, world
from local.demo import footprint
from local.stack import Stack
from tests.e2e.conftest import Pipeline


def books(pipeline: Pipeline, run: dict[str, Any]) -> dict[str, Any]:
    return {book.stream: book for book in books_of(pipeline.client.environment, run["run_id"])}


def test_gold_equals_the_truth_in_both_engines(pipeline: Pipeline, stack: Stack) -> None:
    assert [
        proof for proof in proofs.prove(stack, pipeline.client, proofs.read_gold(pipeline.client)) if not proof.ok
    ] == []


def test_what_is_quarantined_is_what_was_planted_by_reason(pipeline: Pipeline, stack: Stack) -> None:
    rows = proofs.quarantine(stack, pipeline.client)
    assert rows
    assert [row for row in rows if not row["matches"]] == []


def test_an_increment_reads_what_changed_and_its_books_balance(
    pipeline: Pipeline, stack: Stack, moved_on: world.Truth
) -> None:
    found = books(pipeline, pipeline.run_well())
    assert all(book.balances for book in found.values())
    assert found["order_items"].extracted == moved_on.changes[("order_items", "insert")]
    assert found["customers"].unchanged >= moved_on.changes[("customers", "touch")]
    assert [
        proof for proof in proofs.prove(stack, pipeline.client, proofs.read_gold(pipeline.client)) if not proof.ok
    ] == []
    assert [row for row in proofs.quarantine(stack, pipeline.client) if not row["matches"]] == []


def test_a_run_with_nothing_new_writes_nothing_but_its_audit_entry(pipeline: Pipeline) -> None:
    pipeline.run_well()
    before, audits = footprint(pipeline.client), _audits(pipeline)
    run = pipeline.run_well()
    assert footprint(pipeline.client) == before
    assert _audits(pipeline) - audits == {run["run_id"]}


def _audits(pipeline: Pipeline) -> set[str | None]:
    return {run_id for (run_id,) in pipeline.client.query("redshift", "SELECT run_id FROM etl.run_audit").rows}


def test_a_run_id_is_used_once(pipeline: Pipeline) -> None:
    run = pipeline.run_well("fx_rates")
    with pytest.raises(Exception, match="a run id is used once"):
        pipeline.client.start({"sources": ["fx_rates"], "as_of": "2018-01-02"}, run["run_id"])


def test_a_rewound_bookmark_doubles_nothing(pipeline: Pipeline) -> None:
    pipeline.run_well("rds_postgres")
    before = pipeline.content()
    pipeline.client.rewind("rds_postgres", None)
    pipeline.run_well("rds_postgres")
    assert pipeline.content() == before


def test_every_table_is_in_the_catalog_after_a_run(pipeline: Pipeline) -> None:
    glue = boto3.client("glue")
    for zone in ("bronze", "silver", "gold"):
        database = pipeline.client.project.environment.database(zone)
        names = {table["Name"] for table in glue.get_tables(DatabaseName=database)["TableList"]}
        expected = {name.replace("/", "_") for name in pipeline.client.project.tables(zone)}
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
