"""A stage for several sources in one job run: one that fails does not keep the others from theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headwater.errors import HeadwaterError
from headwater.ledger.failures import Failures
from headwater.log import bind, get_logger, redact

if TYPE_CHECKING:
    from headwater.job import Job

log = get_logger(__name__)


def by_source(job: Job, name: str, stage: Callable[[Job], None]) -> None:
    """Runs the stage of a name for each source of the run, and writes down why one failed; raises in the end if one did."""
    failures = Failures(job.ledger.bucket, job.run_id)
    failed, succeeded = [], []
    for source in job.source_name.split(","):
        with bind(source=source):
            try:
                stage(job.of_source(source))
            except Exception as error:  # noqa: BLE001 - whatever it was, it is this source's alone, and is raised below
                cause = redact(f"{type(error).__name__}: {error}")
                log.warning("failed", error=cause)
                failures.write(name, source, type(error).__name__, cause)
                failed.append((source, cause))
            else:
                succeeded.append(source)
    if failed:
        for source in succeeded:
            failures.clear(name, source)
        raise HeadwaterError("; ".join(f"{source}: {cause}" for source, cause in failed))
