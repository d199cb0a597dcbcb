"""Environments: the places the pipeline runs in."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from headwater.config.address import Url
from headwater.config.http_auth import AnyAuth
from headwater.config.http_source import Retry, TimeZone
from headwater.config.kafka_source import Security
from headwater.config.secret_name import SecretName
from headwater.config.stream import Drift, Rollout, WorkerType
from headwater.config.strict import Name, Strict

Arn = Annotated[str, Field(pattern=r"^arn:aws:[a-z0-9-]+:[a-z0-9-]*:\d{12}:.+$")]
Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$")]
Purpose = Literal["raw", "lake", "artifacts", "logs", "landing"]
Zone = Literal["bronze", "silver", "gold", "quarantine"]
# Redshift Serverless sells capacity in steps of 8 units.
RPU_STEP = 8
# What Delta insists on: a reader or writer that is under way may need what was current when it began.
_LEAST_VERSION_DAYS = 7


class ExistingWorkgroup(Strict):
    """A workgroup that is there already: this environment makes only what is in its database."""

    admin_secret: Arn = Field(description="ARN of the secret with `username` and `password` of a superuser.")
    admin_secret_key: Arn | None = Field(
        None, description="ARN of the customer's KMS key of that secret, if it has one."
    )


class Warehouse(Strict):
    """Where Load goes: a Redshift Serverless workgroup."""

    workgroup: str
    database: str
    copy_role: str = Field(description="ARN of the role that COPY assumes.")
    base_capacity: int = Field(8, ge=8, le=512, multiple_of=RPU_STEP, description="RPUs a query starts with.")
    max_capacity: int = Field(64, ge=8, le=512, multiple_of=RPU_STEP, description="RPUs the workgroup may grow to.")
    rpu_hours_a_day: int = Field(
        24, gt=0, description="Use beyond this is reported and then refused until midnight UTC."
    )
    snapshot_days: int = Field(7, ge=1, description="How long the daily snapshots are kept.")
    existing: ExistingWorkgroup | None = Field(None, description="Where the workgroup is there already.")

    @model_validator(mode="after")
    def _grows(self) -> Warehouse:
        if self.max_capacity < self.base_capacity:
            raise ValueError(f"max_capacity {self.max_capacity} is below base_capacity {self.base_capacity}")
        return self


class Clock(Strict):
    """A cron expression and its time zone."""

    cron: str = Field(
        pattern=r"^(\S+ ){5}\S+$", description="EventBridge cron: minutes hours day-of-month month day-of-week year."
    )
    time_zone: str = Field("UTC", description="IANA name of the zone that `cron` is in.")
    enabled: bool = Field(True, description="false = the schedule is there and does not fire.")


class Schedule(Clock):
    """A schedule of runs."""

    sources: tuple[Name, ...] = Field((), description="Sources of the run; empty = all.")


class StageSize(Strict):
    """Size and limits of the job of a stage that all sources share."""

    worker_type: WorkerType = "G.1X"
    workers: int = Field(2, ge=2, description="Workers at most; Glue takes fewer when there is less to do.")
    timeout_minutes: int = Field(120, gt=0)
    flex: bool = Field(False, description="Runs on spare capacity: a third cheaper, starts when there is some.")


class Retention(Strict):
    """Retention of what is stored, in days."""

    raw_infrequent_access: int = Field(30, ge=30, description="Age at which raw files move to infrequent access.")
    raw_archive: int = Field(90, ge=60, description="Age at which raw files move to Glacier instant retrieval.")
    old_versions: int = Field(
        30,
        ge=1,
        description="How long overwritten and deleted objects, and old versions of tables, can be brought back.",
    )
    temporary: int = Field(7, ge=1, description="Athena results and the jobs' temporary files.")
    logs: Literal[
        1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
    ] = Field(365, description="Logs of jobs, Lambdas, state machine and API, and the trail of data events.")
    access_logs: int = Field(60, ge=1, description="S3's access logs of the buckets, which are many small files.")

    @property
    def version_days(self) -> int:
        """How long old versions of tables can be read; a week at least."""
        return max(_LEAST_VERSION_DAYS, self.old_versions)


class Alerts(Strict):
    """Alert recipients and thresholds."""

    emails: tuple[Email, ...] = Field((), description="Addresses that get every alert.")
    slack_secret: SecretName | None = Field(
        None, description='Secret under the prefix with {"url": "…"}, a Slack webhook; no Slack if absent.'
    )
    fresh_hours: int = Field(26, ge=1, le=168, description="A run must have succeeded within this time.")
    quarantine_percent: int = Field(5, ge=1, le=100, description="Share of a source's rows refused within a day.")


class RdsProxy(Strict):
    """An RDS Proxy before the database of one source; the source's secret then names the proxy's endpoint as its host."""

    source: Name = Field(description="Source of kind jdbc, whose secret the proxy logs in with.")
    engine_family: Literal["POSTGRESQL", "MYSQL"]
    instance: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$", description="Identifier of the RDS instance.")


class Network(Strict):
    """The VPC in which the jobs of databases, Kafka and Redshift sources run."""

    vpc: str = Field(pattern=r"^vpc-[0-9a-f]+$")
    subnets: tuple[Annotated[str, Field(pattern=r"^subnet-[0-9a-f]+$")], ...] = Field(
        min_length=1, max_length=9, description="Private subnets; jobs run in the first of them that is well."
    )
    route_tables: tuple[Annotated[str, Field(pattern=r"^rtb-[0-9a-f]+$")], ...] = Field(
        (), description="Route tables that get the S3 endpoint."
    )
    endpoints: bool = Field(
        False,
        description="Makes VPC endpoints, so that the jobs need no way to the internet; once a VPC. Without, they need a NAT gateway.",
    )
    rds_proxies: dict[Name, RdsProxy] = Field({}, description="Pools of connections before databases that have few.")


class Analysts(Strict):
    """Who reads silver and gold through Athena and Redshift, and what stays hidden from them."""

    roles: tuple[Arn, ...] = Field((), description="ARNs of the IAM roles.")
    hidden_columns: dict[Name, tuple[Name, ...]] = Field(
        {}, description="Columns they do not see, by silver or gold table."
    )
    row_filters: dict[Name, str] = Field(
        {}, description="Rows they see, as a Lake Formation filter, by silver or gold table."
    )
    modeller: Arn | None = Field(
        None, description="The one of `roles` in whose name dbt builds the warehouse's schema marts; nobody if absent."
    )

    @model_validator(mode="after")
    def _models_what_it_reads(self) -> Analysts:
        if self.modeller and self.modeller not in self.roles:
            raise ValueError(f"modeller {self.modeller} is none of roles: {', '.join(self.roles) or 'there are none'}")
        return self


class LineageReceiver(Strict):
    """Who takes OpenLineage events over HTTP, such as Marquez."""

    url: Url = Field(description="Where it answers, such as `https://marquez.example.com`.")
    endpoint: str = Field(
        "api/v1/lineage", pattern=r"^[\w.~-]+(/[\w.~-]+)*$", description="Path of the receiver's API for lineage."
    )
    secret: SecretName | None = Field(
        None, description='Secret under the prefix with {"api_key": "…"}, sent as a bearer token; none if absent.'
    )
    timeout_seconds: float = Field(5, gt=0, le=30, description="How long one event waits for its answer.")


class LineageTo(Strict):
    """Where the OpenLineage events of each run go: to a file, to a receiver, or to both."""

    file: bool = Field(True, description="Kept in the lake's bucket, as `lineage/<day>/<run>.jsonl`.")
    http: LineageReceiver | None = Field(None, description="Sent over HTTP.")

    @model_validator(mode="after")
    def _goes_somewhere(self) -> LineageTo:
        if not self.file and self.http is None:
            raise ValueError("goes nowhere: `file: true`, an `http`, or no lineage at all")
        return self


class Consumer(Strict):
    """Who asks the query API, by a key of its own, and how much it may ask."""

    queries: tuple[Name, ...] = Field((), description="Queries that it may ask; empty = all.")
    calls_a_minute: int = Field(120, ge=1, le=1000, description="Calls, pages included, within a minute.")
    executions_a_day: int = Field(
        500, ge=1, le=10_000, description="Answers that Athena has to compute for it within a day, UTC."
    )


class QueryApi(Strict):
    """The query API: who may ask it, and how much all of them together."""

    consumers: dict[Name, Consumer] = Field(min_length=1, description="Whoever has a key, by name.")
    calls_per_second: int = Field(20, ge=1, le=1000, description="Calls of all consumers, and of those without a key.")
    burst: int = Field(40, ge=1, le=2000, description="Calls that may come at the same moment.")

    secret: ClassVar[str] = "query_api"  # noqa: S105 - a name, under which the consumers' keys are kept


SharedStage = Literal["check", "silver", "gold", "maintain"]


class SourceOverride(Strict):
    """The fields of a source that one environment overrides."""

    base_url: Url | None = None
    auth: AnyAuth | None = None
    accounts: tuple[str, ...] | None = None
    time_zones: dict[str, TimeZone] | None = None
    retry: Retry | None = None
    rollout: dict[Name, Rollout] | None = Field(None, description="Streams that another parser reads, for a share.")
    security: Security | None = Field(None, description="How a Kafka cluster is signed in to.")
    window_seconds: int | None = Field(
        None,
        ge=0,
        le=300,
        description="Batching window of the source's entrance: how long received records or dropped files wait for more.",
    )


class Environment(Strict):
    """One place the pipeline runs in."""

    name: Name
    prefix: str = Field(pattern=r"^[a-z][a-z0-9-]{1,40}$", description="Starts the name of everything in AWS.")
    region: str
    account: str = Field(pattern=r"^\d{12}$")
    reporting_currency: str = Field("USD", pattern=r"^[A-Z]{3}$")
    business_time_zone: TimeZone = Field("UTC", description="IANA name of the zone whose days a sale belongs to.")
    attribution_days: int = Field(
        30, ge=1, le=365, description="How long before an order a channel's touch of its buyer counts."
    )
    warehouse: Warehouse
    schedules: dict[Name, Schedule] = Field({}, description="Scheduled runs; none if empty.")
    maintenance: Clock | None = Field(None, description="When Maintain compacts and vacuums the lake's tables.")
    stages: dict[SharedStage, StageSize] = Field({}, description="Sizes of the jobs that all sources share.")
    retention: Retention = Retention()
    alerts: Alerts = Alerts()
    reserved_concurrency: int | None = Field(
        10,
        ge=1,
        description="Instances of each Lambda that may run at once, which AWS keeps free for it; null for an account without.",
    )
    boundary: str | None = Field(
        None,
        pattern=r"^[\w+=,.@-]{1,128}$",
        description="Policy of the account that bounds every role; terraform/bootstrap makes headwater-boundary.",
    )
    data_events: bool = Field(
        True,
        description="A trail of CloudTrail tells who read and wrote the lake's objects; false where the account has one of them.",
    )
    network: Network | None = Field(None, description="Needed by sources that are reached within a VPC.")
    analysts: Analysts = Analysts()
    query_api: QueryApi | None = Field(None, description="Answers the queries of config/queries; no API if absent.")
    lineage: LineageTo | None = Field(
        None, description="Where OpenLineage events of what runs do go; none are made if absent."
    )
    budget_usd: Decimal = Field(Decimal(1000), gt=0, description="Monthly cost that an alert is sent for, in USD.")
    athena_scan_gib: int = Field(100, ge=1, description="Data that one Athena query may scan, in GiB.")
    protected: bool = Field(False, description="Refuses the deletion of buckets, keys and warehouse.")
    drift: Drift = Field("evolve", description="Default of streams that declare none.")
    sources: dict[Name, SourceOverride] = Field({}, description="Per-source differences.")
    without: tuple[Name, ...] = Field(
        (), description="Sources that are left out, with the silver and gold tables that need them."
    )

    def stage(self, name: SharedStage) -> StageSize:
        """Sizes the job of a shared stage."""
        return self.stages.get(name, StageSize())

    def bucket(self, zone: Purpose) -> str:
        """Names the bucket of one purpose."""
        return f"{self.prefix}-{zone}"

    def database(self, zone: Zone) -> str:
        """Names the catalog database of one zone."""
        return f"{self.prefix.replace('-', '_')}_{zone}"

    def arn(self, service: str, name: str) -> str:
        """Makes the ARN of something that a service has in this region and account."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{name}"

    @property
    def boundary_arn(self) -> str | None:
        """ARN of the policy that bounds every role; None where none does."""
        return self.boundary and f"arn:aws:iam::{self.account}:policy/{self.boundary}"

    def record_stream(self, source: str, stream: str) -> str:
        """Names the Kinesis stream of one stream, and the queue behind it where it has one."""
        return f"{self.prefix}-{source}-{stream}"

    def crawler(self, zone: str, source: str | None = None) -> str:
        """Names the crawler of one zone; bronze has one for each source."""
        return f"{self.prefix}-{zone}-{source}" if source else f"{self.prefix}-{zone}"
