"""Silver: the judged batches of the sources that wait become conformed rows and quarantined rows."""

from headwater.job import Job, run_job
from headwater.stages.by_stream import by_stream
from headwater.stages.silver import silver_stream


def silver(job: Job) -> None:
    """Writes every stream of the sources to silver."""
    by_stream(job, "Silver", silver_stream)


if __name__ == "__main__":
    run_job(silver)
