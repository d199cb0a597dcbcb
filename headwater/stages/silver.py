"""Silver: the valid rows of judged batches go to conformed tables, the others to quarantine with their reasons."""

from __future__ import annotations

from pyspark.sql import functions as F

from headwater.config import Scd2Write, Stream
from headwater.job import Job
from headwater.lake.tables import REASONS
from headwater.ledger.entries import Book, Manifest
from headwater.ledger.lease import Lease
from headwater.log import CLOSED, get_logger
from headwater.quality.predicates import judge_rows, reason_ids, row_predicates, summarize
from headwater.quality.typed import typed

log = get_logger(__name__)


def silver_source(job: Job) -> None:
    """Writes every stream of a source to silver, in the order they are declared."""
    for stream in job.source.streams:
        silver_stream(job, stream)


def silver_stream(job: Job, stream: str) -> None:
    """Writes the judged batches of a stream to silver in order, up to the first that is held back."""
    ledger = job.ledger.stream(job.source_name, stream)
    declared = job.source.streams[stream]
    for manifest in ledger.since(ledger.closed_up_to()):
        verdict = ledger.verdict(manifest.batch)
        decision = ledger.decision(manifest.batch) if verdict and verdict.verdict == "halt" else None
        if verdict is None or (verdict.verdict == "halt" and decision is None):
            log.warning("held back", stream=stream, batch=manifest.batch)
            return
        if decision is not None and decision.decision == "discard":
            book = _book(job, manifest, discarded=manifest.rows)
        else:
            with job.lease(f"silver/{declared.table}") as lease, job.sized(manifest.rows):
                book = _write(job, declared, manifest, lease)
        ledger.close(book)
        log.info(
            CLOSED, stream=stream, batch=manifest.batch, balances=book.balances, **book.model_dump(include=_COUNTS)
        )


_COUNTS = {"extracted", "silver_inserted", "silver_updated", "unchanged", "quarantined", "duplicates", "deleted"}


def _write(job: Job, stream: Stream, manifest: Manifest, lease: Lease) -> Book:
    table, policy = job.project.tables[stream.table], job.project.quality.get(stream.table)
    predicates = row_predicates(stream, table, policy)
    known = {
        check: job.lake.table("silver", check.table).read().select(check.column)
        for check in (policy.known if policy else ())
    }
    rows = typed(stream, table, job.lake.batch(manifest))
    with job.kept(judge_rows(rows, predicates, known), manifest.rows) as judged:
        found = summarize(judged, reason_ids(predicates, known), table.key)
        valid = judged.where(F.size(REASONS) == 0).select(*table.columns)
        lease.check()
        counts = job.lake.write_silver(table, manifest, valid, found.bounds)
        job.note_schema("silver", job.lake.table("silver", table.table))
        if found.refused:
            job.lake.write_quarantine(table, manifest, judged.where(F.size(REASONS) > 0))
            job.note_schema("quarantine", job.lake.table("quarantine", table.table))
    valid_rows = manifest.rows - found.refused
    inserted, updated = counts.inserted, counts.updated
    if isinstance(table.write, Scd2Write):
        # A closed version is the old side of an update: the row that caused it was inserted as the new version.
        inserted, duplicates = inserted - updated, 0
    else:
        duplicates = valid_rows - counts.written_from
    return _book(
        job,
        manifest,
        silver_inserted=inserted,
        silver_updated=updated,
        unchanged=valid_rows - duplicates - inserted - updated,
        quarantined=found.refused,
        duplicates=duplicates,
        deleted=counts.deleted,
        reasons=found.reasons,
    )


def _book(job: Job, manifest: Manifest, **counts: object) -> Book:
    zeros = {"silver_inserted": 0, "silver_updated": 0, "unchanged": 0, "quarantined": 0, "duplicates": 0}
    return Book.model_validate(
        {
            "source": manifest.source,
            "stream": manifest.stream,
            "batch": manifest.batch,
            "run_id": job.run_id,
            "extracted": manifest.rows,
            **zeros,
            **counts,
        }
    )
