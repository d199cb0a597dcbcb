"""Gold: what changed in silver since the last time is carried into the gold tables and published for Load."""

from headwater.job import Job, run_job
from headwater.stages.refresh import refresh_gold


def gold(job: Job) -> None:
    """Brings the gold tables up to date."""
    refresh_gold(job)


if __name__ == "__main__":
    run_job(gold)
