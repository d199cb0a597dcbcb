from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.errors import LedgerError, SchemaDriftError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import Book, CheckResult, Decision, Verdict
from headwater.ledger.lease import hold_lease
from headwater.ledger.positions import KeyPosition, ModifiedPosition
from headwater.ledger.shape import Learned
from headwater.ledger.stream import Ledger, StreamLedger

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
# Every example of a property test has a stream of its own.
_streams = count()


def writer(stream: StreamLedger, attempt: str = "a1") -> BatchWriter:
    return replace(BatchWriter.begin(stream, "run", ()), attempt=attempt)


def verdict(batch: int, name: Any = "halt") -> Verdict:
    checks = (CheckResult(check="c", level="halt", passed=False),)
    return Verdict(source="shop", stream="orders", batch=batch, run_id="r", verdict=name, rows=1, checks=checks)


@pytest.fixture
def orders(ledger: Ledger) -> StreamLedger:
    return ledger.stream("shop", "orders")


def never(_job: str, _run: str) -> bool:
    return False


def test_a_stream_without_batches_has_no_position(orders: StreamLedger) -> None:
    assert orders.latest() is None
    assert orders.position() is None
    assert orders.since(0) == []


def test_files_without_a_manifest_are_no_batch(orders: StreamLedger, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(b"{}")
    writer(orders).add(path, 1)
    assert orders.latest() is None


def test_a_committed_batch_carries_the_position(orders: StreamLedger, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(b"{}")
    batch = writer(orders)
    batch.add(path, 3)
    batch.commit(ModifiedPosition(until=NOON))
    latest = orders.latest()
    assert latest is not None
    assert (latest.batch, latest.rows, latest.position_after) == (1, 3, ModifiedPosition(until=NOON))


def test_a_manifest_says_what_was_read_of_the_source_and_how_long_it_took(
    orders: StreamLedger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(b"{}")
    batch = writer(orders)
    with caplog.at_level("INFO", "headwater"):
        with batch.reading("shop.orders"):
            batch.add(path, 3)
        batch.has_read("shop.items", 0, 1.5)
        batch.commit(ModifiedPosition(until=NOON))
    latest = orders.latest()
    assert latest is not None
    assert latest.seconds is not None
    assert [(read.what, read.rows) for read in latest.reads] == [("shop.orders", 3), ("shop.items", 0)]
    assert latest.reads[1].seconds == 1.5
    told = [json.loads(record.message) for record in caplog.records]
    assert [(line["what"], line["rows"]) for line in told if line["event"] == "read"] == [
        ("shop.orders", 3),
        ("shop.items", 0),
    ]


def test_of_two_writers_of_one_batch_the_second_is_refused(orders: StreamLedger) -> None:
    first, second = writer(orders, "a1"), writer(orders, "a2")
    first.commit(KeyPosition(key=1))
    with pytest.raises(LedgerError, match="committed by another writer"):
        second.commit(KeyPosition(key=2))
    assert orders.position() == KeyPosition(key=1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commits=st.integers(0, 14), after=st.integers(0, 16))
def test_since_lists_exactly_the_later_batches_in_order(ledger: Ledger, commits: int, after: int) -> None:
    stream = ledger.stream("shop", f"s{next(_streams)}")
    for number in range(1, commits + 1):
        writer(stream).commit(KeyPosition(key=number))
    assert [manifest.batch for manifest in stream.since(after)] == list(range(after + 1, commits + 1))
    latest = stream.latest()
    assert (latest.batch if latest else 0) == commits


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.lists(st.sampled_from(["commit", "die before manifest", "two at once"]), max_size=10))
def test_positions_form_one_chain_whatever_dies_in_between(ledger: Ledger, plan: list[str]) -> None:
    stream = ledger.stream("shop", f"s{next(_streams)}")
    committed = 0
    for action in plan:
        before = stream.position()
        position = before.key if isinstance(before, KeyPosition) else 0
        mine = writer(stream, "mine")
        if action == "die before manifest":
            continue
        if action == "two at once":
            writer(stream, "other").commit(KeyPosition(key=position + 1))
            with pytest.raises(LedgerError):
                mine.commit(KeyPosition(key=position + 1))
        else:
            mine.commit(KeyPosition(key=position + 1))
        committed += 1
    chain = stream.since(0)
    assert [m.position_after for m in chain] == [KeyPosition(key=n) for n in range(1, committed + 1)]
    assert all(later.position_before == earlier.position_after for earlier, later in pairwise(chain))


def test_the_first_verdict_of_a_batch_stands(orders: StreamLedger) -> None:
    orders.judge(verdict(1, "halt"))
    assert orders.judge(verdict(1, "pass")).verdict == "halt"


def test_only_a_halted_batch_can_be_decided_about_and_once(orders: StreamLedger) -> None:
    release = Decision(batch=1, decision="release", reason="known", by="me", at=datetime.now(UTC))
    with pytest.raises(LedgerError, match="has no verdict"):
        orders.decide(release)
    orders.judge(verdict(1))
    orders.decide(release)
    # The very same decision is this one's repetition.
    orders.decide(release)
    with pytest.raises(LedgerError, match="before"):
        orders.decide(release.model_copy(update={"at": datetime.now(UTC)}))


def test_a_book_balances_only_when_every_row_is_accounted_for() -> None:
    counts = {"silver_inserted": 4, "silver_updated": 2, "unchanged": 1, "quarantined": 2, "duplicates": 1}
    book = Book.model_validate({"source": "s", "stream": "t", "batch": 1, "run_id": "r", "extracted": 10, **counts})
    assert book.balances
    assert not book.model_copy(update={"extracted": 11}).balances


def test_the_sweep_deletes_old_orphans_and_nothing_else(orders: StreamLedger, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(b"{}")
    writer(orders, "dead").add(path, 1)
    alive = writer(orders, "alive")
    alive.add(path, 1)
    alive.commit(KeyPosition(key=1))
    assert orders.sweep(datetime.now(UTC)) == 0
    assert orders.sweep(datetime.now(UTC) + timedelta(days=2)) == 1
    assert [key for key, _, _ in orders.bucket.keys("shop/orders/data/")] == [alive.files[0].key]


def test_leases_are_fenced_by_growing_numbers(ledger: Ledger) -> None:
    with hold_lease(ledger.bucket, "silver/orders", "job", "run-1", never) as first:
        first.check()
    with hold_lease(ledger.bucket, "silver/orders", "job", "run-2", never) as second:
        assert second.number == first.number + 1
        with pytest.raises(LedgerError, match="taken over"):
            first.check()


def test_a_lease_of_a_run_that_ended_is_free(ledger: Ledger) -> None:
    stuck = hold_lease(ledger.bucket, "silver/orders", "job", "killed", never)
    stuck.__enter__()
    with hold_lease(ledger.bucket, "silver/orders", "job", "next", lambda _job, run: run == "killed") as lease:
        lease.check()


def test_a_lease_of_a_living_run_is_waited_for_and_then_refused(ledger: Ledger) -> None:
    waits: list[float] = []
    with hold_lease(ledger.bucket, "gold/x", "job", "alive", never):  # noqa: SIM117
        with pytest.raises(LedgerError, match="still written by run alive"):
            with hold_lease(ledger.bucket, "gold/x", "job", "other", never, wait_seconds=3, sleep=waits.append):
                pass
    assert waits == [1.0, 1.0, 1.0]


def test_a_retried_run_may_take_its_own_lease_again(ledger: Ledger) -> None:
    hold_lease(ledger.bucket, "gold/x", "job", "same", never).__enter__()
    with hold_lease(ledger.bucket, "gold/x", "job", "same", never) as lease:
        lease.check()


@pytest.mark.parametrize("call", [Bucket.read])
def test_reading_what_is_not_there_gives_none(ledger: Ledger, call: Callable[[Bucket, str], bytes | None]) -> None:
    assert call(ledger.bucket, "nothing") is None


@pytest.mark.parametrize("code", ["AccessDenied", "KMS.DisabledException", "KMS.NotFoundException"])
def test_what_may_not_be_read_is_not_taken_for_absent(code: str) -> None:
    """A manifest that the key hides would be a stream without a batch: its history would come once more."""

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "GetObject")  # type: ignore[typeddict-item]

    refusing: Any = SimpleNamespace(get_object=refuse)
    with pytest.raises(ClientError, match=code):
        Bucket(refusing, "raw").read("shop/orders/manifests/999999998.json")


_COLUMNS = st.sets(st.sampled_from("abcdef"), min_size=1)


@given(there=_COLUMNS, first=_COLUMNS, then=_COLUMNS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_columns_that_are_declared_or_left_out_later_are_no_drift(
    ledger: Ledger, there: set[str], first: set[str], then: set[str]
) -> None:
    stream = ledger.stream("shop", f"columns_{next(_streams)}")
    found = []
    for columns in (None, first, then):
        batch = BatchWriter.begin(stream, "run", None, columns=columns)
        batch.learned = Learned.of_columns(dict.fromkeys(there if columns is None else columns, "bigint"))
        found.append(batch.commit(None))
    assert [manifest.drift for manifest in found] == [(), (), ()]
    assert [manifest.fields.keys() for manifest in found] == [there, first, then]


def test_a_declared_column_of_another_type_is_refused(orders: StreamLedger) -> None:
    for kind in ("bigint", "string"):
        batch = BatchWriter.begin(orders, "run", None, columns=["id"])
        batch.learned = Learned.of_columns({"id": kind})
        if kind == "bigint":
            batch.commit(None)
    with pytest.raises(SchemaDriftError, match="field id was bigint and is string"):
        batch.commit(None)


@pytest.mark.parametrize(("since", "first"), [(0, 1), (1, 1), (2, 2), (4, 4), (9, 5)])
def test_the_first_batch_since_a_moment_is_found_below_another(orders: StreamLedger, since: int, first: int) -> None:
    for number in range(1, 7):
        manifest = writer(orders).commit(KeyPosition(key=number))
        told = manifest.model_copy(update={"created_at": NOON + timedelta(hours=number)})
        key = f"{orders.prefix}/manifests/{999_999_999 - number:09d}.json"
        orders.bucket.write(key, told.model_dump_json().encode())
    assert orders.first_since(NOON + timedelta(hours=since), 5) == first
