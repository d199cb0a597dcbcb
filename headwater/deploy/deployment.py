"""What one environment consists of, derived from the declared project: names, arguments and sizes. Terraform gets them by
deployment.json, the local deploy takes them from here."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from headwater.config import AnySource, Project, SharedStage
from headwater.config.environment import Purpose, Zone
from headwater.deploy.crawlers import CrawlerSpec, crawlers
from headwater.deploy.entrances import Entrances
from headwater.deploy.job_arguments import PROJECT_KEY, job_arguments
from headwater.deploy.lineage import lineage_of
from headwater.deploy.migrations import migrations
from headwater.deploy.schedules import ScheduleSpec, maintain_run, schedules, snapshots
from headwater.run.limits import run_seconds
from headwater.sources.kinds import kind_of

ZONES: tuple[Zone, ...] = get_args(Zone)
_PLACEHOLDER = re.compile(r"\$\{([a-z_]+)\}")
LAMBDAS = (
    "plan_run",
    "take_turn",
    "read_verdicts",
    "crawl_changed",
    "grant_tables",
    "load_changes",
    "audit_run",
    "notify_failure",
)
SHARED_STAGES: tuple[SharedStage, ...] = get_args(SharedStage)
# What speaks to the warehouse, which may have to wake first, by its role there.
_WAREHOUSE_ROLES = {"load_changes": "loader", "audit_run": "auditor"}
_WAREHOUSE_SECONDS = 300
_MIGRATION_SECONDS = 900


@dataclass(frozen=True)
class JobSpec:
    """One Glue job: its name, entry script and arguments; the source of an Extract job, and the Glue connections that it needs."""

    name: str
    script: str
    source: str | None
    connections: tuple[str, ...]
    arguments: dict[str, str]
    timeout_minutes: int
    max_concurrent_runs: int
    worker_type: str
    workers: int
    flex: bool

    @property
    def script_key(self) -> str:
        """Where the entry script is: its path in the repository, and its key in the bucket of artifacts."""
        return f"glue_jobs/{self.script}.py"


@dataclass(frozen=True)
class LambdaSpec:
    """One Lambda function and its environment variables."""

    name: str
    folder: str
    variables: dict[str, str]
    timeout_seconds: int = 120


@dataclass(frozen=True)
class RdsProxySpec:
    """One RDS Proxy, with the secret that it logs in with."""

    key: str
    name: str
    engine_family: str
    instance: str
    secret: str | None


@dataclass(frozen=True)
class Deployment:
    """Everything that one environment consists of."""

    project: Project
    root: Path

    @property
    def prefix(self) -> str:
        """The prefix of every name."""
        return self.project.environment.prefix

    @property
    def project_uri(self) -> str:
        """Where the deployed project file is."""
        return f"s3://{self.project.environment.bucket('artifacts')}/{PROJECT_KEY}"

    @property
    def project_json(self) -> bytes:
        """The project file, with the lineage that was found where the environment tells of it."""
        found = lineage_of(self.project, self.root) if self.project.environment.lineage else self.project.lineage
        return self.project.model_copy(update={"lineage": found}).model_dump_json(by_alias=True).encode()

    @property
    def topic(self) -> str:
        """Name of the topic that alerts go to."""
        return f"{self.prefix}-alerts"

    @property
    def topic_arn(self) -> str:
        """ARN of the topic that alerts go to."""
        return self.project.environment.arn("sns", self.topic)

    @property
    def state_machine(self) -> str:
        """Name of the state machine."""
        return f"{self.prefix}-pipeline"

    @property
    def state_machine_arn(self) -> str:
        """ARN of the state machine."""
        return self.project.environment.arn("states", f"stateMachine:{self.state_machine}")

    @property
    def migrator(self) -> str:
        """Name of the Lambda that brings the warehouse to where it is to be."""
        return f"{self.prefix}-migrate_warehouse"

    @property
    def entrances(self) -> Entrances:
        """The entrances of records, events and files."""
        return Entrances(self.project)

    def jobs(self) -> list[JobSpec]:
        """Lists one Extract job for each source, and one job for each shared stage."""
        extract = [
            JobSpec(
                name=(name := f"{self.prefix}-{source.name}-extract"),
                script="extract",
                source=source.name,
                connections=self._connections(source),
                arguments=job_arguments(self.project, name, "job-bookmark-enable"),
                timeout_minutes=source.job.timeout_minutes,
                # Its bookmark has one owner.
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
                source=None,
                connections=(),
                arguments=job_arguments(self.project, name, "job-bookmark-disable"),
                timeout_minutes=size.timeout_minutes,
                # Runs take turns: no second one is at the same stage.
                max_concurrent_runs=1,
                worker_type=size.worker_type,
                workers=size.workers,
                flex=size.flex,
            )
            for stage in SHARED_STAGES
            for size in [self.project.environment.stage(stage)]
        ]
        return extract + shared

    def script_uri(self, job: JobSpec) -> str:
        """Where a job's entry script is."""
        return f"s3://{self.project.environment.bucket('artifacts')}/{job.script_key}"

    def _connections(self, source: AnySource) -> tuple[str, ...]:
        # For what is reached within a VPC, where the environment has one: a connection is a way into one subnet, and Glue takes the
        # first whose zone is well and whose subnet has addresses left.
        network = self.project.environment.network
        if network is None or not kind_of(source).in_network:
            return ()
        name = f"{self.prefix}-{source.name}"
        return (name, *(f"{name}-{number}" for number in range(2, len(network.subnets) + 1)))

    def rds_proxies(self) -> list[RdsProxySpec]:
        """Lists the RDS proxies that the environment's network has."""
        network = self.project.environment.network
        return [
            RdsProxySpec(
                key=key,
                name=f"{self.prefix}-{key.replace('_', '-')}-proxy",
                engine_family=proxy.engine_family,
                instance=proxy.instance,
                secret=self.project.source(proxy.source).secret,
            )
            for key, proxy in (network.rds_proxies if network else {}).items()
        ]

    @property
    def security_configuration(self) -> str:
        """Name of Glue's security configuration: how logs, bookmarks and what is written to S3 are encrypted."""
        return self.prefix

    def log_group(self, job: JobSpec) -> str:
        """Where a job's logs are, before `/error` and `/output`: Glue names it so wherever a security configuration encrypts logs.

        The role is the job's own and has its name, so that no job can write to another's.
        """
        return f"/aws-glue/jobs/{self.security_configuration}-role/{job.name}"

    def buckets(self) -> dict[str, str]:
        """Names the buckets by purpose; one to land files in only where there are such."""
        purposes: tuple[Purpose, ...] = get_args(Purpose)
        kept = (purpose for purpose in purposes if purpose != "landing" or self.entrances.landing)
        return {purpose: self.project.environment.bucket(purpose) for purpose in kept}

    def secrets(self) -> list[str]:
        """Lists the Secrets Manager names of what sources, alerts and the query API need."""
        declared = [source.secret for source in self.project.sources.values()]
        environment = self.project.environment
        receiver = environment.lineage.http if environment.lineage else None
        names = {*declared, environment.alerts.slack_secret, receiver.secret if receiver else None} - {None}
        whole = {f"{self.prefix}/{name}" for name in names} | {self.entrances.query_secret}
        return sorted(name for name in whole if name)

    def warehouse_users(self) -> dict[str, str | None]:
        """Names the roles of IAM that speak to the warehouse, each named as what has it, with their role there.

        What a Redshift source reads belongs to somebody else, who grants it: its job has no role.
        """
        unloading = [
            job.name for job in self.jobs() if job.source and self.project.sources[job.source].kind == "redshift"
        ]
        analysts = [arn.rpartition("/")[2] for arn in self.project.environment.analysts.roles]
        modellers = [self.modeller] if self.modeller else []
        return {
            **{f"{self.prefix}-{folder}": role for folder, role in _WAREHOUSE_ROLES.items()},
            **dict.fromkeys(unloading),
            **dict.fromkeys(analysts, "analyst"),
            **dict.fromkeys(modellers, "modeller"),
        }

    @property
    def modeller(self) -> str | None:
        """Name of the role of IAM in whose name dbt builds marts; None where nobody does."""
        arn = self.project.environment.analysts.modeller
        return arn and arn.rpartition("/")[2]

    def gold_readers(self) -> list[str]:
        """Names the roles that read every gold table through the catalog, none of it hidden: their queries are declared."""
        return [f"{self.prefix}-{folder}" for folder in self.entrances.folders() if folder == "answer_query"]

    def lambdas(self) -> list[LambdaSpec]:
        """Lists the Lambda functions: the state machine's, the entrances' and Slack's."""
        environment = self.project.environment
        variables = {"PROJECT_URI": self.project_uri, "ENVIRONMENT": environment.name, "TOPIC_ARN": self.topic_arn}
        functions = [
            LambdaSpec(
                f"{self.prefix}-{folder}",
                folder,
                variables,
                *([_WAREHOUSE_SECONDS] if folder in _WAREHOUSE_ROLES else []),
            )
            for folder in LAMBDAS
        ]
        functions.append(LambdaSpec(self.migrator, "migrate_warehouse", variables, _MIGRATION_SECONDS))
        for folder in self.entrances.folders():
            own = {"STATE_MACHINE_ARN": self.state_machine_arn} if folder == "start_on_drop" else {}
            functions.append(LambdaSpec(f"{self.prefix}-{folder}", folder, variables | own))
        if environment.alerts.slack_secret:
            own = {"SLACK_SECRET": f"{self.prefix}/{environment.alerts.slack_secret}"}
            functions.append(LambdaSpec(f"{self.prefix}-notify_slack", "notify_slack", variables | own))
        return functions

    def migrations(self) -> dict[str, Any]:
        """Derives what `migrate_warehouse` is called with, but for the administrator's secret."""
        warehouse = self.project.environment.warehouse
        return {
            "workgroup": warehouse.workgroup,
            "database": warehouse.database,
            "migrations": [migration.model_dump(mode="json") for migration in migrations(self)],
        }

    def crawlers(self) -> list[CrawlerSpec]:
        """Lists the crawlers that crawlers/*.yaml declares."""
        return crawlers(self.project, self.root)

    def schedules(self) -> list[ScheduleSpec]:
        """Lists the schedules: the runs that the environment schedules, and Maintain."""
        return schedules(self.project.environment, self.state_machine_arn)

    def snapshots(self) -> list[ScheduleSpec]:
        """Lists the daily snapshots of a warehouse that is the environment's own."""
        environment = self.project.environment
        return [] if environment.warehouse.existing else snapshots(environment)

    def maintain_run(self, run_id: str, as_of: str) -> dict[str, Any]:
        """Makes the input of Glue's StartJobRun that starts Maintain."""
        return maintain_run(self.project.environment, run_id, as_of)

    def definition(self) -> str:
        """Reads step_functions/pipeline.asl.json, its placeholders filled in, with the limit of a run."""
        text = (self.root / "step_functions" / "pipeline.asl.json").read_text()
        machine = json.loads(_PLACEHOLDER.sub(lambda match: {"prefix": self.prefix}[match[1]], text))
        return json.dumps(machine | {"TimeoutSeconds": run_seconds(self.project)}, indent=2)
