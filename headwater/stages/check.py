"""Check: every new batch of a source gets a verdict: pass, warn or halt."""

from __future__ import annotations

from headwater.job import Job
from headwater.ledger.entries import Manifest, Verdict
from headwater.log import get_logger
from headwater.quality.deequ import verify
from headwater.quality.predicates import row_predicates
from headwater.quality.typed import typed
from headwater.quality.verdict import judge_dates, judge_drift, worst

log = get_logger(__name__)


def check_source(job: Job) -> None:
    """Judges every stream of a source."""
    for stream in job.source.streams:
        check_stream(job, stream)


def check_stream(job: Job, stream: str) -> None:
    """Judges the batches of a stream that have no verdict yet, oldest first."""
    ledger = job.ledger.stream(job.source_name, stream)
    for manifest in ledger.since(ledger.judged_up_to()):
        with job.sized(manifest.rows):
            verdict = ledger.judge(_judge(job, stream, manifest))
        failed = [result.check for result in verdict.checks if not result.passed]
        log.info("judged", stream=stream, batch=manifest.batch, verdict=verdict.verdict, failed=failed)


def _judge(job: Job, stream: str, manifest: Manifest) -> Verdict:
    declared = job.source.streams[stream]
    table = job.project.tables[declared.table]
    policy = job.project.quality.get(table.table)
    # One repository file a month: Deequ rewrites the file on every append.
    metrics = f"{job.source_name}/{stream}/metrics/{manifest.created_at:%Y-%m}.json"
    with job.kept(typed(declared, table, job.lake.batch(manifest)), manifest.rows) as rows:
        checks = verify(
            rows,
            manifest.rows,
            row_predicates(declared, table, policy),
            policy,
            f"{job.ledger.bucket.uri}/{metrics}",
            {"source": job.source_name, "stream": stream, "batch": str(manifest.batch), "run_id": job.run_id},
        )
    drift = judge_drift(manifest, job.project.drift_of(job.source_name, stream))
    told = tuple(result for result in (drift, judge_dates(manifest)) if result)
    # Deequ fails every check of an empty batch, which says nothing about the data.
    counted = (*(checks if manifest.rows else ()), *told)
    return Verdict(
        source=job.source_name,
        stream=stream,
        batch=manifest.batch,
        run_id=job.run_id,
        verdict=worst(counted),
        rows=manifest.rows,
        checks=(*checks, *told),
    )
