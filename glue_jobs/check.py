"""Check: every new batch of the sources that wait gets its verdict from Deequ."""

from headwater.job import Job, run_job
from headwater.stages.by_source import by_source
from headwater.stages.check import check_source


def check(job: Job) -> None:
    """Judges every source of the run."""
    by_source(job, "Check", check_source)


if __name__ == "__main__":
    run_job(check)
