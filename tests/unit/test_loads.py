"""Loads and audits: what reaches the warehouse, and what travels in the state meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from headwater.errors import BooksError, LoadError, QueryError
from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import Book, CheckResult, Verdict
from headwater.ledger.stream import Ledger
from headwater.open_project import OpenProject
from headwater.run import audit, load
from headwater.run.audit import AuditedRun, audit_run
from headwater.run.load import MOST_TRIES, load_changes
from headwater.warehouse import data_api
from headwater.warehouse.changes import ChangeFile, ChangeLog
from tests.support.fake_warehouse import FakeDataApi
from tests.support.opened import telling

LAKE = "headwater-local-lake"
RUN = AuditedRun("run-1", "2024-05-06T07:08:09.123Z", in_part=False)
Publish = Callable[[str, int], None]


@pytest.fixture
def opened(opened: OpenProject, monkeypatch: pytest.MonkeyPatch) -> OpenProject:
    s3 = opened.ledger.bucket.s3
    s3.create_bucket(Bucket=LAKE, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    monkeypatch.setattr(load, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(audit, "_PATIENCE_SECONDS", 0.0)
    return telling(opened, None)


@pytest.fixture
def publish(ledger: Ledger) -> Publish:
    def one(table: str, version: int) -> None:
        entries = ((f"s3://{LAKE}/load/{table}/{version}.parquet", 10),)
        change = ChangeFile(table, ("id",), ("id", "total"), version, entries)
        ChangeLog(Bucket(ledger.bucket.s3, LAKE), table).publish(change)

    return one


def loaded(opened: OpenProject, client: FakeDataApi, before: Any = None) -> dict[str, Any]:
    answer = load_changes(opened, client, "run-1", before or {}, lambda _: None)
    assert set(answer) == {"done", "since", "tables", "statement", "tries", "refused"}
    return answer


@pytest.mark.parametrize("status", ["SUBMITTED", "PICKED", "STARTED"])
def test_tables_are_loaded_one_after_the_other(opened: OpenProject, publish: Publish, status: str) -> None:
    first, second = list(opened.project.gold)[:2]
    publish(first, 3)
    publish(second, 5)
    client = FakeDataApi(ends=status)
    waits = loaded(opened, client)
    assert (waits["done"], list(waits["tables"]), waits["statement"]) == (False, [first, second], f"{first}@3")
    client.statuses[f"{first}@3"] = {"Status": "FINISHED"}
    waits = loaded(opened, client, waits)
    assert (list(waits["tables"]), waits["statement"]) == ([second], f"{second}@5")
    client.statuses[f"{second}@5"] = {"Status": "FINISHED"}
    assert loaded(opened, client, waits)["done"]
    assert list(client.batches) == [f"{first}@3", f"{second}@5"]


def test_where_nothing_is_lacking_no_statement_is_started(opened: OpenProject, publish: Publish) -> None:
    table = next(iter(opened.project.gold))
    publish(table, 3)
    client = FakeDataApi(rows=((table, "3"),))
    assert loaded(opened, client)["done"]
    assert client.batches == {}


def test_while_the_warehouse_wakes_the_machine_waits_and_not_the_function(
    opened: OpenProject, publish: Publish, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call is over in a second or two, though a function may wait for what has begun for most of a minute."""
    for module in (load, audit):
        monkeypatch.setattr(module, "_PATIENCE_SECONDS", 45.0)
        monkeypatch.setattr(module, "BEGINS_WITHIN_SECONDS", 0.1)
    table = next(iter(opened.project.gold))
    publish(table, 3)
    client = FakeDataApi(query_ends="SUBMITTED", ends="PICKED")
    began = time.monotonic()
    waits = loaded(opened, client)
    assert (waits["done"], waits["tables"], waits["statement"]) == (False, None, "query")
    assert loaded(opened, client, waits) == waits
    client.query_ends = "FINISHED"
    waits = loaded(opened, client, waits)
    assert (waits["tables"], waits["statement"]) == ({table: -1}, f"{table}@3")
    book(ledger, 1, 0)
    assert audited(opened, client)["done"] is False
    assert time.monotonic() - began < 10


def test_a_warehouse_that_is_full_is_asked_again_later(opened: OpenProject, publish: Publish, ledger: Ledger) -> None:
    table = next(iter(opened.project.gold))
    publish(table, 3)
    book(ledger, 1, 0)
    client = FakeDataApi(is_full=True)
    waits = loaded(opened, client)
    assert (waits["done"], waits["tables"], waits["statement"]) == (False, None, None)
    asked = loaded(opened, FakeDataApi(ends="STARTED"), waits)
    assert asked["statement"] == f"{table}@3"
    waits = loaded(opened, client, {**asked, "statement": None})
    assert (waits["done"], waits["tables"], waits["statement"]) == (False, {table: -1}, None)
    unaudited = audited(opened, client)
    assert (unaudited["done"], unaudited["statement"]) == (False, None)
    assert audited(opened, FakeDataApi(), unaudited)["done"]
    for ask in (data_api.query, data_api.run):
        with pytest.raises(QueryError, match="as many active statements as it takes"):
            ask(client, opened.project.environment.warehouse, "SELECT 1", 1)


def test_a_warehouse_that_never_answers_fails_in_time(
    opened: OpenProject, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(next(iter(opened.project.gold)), 3)
    monkeypatch.setattr(load, "LOAD_SECONDS", -1)
    with pytest.raises(LoadError, match=r"etl\.load_ledger: not loaded since .* as many active statements"):
        loaded(opened, FakeDataApi(is_full=True))
    with pytest.raises(LoadError, match=r"etl\.load_ledger: not loaded since .* waits for the warehouse"):
        loaded(opened, FakeDataApi(query_ends="SUBMITTED"))


@pytest.mark.parametrize(
    ("status", "told"),
    [({"Status": "FAILED", "Error": "no such bucket"}, "no such bucket"), ({"Status": "ABORTED"}, "ABORTED")],
)
def test_a_load_that_is_refused_or_aborted_fails_the_run_with_what_is_known(
    opened: OpenProject, publish: Publish, status: dict[str, str], told: str
) -> None:
    table = next(iter(opened.project.gold))
    publish(table, 3)
    client = FakeDataApi(statuses={f"{table}@3": status})
    with pytest.raises(LoadError, match=f"{table}: .*{told}"):
        loaded(opened, client)


@pytest.mark.parametrize("ends", ["FINISHED", "STARTED"])
def test_a_load_that_is_refused_keeps_none_of_the_others(opened: OpenProject, publish: Publish, ends: str) -> None:
    tables = list(opened.project.gold)
    for table in tables:
        publish(table, 3)
    client = FakeDataApi(ends=ends, statuses={f"{tables[0]}@3": {"Status": "FAILED", "Error": "no such bucket"}})
    waits: Any = {}
    while not isinstance(waits.get("done"), str):
        waits = tried(opened, client, waits)
        for load_id in list(client.batches)[1:]:
            client.statuses[load_id] = {"Status": "FINISHED"}
    assert waits["done"] == f"{tables[0]}: Redshift refused: no such bucket"
    assert list(client.batches) == [f"{table}@3" for table in tables]


def test_what_was_refused_is_not_asked_for_again_after_a_conflict(opened: OpenProject, publish: Publish) -> None:
    first, second = list(opened.project.gold)[:2]
    publish(first, 3)
    publish(second, 5)
    refused = {"Status": "FAILED", "Error": "no such bucket"}
    client = FakeDataApi(statuses={f"{first}@3": refused, f"{second}@5": {"Status": "FAILED", "Error": CONFLICTS[0]}})
    waits = loaded(opened, client)
    assert (waits["tables"], list(waits["refused"])) == (None, [first])
    client.statuses[f"{second}@5"] = {"Status": "FINISHED"}
    with pytest.raises(LoadError, match=f"^{first}: "):
        loaded(opened, client, waits)
    assert len(client.tokens) == 3


def tried(opened: OpenProject, client: FakeDataApi, before: Any = None) -> dict[str, Any]:
    """The answer, or the error in place of one."""
    try:
        return loaded(opened, client, before)
    except LoadError as error:
        return {"done": str(error), "tables": None, "statement": None, "tries": None}


CONFLICTS = (
    "ERROR: 1023 Detail: Serializable isolation violation on table in Redshift",
    "ERROR: could not complete because of conflict with concurrent transaction",
    "ERROR: deadlock detected Detail: Process 1 waits for ShareLock on transaction 2",
)


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_a_load_that_another_transaction_was_in_the_way_of_is_tried_again_under_another_token(
    opened: OpenProject, publish: Publish, conflict: str
) -> None:
    table = next(iter(opened.project.gold))
    publish(table, 3)
    client = FakeDataApi(statuses={f"{table}@3": {"Status": "FAILED", "Error": conflict}})
    waits = tried(opened, client)
    assert (waits["done"], waits["tables"], waits["statement"], waits["tries"]) == (False, None, None, 2)
    client.statuses[f"{table}@3"] = {"Status": "FINISHED"}
    assert loaded(opened, client, waits)["done"]
    assert len({*client.tokens}) == len(client.tokens) == 2


def test_what_another_run_has_loaded_meanwhile_is_not_loaded_again(opened: OpenProject, publish: Publish) -> None:
    table = next(iter(opened.project.gold))
    publish(table, 3)
    client = FakeDataApi(statuses={f"{table}@3": {"Status": "FAILED", "Error": CONFLICTS[0]}})
    waits = loaded(opened, client)
    client.rows = ((table, "5"),)
    assert loaded(opened, client, waits)["done"]
    assert len(client.tokens) == 1


def test_a_load_that_others_are_always_in_the_way_of_fails_after_six_tries(
    opened: OpenProject, publish: Publish
) -> None:
    table = next(iter(opened.project.gold))
    publish(table, 3)
    client = FakeDataApi(statuses={f"{table}@3": {"Status": "FAILED", "Error": CONFLICTS[0]}})
    waits: Any = {}
    for number in range(1, MOST_TRIES):
        waits = tried(opened, client, waits)
        assert (waits["done"], waits["tries"]) == (False, number + 1)
    with pytest.raises(LoadError, match=r"1023 .*, 6 times\. hint: run again"):
        loaded(opened, client, waits)
    assert len(client.tokens) == MOST_TRIES == 6


def test_a_call_that_is_made_again_asks_under_the_same_token(opened: OpenProject, publish: Publish) -> None:
    table = next(iter(opened.project.gold))
    publish(table, 3)
    client = FakeDataApi(ends="STARTED")
    for _ in range(2):
        loaded(opened, client)
    assert len(client.tokens) == 2
    assert len({*client.tokens}) == 1


def test_a_refusal_names_the_statement_that_was_refused(opened: OpenProject, publish: Publish) -> None:
    table = next(iter(opened.project.gold))
    publish(table, 3)
    parts = [{"Status": status, "QueryString": f"SELECT {status}"} for status in ("FINISHED", "FAILED", "ABORTED")]
    refused: Any = {"Status": "FAILED", "Error": "ERROR: Divide by zero", "SubStatements": parts}
    with pytest.raises(LoadError, match=r"Divide by zero in: SELECT FAILED$"):
        loaded(opened, FakeDataApi(statuses={f"{table}@3": refused}))


@pytest.mark.parametrize(
    ("status", "told"),
    [("STARTED", "is STARTED$"), ("SUBMITTED", "waits for the warehouse, which is asleep or busy$")],
)
def test_a_load_that_never_ends_fails_in_time(
    opened: OpenProject, publish: Publish, monkeypatch: pytest.MonkeyPatch, status: str, told: str
) -> None:
    table = next(iter(opened.project.gold))
    publish(table, 3)
    monkeypatch.setattr(load, "LOAD_SECONDS", -1)
    with pytest.raises(LoadError, match=f"{table}: not loaded since .* {told}"):
        loaded(opened, FakeDataApi(ends=status))


def book(ledger: Ledger, batch: int, checks: int, extracted: int = 1, run_id: str = "run-1") -> None:
    stream = ledger.stream("fx_rates", "rates")
    counts = {"silver_updated": 0, "unchanged": 0, "quarantined": 0, "duplicates": 0}
    named = {"source": "fx_rates", "stream": "rates", "batch": batch, "run_id": run_id}
    stream.close(Book(**named, extracted=extracted, silver_inserted=1, **counts))
    results = tuple(
        CheckResult(check=f"check_{i}", level="warn", passed=i % 2 == 0, value=None if i % 3 else 0.5, message="")
        for i in range(checks)
    )
    stream.judge(Verdict(**named, verdict="warn", rows=1, checks=results))


def audited(opened: OpenProject, client: FakeDataApi, before: Any = None) -> dict[str, Any]:
    answer = audit_run(opened, client, RUN, before or {})
    assert set(answer) == {"done", "since", "statement"}
    return answer


def test_ten_thousand_check_results_go_by_a_file_and_not_by_the_state(opened: OpenProject, ledger: Ledger) -> None:
    for batch in range(1, 11):
        book(ledger, batch, 1_000)
    client = FakeDataApi()
    answer = audited(opened, client)
    [sqls] = client.batches.values()
    assert len(json.dumps(answer)) < 500
    assert [sql.split()[0] for sql in sqls] == ["INSERT", "DELETE", "COPY", "DELETE", "COPY"]
    assert max(len(sql) for sql in sqls) < 1_000
    body = Bucket(ledger.bucket.s3, LAKE).read("load/_audit/run-1.quality_results.json")
    assert body is not None
    rows = [json.loads(line) for line in body.splitlines()]
    assert len(rows) == 10_000
    assert rows[0] == {
        "run_id": "run-1",
        "source": "fx_rates",
        "stream": "rates",
        "batch": 1,
        "check_id": "check_0",
        "level": "warn",
        "passed": True,
        "value": 0.5,
        "batch_rows": 1,
    }
    # A value that is missing is left out, which COPY reads as NULL.
    assert "value" not in rows[1]


def test_an_audit_is_repeated_without_entering_anything_twice(opened: OpenProject, ledger: Ledger) -> None:
    book(ledger, 1, 2)
    client = FakeDataApi()
    audited(opened, client)
    [[entry, *files]] = client.batches.values()
    assert "WHERE NOT EXISTS (SELECT 1 FROM etl.runs WHERE run_id = 'run-1')" in entry
    batches = "(source = 'fx_rates' AND stream = 'rates' AND batch BETWEEN 1 AND 1)"
    assert files[::2] == [f"DELETE FROM etl.books WHERE {batches}", f"DELETE FROM etl.quality_results WHERE {batches}"]


def entered(client: FakeDataApi, ledger: Ledger, run_id: str) -> list[tuple[str, int]]:
    """Which books a run's audit enters: run and batch."""
    body = Bucket(ledger.bucket.s3, LAKE).read(f"load/_audit/{run_id}.books.json")
    return [(row["run_id"], row["batch"]) for row in map(json.loads, (body or b"").splitlines())]


def test_what_a_run_that_died_has_closed_is_entered_once_by_the_next(opened: OpenProject, ledger: Ledger) -> None:
    book(ledger, 1, 1, run_id="died")
    book(ledger, 2, 1, run_id="overtaken")
    book(ledger, 3, 1)
    client = FakeDataApi()
    audited(opened, client)
    assert entered(client, ledger, "run-1") == [("died", 1), ("overtaken", 2), ("run-1", 3)]
    [[entry, *_]] = client.batches.values()
    assert "GETDATE(), 1, 1, 0, 0 WHERE" in entry
    book(ledger, 4, 1, run_id="run-2")
    audit_run(opened, client, replace(RUN, run_id="run-2"), {})
    assert entered(client, ledger, "run-2") == [("run-2", 4)]


def test_an_audit_that_did_not_come_to_its_end_leaves_its_books_to_the_next(
    opened: OpenProject, ledger: Ledger
) -> None:
    book(ledger, 1, 1)
    client = FakeDataApi(ends="STARTED")
    assert not audited(opened, client)["done"]
    audit_run(opened, client, replace(RUN, run_id="run-2"), {})
    assert entered(client, ledger, "run-2") == [("run-1", 1)]


def test_the_first_audit_of_a_stream_with_a_history_enters_its_newest_books(
    opened: OpenProject, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MOST_AT_FIRST", 2)
    for batch in range(1, 5):
        book(ledger, batch, 1)
    client = FakeDataApi()
    audited(opened, client)
    assert entered(client, ledger, "run-1") == [("run-1", 3), ("run-1", 4)]


def test_books_that_do_not_balance_reach_no_warehouse(opened: OpenProject, ledger: Ledger) -> None:
    book(ledger, 1, 1, extracted=2)
    client = FakeDataApi()
    with pytest.raises(BooksError, match=r"fx_rates\.rates batch 1"):
        audited(opened, client)
    assert client.batches == {}


def test_an_audit_is_looked_at_until_it_is_in(opened: OpenProject, monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeDataApi(ends="STARTED")
    waits = audited(opened, client)
    assert not waits["done"]
    client.statuses["audit run-1"] = {"Status": "FINISHED"}
    assert audited(opened, client, waits)["done"]
    client.statuses["audit run-1"] = {"Status": "ABORTED"}
    with pytest.raises(QueryError, match="ABORTED"):
        audited(opened, client, waits)
    client.statuses["audit run-1"] = {"Status": "STARTED"}
    monkeypatch.setattr(audit, "AUDIT_SECONDS", -1)
    with pytest.raises(QueryError, match=r"not entered since .* statement audit run-1 is STARTED"):
        audited(opened, client, waits)
