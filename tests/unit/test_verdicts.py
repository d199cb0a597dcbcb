"""What becomes of a run's sources between Extract and Gold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from headwater.config import Project
from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import Book, Carried, CheckResult, Decision, Verdict
from headwater.ledger.failures import Failures
from headwater.ledger.positions import KeyPosition
from headwater.ledger.stream import Ledger, StreamLedger
from headwater.open_project import OpenProject
from headwater.run.verdicts import Stage, read_verdicts
from tests.unit.test_ledger import writer

NO_ERROR: dict[str, str] = {}
KILLED = {"Error": "States.TaskFailed", "Cause": json.dumps({"ErrorMessage": "the driver ran out of memory"})}
# The state of an execution, and what a state's task answers, may have so many bytes.
STATE_BYTES = 262_144


@pytest.fixture
def opened(project: Project, ledger: Ledger) -> OpenProject:
    opened = OpenProject(project)
    opened.__dict__["ledger"] = ledger
    return opened


@pytest.fixture
def orders(ledger: Ledger) -> StreamLedger:
    return ledger.stream("rds_postgres", "orders")


@pytest.fixture
def rates(ledger: Ledger) -> StreamLedger:
    return ledger.stream("fx_rates", "rates")


def read(
    opened: OpenProject,
    after: Stage = "Extract",
    *,
    error: dict[str, str] = NO_ERROR,
    outcomes: Sequence[dict[str, Any]] = (),
    optional: bool = False,
    start_from: str = "Extract",
) -> dict[str, Any]:
    sources = [{"source": "rds_postgres", "optional": optional}, {"source": "fx_rates", "optional": False}]
    return read_verdicts(opened, "run-1", after, sources, outcomes, error, start_from)


def status(found: dict[str, Any], source: str) -> str | None:
    """What became of a source, with the stage where it failed; None while it waits."""
    for outcome in found["outcomes"]:
        if outcome["source"] == source:
            return " ".join([outcome["status"], *([outcome["stage"]] if "stage" in outcome else [])])
    return None


def extract(stream: StreamLedger, key: int = 1, *, carried: bool = True) -> None:
    """Commits a batch, which bronze has as well once it is carried there."""
    batch = writer(stream).commit(KeyPosition(key=key)).batch
    if carried:
        stream.carry(Carried(batch=batch, version=0))


def judge(stream: StreamLedger, batch: int, verdict: Literal["pass", "warn", "halt"], *checks: CheckResult) -> None:
    stream.judge(
        Verdict(
            source=stream.source, stream=stream.stream, batch=batch, run_id="r", verdict=verdict, rows=1, checks=checks
        )
    )


def close(stream: StreamLedger, batch: int) -> None:
    counts = {"silver_updated": 0, "unchanged": 0, "quarantined": 0, "duplicates": 0}
    stream.close(
        Book(
            source=stream.source,
            stream=stream.stream,
            batch=batch,
            run_id="r",
            extracted=1,
            silver_inserted=1,
            **counts,
        )
    )


def test_a_source_of_which_no_batch_waits_has_come_to_its_end(opened: OpenProject, rates: StreamLedger) -> None:
    extract(rates)
    judge(rates, 1, "pass")
    close(rates, 1)
    found = read(opened)
    assert (status(found, "fx_rates"), found["check"], found["silver"]) == ("succeeded", "", "")


def test_sources_wait_together_for_the_stage_that_is_next(
    opened: OpenProject, orders: StreamLedger, rates: StreamLedger
) -> None:
    for stream in (orders, rates):
        extract(stream)
    assert read(opened)["check"] == "rds_postgres,fx_rates"
    judge(orders, 1, "warn")
    found = read(opened)
    assert (found["check"], found["silver"], found["outcomes"]) == ("fx_rates", "rds_postgres", [])
    judge(rates, 1, "pass")
    assert read(opened, "Check")["silver"] == "rds_postgres,fx_rates"


def test_one_halted_batch_halts_its_source_until_a_person_decides(opened: OpenProject, orders: StreamLedger) -> None:
    extract(orders)
    judge(orders, 1, "halt", CheckResult(check="order_id_unique", level="halt", passed=False, message="0.9"))
    found = read(opened)
    [halted] = [outcome for outcome in found["outcomes"] if outcome["status"] == "failed"]
    assert halted["error"] == {"Error": "QualityHalt", "Cause": "rds_postgres.orders batch 1: order_id_unique 0.9"}
    assert found["failures"] == {"stop": True, "in_part": False}
    orders.decide(Decision(batch=1, decision="release", reason="seen", by="test", at=datetime.now(UTC)))
    assert (read(opened)["silver"], status(read(opened), "rds_postgres")) == ("rds_postgres", None)


def test_a_batch_without_a_verdict_is_checked_before_anything_halts(opened: OpenProject, ledger: Ledger) -> None:
    orders, customers = (ledger.stream("rds_postgres", name) for name in ("orders", "customers"))
    extract(orders)
    judge(orders, 1, "halt")
    extract(customers)
    assert read(opened)["check"] == "rds_postgres"
    judge(customers, 1, "pass")
    assert read(opened, "Check")["silver"] == "rds_postgres"
    close(customers, 1)
    assert status(read(opened, "Silver"), "rds_postgres") == "failed Check"


def test_a_source_that_says_that_it_failed_in_silver_has_failed_though_none_of_its_batches_waits(
    opened: OpenProject, rates: StreamLedger
) -> None:
    extract(rates)
    judge(rates, 1, "pass")
    close(rates, 1)
    Failures(opened.ledger.bucket, "run-1").write("Silver", "fx_rates", "ConfigError", "table fx_rates: made anew")
    found = read(opened, "Silver", error=KILLED)
    assert status(found, "fx_rates") == "failed Silver"
    assert [one["error"]["Error"] for one in found["outcomes"] if one["source"] == "fx_rates"] == ["ConfigError"]
    assert status(read(opened, "Silver"), "fx_rates") == "succeeded"


def test_what_bronze_has_not_waits_for_a_later_run(opened: OpenProject, orders: StreamLedger) -> None:
    extract(orders, carried=False)
    found = read(opened)
    assert (status(found, "rds_postgres"), found["check"]) == ("succeeded", "")


def test_what_waits_behind_a_halted_batch_is_counted_and_costs_nothing(
    opened: OpenProject, orders: StreamLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in range(1, 41):
        extract(orders, key)
        judge(orders, key, "halt" if key == 1 else "pass")
    asked: list[str] = []
    get = Bucket.read
    monkeypatch.setattr(Bucket, "read", lambda self, key: asked.append(key) or get(self, key))
    found = read(opened, "Check")
    assert found["outcomes"][0]["error"]["Cause"] == "rds_postgres.orders batch 1: ; 39 more wait behind it"
    assert len(asked) == 2


@pytest.mark.parametrize("stage", ["check", "silver"])
def test_a_run_that_starts_from_a_stage_gives_it_every_source(opened: OpenProject, stage: str) -> None:
    found = read(opened, start_from=stage.capitalize())
    assert found[stage] == "rds_postgres,fx_rates"
    assert read(opened)[stage] == ""


def test_a_source_that_fails_in_a_job_for_several_keeps_none_of_them(
    opened: OpenProject, orders: StreamLedger, rates: StreamLedger
) -> None:
    for stream in (orders, rates):
        extract(stream)
    judge(rates, 1, "pass")
    Failures(opened.ledger.bucket, "run-1").write("Check", "rds_postgres", "LedgerError", "LedgerError: taken over")
    found = read(opened, "Check", error=KILLED)
    assert (status(found, "rds_postgres"), found["silver"]) == ("failed Check", "fx_rates")
    assert found["outcomes"][0]["error"] == {"Error": "LedgerError", "Cause": "LedgerError: taken over"}


def test_a_job_that_was_killed_fails_the_sources_that_it_did_not_get_to(
    opened: OpenProject, orders: StreamLedger, rates: StreamLedger
) -> None:
    for stream in (orders, rates):
        extract(stream)
        judge(stream, 1, "pass")
    close(orders, 1)
    found = read(opened, "Silver", error=KILLED)
    assert (status(found, "rds_postgres"), status(found, "fx_rates")) == ("succeeded", "failed Silver")
    assert found["outcomes"][1]["error"]["Cause"] == "the driver ran out of memory"


def test_what_another_run_has_extracted_since_fails_nothing(opened: OpenProject, orders: StreamLedger) -> None:
    extract(orders)
    judge(orders, 1, "pass")
    extract(orders, 2)
    assert read(opened, "Check")["silver"] == "rds_postgres"
    close(orders, 1)
    assert status(read(opened, "Silver"), "rds_postgres") == "succeeded"


def test_an_optional_source_that_failed_lets_the_others_go_on(opened: OpenProject, rates: StreamLedger) -> None:
    extract(rates)
    failed = {"source": "rds_postgres", "status": "failed", "stage": "Extract", "error": KILLED}
    extracted = {"source": "fx_rates", "status": "extracted"}
    found = read(opened, outcomes=[failed, extracted], optional=True)
    assert (status(found, "rds_postgres"), found["check"]) == ("failed_in_part Extract", "fx_rates")
    assert found["failures"] == {"stop": False, "in_part": True}
    assert status(read(opened, "Check", outcomes=found["outcomes"], optional=True), "rds_postgres") == (
        "failed_in_part Extract"
    )


def test_however_much_is_halted_the_state_has_room_for_it(opened: OpenProject, orders: StreamLedger) -> None:
    checks = [CheckResult(check=f"check_{i}", level="halt", passed=False, message="x" * 50) for i in range(10_000)]
    extract(orders)
    judge(orders, 1, "halt", *checks)
    found = read(opened)
    assert len(found["outcomes"][0]["error"]["Cause"]) < 1_100
    assert len(json.dumps(found)) < STATE_BYTES / 100
