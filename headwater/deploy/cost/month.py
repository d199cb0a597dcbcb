"""A month of an environment under a workload: its runs, and what they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from headwater.config import Project
from headwater.deploy.cost.cron import fires_a_day
from headwater.deploy.cost.run import Run, Way, run_of
from headwater.deploy.cost.workload import Work, Workload
from headwater.deploy.deployment import Deployment, JobSpec
from headwater.deploy.entrances import Entrances
from headwater.errors import ConfigError

DAYS = Decimal(30)
HOURS = DAYS * 24
HOUR_SECONDS = 3600
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Runs:
    """The runs that one schedule, or files that are dropped, start in a month, each of so many sources."""

    a_month: Decimal
    sources: int
    run: Run


@dataclass(frozen=True)
class Month:
    """A month of an environment under a workload."""

    deployment: Deployment
    workload: Workload
    work: Work
    way: Way

    @property
    def project(self) -> Project:
        """The declared project, with the workload's sources and differences."""
        return self.deployment.project

    @cached_property
    def jobs(self) -> tuple[JobSpec, ...]:
        """The Glue jobs."""
        return tuple(self.deployment.jobs())

    @cached_property
    def entrances(self) -> Entrances:
        """The entrances of records, events and files."""
        return self.deployment.entrances

    def assumed(self, name: str) -> Decimal:
        """The value of an assumption; ConfigError when there is none of that name."""
        if name not in self.work.assumed:
            raise ConfigError(f"config/cost/workloads.yaml: assumed.{name} is missing. hint: give its value, and why")
        return self.work.assumed[name].value

    @property
    def stored_gb_a_day(self) -> Decimal:
        """What arrives in a day, as raw and bronze store it."""
        return self.workload.gb_a_day * self.assumed("compressed")

    @cached_property
    def runs(self) -> tuple[Runs, ...]:
        """The runs that schedules and dropped files start."""
        everything = len(self.project.sources)
        started = [
            (fires_a_day(schedule.cron), len(schedule.sources) or everything)
            for schedule in self.project.environment.schedules.values()
        ]
        if self.workload.drops_a_day:
            started.append((self.workload.drops_a_day, 1))
        return tuple(Runs(a_day * DAYS, sources, self._run(sources)) for a_day, sources in started)

    @property
    def runs_a_month(self) -> Decimal:
        """How many runs there are."""
        return sum((runs.a_month for runs in self.runs), Decimal())

    def count(self, of: Callable[[Run], int]) -> Decimal:
        """Adds up over the month's runs what each run does."""
        return sum((runs.a_month * of(runs.run) for runs in self.runs), Decimal())

    @cached_property
    def invocations(self) -> Decimal:
        """How often a Lambda function is called: by runs, senders, records and dropped files."""
        called = self.count(lambda run: run.calls("lambda:invoke")) + self.workload.pushed_events_a_day * DAYS
        windows = sum(
            Decimal(_DAY_SECONDS) / max(mapping.window_seconds, 1) * DAYS
            for mapping in self.entrances.mappings()
            if mapping.function.endswith("receive_records")
        )
        # A window that stays empty calls nothing.
        return called + windows * self.assumed("busy_share") + self.workload.drops_a_day * DAYS

    @property
    def source_runs(self) -> Decimal:
        """How often a source is gone through."""
        return sum((runs.a_month * runs.sources for runs in self.runs), Decimal())

    @property
    def load_seconds(self) -> Decimal:
        """How long the loads of a run take, one table after the other."""
        return len(self.project.gold) * self.assumed("load_seconds")

    @cached_property
    def _definition(self) -> str:
        return self.deployment.definition()

    def _run(self, sources: int) -> Run:
        seconds = {name: assumed.value for name, assumed in self.work.assumed.items()}
        return run_of(self._definition, self.way, sources, {**seconds, "load_seconds": self.load_seconds})
