"""What the runs of an environment show: seconds and DPU seconds of jobs, bytes of batches, and the states that a run entered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from statistics import median
from typing import Any

import boto3

from headwater.client import Client
from headwater.deploy.cost.glue import DPUS, STAGES
from headwater.deploy.cost.workload import Assumed

_NEWEST_RUNS = 20
_HOUR_SECONDS = 3600
# Of less, the time that a session takes is all that there is to see.
_LEAST_GB = Decimal(1)
_GB = Decimal(10**9)


def measured(client: Client, assumed: Mapping[str, Assumed]) -> dict[str, Assumed]:
    """What the newest runs of each stage show in place of what is assumed; what they are too few or too small to show is left out."""
    gb = _gb_by_run(client, assumed["compressed"].value)
    found: dict[str, Assumed] = {}
    for stage in STAGES:
        runs = [run for job in client.deployment.jobs() if job.script == stage for run in _succeeded(job.name)]
        if runs:
            found.update(shown(client.project.environment.name, stage, runs, gb))
    return found


def entered(client: Client, run_id: str) -> Counter[str]:
    """How often a run entered each state of the state machine."""
    pages = boto3.client("stepfunctions").get_paginator("get_execution_history")
    arn = f"{client.deployment.state_machine_arn.replace(':stateMachine:', ':execution:')}:{run_id}"
    return Counter(
        event["stateEnteredEventDetails"]["name"]
        for page in pages.paginate(executionArn=arn)
        for event in page["events"]
        if "stateEnteredEventDetails" in event
    )


def _succeeded(job: str) -> Iterator[Mapping[str, Any]]:
    answer = boto3.client("glue").get_job_runs(JobName=job, MaxResults=_NEWEST_RUNS)
    yield from (run for run in answer["JobRuns"] if run["JobRunState"] == "SUCCEEDED")


def shown(
    env: str, stage: str, runs: Sequence[Mapping[str, Any]], gb: Mapping[str, Decimal]
) -> Iterator[tuple[str, Assumed]]:
    """What job runs of a stage, as Glue describes them, show of its seconds and its rate, with the GB of each pipeline run."""
    idle = [_seconds(run) for run in runs if gb.get(_run_id(run), Decimal()) < _LEAST_GB]
    busy = [run for run in runs if gb.get(_run_id(run), Decimal()) >= _LEAST_GB]
    if idle:
        yield f"{stage}_seconds", _seen(median(idle), f"median of {len(idle)} small run(s) in {env}")
    hours = sum(map(_dpu_hours, busy), Decimal())
    if hours:
        # A stage of several jobs, such as Extract, has a job run for each source of a pipeline run.
        volume = sum((gb[run_id] for run_id in {_run_id(run) for run in busy}), Decimal())
        yield f"{stage}_gb_a_dpu_hour", _seen(volume / hours, f"{len(busy)} run(s) of {_LEAST_GB} GB and more in {env}")


def _seen(value: Decimal, why: str) -> Assumed:
    return Assumed(value=round(value, 1), why=why, measured=True)


def _seconds(run: Mapping[str, Any]) -> Decimal:
    """The run's seconds; with auto scaling, as if its DPU seconds had been those of the fewest workers."""
    if "DPUSeconds" in run:
        return Decimal(str(run["DPUSeconds"])) / (2 * DPUS[run["WorkerType"]])
    return Decimal(run["ExecutionTime"])


def _dpu_hours(run: Mapping[str, Any]) -> Decimal:
    if "DPUSeconds" in run:
        return Decimal(str(run["DPUSeconds"])) / _HOUR_SECONDS
    return Decimal(run["ExecutionTime"] * run["NumberOfWorkers"] * DPUS[run["WorkerType"]]) / _HOUR_SECONDS


def _run_id(run: Mapping[str, Any]) -> str:
    return str(run.get("Arguments", {}).get("--run_id", ""))


def _gb_by_run(client: Client, compressed: Decimal) -> dict[str, Decimal]:
    """What each run of the newest brought, in GB before compression, from the manifests of its batches."""
    found: dict[str, Decimal] = {}
    for ledger in client.opened.streams():
        latest = ledger.latest()
        for manifest in ledger.since(max(0, latest.batch - _NEWEST_RUNS)) if latest else ():
            stored = sum(file.bytes for file in manifest.files)
            found[manifest.run_id] = found.get(manifest.run_id, Decimal()) + stored / compressed / _GB
    return found
