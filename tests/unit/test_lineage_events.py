"""The OpenLineage events of a run: taken by a receiver that reads them with the client's own classes, and by none when it is dead."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openlineage.client.event_v2 import RunEvent, RunState
from openlineage.client.serde import Serde

from headwater.config import Project
from headwater.config.environment import LineageReceiver, LineageTo
from headwater.deploy.lineage import lineage_of
from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import CheckResult, StageRun
from headwater.ledger.stage_runs import StageRuns
from headwater.ledger.stream import Ledger
from headwater.open_project import OpenProject
from headwater.run import lineage
from headwater.run.audit import AuditedRun, audit_run
from headwater.run.lineage import tell_lineage
from headwater.run.lineage_events import events_of
from headwater.run.stages import Told
from tests.support import declared
from tests.support.fake_warehouse import FakeDataApi
from tests.support.lineage_receiver import read_event, receiving
from tests.support.opened import telling
from tests.support.paths import ROOT

LAKE = "headwater-local-lake"
BEGAN = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
RUN = Told("run-1", BEGAN, BEGAN + timedelta(hours=1))
AUDITED = AuditedRun("run-1", "2024-05-06T07:08:09.123Z", in_part=False)


@cache
def project() -> Project:
    found = declared.project("local")
    return found.model_copy(update={"lineage": lineage_of(found, ROOT)})


def stage_run(stage: str, source: str | None = None, stream: str | None = None, **told: Any) -> StageRun:
    named = {"run_id": "run-1", "stage": stage, "job_run_id": "jr_1", "source": source, "stream": stream}
    times = {"started_at": BEGAN, "ended_at": BEGAN + timedelta(minutes=1)}
    return StageRun(**{**named, **times, "succeeded": True, "rows_read": 7, "rows_inserted": 5, **told})


def of_marketing() -> list[StageRun]:
    streams = [("facebook_ads", "ads_insights"), ("google_ads", "ad_performance"), ("fx_rates", "rates")]
    by_stream = [stage_run(stage, *names) for stage in ("Extract", "Check", "Silver") for names in streams]
    return [*by_stream, *(stage_run(stage, table="marketing_performance") for stage in ("Gold", "Load"))]


def made_of(events: Iterable[RunEvent], dataset: str, column: str) -> set[tuple[str, str, str]]:
    """Follows a column back through what events say of column lineage: the datasets' columns behind which there are no others."""
    # The last event about a table is what a receiver shows of it.
    fields = {
        (output.namespace, output.name, name): [(one.namespace, one.name, one.field) for one in of.inputFields]
        for event in events
        for output in event.outputs or ()
        for name, of in (output.facets or {})["columnLineage"].fields.items()  # type: ignore[attr-defined]
    }
    [start] = [key for key in fields if key[1:] == (dataset, column)]
    waiting, ends = [start], set()
    while waiting:
        one = waiting.pop()
        waiting += fields.get(one, [])
        ends |= {one} - fields.keys()
    return ends


def test_roas_is_followed_through_the_events_to_the_fields_of_both_platforms() -> None:
    events = events_of(project(), RUN, of_marketing())
    ends = made_of(events, "headwater.analytics.marketing_performance", "roas")
    prefix = "headwater://headwater-local"
    assert ends == {
        (f"{prefix}/facebook_ads", "ads_insights", "action_values"),
        (f"{prefix}/facebook_ads", "ads_insights", "spend"),
        (f"{prefix}/facebook_ads", "ads_insights", "account_currency"),
        (f"{prefix}/google_ads", "ad_performance", "metrics_conversions_value"),
        (f"{prefix}/google_ads", "ad_performance", "metrics_cost_micros"),
        (f"{prefix}/google_ads", "ad_performance", "customer_currency_code"),
        (f"{prefix}/fx_rates", "rates", "rate"),
    }


def test_an_event_has_schema_counts_checks_and_what_decides_the_rows() -> None:
    checks = (
        CheckResult(check="cost_non_negative", level="quarantine", passed=False, failed_rows=2, message="2 rows"),
        CheckResult(check="ads_seen", level="warn", passed=True),
    )
    stage_runs = [
        stage_run("Check", "facebook_ads", "ads_insights", checks=checks),
        stage_run("Silver", "facebook_ads", "ads_insights", rows_rejected=2, rejected={"cost_non_negative": 2}),
        stage_run("Gold", table="marketing_performance"),
    ]
    ends = [event for event in events_of(project(), RUN, stage_runs) if event.eventType == RunState.COMPLETE]
    check, silver, gold, pipeline = [Serde.to_dict(event) for event in ends]
    [checked] = check["inputs"]
    assert checked["name"] == "bronze/facebook_ads/ads_insights"
    assert [
        (one["assertion"], one["success"]) for one in checked["inputFacets"]["dataQualityAssertions"]["assertions"]
    ] == [
        ("cost_non_negative", False),
        ("ads_seen", True),
    ]
    written, quarantined = silver["outputs"]
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 5
    assert quarantined["name"] == "quarantine/ad_performance"
    assert quarantined["outputFacets"]["outputStatistics"]["rowCount"] == 2
    assert silver["run"]["facets"]["headwater_rows"]["reasons"] == {"cost_non_negative": 2}
    [table] = gold["outputs"]
    roas = next(column for column in table["facets"]["schema"]["fields"] if column["name"] == "roas")
    assert roas == {"name": "roas", "type": "DECIMAL(18, 4)", "description": "conversion value per cost", "fields": []}
    assert table["facets"]["ownership"]["owners"] == [{"name": "team:Marketing", "type": "OWNER"}]
    deciding = {(one["name"], one["field"]) for one in table["facets"]["columnLineage"]["dataset"]}
    assert ("silver/ad_performance", "date") in deciding
    assert gold["run"]["facets"]["parent"]["run"]["runId"] == pipeline["run"]["runId"]


def test_what_did_nothing_has_no_events_and_what_failed_says_why() -> None:
    nothing = stage_run("Silver", "fx_rates", "rates", rows_read=0, rows_inserted=0)
    failed = nothing.model_copy(update={"succeeded": False, "messages": ("it was dark",)})
    assert [event.job.name for event in events_of(project(), RUN, [nothing])] == ["pipeline", "pipeline"]
    [_, _, end, _] = events_of(project(), RUN, [failed])
    assert end.eventType == RunState.FAIL
    assert Serde.to_dict(end)["run"]["facets"]["errorMessage"]["message"] == "it was dark"
    [_, last] = events_of(project(), Told("run-1", BEGAN, BEGAN, "Load: asleep"), [])
    assert last.eventType == RunState.FAIL


streams = st.sampled_from(
    [(name, stream) for name, source in declared.project("local").sources.items() for stream in source.streams]
)
rows = st.integers(0, 9)


@st.composite
def stage_runs(draw: st.DrawFn) -> StageRun:
    stage = draw(st.sampled_from(["Extract", "Check", "Silver", "Gold", "Load", "Lineage"]))
    counts = {
        name: draw(rows) for name in ("rows_read", "rows_inserted", "rows_changed", "rows_deleted", "rows_rejected")
    }
    told = counts | {
        "succeeded": draw(st.booleans()),
        "messages": (draw(st.text()),),
        "job_run_id": draw(st.text(min_size=1)),
    }
    if stage in {"Extract", "Check", "Silver"}:
        check = CheckResult(check=draw(st.text()), level="warn", passed=draw(st.booleans()), failed_rows=draw(rows))
        # A stream may have been declared when it ran, and be so no more.
        source, stream = draw(streams | st.just(("gone", "long_ago")))
        return stage_run(stage, source, stream, checks=(check,), rejected={"a": draw(rows)}, **told)
    return stage_run(stage, table=draw(st.sampled_from([*declared.project("local").gold, "gone"])), **told)


@settings(max_examples=60, deadline=None)
@given(st.lists(stage_runs(), max_size=5))
def test_whatever_ran_the_clients_classes_hold_its_events_each_run_with_a_start_and_an_end(ran: list[StageRun]) -> None:
    events = [read_event(Serde.to_json(event)) for event in events_of(project(), RUN, ran)]
    starts = [event.run.runId for event in events if event.eventType == RunState.START]
    ends = [event.run.runId for event in events if event.eventType in {RunState.COMPLETE, RunState.FAIL}]
    assert sorted(starts) == sorted(ends)
    assert len(starts) == 1 + sum(one.did_something for one in ran)


@pytest.fixture
def opened(opened: OpenProject, s3: Any) -> OpenProject:
    s3.create_bucket(Bucket=LAKE, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    boto3.client("secretsmanager").create_secret(Name="headwater-local/lineage", SecretString='{"api_key": "key-1"}')
    return opened


def told_by_http(opened: OpenProject, file: bool = False, **http: Any) -> OpenProject:
    return telling(opened, LineageTo(file=file, http=LineageReceiver(**http)))


def test_a_receiver_takes_the_events_of_an_audit_with_its_key(opened: OpenProject, ledger: Ledger) -> None:
    StageRuns(ledger.bucket).write("fx_rates", [stage_run("Silver", "fx_rates", "rates")])
    with receiving() as receiver:
        told = told_by_http(opened, url=receiver.url, secret="lineage")
        assert audit_run(told, FakeDataApi(), AUDITED, {})["done"]
    assert receiver.wrong == []
    assert [(event.job.name, event.eventType) for event in receiver.taken] == [
        ("pipeline", RunState.START),
        ("silver.fx_rates.rates", RunState.START),
        ("silver.fx_rates.rates", RunState.COMPLETE),
        ("pipeline", RunState.COMPLETE),
    ]
    assert receiver.keys == {"Bearer key-1"}


def entered(opened: OpenProject) -> dict[str, Any]:
    """What the audit has entered of lineage."""
    body = Bucket(opened.ledger.bucket.s3, LAKE).read("load/_audit/run-1.run_audit.json") or b""
    [row] = [row for row in map(json.loads, body.splitlines()) if row["stage"] == "Lineage"]
    return row


def test_a_dead_receiver_fails_no_run_and_is_counted_and_told(opened: OpenProject) -> None:
    with receiving() as receiver:
        pass
    told = told_by_http(opened, file=True, url=receiver.url, timeout_seconds=0.5)
    assert audit_run(told, FakeDataApi(), AUDITED, {})["done"]
    row = entered(opened)
    assert (row["status"], row["rows_read"], row["rows_inserted"], row["rows_rejected"]) == ("failed", 2, 0, 2)
    assert "ConnectionError" in row["messages"]
    # What went to the file is there all the same.
    [(key, _, _)] = Bucket(opened.ledger.bucket.s3, LAKE).keys("lineage/")
    assert key.endswith("/run-1.jsonl")


def test_a_receiver_that_refuses_is_asked_a_few_times_and_no_more(opened: OpenProject) -> None:
    with receiving(answers=500) as receiver:
        done = tell_lineage(told_by_http(opened, url=receiver.url), [(RUN, of_marketing())])
    assert done is not None
    assert (done.succeeded, done.rows_inserted, len(done.messages)) == (False, 0, 3)
    assert "500" in done.messages[0]


def test_a_receiver_that_answers_byte_by_byte_is_left_after_a_while(
    opened: OpenProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage, "_DEADLINE_SECONDS", 0.5)
    with receiving(slow=True) as receiver:
        done = tell_lineage(told_by_http(opened, url=receiver.url), [(RUN, [])])
    assert done is not None
    assert (done.rows_inserted, done.rows_rejected) == (0, 2)
    assert done.messages == ("no answer within 0 s",)


def test_a_file_has_an_event_a_line(opened: OpenProject) -> None:
    done = tell_lineage(telling(opened, LineageTo()), [(RUN, of_marketing())])
    bucket = Bucket(opened.ledger.bucket.s3, LAKE)
    [(key, _, _)] = bucket.keys("lineage/")
    events = [read_event(line) for line in (bucket.read(key) or b"").splitlines()]
    assert done is not None
    assert len(events) == done.rows_read == done.rows_inserted == 2 + 2 * len(of_marketing())


def test_where_nobody_is_told_nothing_is_made(opened: OpenProject) -> None:
    assert tell_lineage(telling(opened, None), [(RUN, of_marketing())]) is None


def test_the_client_is_imported_where_events_are_made_and_nowhere_else() -> None:
    code = "import sys, headwater.run.audit; sys.exit('openlineage' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
