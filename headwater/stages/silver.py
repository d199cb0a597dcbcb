"""Silver: the valid rows of judged batches go to conformed tables, the others to quarantine with their reasons.

What becomes of a row is decided once. Quarantine is committed first, then silver, then the books are closed, and a run that died
between two of these is gone on from: what is in quarantine stays refused, whatever would be judged of it today, and what silver's
commit did is read from the commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.config import ReplaceWrite, Scd2Write, Table
from headwater.config.definition import Definition
from headwater.errors import BooksError, LedgerError
from headwater.lake.columns import AGAIN, BATCH, PLACE, REASONS
from headwater.lake.silver import (
    FATE,
    OPERATION,
    Arrived,
    Restated,
    carry_out,
    decide,
    hold_to_commit,
    own_columns,
)
from headwater.ledger.entries import Book, Manifest
from headwater.ledger.lease import Lease
from headwater.ledger.stream import StreamLedger
from headwater.log import CLOSED, get_logger
from headwater.quality.predicates import Summary, as_decided, summarize
from headwater.quality.typed import typed
from headwater.stages.again import CAME_WITH, is_remembered, remember, with_came
from headwater.stages.rebuild import follow, is_due
from headwater.stages.recovered import Recovered, recovered
from headwater.stages.tally import count
from headwater.stages.together import hold_to_manifests, judged_now, together, typed_rows

if TYPE_CHECKING:
    from headwater.job import Job

log = get_logger(__name__)

_COUNTED_AS = {
    "insert": "silver_inserted",
    "update": "silver_updated",
    "unchanged": "unchanged",
    "duplicate": "duplicates",
    "stale": "stale",
}
_TOLD = {"extracted", *_COUNTED_AS.values(), "quarantined", "recovered", "deleted"}


@dataclass(frozen=True)
class _Counted:
    """How many rows of each batch had which fate, and how many operations of each kind there are."""

    fates: dict[int, dict[str, int]] = field(default_factory=dict)
    operations: dict[str, int] = field(default_factory=dict)


def silver_stream(job: Job, stream: str) -> None:
    """Writes the judged batches of a stream to silver in order, up to the first that is held back."""
    ledger = job.ledger.stream(job.source_name, stream)
    table = job.project.tables[job.source.streams[stream].table]
    app_id = f"{job.source_name}.{stream}"
    silver, quarantine = job.lake.table("silver", table.table), job.lake.table("quarantine", table.table)
    written, judged = silver.transaction(app_id), ledger.judged_up_to()
    if judged <= written <= ledger.closed_up_to() and not is_due(job, stream, silver, table):
        return
    with job.lease(f"silver/{table.table}") as lease:
        written = silver.transaction(app_id)
        closed = _close_written(job, ledger, written, table)
        definition = follow(job, stream, silver, table, lease)
        # What a run that died has refused is gone on from by itself: it is not judged again.
        refused = max(closed, quarantine.transaction(app_id))
        for after, up_to in ((closed, refused), (refused, judged)):
            for group in together(ledger, after, up_to, alone=isinstance(table.write, ReplaceWrite)):
                free, discarded = _free(ledger, group)
                if free:
                    with job.sized(sum(manifest.rows for manifest in free)):
                        books = _write(
                            job, stream, free, discarded, definition, lease, refused=refused, written=written
                        )
                    _close(ledger, books)
                if len(free) < len(group):
                    log.warning("held back", stream=stream, batch=group[len(free)].batch)
                    count(messages=[f"batch {group[len(free)].batch} is held back"])
                    return


def _close_written(job: Job, ledger: StreamLedger, written: int, table: Table) -> int:
    """Closes the books that silver's newest commit of the stream has and a run that died has not closed; the batch to go on after."""
    closed = ledger.closed_up_to()
    if closed >= written:
        return written
    silver = job.lake.table("silver", table.table)
    commit = silver.commit_of(f"{ledger.source}.{ledger.stream}", written)
    if "books" not in commit.metadata:
        # An earlier version wrote silver before quarantine, and no books: its last batch is gone through again.
        return closed
    hold_to_commit(silver, commit.metrics, commit.metadata["operations"])
    _close(ledger, [Book.model_validate(book) for book in commit.metadata["books"]])
    return written


def _close(ledger: StreamLedger, books: Iterable[Book]) -> None:
    for book in books:
        ledger.close(book)
        told = book.model_dump(include=_TOLD)
        log.info(CLOSED, stream=book.stream, batch=book.batch, balances=book.balances, **told)
        count(
            read=book.extracted,
            inserted=book.silver_inserted,
            changed=book.silver_updated,
            deleted=book.deleted,
            rejected=book.quarantined,
            reasons=book.reasons,
        )
        if book.stale:
            log.warning("stale rows", stream=book.stream, batch=book.batch, rows=book.stale)


def _free(ledger: StreamLedger, group: list[Manifest]) -> tuple[list[Manifest], set[int]]:
    """The batches of a group up to the first that is held back, and which of them a person has discarded."""
    free: list[Manifest] = []
    discarded = set()
    for manifest, verdict in zip(group, ledger.verdicts(group[0].batch, group[-1].batch), strict=True):
        if verdict is None:
            break
        if verdict.verdict == "halt":
            decision = ledger.decision(manifest.batch)
            if decision is None:
                break
            if decision.decision == "discard":
                discarded.add(manifest.batch)
        free.append(manifest)
    return free, discarded


def _write(
    job: Job,
    stream: str,
    group: list[Manifest],
    discarded: set[int],
    definition: Definition,
    lease: Lease,
    *,
    refused: int,
    written: int,
) -> list[Book]:
    """Writes what a group has to quarantine and to silver; returns its books, which are in silver's commit.

    Up to the batch `refused` quarantine has what it refuses, and up to `written` silver has its rows.
    """
    declared = job.source.streams[stream]
    table, last = job.project.tables[declared.table], group[-1]
    app_id = f"{job.source_name}.{stream}"
    silver = job.lake.table("silver", table.table)
    carried = [manifest for manifest in group if manifest.rows and manifest.batch not in discarded]
    found, counted = Summary({}, {}, {}, {}), _Counted()
    judged = _no_rows(job, table)
    if carried:
        rows = _judged(job, stream, carried, decided=last.batch <= refused)
        judged = job.kept(rows, sum(manifest.rows for manifest in carried))
        found = summarize(judged, table.key)
        hold_to_manifests(carried, found.rows)
        if last.replays is not None:
            remember(job, stream, table.table, group, judged.where(F.size(REASONS) == 0), lease)
        elif found.refused and last.batch > refused:
            bad = judged.where(F.size(REASONS) > 0)
            _quarantine(job, table, group, bad, sum(found.refused.values()), lease, written)
    again = recovered(job, stream, group)
    if again is not None:
        found.widen(again.bounds)
        remember(job, stream, table.table, group, again.rows, lease)
    arrived = _arrived(job, stream, last, judged, again, found, restates=last.batch not in discarded)
    decided = decide(silver, table, arrived)
    rows = decided.rows
    if carried or arrived.restated or again:
        rows = job.kept(rows, sum(manifest.rows for manifest in group))
        counted = _count(rows)
    if arrived.restated and found.refused and decided.kept is not None and (rows_kept := decided.kept.count()):
        log.warning("kept what refused rows may restate", stream=stream, batch=last.batch, rows=rows_kept)
    books = [_book(job, manifest, manifest.batch in discarded, found, counted) for manifest in group]
    came_again = sum(fates.get("recovered", 0) for fates in counted.fates.values())
    books[-1] = books[-1].model_copy(update={"recovered": came_again})
    _hold_to_balance(books)
    lease.check()
    if last.batch > refused and not found.refused:
        _hold_undecided(job, table, group, written)
    if last.batch > written:
        told = {
            "books": [book.model_dump(mode="json") for book in books],
            "operations": counted.operations,
            "definition": definition.model_dump(mode="json"),
        }
        with silver.transact(app_id, last.batch, run_id=job.run_id, **told):
            carry_out(silver, table, rows.where(F.col(OPERATION).isNotNull()), counted.operations, found.bounds)
        hold_to_commit(silver, silver.commit_of(app_id, last.batch).metrics, counted.operations)
    job.note_schema("silver", silver)
    return books


def _no_rows(job: Job, table: Table) -> DataFrame:
    columns = [f"`{name}` {column.type}" for name, column in table.columns.items()]
    place = zip(PLACE, ("int", "string", "bigint"), strict=True)
    added = [*(f"{name} {type_}" for name, type_ in place), f"{REASONS} array<string>"]
    return job.spark.createDataFrame([], ", ".join([*columns, *added]))


def _judged(job: Job, stream: str, carried: list[Manifest], *, decided: bool) -> DataFrame:
    """The rows of batches with the reasons for which they are refused: as a run that died has decided, or as is judged now."""
    declared = job.source.streams[stream]
    table = job.project.tables[declared.table]
    first, last = carried[0], carried[-1]
    rows = typed_rows(job, stream, carried)
    if len(carried) <= last.batch - first.batch:
        rows = rows.where(F.col(BATCH).isin([manifest.batch for manifest in carried]))
    if last.replays is not None and is_remembered(job, stream, table.table, last.batch):
        old = as_decided(rows, job.lake.quarantined(table, job.source_name, stream, (last.replays, last.replays)))
        came = with_came(job, job.source_name, stream, table.table, old)
        reasons = F.when(F.array_contains(CAME_WITH, last.batch), F.array().cast("array<string>")).otherwise(
            F.col(REASONS)
        )
        return came.withColumn(REASONS, reasons).drop(CAME_WITH)
    if decided and last.replays is None:
        return as_decided(rows, job.lake.quarantined(table, job.source_name, stream, (first.batch, last.batch)))
    return judged_now(job, stream, rows)


def _quarantine(
    job: Job, table: Table, group: list[Manifest], refused: DataFrame, rows: int, lease: Lease, silver: int
) -> None:
    """Appends refused rows to quarantine; BooksError when other rows were written than were judged."""
    last = group[-1]
    quarantine = job.lake.table("quarantine", table.table)
    lease.check()
    _hold_undecided(job, table, group, silver)
    written = job.lake.write_quarantine(table, group, refused)
    job.note_schema("quarantine", quarantine)
    if written != rows:
        raise BooksError(
            f"{last.source}.{last.stream}: {rows} rows up to batch {last.batch} were refused, and {written} are in quarantine. "
            f"hint: RESTORE {quarantine.path} to the version before its newest and run again"
        )


def _hold_undecided(job: Job, table: Table, group: list[Manifest], written: int) -> None:
    """LedgerError when a writer that was thought dead has decided on these batches since silver had those up to `written`."""
    app_id = f"{group[0].source}.{group[0].stream}"
    expected = {"quarantine": group[0].batch - 1, "silver": max(written, group[0].batch - 1)}
    for zone in ("quarantine", "silver"):
        if (there := job.lake.table(zone, table.table).transaction(app_id)) > expected[zone]:
            raise LedgerError(f"{app_id}: another writer has decided up to batch {there} meanwhile. hint: run again")


def _arrived(
    job: Job, stream: str, last: Manifest, judged: DataFrame, again: Recovered | None, found: Summary, *, restates: bool
) -> Arrived:
    declared = job.source.streams[stream]
    table = job.project.tables[declared.table]
    replayed = last.replays is not None
    order, later = declared.order, None
    if replayed and isinstance(table.write, Scd2Write):
        # What comes again goes to where it belongs in time.
        order = "version"
    elif replayed and (order == "reading" or table.version is None):
        between = (F.col(BATCH) > F.lit(last.replays)) & (F.col(BATCH) < last.batch)
        rows = job.lake.bronze_rows(job.source_name, stream, declared, between)
        later = typed(declared, table, rows).select(*table.key)
    columns = [*table.columns, *PLACE]
    valid = judged.where(F.size(REASONS) == 0).select(*columns, F.lit(False).alias(AGAIN))
    if again is not None:
        valid = valid.unionByName(again.rows.withColumn(AGAIN, F.lit(True)))
    return Arrived(
        valid=valid,
        refused=judged.where(F.size(REASONS) > 0).select(*columns),
        bounds=found.bounds,
        order=order,
        restated=Restated(last.slices, own_columns(declared, table)) if last.slices and restates else None,
        later=later,
    )


def _count(decided: DataFrame) -> _Counted:
    counted = _Counted()
    for batch, fate, operation, rows in decided.groupBy(BATCH, FATE, OPERATION).count().collect():
        if fate:
            fates = counted.fates.setdefault(batch, {})
            fates[fate] = fates.get(fate, 0) + rows
        if operation:
            counted.operations[operation] = counted.operations.get(operation, 0) + rows
    return counted


def _book(job: Job, manifest: Manifest, discarded: bool, found: Summary, counted: _Counted) -> Book:
    batch = manifest.batch if manifest.replays is None else manifest.replays
    fates = counted.fates.get(batch, {})
    alone = manifest.slices is not None
    return Book(
        source=manifest.source,
        stream=manifest.stream,
        batch=manifest.batch,
        run_id=job.run_id,
        extracted=manifest.rows,
        **{name: fates.get(fate, 0) for fate, name in _COUNTED_AS.items()},
        quarantined=found.refused.get(batch, 0),
        deleted=counted.operations.get("delete", 0) if alone else 0,
        discarded=manifest.rows if discarded else 0,
        reasons=found.reasons.get(batch, {}),
    )


def _hold_to_balance(books: Iterable[Book]) -> None:
    """BooksError, before anything is committed, when some row of a batch has no fate or two."""
    for book in books:
        if not book.balances:
            told = ", ".join(f"{name} {number}" for name, number in book.model_dump(include=_TOLD).items())
            raise BooksError(
                f"{book.source}.{book.stream}: batch {book.batch} does not balance: {told}, discarded {book.discarded}"
            )
