"""Silver: the judged batches of the sources that wait become conformed rows and quarantined rows."""

from headwater.job import Job, run_job
from headwater.stages.by_source import by_source
from headwater.stages.silver import silver_source


def silver(job: Job) -> None:
    """Writes every source of the run to silver."""
    by_source(job, "Silver", silver_source)


if __name__ == "__main__":
    run_job(silver)
