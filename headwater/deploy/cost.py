"""What an environment costs in a month: computed from its config, a workload and dated list prices. `make docs` writes docs/cost.md.

Glue is billed by DPU hours: each stage takes what its volume needs at the workload's rate, and at least what starting its jobs takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import yaml
from pydantic import Field

from headwater.config import Project
from headwater.config.strict import Name, Strict
from headwater.deploy.deployment import Deployment, JobSpec
from headwater.deploy.project import load_project

_DPUS = {"G.1X": 1, "G.2X": 2, "G.4X": 4, "G.8X": 8}
_DAYS = Decimal(30)
_HOURS = _DAYS * 24
_KEYS = 5
# Interface endpoints and zones of terraform/modules/entrances; alarms of terraform/modules/alerts; keys of terraform/modules/lake.
_ENDPOINTS, _ZONES = 7, 3
_ALARMS, _ALARMS_A_SOURCE = 7, 2
# States that one run enters, and for each source and each gold table; a wait of minutes is most of them.
_TRANSITIONS, _TRANSITIONS_A_SOURCE, _TRANSITIONS_A_TABLE = 40, 25, 60
# Objects are written some hundred megabytes at a time, and read and listed about ten times as often.
_GB_AN_OBJECT = Decimal("0.1")
_READS_A_WRITE = 10
# Days without a read after which intelligent tiering moves an object on.
_TIER_INFREQUENT, _TIER_ARCHIVE = Decimal(30), Decimal(90)
_VOLUMES, _AGES = (1, 10, 50, 100, 500), (1, 12, 36)
_LOG_GB_A_DPU_HOUR = Decimal("0.01")


class Price(Strict):
    """One list price."""

    usd: Decimal = Field(gt=0)
    per: str
    page: str


class Prices(Strict):
    """The list prices of one region on one day."""

    as_of: date
    region: str
    prices: dict[Name, Price]


class Rates(Strict):
    """Throughput of a stage, in GB per DPU hour."""

    extract: Decimal = Field(gt=0)
    check: Decimal = Field(gt=0)
    silver: Decimal = Field(gt=0)
    gold: Decimal = Field(gt=0)


class Workload(Strict):
    """What a month of work is."""

    title: str
    environment: Name = Field(description="Environment whose sizes and retention count.")
    gb_a_day: Decimal = Field(gt=0, description="GB that arrive in a day, uncompressed.")
    runs_a_day: int = Field(gt=0)
    stored_months: int = Field(gt=0, description="Age of the lake: what has piled up costs storage.")
    compressed: Decimal = Field(gt=0, le=1, description="Stored bytes for each byte that arrives.")
    silver_share: Decimal = Field(gt=0, description="Silver's bytes for each of bronze's.")
    gold_gb: Decimal = Field(ge=0)
    gb_for_a_dpu_hour: Rates
    least_minutes: Decimal = Field(gt=0, description="Minutes that a job takes which finds little to do.")
    warehouse_hours_a_day: Decimal = Field(ge=0, description="Hours in which the workgroup answers.")
    athena_tb: Decimal = Field(ge=0, description="TB that Athena scans in a month.")
    maintain_dpu_hours: Decimal = Field(ge=0, description="DPU hours of Maintain in a month.")


@dataclass(frozen=True)
class Item:
    """One line of the bill: a month's quantity of something with a price."""

    service: str
    what: str
    quantity: Decimal
    price: Price

    @property
    def usd(self) -> Decimal:
        """The month's cost in USD; prices for 1000 are for 1000."""
        return self.quantity * self.price.usd / (1000 if self.price.per.startswith("1000 ") else 1)


def bill(deployment: Deployment, workload: Workload, prices: Prices) -> list[Item]:
    """Lists what a month of a workload costs in an environment."""
    of = prices.prices
    glue = _dpu_hours(deployment, workload)
    items = [Item("Glue", stage, hours, of["glue_dpu_hour"]) for stage, hours in glue.items()]
    maintain = of["glue_flex_dpu_hour" if deployment.project.environment.stage("maintain").flex else "glue_dpu_hour"]
    items.append(Item("Glue", "maintain", workload.maintain_dpu_hours, maintain))
    items += _storage(deployment.project, workload, of)
    items += _warehouse(deployment.project, workload, of)
    items += _rest(deployment.project, workload, of, sum(glue.values(), Decimal()))
    return items


def _dpu_hours(deployment: Deployment, workload: Workload) -> dict[str, Decimal]:
    runs = workload.runs_a_day * _DAYS
    hours = {}
    for stage in ("extract", "check", "silver", "gold"):
        jobs = [job for job in deployment.jobs() if job.script == stage]
        # Check and Silver run once for each source, Extract has a job for each, Gold runs once.
        times = len(deployment.project.sources) if stage in {"check", "silver"} else 1
        least = sum((_least(job, workload) for job in jobs), Decimal()) * times * runs
        volume = workload.gb_a_day * _DAYS / getattr(workload.gb_for_a_dpu_hour, stage)
        hours[stage] = max(volume, least)
    crawlers = len(deployment.crawlers()) * runs * 2 * workload.least_minutes / 60
    return {**hours, "crawlers": crawlers}


def _least(job: JobSpec, workload: Workload) -> Decimal:
    # With auto scaling, a job that finds little to do has its driver and one worker.
    return 2 * _DPUS[job.worker_type] * workload.least_minutes / 60


def _storage(project: Project, workload: Workload, of: dict[str, Price]) -> Iterable[Item]:
    retention = project.environment.retention
    a_day = workload.gb_a_day * workload.compressed
    days = workload.stored_months * _DAYS
    infrequent = min(days, Decimal(retention.raw_infrequent_access))
    archive = min(days, Decimal(retention.raw_archive))
    yield Item("S3", "raw, standard", a_day * infrequent, of["s3_standard"])
    yield Item("S3", "raw, infrequent access", a_day * (archive - infrequent), of["s3_infrequent_access"])
    yield Item("S3", "raw, archive", a_day * (days - archive), of["s3_archive"])
    # The lake moves by itself (intelligent tiering): bronze is read once and grows cold, silver and gold are in use.
    warm, cool = min(days, _TIER_INFREQUENT), min(days, _TIER_ARCHIVE)
    yield Item("S3", "bronze, frequent access", a_day * warm, of["s3_standard"])
    yield Item("S3", "bronze, infrequent access", a_day * (cool - warm), of["s3_infrequent_access"])
    yield Item("S3", "bronze, archive", a_day * (days - cool), of["s3_archive"])
    in_use = a_day * days * workload.silver_share + workload.gold_gb
    yield Item("S3", "silver and gold", in_use, of["s3_standard"])
    yield Item("S3", "objects watched", (a_day * days + in_use) / _GB_AN_OBJECT, of["s3_watching"])
    writes = a_day * _DAYS * (2 + workload.silver_share) / _GB_AN_OBJECT
    yield Item("S3", "writes", writes, of["s3_writes"])
    yield Item("S3", "reads", writes * _READS_A_WRITE, of["s3_reads"])


def _warehouse(project: Project, workload: Workload, of: dict[str, Price]) -> Iterable[Item]:
    warehouse = project.environment.warehouse
    asked = workload.warehouse_hours_a_day * warehouse.base_capacity
    # Twice the limit is where the workgroup refuses.
    rpu_hours = min(asked, Decimal(2 * warehouse.rpu_hours_a_day)) * _DAYS
    yield Item("Redshift", "capacity", rpu_hours, of["redshift_rpu_hour"])
    yield Item("Redshift", "storage", workload.gold_gb, of["redshift_storage"])


def _rest(project: Project, workload: Workload, of: dict[str, Price], dpu_hours: Decimal) -> Iterable[Item]:
    environment, sources = project.environment, len(project.sources)
    runs = workload.runs_a_day * _DAYS
    states = _TRANSITIONS + _TRANSITIONS_A_SOURCE * sources + _TRANSITIONS_A_TABLE * len(project.gold)
    yield Item("Step Functions", "state transitions", runs * states, of["state_transitions"])
    yield Item("Athena", "scans", workload.athena_tb, of["athena_scan"])
    yield Item("KMS", "keys", Decimal(_KEYS), of["kms_key"])
    secrets = {source.secret for source in project.sources.values()} | {environment.alerts.slack_secret}
    yield Item("Secrets Manager", "secrets", Decimal(len(secrets - {None})), of["secret"])
    yield Item("CloudWatch", "alarms", Decimal(_ALARMS + _ALARMS_A_SOURCE * sources), of["alarm"])
    yield Item("CloudWatch", "logs", dpu_hours * _LOG_GB_A_DPU_HOUR, of["log_ingestion"])
    if environment.network and environment.network.endpoints:
        yield Item("VPC", "endpoints", _ENDPOINTS * _ZONES * _HOURS, of["vpc_endpoint_hour"])


def page(root: Path) -> str:
    """Writes docs/cost.md: the bill of each workload in config/cost/workloads.yaml."""
    folder = root / "config" / "cost"
    prices = Prices.model_validate(yaml.safe_load((folder / "prices.yaml").read_text()))
    declared = yaml.safe_load((folder / "workloads.yaml").read_text())
    workloads = [Workload.model_validate(workload) for workload in declared.values()]
    parts = [
        "# What it costs\n\n"
        "Computed by `make docs` from `config/`: sizes and retention of an environment, the workloads of "
        "`config/cost/workloads.yaml`,\n"
        f"and list prices of {prices.region} of {prices.as_of} (`config/cost/prices.yaml`). The rates are assumptions: put in what "
        "your own runs show.\n"
    ]
    for workload in workloads:
        deployment = Deployment(load_project(root, workload.environment), root)
        parts.append(_section(deployment, workload, bill(deployment, workload, prices)))
    parts.append(_table(root, workloads[0], prices))
    return "\n".join(parts)


def _table(root: Path, workload: Workload, prices: Prices) -> str:
    """Writes a table of the month's cost by volume and age of the lake, all else as in a workload."""
    deployment = Deployment(load_project(root, workload.environment), root)
    lines = [
        "## By volume and age\n",
        f"USD a month in `{workload.environment}`, all else as in the first workload.\n",
        f"| GB a day | {' | '.join(f'after {age} month(s)' for age in _AGES)} |",
        f"|---:{'|---:' * len(_AGES)}|",
    ]
    for volume in _VOLUMES:
        share = Decimal(volume) / workload.gb_a_day
        cells = []
        for age in _AGES:
            changed = {"gb_a_day": Decimal(volume), "stored_months": age, "gold_gb": workload.gold_gb * share}
            items = bill(deployment, workload.model_copy(update=changed), prices)
            cells.append(f"{sum((item.usd for item in items), Decimal()):,.0f}")
        lines.append(f"| {volume} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _section(deployment: Deployment, workload: Workload, items: list[Item]) -> str:
    total = sum((item.usd for item in items), Decimal())
    services: dict[str, Decimal] = {}
    for item in items:
        services[item.service] = services.get(item.service, Decimal()) + item.usd
    budget = deployment.project.environment.budget_usd
    verdict = "within" if total <= budget else "beyond"
    shares = ", ".join(f"{name} {usd:,.0f}" for name, usd in sorted(services.items(), key=lambda pair: -pair[1])[:4])
    lines = [
        f"## {workload.title[0].upper()}{workload.title[1:]}\n",
        f"Environment `{workload.environment}`, {len(deployment.project.sources)} sources, {workload.runs_a_day} run(s) a day, "
        f"a lake of {workload.stored_months} months: **{total:,.0f} USD a month**, {verdict} the budget of "
        f"{budget:,.0f} USD. Most of it: {shares}.\n",
        "| service | what | a month | price | USD |",
        "|---|---|---:|---:|---:|",
    ]
    lines += [
        f"| {item.service} | {item.what} | {item.quantity:,.1f} | {item.price.usd} per {item.price.per} | {item.usd:,.2f} |"
        for item in items
    ]
    return "\n".join([*lines, f"| | **total** | | | **{total:,.2f}** |", ""])
