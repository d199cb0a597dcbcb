"""What a run leaves undone, and the alert that tells of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.client import Client
from headwater.deploy.deployment import Deployment
from headwater.ledger.entries import Held, SetAside
from headwater.ledger.held import Holds, waiting_tables
from headwater.ledger.positions import ModifiedPosition
from headwater.ledger.stream import Ledger
from headwater.open_project import OpenProject
from headwater.run.alert import alert_of
from headwater.run.undone import Undone, left_undone
from tests.support import declared
from tests.support.paths import ROOT
from tests.unit.test_ledger import writer

STARTED = "2024-05-06T07:08:09.123Z"
IN_PART = {"Error": "FailedInPart", "Cause": "stale: …"}
STREAMS = sorted(f"{source.name}.{name}" for source in declared.project().sources.values() for name in source.streams)


def why(stage: str = "Extract", *, run_id: str = "run-1", cause: str = "gone", batch: int | None = None) -> Held:
    return Held(
        run_id=run_id, stage=stage, error="QualityHalt" if batch else "FatalSourceError", cause=cause, batch=batch
    )


@pytest.fixture
def holds(ledger: Ledger) -> Holds:
    return Holds(ledger.bucket)


def undone(opened: OpenProject, gold: dict[str, str] | None = None) -> Undone:
    return left_undone(opened, "run-1", STARTED, gold or {})


@given(st.sets(st.sampled_from(STREAMS)))
def test_just_the_tables_wait_that_read_what_a_held_stream_feeds(held: set[str]) -> None:
    project = declared.project()
    feeds = {stream for stream in held for source in [project.source(stream.partition(".")[0])] if not source.optional}
    tables = {project.source(s.partition(".")[0]).streams[s.partition(".")[2]].table for s in feeds}
    waits = waiting_tables(project, {name: {"Silver": why("Silver")} for name in held})
    who = {
        name for name, one in project.identities.items() if {member.table for member in one.members.values()} & tables
    }
    assert set(waits) == who | {
        name for name, gold in project.gold.items() if (set(gold.inputs) - set(gold.optional)) & (tables | who)
    }
    assert set().union(*waits.values()) <= feeds


def test_gold_waits_for_no_optional_source() -> None:
    project = declared.project()
    held = {"facebook_ads.ads_insights": {"Extract": why()}, "fx_rates.rates": {"Extract": why()}}
    assert project.source("facebook_ads").optional
    # Nor for rates, of which those of the days before serve until they come.
    assert waiting_tables(project, held) == {}
    needed = project.sources["facebook_ads"].model_copy(update={"optional": False})
    changed = project.model_copy(update={"sources": {**project.sources, "facebook_ads": needed}})
    assert waiting_tables(changed, held)["marketing_performance"] == ["facebook_ads.ads_insights"]


def test_a_run_that_leaves_nothing_undone_says_nothing(opened: OpenProject) -> None:
    assert not undone(opened)
    assert str(undone(opened)) == ""


def test_what_another_run_has_met_counts_only_where_gold_waits_for_it(opened: OpenProject, holds: Holds) -> None:
    other = why(run_id="run-0")
    holds.hold_streams({"s3_drops.partner_orders": {"Extract": other}, "rds_postgres.orders": {"Silver": other}})
    assert list(undone(opened).streams) == ["rds_postgres.orders"]
    holds.hold_streams({"s3_drops.partner_orders": {"Extract": why()}})
    assert list(undone(opened).streams) == ["s3_drops.partner_orders"]


def test_tables_stay_stale_until_gold_says_otherwise(opened: OpenProject, holds: Holds) -> None:
    holds.hold_tables({"business_metrics": why("Gold", run_id="run-0"), "of_old": why("Gold", run_id="run-0")})
    assert list(undone(opened).tables) == ["business_metrics"]
    holds.hold_tables({})
    assert not undone(opened)


def test_where_gold_was_never_started_every_table_is_stale(opened: OpenProject, holds: Holds) -> None:
    error = {"Error": "Glue.ConcurrentRunsExceededException", "Cause": "…"}
    assert set(undone(opened, error).tables) == set(opened.project.gold)
    holds.hold_tables({"business_metrics": why("Gold")})
    assert set(undone(opened, error).tables) == {"business_metrics"}


def test_files_that_the_run_itself_has_set_aside_are_told(opened: OpenProject, ledger: Ledger) -> None:
    stream = ledger.stream("s3_drops", "partner_orders")
    for number, run_id in enumerate(("run-1", "run-0", "run-1"), 1):
        batch = writer(stream)
        batch.run_id = run_id
        batch.set_aside.append(SetAside(key=f"{number}.csv", problem="bad_header", message="…"))
        batch.commit(ModifiedPosition(until=datetime.now(UTC)))
    assert {file.key for file in undone(opened).files} == {"1.csv", "3.csv"}
    later = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    assert left_undone(opened, "run-1", later, {}).files == ()


def test_files_alone_leave_a_run_undone() -> None:
    assert Undone({}, {}, (SetAside(key="c", problem="p", message="m"),))
    assert not Undone({}, {})


def test_what_goes_through_the_state_machine_is_short(opened: OpenProject) -> None:
    many = Undone({f"table_{n}": why() for n in range(1000)}, {})
    assert str(many).startswith("stale: table_0, table_1")
    assert len(str(many)) < 1010
    both = Undone({"a": why()}, {"s.b": (why(),)}, (SetAside(key="c", problem="p", message="m"),))
    assert str(both) == "stale: a; held back: s.b; set aside: c"


def alert(error: dict[str, str], left: Undone | None, **failure: Any) -> tuple[str, str]:
    return alert_of(
        "local", {"run_id": "run-1", "started_at": STARTED, "stage": "Load", "error": error, **failure}, left
    )


def test_an_alert_names_run_stage_and_cause() -> None:
    cause = json.dumps({"ErrorMessage": "LoadError: refused", "Id": "jr"})
    subject, message = alert({"Error": "LoadError", "Cause": cause}, Undone({}, {}))
    assert subject == "[headwater local] run run-1 failed"
    assert "run: run-1" in message
    assert "stage: Load\nerror: LoadError\ncause: LoadError: refused" in message


def test_an_alert_tells_of_sources_before_anybody_else_could() -> None:
    outcome = {
        "source": "facebook_ads",
        "status": "failed",
        "stage": "Extract",
        "error": {"Error": "E", "Cause": "gone"},
    }
    outcomes = [{"source": "fx_rates", "status": "extracted"}, outcome]
    _, message = alert({"Error": "LedgerError", "Cause": "…"}, None, outcomes=outcomes)
    assert "source: facebook_ads\nstage: Extract\nerror: E\ncause: gone" in message
    assert "fx_rates" not in message
    assert "could not be read" in message


def test_an_alert_of_a_run_that_failed_in_part_lists_all_that_is_undone_with_the_next_step() -> None:
    left = Undone(
        {"business_metrics": why("Gold", cause="waits for shop.items, shop.orders")},
        {
            "shop.items": (why(), why("Check", cause="batch 7: quantity", batch=7)),
            "shop.orders": (why(),),
            "shop.people": (why(),),
            "crm.people": (why(),),
        },
        (SetAside(key="in/a.csv", problem="bad_header", message="no sku"),),
    )
    subject, message = alert(IN_PART, left)
    assert subject == "[headwater local] run run-1 failed in part"
    for part in (
        "stale: business_metrics\nerror: FatalSourceError\ncause: waits for shop.items, shop.orders",
        "source: shop\nheld back: shop.items\nstage: Extract\nerror: FatalSourceError\ncause: gone\nhint: fix the cause",
        "stage: Check\nerror: QualityHalt\ncause: batch 7: quantity\nhint: headwater release shop.items 7 --reason",
        "held back: shop.orders, shop.people\n",
        "source: crm\nheld back: crm.people\n",
        "set aside: in/a.csv\nerror: bad_header\ncause: no sku",
    ):
        assert part in message
    assert "FailedInPart" not in message


def test_an_alert_carries_no_secret() -> None:
    secret = "GET /x?access_token=EAAB1234 with Authorization: Bearer abc.def failed"
    left = Undone({"t": why(cause=secret)}, {"s.t": (why(cause=secret),)})
    _, message = alert({"Error": "E", "Cause": secret}, left)
    assert "EAAB1234" not in message
    assert "abc.def" not in message


def test_however_much_is_undone_there_is_an_alert() -> None:
    left = Undone({f"table_{n}": why(cause="x" * 1000) for n in range(1000)}, {})
    _, message = alert(IN_PART, left)
    assert len(message.encode()) < 256 * 1024


class FakeStates:
    """Step Functions with runs that have ended, each with its error and its cause."""

    def __init__(self, **runs: tuple[str, str] | None) -> None:
        self.runs = runs

    def list_executions(self, **_: Any) -> dict[str, Any]:
        return {"executions": [{"name": name, **self._told(name)} for name in self.runs]}

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:  # noqa: N803
        name = executionArn.rpartition(":")[2]
        error, cause = self.runs[name] or (None, None)
        return {**self._told(name), "error": error, "cause": cause}

    def _told(self, name: str) -> dict[str, Any]:
        return {"status": "FAILED" if self.runs[name] else "SUCCEEDED", "startDate": datetime.now(UTC)}


def test_people_see_what_is_held_back_and_stale_and_what_each_run_left_undone(
    opened: OpenProject, holds: Holds
) -> None:
    client = Client(Deployment(opened.project, ROOT))
    told = json.dumps({"Error": "FailedInPart", "Cause": "stale: business_metrics"})
    states = FakeStates(
        good=None, part=("FailedInPart", told), bad=("LoadError", "{}"), ended=("States.Runtime", "full")
    )
    client.__dict__.update(opened=opened, _step_functions=states)
    holds.hold_streams({"fx_rates.rates": {"Extract": why()}})
    holds.hold_tables({"business_metrics": why("Gold", cause="waits")})
    assert [stream.held for stream in client.streams("fx_rates")] == ["Extract FatalSourceError"]
    assert client.stale() == {"business_metrics": "waits"}
    assert {run.run_id: run.undone for run in client.runs()} == {
        "good": None,
        "part": "stale: business_metrics",
        "bad": "LoadError",
        "ended": "States.Runtime",
    }
