"""What Glue bills: DPU hours of jobs, a minute at least for each run, and of crawls, ten minutes at least."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from headwater.deploy.cost.cron import fires_a_day
from headwater.deploy.cost.item import Quantity
from headwater.deploy.cost.month import DAYS, HOUR_SECONDS, Month
from headwater.deploy.deployment import JobSpec

STAGES = ("extract", "check", "silver", "gold")
DPUS = {"G.1X": 1, "G.2X": 2, "G.4X": 4, "G.8X": 8}
LEAST_JOB_SECONDS, LEAST_CRAWL_SECONDS = Decimal(60), Decimal(600)
_CRAWLER_DPUS = 2
# With auto scaling, a job that finds little to do has its driver and one worker.
_LEAST_WORKERS = 2


def glue(month: Month) -> Iterator[Quantity]:
    """Lists the DPU hours of each stage, of crawls and of Maintain."""
    for stage in STAGES:
        yield _stage(month, stage)
    hours = (
        month.assumed("crawls_a_month")
        * _CRAWLER_DPUS
        * max(month.assumed("crawl_seconds"), LEAST_CRAWL_SECONDS)
        / HOUR_SECONDS
    )
    yield Quantity("Glue", "crawls", hours, "glue_dpu_hour", ("crawls_a_month", "crawl_seconds"))
    if month.project.environment.maintenance:
        yield _maintain(month, fires_a_day(month.project.environment.maintenance.cron) * DAYS)


def _stage(month: Month, stage: str) -> Quantity:
    jobs = [job for job in month.jobs if job.script == stage]
    # Extract has a job for each source, of sizes that may differ: a run takes one of each of its sources.
    dpus = sum((_least_dpus(job) for job in jobs), Decimal()) / len(jobs)
    seconds = max(month.assumed(f"{stage}_seconds"), LEAST_JOB_SECONDS)
    started = month.count(lambda run: run.job_runs(stage)) * dpus * seconds / HOUR_SECONDS
    volume = month.workload.gb_a_day * DAYS / month.assumed(f"{stage}_gb_a_dpu_hour")
    return Quantity("Glue", stage, started + volume, _price(jobs[0]), (f"{stage}_seconds", f"{stage}_gb_a_dpu_hour"))


def _maintain(month: Month, times: Decimal) -> Quantity:
    [job] = [job for job in month.jobs if job.script == "maintain"]
    seconds = max(month.assumed("maintain_seconds"), LEAST_JOB_SECONDS)
    rewritten = month.stored_gb_a_day * DAYS * (1 + month.assumed("silver_share"))
    hours = times * _least_dpus(job) * seconds / HOUR_SECONDS + rewritten / month.assumed("maintain_gb_a_dpu_hour")
    return Quantity("Glue", "maintain", hours, _price(job), ("maintain_seconds", "maintain_gb_a_dpu_hour"))


def _least_dpus(job: JobSpec) -> Decimal:
    return Decimal(_LEAST_WORKERS * DPUS[job.worker_type])


def _price(job: JobSpec) -> str:
    return "glue_flex_dpu_hour" if job.flex else "glue_dpu_hour"
