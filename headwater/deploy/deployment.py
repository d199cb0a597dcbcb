"""What one environment consists of, derived from the declared project: the names and arguments that Terraform and the
local deploy both come to."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from headwater.config import Project, SharedStage
from headwater.deploy.entrances import Entrances

_PLACEHOLDER = re.compile(r"\$\{([a-z_]+)\}")
LAMBDAS = ("plan_run", "read_verdict", "prepare_load", "prepare_audit", "notify_failure")
SHARED_STAGES: tuple[SharedStage, ...] = get_args(SharedStage)
SHARED_STAGE_RUNS = 20
"""Runs that Check and Silver may each have at once: as many as the state machine takes sources at once."""
PROJECT_KEY = "project.json"
LIBRARY_KEY = "packages/headwater.zip"
# Wheels that Glue's workers lack, in the form that they install without an index.
WHEELS_KEY = "packages/headwater.gluewheels.zip"
DEEQU_JAR = "deequ-2.0.7-spark-3.5.jar"


@dataclass(frozen=True)
class JobSpec:
    """One Glue job: its name, entry script and arguments."""

    name: str
    script: str
    arguments: dict[str, str]
    timeout_minutes: int
    max_concurrent_runs: int
    worker_type: str
    workers: int
    flex: bool


@dataclass(frozen=True)
class LambdaSpec:
    """One Lambda function and its environment variables."""

    name: str
    folder: str
    variables: dict[str, str]
    timeout_seconds: int = 120


@dataclass(frozen=True)
class CrawlerSpec:
    """One crawler over the native Delta tables of a zone."""

    name: str
    database: str
    table_prefix: str
    tables: tuple[str, ...]
    update: str
    delete: str


@dataclass(frozen=True)
class ScheduleSpec:
    """One entry of EventBridge Scheduler: when it calls which AWS API with which input."""

    name: str
    expression: str
    time_zone: str
    action: str
    input: dict[str, Any]


@dataclass(frozen=True)
class Deployment:
    """Everything that one environment consists of."""

    project: Project
    root: Path

    @property
    def prefix(self) -> str:
        """What starts every name."""
        return self.project.environment.prefix

    @property
    def project_uri(self) -> str:
        """Where the deployed project file is."""
        return f"s3://{self.project.environment.bucket('artifacts')}/{PROJECT_KEY}"

    @property
    def topic(self) -> str:
        """Name of the topic that alerts go to."""
        return f"{self.prefix}-alerts"

    @property
    def topic_arn(self) -> str:
        """ARN of the topic that alerts go to."""
        environment = self.project.environment
        return f"arn:aws:sns:{environment.region}:{environment.account}:{self.topic}"

    @property
    def state_machine(self) -> str:
        """Name of the state machine."""
        return f"{self.prefix}-pipeline"

    @property
    def state_machine_arn(self) -> str:
        """ARN of the state machine."""
        environment = self.project.environment
        return f"arn:aws:states:{environment.region}:{environment.account}:stateMachine:{self.state_machine}"

    @property
    def entrances(self) -> Entrances:
        """What records, events and files come in by."""
        return Entrances(self.project)

    def jobs(self) -> list[JobSpec]:
        """Lists one Extract job for each source, and one job for each shared stage."""
        extract = [
            JobSpec(
                name=(name := f"{self.prefix}-{source.name}-extract"),
                script="extract",
                arguments=self._arguments(name, "job-bookmark-enable"),
                timeout_minutes=source.job.timeout_minutes,
                # One run of a source at a time: its bookmark has one owner.
                max_concurrent_runs=1,
                worker_type=source.job.worker_type,
                workers=source.job.workers,
                flex=False,
            )
            for source in self.project.sources.values()
        ]
        shared = [
            JobSpec(
                name=(name := f"{self.prefix}-{stage}"),
                script=stage,
                arguments=self._arguments(name, "job-bookmark-disable"),
                timeout_minutes=size.timeout_minutes,
                max_concurrent_runs=1 if stage in {"gold", "maintain"} else SHARED_STAGE_RUNS,
                worker_type=size.worker_type,
                workers=size.workers,
                flex=size.flex,
            )
            for stage in SHARED_STAGES
            for size in [self.project.environment.stage(stage)]
        ]
        return extract + shared

    def _arguments(self, job: str, bookmark: str) -> dict[str, str]:
        artifacts = self.project.environment.bucket("artifacts")
        logs = self.project.environment.bucket("logs")
        return {
            "--project": self.project_uri,
            "--mode": "incremental",
            "--window": "-",
            "--job-bookmark-option": bookmark,
            "--datalake-formats": "delta",
            "--extra-py-files": f"s3://{artifacts}/{LIBRARY_KEY}",
            "--extra-jars": f"s3://{artifacts}/packages/{DEEQU_JAR}",
            "--additional-python-modules": f"s3://{artifacts}/{WHEELS_KEY}",
            "--python-modules-installer-option": "--no-index",
            "--enable-auto-scaling": "true",
            "--enable-metrics": "true",
            "--enable-observability-metrics": "true",
            "--enable-spark-ui": "true",
            "--spark-event-logs-path": f"s3://{logs}/spark/{job}/",
            "--TempDir": f"s3://{logs}/temp/{job}/",
            # A log group of its own, so that no job can write to another's.
            "--custom-logGroup-prefix": f"/aws-glue/jobs/{job}",
        }

    def script_uri(self, job: JobSpec) -> str:
        """Where a job's entry script is."""
        return f"s3://{self.project.environment.bucket('artifacts')}/glue_jobs/{job.script}.py"

    def lambdas(self) -> list[LambdaSpec]:
        """Lists the Lambda functions: those of the state machine, and those that something else calls."""
        environment = self.project.environment
        variables = {"PROJECT_URI": self.project_uri, "ENVIRONMENT": environment.name, "TOPIC_ARN": self.topic_arn}
        functions = [LambdaSpec(f"{self.prefix}-{folder}", folder, variables) for folder in LAMBDAS]
        for folder in self.entrances.folders():
            own = {"STATE_MACHINE_ARN": self.state_machine_arn} if folder == "start_on_drop" else {}
            functions.append(LambdaSpec(f"{self.prefix}-{folder}", folder, variables | own))
        if environment.alerts.slack_secret:
            own = {"SLACK_SECRET": f"{self.prefix}/{environment.alerts.slack_secret}"}
            functions.append(LambdaSpec(f"{self.prefix}-notify_slack", "notify_slack", variables | own))
        return functions

    def crawlers(self) -> list[CrawlerSpec]:
        """Lists the crawlers that crawlers/*.yaml declares."""
        specs = []
        lake = self.project.environment.bucket("lake")
        for path in sorted((self.root / "crawlers").glob("*.yaml")):
            declared = yaml.safe_load(path.read_text())
            zone = declared["zone"]
            groups: dict[str | None, list[str]] = {}
            for table in self.project.tables(zone):
                # A crawler names a table after its folder: bronze streams of two sources may share a name.
                groups.setdefault(table.split("/")[0] if zone == "bronze" else None, []).append(table)
            specs += [
                CrawlerSpec(
                    name=self.project.environment.crawler(zone, source),
                    database=self.project.environment.database(zone),
                    table_prefix=f"{source}_" if source else "",
                    tables=tuple(f"s3://{lake}/{zone}/{table}" for table in tables),
                    update=declared["schema_change"]["update"],
                    delete=declared["schema_change"]["delete"],
                )
                for source, tables in groups.items()
            ]
        return specs

    def schedules(self) -> list[ScheduleSpec]:
        """Lists what starts by itself: the runs that the environment schedules, and Maintain."""
        environment = self.project.environment
        # The execution id stays the same when the scheduler tries again, and the state machine refuses a name twice.
        specs = [
            ScheduleSpec(
                name=f"{self.prefix}-{name}",
                expression=f"cron({schedule.cron})",
                time_zone=schedule.time_zone,
                action="arn:aws:scheduler:::aws-sdk:sfn:startExecution",
                input={
                    "StateMachineArn": self.state_machine_arn,
                    "Name": f"{name}-<aws.scheduler.execution-id>",
                    "Input": json.dumps({"sources": schedule.sources} if schedule.sources else {}),
                },
            )
            for name, schedule in environment.schedules.items()
        ]
        if environment.maintenance:
            specs.append(
                ScheduleSpec(
                    name=f"{self.prefix}-maintain",
                    expression=f"cron({environment.maintenance.cron})",
                    time_zone=environment.maintenance.time_zone,
                    action="arn:aws:scheduler:::aws-sdk:glue:startJobRun",
                    input=self.maintain_run("maintain-<aws.scheduler.execution-id>", "<aws.scheduler.scheduled-time>"),
                )
            )
        return specs

    def maintain_run(self, run_id: str, as_of: str) -> dict[str, Any]:
        """Makes the input of Glue's StartJobRun that starts Maintain."""
        arguments = {"--source": "-", "--run_id": run_id, "--as_of": as_of}
        return {"JobName": f"{self.prefix}-maintain", "Arguments": arguments}

    def definition(self) -> str:
        """Fills the placeholders of step_functions/pipeline.asl.json, as Terraform's templatefile does."""
        warehouse = self.project.environment.warehouse
        values = {"prefix": self.prefix, "workgroup": warehouse.workgroup, "database": warehouse.database}
        text = (self.root / "step_functions" / "pipeline.asl.json").read_text()
        return _PLACEHOLDER.sub(lambda match: values[match[1]], text)
