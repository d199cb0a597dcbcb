"""A stage for the streams of a job run's sources: one that fails keeps none of the others from theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headwater.errors import HeadwaterError
from headwater.ledger.failures import Failures
from headwater.ledger.held import MOST_CHARACTERS
from headwater.ledger.stage_runs import StageRuns
from headwater.log import bind, error_text, get_logger, shortened
from headwater.stages.tally import tallied

if TYPE_CHECKING:
    from headwater.job import Job

log = get_logger(__name__)


def by_stream(job: Job, name: str, stage: Callable[[Job, str], None]) -> None:
    """Runs the stage of a name for each stream of the sources, and writes down what it did, and why one failed; raises in the end
    if one did.
    """
    failures, stage_runs = Failures(job.ledger.bucket, job.run_id), StageRuns(job.ledger.bucket)
    causes = []
    for source in job.source_name.split(","):
        own = job.of_source(source)
        failed: dict[str, dict[str, str]] = {}
        done = []
        for stream in own.source.streams:
            cause = None
            with bind(source=source, stream=stream), tallied() as tally:
                try:
                    stage(own, stream)
                except Exception as error:  # noqa: BLE001 - whatever it was, it is this stream's alone, and is raised below
                    cause = error_text(error)
                    log.warning("failed", error=cause)
                    failed[stream] = {"Error": type(error).__name__, "Cause": cause}
                    causes.append(f"{source}.{stream}: {cause}")
            done.append(tally.stage_run(job.run_id, name, job.job_run_id, cause, source=source, stream=stream))
        if done:
            stage_runs.write(source, done)
        if failed:
            failures.write(name, source, job.job_run_id, failed)
    if causes:
        raise HeadwaterError(shortened("; ".join(causes), MOST_CHARACTERS))
