"""Extract: what is new in one source becomes raw batches and bronze rows, stream by stream."""

from headwater.job import Job, run_job
from headwater.stages.by_stream import by_stream
from headwater.stages.extract import extract_stream


def extract(job: Job) -> None:
    """Extracts every stream of the source."""
    by_stream(job, "Extract", extract_stream)


if __name__ == "__main__":
    run_job(extract)
