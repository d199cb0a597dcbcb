"""Check: every new batch of one source gets its verdict from Deequ."""

from headwater.job import Job, run_job
from headwater.stages.check import check_stream


def check(job: Job) -> None:
    """Judges every stream of the source."""
    for stream in job.source.streams:
        check_stream(job, stream)


if __name__ == "__main__":
    run_job(check)
