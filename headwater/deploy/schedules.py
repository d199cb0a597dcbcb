"""The schedules of one environment: runs, Maintain, snapshots of the warehouse."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from headwater.config import Environment

# Each attempt of the scheduler's has an id of its own, so one that is delivered twice starts a second run, which takes turns with the
# first and finds nothing. A name that both had would be refused once the first run is over, and leave a dead letter; the scheduled
# time has colons, which no execution's name may have.
_EXECUTION = "<aws.scheduler.execution-id>"


@dataclass(frozen=True)
class ScheduleSpec:
    """One entry of EventBridge Scheduler: when it calls which AWS API with which input."""

    name: str
    expression: str
    time_zone: str
    action: str
    input: dict[str, Any]
    enabled: bool = True


def schedules(environment: Environment, state_machine_arn: str) -> list[ScheduleSpec]:
    """Lists the runs that the environment schedules, and Maintain."""
    specs = [
        ScheduleSpec(
            name=f"{environment.prefix}-{name}",
            expression=f"cron({schedule.cron})",
            time_zone=schedule.time_zone,
            action="arn:aws:scheduler:::aws-sdk:sfn:startExecution",
            input={
                "StateMachineArn": state_machine_arn,
                "Name": f"{name}-{_EXECUTION}",
                "Input": compact({"sources": list(schedule.sources)} if schedule.sources else {}),
            },
            enabled=schedule.enabled,
        )
        for name, schedule in environment.schedules.items()
    ]
    if environment.maintenance:
        specs.append(
            ScheduleSpec(
                name=f"{environment.prefix}-maintain",
                expression=f"cron({environment.maintenance.cron})",
                time_zone=environment.maintenance.time_zone,
                action="arn:aws:scheduler:::aws-sdk:glue:startJobRun",
                input=maintain_run(environment, f"maintain-{_EXECUTION}", "<aws.scheduler.scheduled-time>"),
                enabled=environment.maintenance.enabled,
            )
        )
    return specs


def snapshots(environment: Environment) -> list[ScheduleSpec]:
    """Lists the daily snapshot of the warehouse, whose namespace has the workgroup's name."""
    return [
        ScheduleSpec(
            name=f"{environment.prefix}-snapshot",
            expression="cron(0 1 * * ? *)",
            time_zone="UTC",
            action="arn:aws:scheduler:::aws-sdk:redshiftserverless:createSnapshot",
            input={
                "NamespaceName": environment.warehouse.workgroup,
                "SnapshotName": f"{environment.prefix}-{_EXECUTION}",
                "RetentionPeriod": environment.warehouse.snapshot_days,
            },
        )
    ]


def maintain_run(environment: Environment, run_id: str, as_of: str) -> dict[str, Any]:
    """Makes the input of Glue's StartJobRun that starts Maintain."""
    arguments = {"--source": "-", "--run_id": run_id, "--as_of": as_of}
    return {"JobName": f"{environment.prefix}-maintain", "Arguments": arguments}


def compact(value: Any) -> str:
    """Writes JSON in the one form that Terraform writes as well, so that a state shows no difference in spaces or order."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
