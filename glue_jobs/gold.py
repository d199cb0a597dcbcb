"""Gold: what changed in silver since the last time is carried into the gold tables and published for Load."""

from headwater.job import Job, run_job
from headwater.stages.gold import build_gold, publish_gold


def gold(job: Job) -> None:
    """Brings every gold table up to date."""
    for table in job.project.gold:
        with job.lease(f"gold/{table}") as lease:
            build_gold(job, table, lease)
            publish_gold(job, table)


if __name__ == "__main__":
    run_job(gold)
