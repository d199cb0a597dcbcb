"""Check: every batch that bronze has gets a verdict: pass, warn or halt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.config import Policy, Stream, Table
from headwater.ledger.entries import CheckResult, Manifest, Verdict
from headwater.log import get_logger
from headwater.quality.batches import check_batches
from headwater.quality.deequ import verify
from headwater.quality.predicates import row_predicates
from headwater.quality.verdict import check_size, judge_dates, judge_drift, worst
from headwater.stages.tally import count, count_checks
from headwater.stages.together import hold_to_manifests, together, typed_rows

if TYPE_CHECKING:
    from headwater.job import Job

log = get_logger(__name__)


def check_stream(job: Job, stream: str) -> None:
    """Judges the batches of a stream that bronze has and that have no verdict yet, oldest first."""
    ledger = job.ledger.stream(job.source_name, stream)
    for group in together(ledger, ledger.judged_up_to(), ledger.carried_up_to()):
        with job.sized(sum(manifest.rows for manifest in group)):
            checks = _checks(job, stream, [m for m in group if m.rows and m.replays is None])
        for manifest in group:
            verdict = ledger.judge(_verdict(job, stream, manifest, checks.get(manifest.batch)))
            failed = [result.check for result in verdict.checks if not result.passed]
            count(read=verdict.rows)
            count_checks(verdict.checks)
            if verdict.verdict == "halt":
                count(messages=[f"batch {manifest.batch} is halted by {', '.join(failed)}"])
            log.info("judged", stream=stream, batch=manifest.batch, verdict=verdict.verdict, failed=failed)


def _checks(job: Job, stream: str, group: list[Manifest]) -> dict[int, tuple[CheckResult, ...]]:
    """Runs the checks of batches that have rows, by batch.

    Deequ looks at all of them at once: what it says of one batch is its verdict, and nothing but its rows is counted here. Of several
    it cannot say which is bad, so they are counted batch by batch, in one pass; that both agree on the rows as a whole is held to.
    """
    if not group:
        return {}
    declared, table, policy = _declared(job, stream)
    predicates = row_predicates(declared, table, policy)
    last = group[-1]
    # One repository file a month: Deequ rewrites the file on every append.
    metrics = f"{job.source_name}/{stream}/metrics/{last.created_at:%Y-%m}.json"
    rows = sum(manifest.rows for manifest in group)
    typed = job.kept(typed_rows(job, stream, group), rows)
    alone = len(group) == 1
    by_batch = check_batches(typed, () if alone else predicates, None if alone else policy)
    hold_to_manifests(group, by_batch.rows)
    readable = sum(by_batch.readable.values())
    whole = verify(
        typed,
        rows,
        predicates,
        policy.of_batch(readable) if policy else (),
        f"{job.ledger.bucket.uri}/{metrics}",
        {"source": job.source_name, "stream": stream, "batch": str(last.batch), "run_id": job.run_id},
    )
    if alone:
        return {last.batch: whole}
    by_batch.hold_to(whole)
    return by_batch.results


def _declared(job: Job, stream: str) -> tuple[Stream, Table, Policy | None]:
    declared = job.source.streams[stream]
    table = job.project.tables[declared.table]
    return declared, table, job.project.quality.get(table.table)


def _verdict(job: Job, stream: str, manifest: Manifest, checks: tuple[CheckResult, ...] | None) -> Verdict:
    drift = judge_drift(manifest, job.project.drift_of(job.source_name, stream))
    if checks is None:
        # Of no rows nothing can be said but how many they are; of a replay, all of whose rows were refused, not even that.
        _, _, policy = _declared(job, stream)
        checks = check_size(policy, 0) if manifest.replays is None else ()
    checks = (*checks, *(result for result in (drift, judge_dates(manifest)) if result))
    return Verdict(
        source=job.source_name,
        stream=stream,
        batch=manifest.batch,
        run_id=job.run_id,
        verdict=worst(checks),
        rows=manifest.rows,
        checks=checks,
    )
