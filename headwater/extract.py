"""Extract: what is new in a source becomes raw batches, and raw batches become bronze rows, once."""

from __future__ import annotations

import uuid

from headwater import http_stream, jdbc_stream
from headwater.config import HttpStream, JdbcSource
from headwater.job import Job, now
from headwater.ledger import BatchWriter, Manifest
from headwater.log import bind, get_logger

log = get_logger(__name__)


def extract_stream(job: Job, stream: str) -> Manifest | None:
    """Extracts one batch of a stream into raw; None when the source has nothing new."""
    ledger = job.ledger.stream(job.source_name, stream)
    latest = ledger.latest()
    position = latest.position_after if latest else None
    jdbc = isinstance(job.source, JdbcSource)
    writer = BatchWriter(
        ledger=ledger,
        batch=latest.batch + 1 if latest else 1,
        run_id=job.run_id,
        attempt=uuid.uuid4().hex[:12],
        format="parquet" if jdbc else "jsonl",
        position_before=position,
    )
    with bind(stream=stream, batch=writer.batch):
        manifest = _extract_jdbc(job, stream, writer) if jdbc else _extract_http(job, stream, writer)
        swept = ledger.sweep(now())
        log.info("extracted" if manifest else "nothing new", rows=manifest.rows if manifest else 0, swept=swept)
    return manifest


def _extract_jdbc(job: Job, stream: str, writer: BatchWriter) -> Manifest | None:
    source = job.source
    assert isinstance(source, JdbcSource)  # noqa: S101 - the caller has looked
    after = jdbc_stream.extract(job.glue, source, stream, job.secret(source.secret), writer, writer.position_before)
    return writer.commit(after) if after is not None and writer.files else None


def _extract_http(job: Job, stream: str, writer: BatchWriter) -> Manifest | None:
    source = job.source
    assert not isinstance(source, JdbcSource)  # noqa: S101 - the caller has looked
    secret = job.secret(source.secret)
    position = writer.position_before
    found = http_stream.extract(source, stream, secret, writer, position, job.as_of, job.window)
    if found is None:
        return None
    return writer.commit(found.position_after, found.slices, found.fields, job.mode)


def append_bronze(job: Job, stream: str, extracted: Manifest | None) -> None:
    """Appends to bronze every batch that it lacks, in order.

    The bookmark tells which manifests arrived; Delta's transaction id tells which batches are in. A bookmark that was reset
    or fell behind therefore neither doubles nor skips a batch.
    """
    ledger = job.ledger.stream(job.source_name, stream)
    arrived = {manifest.batch: manifest for manifest in job.arrived(stream)}
    if extracted is not None:
        arrived[extracted.batch] = extracted
    if not arrived:
        return
    table = job.lake.bronze(job.source_name, stream)
    appended = table.transaction(f"{job.source_name}.{stream}")
    declared = job.source.streams[stream]
    raw_fields = (*declared.raw, "_account") if isinstance(declared, HttpStream) else None
    for batch in range(appended + 1, max(arrived) + 1):
        manifest = arrived.get(batch) or ledger.manifest(batch)
        job.lake.append_bronze(f"s3://{job.ledger.bucket.name}", manifest, raw_fields)
        log.info("appended to bronze", stream=stream, batch=batch, rows=manifest.rows)
