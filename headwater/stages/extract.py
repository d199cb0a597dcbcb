"""Extract: what is new in a source becomes raw batches, and raw batches become bronze rows, once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from headwater.config import JsonStream
from headwater.errors import LedgerError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import Carried, Days, Manifest
from headwater.ledger.lease import Lease
from headwater.ledger.stream import StreamLedger
from headwater.log import APPENDED, bind, get_logger, shortened
from headwater.sources.days import DAY
from headwater.sources.kinds import Read, kind_of
from headwater.stages.tally import count
from headwater.stages.together import together

if TYPE_CHECKING:
    from headwater.job import Job

MOST_BATCHES = 100
"""Batches of one stream in one run; what is left has its turn in the next."""

_MOST_TOLD = 20

log = get_logger(__name__)


def extract_stream(job: Job, stream: str) -> None:
    """Extracts a stream's new rows into raw batches, and appends what bronze lacks of them."""
    with job.lease(f"bronze/{job.source_name}/{stream}") as lease:
        append_bronze(job, stream, _extract_batches(job, stream), lease)


def _extract_batches(job: Job, stream: str) -> list[Manifest]:
    """Extracts a stream's new rows into raw batches; none when the source has nothing new.

    A backfill reads its days in batches of the stream's `backfill_days`, and leaves the position where it is.
    """
    ledger = job.ledger.stream(job.source_name, stream)
    kind = kind_of(job.source)
    extracted: list[Manifest] = []
    began = time.monotonic()
    with bind(stream=stream):
        if kind.read:
            parts = list(_parts(job, stream, ledger, job.days)) if job.days else [None] * MOST_BATCHES
            for number, days in enumerate(parts, 1):
                manifest = _extract_batch(job, ledger, stream, days, kind.read)
                extracted += [manifest] if manifest else []
                if days is not None:
                    since, until = (day.isoformat() for day in days)
                    log.info("backfilled", since=since, until=until, part=number, parts=len(parts))
                elif manifest is None or not kind.bounded:
                    break
        swept = ledger.sweep(datetime.now(UTC))
        rows = sum(manifest.rows for manifest in extracted)
        count(read=rows)
        log.info(
            "extracted" if extracted else "nothing new",
            batches=len(extracted),
            rows=rows,
            swept=swept,
            seconds=round(time.monotonic() - began, 3),
        )
    return extracted


def _extract_batch(job: Job, ledger: StreamLedger, stream: str, days: Days | None, read: Read[Any]) -> Manifest | None:
    declared = job.source.streams[stream]
    json = isinstance(declared, JsonStream)
    writer = BatchWriter.begin(
        ledger,
        job.run_id,
        declared.raw_fields if json else None,
        days,
        columns=None if json else declared.raw_fields,
        flag=job.project.drift_of(job.source_name, stream) == "quarantine",
    )
    with bind(batch=writer.batch):
        manifest = read(job, job.source, stream, writer, days)
        drift = (*manifest.drift, *manifest.beside) if manifest else ()
        for change in drift[:_MOST_TOLD]:
            log.warning("schema drift", change=shortened(str(change), 1000), changes=len(drift))
        set_aside = manifest.set_aside if manifest else ()
        count(messages=[f"schema drift: {change}" for change in drift[:_MOST_TOLD]])
        count(messages=[f"{file.key} set aside: {file.problem}: {file.message}" for file in set_aside])
    return manifest


def _parts(job: Job, stream: str, ledger: StreamLedger, days: Days) -> Iterator[Days]:
    """Cuts a backfill's days into batches, less those that this run has extracted before it was interrupted."""
    length = timedelta(days=job.source.streams[stream].backfill_days)
    done = {manifest.window for manifest in ledger.of_run(job.run_id)}
    since, last = days
    while since <= last:
        until = min(since + length - DAY, last)
        if (since, until) not in done:
            yield since, until
        since = until + DAY


def append_bronze(job: Job, stream: str, extracted: list[Manifest], lease: Lease) -> None:
    """Appends to bronze every batch that it lacks, in order, those that wait together in one commit.

    The bookmark says which manifests arrived; Delta's transaction id says which batches are in. A bookmark that was reset
    or fell behind therefore neither doubles nor skips a batch. LedgerError when another run has taken the `lease` over.
    """
    ledger = job.ledger.stream(job.source_name, stream)
    arrived = [*job.arrived(stream), *extracted]
    newest = ledger.extracted_up_to()
    if not arrived and ledger.carried_up_to() >= newest:
        return
    table = job.lake.bronze(job.source_name, stream)
    app_id = f"{job.source_name}.{stream}"
    declared = job.source.streams[stream]
    evolves = job.project.drift_of(job.source_name, stream) == "evolve"
    appended = table.transaction(app_id)
    if ledger.carried_up_to() < appended:
        # A run that died has appended it, or a version that recorded nothing of it.
        ledger.carry(Carried(batch=appended, version=table.version()))
    for group in together(ledger, appended, newest):
        rows = sum(manifest.rows for manifest in group)
        lease.check()
        # A writer that was thought dead may have gone on since this one looked: what it has appended must not come again.
        if (there := table.transaction(app_id)) != group[0].batch - 1:
            raise LedgerError(f"{app_id}: another writer has appended up to batch {there} meanwhile. hint: run again")
        with job.sized(rows):
            version = job.lake.append_bronze(job.ledger.bucket.uri, group, declared, evolves=evolves)
        ledger.carry(Carried(batch=group[-1].batch, version=version))
        count(inserted=sum(manifest.rows for manifest in group if manifest.replays is None))
        log.info(APPENDED, stream=stream, batch=group[-1].batch, batches=len(group), rows=rows)
    job.note_schema("bronze", table)
