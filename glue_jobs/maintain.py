"""Maintain: the lake's tables are compacted and vacuumed."""

from headwater.job import Job, run_job
from headwater.stages.maintain import maintain_tables


def maintain(job: Job) -> None:
    """Maintains every table of every zone."""
    maintain_tables(job)


if __name__ == "__main__":
    run_job(maintain)
