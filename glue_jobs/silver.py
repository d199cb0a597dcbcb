"""Silver: the judged batches of one source become conformed rows and quarantined rows."""

from headwater.job import Job, run_job
from headwater.stages.silver import silver_stream


def silver(job: Job) -> None:
    """Writes every stream of the source to silver, in the order they are declared."""
    for stream in job.source.streams:
        silver_stream(job, stream)


if __name__ == "__main__":
    run_job(silver)
