"""What becomes of a run's streams between Extract and Gold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import Book, Carried, CheckResult, Decision, Held, Verdict
from headwater.ledger.failures import Failures
from headwater.ledger.held import MOST_CHARACTERS, Holds
from headwater.ledger.positions import KeyPosition
from headwater.ledger.stream import Ledger, StreamLedger
from headwater.open_project import OpenProject
from headwater.run.verdicts import Stage, read_verdicts
from tests.unit.test_ledger import writer

NO_ERROR: dict[str, str] = {}
JOB_RUN = "jr_1"
FAILED = {"Error": "States.TaskFailed", "Cause": json.dumps({"Id": JOB_RUN, "ErrorMessage": "several streams failed"})}
KILLED = {
    "Error": "States.TaskFailed",
    "Cause": json.dumps({"Id": "jr_2", "ErrorMessage": "the driver ran out of memory"}),
}
SOURCES = [{"source": "rds_postgres"}, {"source": "fx_rates"}]


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
    start_from: str = "Extract",
    run_id: str = "run-1",
) -> dict[str, Any]:
    return read_verdicts(opened, run_id, after, SOURCES, outcomes, error, start_from)


def held(opened: OpenProject) -> dict[str, list[str]]:
    """The streams that are held back, each with the stage and the error of what holds it."""
    found = Holds(opened.ledger.bucket).streams()
    return {name: [f"{stage} {why.error}" for stage, why in stages.items()] for name, stages in found.items()}


def cause(opened: OpenProject, stream: str, stage: str) -> str:
    return Holds(opened.ledger.bucket).streams()[stream][stage].cause


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
    assert (read(opened), held(opened)) == ({"check": "", "silver": ""}, {})


def test_sources_wait_together_for_the_stage_that_is_next(
    opened: OpenProject, orders: StreamLedger, rates: StreamLedger
) -> None:
    for stream in (orders, rates):
        extract(stream)
    assert read(opened)["check"] == "rds_postgres,fx_rates"
    judge(orders, 1, "warn")
    assert read(opened) == {"check": "fx_rates", "silver": "rds_postgres"}
    judge(rates, 1, "pass")
    assert read(opened, "Check")["silver"] == "rds_postgres,fx_rates"


def test_a_halted_batch_holds_its_stream_until_it_is_in_silver(opened: OpenProject, orders: StreamLedger) -> None:
    extract(orders)
    judge(orders, 1, "halt", CheckResult(check="order_id_unique", level="halt", passed=False, message="0.9"))
    for run_id in ("run-1", "run-2"):
        assert read(opened, run_id=run_id) == {"check": "", "silver": ""}
        [why] = Holds(opened.ledger.bucket).streams()["rds_postgres.orders"].values()
        assert (why.run_id, why.stage, why.error, why.batch) == (run_id, "Check", "QualityHalt", 1)
        assert why.cause == "batch 1: order_id_unique 0.9"
    orders.decide(Decision(batch=1, decision="release", reason="seen", by="test", at=datetime.now(UTC)))
    assert read(opened, run_id="run-3")["silver"] == "rds_postgres"
    assert held(opened) == {"rds_postgres.orders": ["Check QualityHalt"]}
    close(orders, 1)
    read(opened, "Silver", run_id="run-3")
    assert held(opened) == {}


def test_a_stream_that_is_halted_holds_back_none_of_its_source(opened: OpenProject, ledger: Ledger) -> None:
    orders, customers = (ledger.stream("rds_postgres", name) for name in ("orders", "customers"))
    extract(orders)
    judge(orders, 1, "halt")
    extract(customers)
    assert read(opened)["check"] == "rds_postgres"
    judge(customers, 1, "pass")
    assert read(opened, "Check")["silver"] == "rds_postgres"
    close(customers, 1)
    read(opened, "Silver")
    assert held(opened) == {"rds_postgres.orders": ["Check QualityHalt"]}


def test_what_bronze_has_not_waits_for_a_later_run(opened: OpenProject, orders: StreamLedger) -> None:
    extract(orders, carried=False)
    assert (read(opened)["check"], held(opened)) == ("", {})


def test_what_waits_behind_a_halted_batch_is_counted_and_costs_nothing(
    opened: OpenProject, orders: StreamLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in range(1, 41):
        extract(orders, key)
        judge(orders, key, "halt" if key == 1 else "pass")
    asked: list[str] = []
    get = Bucket.read
    monkeypatch.setattr(Bucket, "read", lambda self, key: asked.append(key) or get(self, key))
    read(opened, "Check")
    assert cause(opened, "rds_postgres.orders", "Check") == "batch 1: ; 39 more wait behind it"
    # What is held so far, a verdict and a decision; the last is the test's own.
    assert len(asked) == 4


@pytest.mark.parametrize("stage", ["check", "silver"])
def test_a_run_that_starts_from_a_stage_gives_it_every_source(opened: OpenProject, stage: str) -> None:
    found = read(opened, start_from=stage.capitalize())
    assert found[stage] == "rds_postgres,fx_rates"
    assert read(opened)[stage] == ""


def tell(opened: OpenProject, stage: str, source: str, **streams: str) -> None:
    """What a job run wrote down of the streams that failed."""
    told = {stream: {"Error": error, "Cause": f"{error}: …"} for stream, error in streams.items()}
    Failures(opened.ledger.bucket, "run-1").write(stage, source, JOB_RUN, told)


def extracted(source: str, *, failed: bool = False) -> dict[str, Any]:
    return {
        "source": source,
        **({"status": "failed", "stage": "Extract", "error": FAILED} if failed else {"status": "extracted"}),
    }


def test_a_stream_that_could_not_be_extracted_holds_back_none_of_its_source(
    opened: OpenProject, ledger: Ledger
) -> None:
    tell(opened, "Extract", "rds_postgres", orders="RetriableSourceError")
    extract(ledger.stream("rds_postgres", "customers"))
    outcomes = [extracted("rds_postgres", failed=True), extracted("fx_rates")]
    assert read(opened, outcomes=outcomes)["check"] == "rds_postgres"
    assert held(opened) == {"rds_postgres.orders": ["Extract RetriableSourceError"]}
    judge(ledger.stream("rds_postgres", "customers"), 1, "pass")
    assert read(opened, "Check")["silver"] == "rds_postgres"
    close(ledger.stream("rds_postgres", "customers"), 1)
    read(opened, "Silver")
    assert held(opened) == {"rds_postgres.orders": ["Extract RetriableSourceError"]}


def test_a_job_that_cannot_say_what_it_has_extracted_fails_the_whole_source(opened: OpenProject) -> None:
    # What an earlier attempt of the same run said is not about this one.
    tell(opened, "Extract", "fx_rates", rates="RetriableSourceError")
    read(opened, outcomes=[{"source": "fx_rates", "status": "failed", "stage": "Extract", "error": KILLED}])
    assert held(opened) == {"fx_rates.rates": ["Extract States.TaskFailed"]}
    assert cause(opened, "fx_rates.rates", "Extract") == "the driver ran out of memory"


def test_what_could_not_be_extracted_is_held_back_until_it_has_been(opened: OpenProject) -> None:
    read(opened, outcomes=[extracted("fx_rates", failed=True)])
    for start_from in ("Check", "Silver"):
        read(opened, start_from=start_from, run_id="run-2")
        read(opened, "Silver", run_id="run-2")
        assert held(opened) == {"fx_rates.rates": ["Extract States.TaskFailed"]}
    read(opened, outcomes=[extracted("fx_rates")], run_id="run-3")
    assert held(opened) == {}


def test_a_stream_may_be_halted_and_not_extracted_at_once(opened: OpenProject, orders: StreamLedger) -> None:
    extract(orders)
    judge(orders, 1, "halt")
    tell(opened, "Extract", "rds_postgres", orders="FatalSourceError")
    read(opened, outcomes=[extracted("rds_postgres", failed=True)])
    assert held(opened) == {"rds_postgres.orders": ["Extract FatalSourceError", "Check QualityHalt"]}


def test_a_stream_that_fails_in_a_job_for_several_keeps_none_of_them(
    opened: OpenProject, orders: StreamLedger, rates: StreamLedger
) -> None:
    for stream in (orders, rates):
        extract(stream)
    judge(rates, 1, "pass")
    tell(opened, "Check", "rds_postgres", orders="LedgerError")
    assert read(opened, "Check", error=FAILED)["silver"] == "fx_rates"
    close(rates, 1)
    read(opened, "Silver")
    assert held(opened) == {"rds_postgres.orders": ["Check LedgerError"]}


def test_a_stream_that_a_job_says_has_failed_is_held_back_though_none_of_its_batches_waits(
    opened: OpenProject, rates: StreamLedger
) -> None:
    extract(rates)
    judge(rates, 1, "pass")
    close(rates, 1)
    tell(opened, "Silver", "fx_rates", rates="ConfigError")
    read(opened, "Silver", error=FAILED)
    assert held(opened) == {"fx_rates.rates": ["Silver ConfigError"]}
    read(opened, "Silver", run_id="run-2")
    assert held(opened) == {}


def test_what_was_judged_before_its_check_failed_goes_to_silver(opened: OpenProject, orders: StreamLedger) -> None:
    extract(orders)
    judge(orders, 1, "pass")
    extract(orders, 2)
    tell(opened, "Check", "rds_postgres", orders="LedgerError")
    assert read(opened, "Check", error=FAILED)["silver"] == "rds_postgres"
    close(orders, 1)
    read(opened, "Silver")
    assert held(opened) == {"rds_postgres.orders": ["Check LedgerError"]}


def test_a_job_that_was_killed_fails_the_streams_that_it_did_not_get_to(
    opened: OpenProject, orders: StreamLedger, rates: StreamLedger
) -> None:
    for stream in (orders, rates):
        extract(stream)
        judge(stream, 1, "pass")
    close(orders, 1)
    read(opened, "Silver", error=KILLED)
    assert held(opened) == {"fx_rates.rates": ["Silver States.TaskFailed"]}
    assert cause(opened, "fx_rates.rates", "Silver") == "the driver ran out of memory"


def test_what_another_run_has_extracted_since_fails_nothing(opened: OpenProject, orders: StreamLedger) -> None:
    extract(orders)
    judge(orders, 1, "pass")
    extract(orders, 2)
    assert read(opened, "Check")["silver"] == "rds_postgres"
    close(orders, 1)
    read(opened, "Silver")
    assert held(opened) == {}


def test_what_holds_back_the_streams_of_other_sources_stays(opened: OpenProject) -> None:
    why = Held(run_id="run-0", stage="Silver", error="BooksError", cause="…")
    gone = {"left.out": {"Silver": why}}
    Holds(opened.ledger.bucket).hold_streams(
        {"rds_mysql.inventory": {"Silver": why}, "fx_rates.rates": {"Silver": why}} | gone
    )
    read(opened)
    assert held(opened) == {"rds_mysql.inventory": ["Silver BooksError"]}


def test_however_much_is_halted_the_alert_has_room_for_it(opened: OpenProject, orders: StreamLedger) -> None:
    checks = [CheckResult(check=f"check_{i}", level="halt", passed=False, message="x" * 50) for i in range(10_000)]
    extract(orders)
    judge(orders, 1, "halt", *checks)
    assert len(json.dumps(read(opened))) < 100
    assert len(cause(opened, "rds_postgres.orders", "Check")) < MOST_CHARACTERS + 10
