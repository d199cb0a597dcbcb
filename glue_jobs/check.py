"""Check: every new batch of the sources that wait gets its verdict from Deequ."""

from headwater.job import Job, run_job
from headwater.stages.by_stream import by_stream
from headwater.stages.check import check_stream


def check(job: Job) -> None:
    """Judges every stream of the sources."""
    by_stream(job, "Check", check_stream)


if __name__ == "__main__":
    run_job(check)
