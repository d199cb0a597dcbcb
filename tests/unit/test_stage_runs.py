"""What stages did: each job run says it for itself, and the audit enters it once its run has ended, however it ended."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import HeadwaterError
from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import CheckResult, RunEnd, StageRun
from headwater.ledger.stage_runs import StageRuns
from headwater.ledger.stream import Ledger
from headwater.open_project import OpenProject
from headwater.run import audit, ended, stages
from headwater.run.audit import AuditedRun, audit_run
from headwater.run.ended import note_end
from headwater.run.load import load_changes
from headwater.stages.by_stream import by_stream
from headwater.stages.tally import count, count_checks, tallied
from headwater.warehouse.changes import ChangeFile, ChangeLog
from tests.support.fake_warehouse import FakeDataApi
from tests.support.opened import telling

LAKE = "headwater-local-lake"
RUN = AuditedRun("run-1", "2024-05-06T07:08:09.123Z", in_part=False)
BEGAN = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def job(ledger: Ledger) -> Any:
    """As much of a job as by_stream asks for."""
    told = SimpleNamespace(ledger=ledger, source_name="fx_rates", run_id="run-1", job_run_id="jr_1")
    told.source = SimpleNamespace(streams=dict.fromkeys(("rates", "others")))
    told.of_source = lambda _source: told
    return told


def stage_run(run_id: str, **told: Any) -> StageRun:
    named = {"stage": "Silver", "job_run_id": f"jr_{run_id}", "source": "fx_rates", "stream": "rates"}
    times = {"started_at": BEGAN, "ended_at": BEGAN + timedelta(seconds=1.5)}
    return StageRun(**{"run_id": run_id, "succeeded": True, **named, **times, **told})


def read(ledger: Ledger) -> list[StageRun]:
    stage_runs = StageRuns(ledger.bucket)
    return [one for waiting in stage_runs.waiting() for one in stage_runs.read(waiting)[0]]


def test_a_stage_says_what_it_did_for_each_stream_also_where_one_failed(ledger: Ledger) -> None:
    def stage(_job: Any, stream: str) -> None:
        count(read=7, inserted=4, rejected=3, reasons={"rate_positive": 3})
        if stream == "others":
            raise ValueError("password=hunter2 is wrong")

    with pytest.raises(HeadwaterError):
        by_stream(job(ledger), "Silver", stage)
    rates, others = read(ledger)
    assert (rates.run_id, rates.stage, rates.job_run_id, rates.source, rates.stream, rates.succeeded) == (
        "run-1",
        "Silver",
        "jr_1",
        "fx_rates",
        "rates",
        True,
    )
    assert (rates.rows_read, rates.rows_inserted, rates.rows_rejected) == (7, 4, 3)
    assert rates.rejected == {"rate_positive": 3}
    assert rates.started_at <= rates.ended_at
    assert not others.succeeded
    assert others.messages == ("ValueError: password=*** is wrong",)
    # What it had done before it failed is told all the same.
    assert others.rows_inserted == 4


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.dictionaries(st.sampled_from("ab"), st.integers(1, 5))))
)
def test_what_is_counted_in_parts_is_the_sum_of_the_parts(parts: list[tuple[int, int, dict[str, int]]]) -> None:
    with tallied() as tally:
        for inserted, rejected, reasons in parts:
            count(inserted=inserted, rejected=rejected, reasons=reasons)
    told = tally.stage_run("run-1", "Silver", "jr_1", None)
    assert told.rows_inserted == sum(inserted for inserted, _, _ in parts)
    assert told.rows_rejected == sum(rejected for _, rejected, _ in parts)
    assert told.rejected == {
        name: sum(reasons.get(name, 0) for _, _, reasons in parts)
        for name in "ab"
        if any(name in reasons for _, _, reasons in parts)
    }
    assert told.did_something == any(inserted or rejected for inserted, rejected, _ in parts)


@given(st.lists(st.tuples(st.booleans(), st.none() | st.integers(0, 9)), min_size=1))
def test_a_check_has_passed_where_it_has_for_every_batch(results: list[tuple[bool, int | None]]) -> None:
    with tallied() as tally:
        for passed, failed_rows in results:
            count_checks([CheckResult(check="c", level="warn", passed=passed, failed_rows=failed_rows)])
    [told] = tally.stage_run("run-1", "Check", "jr_1", None).checks
    assert told.passed == all(passed for passed, _ in results)
    failed = [rows for _, rows in results if rows is not None]
    assert told.failed_rows == (sum(failed) if failed else None)


def test_nothing_is_counted_where_nobody_counts() -> None:
    count(inserted=1)
    count_checks([CheckResult(check="c", level="warn", passed=True)])
    with tallied() as tally:
        pass
    assert not tally.stage_run("run-1", "Silver", "jr_1", None).did_something


@pytest.fixture
def opened(opened: OpenProject) -> OpenProject:
    return telling(opened, None)


@pytest.fixture
def lake(opened: OpenProject) -> Bucket:
    s3 = opened.ledger.bucket.s3
    s3.create_bucket(Bucket=LAKE, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return Bucket(s3, LAKE)


def entered(lake: Bucket, table: str, run_id: str = "run-1") -> list[dict[str, Any]]:
    body = lake.read(f"load/_audit/{run_id}.{table}.json") or b""
    return [json.loads(line) for line in body.splitlines()]


def test_an_audit_enters_what_its_run_has_done_and_then_removes_it(
    opened: OpenProject, ledger: Ledger, lake: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_PATIENCE_SECONDS", 0.0)
    done = stage_run("run-1", rows_read=5, rows_rejected=1, rejected={"rate_positive": 1}, messages=("a", "b"))
    StageRuns(ledger.bucket).write("fx_rates", [done])
    client = FakeDataApi(ends="STARTED")
    waits = audit_run(opened, client, RUN, {})
    assert read(ledger) == [done]
    client.statuses["audit run-1"] = {"Status": "FINISHED"}
    assert audit_run(opened, client, RUN, waits)["done"]
    assert read(ledger) == []
    [row] = entered(lake, "run_audit")
    assert row == {
        "run_id": "run-1",
        "stage": "Silver",
        "job_run_id": "jr_run-1",
        "source": "fx_rates",
        "stream": "rates",
        "table_name": "silver.fx_rates",
        "status": "succeeded",
        "started_at": "2024-05-06 07:08:09.000000",
        "ended_at": "2024-05-06 07:08:10.500000",
        "seconds": 1.5,
        "rows_read": 5,
        "rows_inserted": 0,
        "rows_changed": 0,
        "rows_deleted": 0,
        "rows_rejected": 1,
        "rejected": '{"rate_positive": 1}',
        "messages": "a\nb",
    }
    [sqls] = client.batches.values()
    assert "DELETE FROM etl.run_audit WHERE job_run_id IN ('jr_run-1')" in sqls


def test_a_run_that_failed_is_entered_by_the_next_audit_and_one_that_goes_on_is_not(
    opened: OpenProject, ledger: Ledger, lake: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_runs = StageRuns(ledger.bucket)
    for run_id in ("failed", "goes on"):
        stage_runs.write("fx_rates", [stage_run(run_id, rows_read=5, rows_inserted=2)])
    told = {"stage": "Load", "error": "QueryError", "cause": "Redshift's asleep"}
    stage_runs.end(RunEnd(run_id="failed", started_at=BEGAN, ended_at=BEGAN + timedelta(hours=1), **told))
    audit_run(opened, FakeDataApi(), RUN, {})
    rows = entered(lake, "runs")
    assert [row["run_id"] for row in rows] == ["failed"]
    assert rows[0] == {
        "run_id": "failed",
        "status": "failed",
        "started_at": "2024-05-06 07:08:09.000000",
        "ended_at": "2024-05-06 08:08:09.000000",
        "rows_extracted": 5,
        "rows_inserted": 2,
        "rows_updated": 0,
        "rows_quarantined": 0,
        "message": "Load: QueryError: Redshift's asleep",
    }
    assert [one.run_id for one in read(ledger)] == ["goes on"]
    # Once it is older than a run may be, nobody will tell of its end.
    monkeypatch.setattr(stages, "run_seconds", lambda _project: -60)
    audit_run(opened, FakeDataApi(), AuditedRun("run-2", RUN.started_at, in_part=False), {})
    assert [(row["run_id"], row["status"]) for row in entered(lake, "runs", "run-2")] == [("goes on", "aborted")]
    assert read(ledger) == []


def test_a_run_that_is_begun_again_where_it_failed_has_succeeded(
    opened: OpenProject, ledger: Ledger, lake: Bucket
) -> None:
    told = {"stage": "Load", "error": "QueryError", "cause": "asleep"}
    StageRuns(ledger.bucket).end(RunEnd(run_id="run-1", started_at=BEGAN, ended_at=BEGAN, **told))
    client = FakeDataApi()
    audit_run(opened, client, RUN, {})
    [[first, second]] = client.batches.values()
    assert first == "DELETE FROM etl.runs WHERE run_id = 'run-1' AND status = 'failed'"
    assert second.startswith("INSERT INTO etl.runs")
    assert entered(lake, "runs") == []


@pytest.mark.usefixtures("lake")
def test_a_load_tells_the_rows_that_its_statements_copied_inserted_and_deleted(
    opened: OpenProject, ledger: Ledger
) -> None:
    table = next(iter(opened.project.gold))
    change = ChangeFile(table, ("id",), ("id", "total"), 3, ((f"s3://{LAKE}/load/{table}/3.parquet", 10),))
    ChangeLog(opened.lake, table).publish(change)
    client = FakeDataApi(changed={"COPY": 5, "INSERT": 4, "DELETE": 2})
    assert load_changes(opened, client, "run-1", {}, lambda _: None)["done"]
    [done] = read(ledger)
    assert (done.stage, done.table, done.succeeded) == ("Load", table, True)
    assert (done.rows_read, done.rows_inserted, done.rows_deleted) == (5, 4, 2)
    assert (done.ended_at - done.started_at).total_seconds() == 2


def failure(error: str) -> dict[str, Any]:
    told = {"Error": error, "Cause": '{"errorMessage": "it was dark"}'}
    return {"run_id": "run-9", "started_at": "2024-05-06T07:08:09.123Z", "stage": "Crawl", "error": told}


def test_the_end_of_a_failed_run_is_noted_unless_it_has_had_its_audit(
    opened: OpenProject, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ended.OpenProject, "deployed", lambda: opened)
    note_end(failure("FailedInPart"))
    assert StageRuns(ledger.bucket).waiting() == []
    note_end(failure("CrawlError"))
    [waiting] = StageRuns(ledger.bucket).waiting()
    _, end = StageRuns(ledger.bucket).read(waiting)
    assert end is not None
    assert (end.stage, end.error, end.cause) == ("Crawl", "CrawlError", "it was dark")


def test_what_cannot_be_noted_keeps_no_alert_from_going_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def deployed() -> OpenProject:
        raise OSError("no bucket")

    monkeypatch.setattr(ended.OpenProject, "deployed", deployed)
    note_end(failure("CrawlError"))
