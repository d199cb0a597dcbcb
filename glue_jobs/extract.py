"""Extract: what is new in one source becomes raw batches and bronze rows, stream by stream."""

from headwater.job import Job, run_job
from headwater.stages.extract import append_bronze, extract_stream


def extract(job: Job) -> None:
    """Extracts every stream of the source."""
    for stream in job.source.streams:
        with job.lease(f"bronze/{job.source_name}/{stream}") as lease:
            append_bronze(job, stream, extract_stream(job, stream), lease)


if __name__ == "__main__":
    run_job(extract)
