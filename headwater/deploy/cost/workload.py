"""What a month of work is: declared workloads, options, and assumptions with their reasons, from config/cost."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from headwater.config import Environment, Project
from headwater.config.documents import problems_of
from headwater.config.strict import Name, Strict, unknown
from headwater.deploy.project import load_declared
from headwater.errors import ConfigError

_GROWS = ("gb_a_day", "gold_gb", "streamed_gb_a_day", "pushed_events_a_day", "athena_tb")


class Assumed(Strict):
    """A number, what speaks for it, and whether it was measured."""

    value: Decimal = Field(ge=0)
    why: str
    measured: bool = False


class Workload(Strict):
    """What a month of work is."""

    title: str
    environment: Name = Field(description="Environment whose schedules, sizes and retention count.")
    sources: tuple[Name, ...] = Field((), description="Sources that there are; empty = all that are declared.")
    changes: dict[str, Any] = Field({}, description="What differs from the environment's file.")
    gb_a_day: Decimal = Field(gt=0, description="GB that arrive in a day, uncompressed.")
    streamed_gb_a_day: Decimal = Field(Decimal(0), ge=0, description="GB of these that come as records of Kinesis.")
    pushed_events_a_day: Decimal = Field(Decimal(0), ge=0, description="Calls of the API for pushed events.")
    asked_queries_a_day: Decimal = Field(Decimal(0), ge=0, description="Calls of the query API, pages included.")
    drops_a_day: Decimal = Field(Decimal(0), ge=0, description="Runs that dropped files start.")
    stored_months: int = Field(gt=0, description="Age of the lake: what has piled up costs storage.")
    gold_gb: Decimal = Field(ge=0)
    queried_hours_a_day: Decimal = Field(ge=0, description="Hours in which people's queries keep the warehouse awake.")
    athena_tb: Decimal = Field(ge=0, description="TB that Athena scans in a month.")
    gb_out: Decimal = Field(Decimal(0), ge=0, description="GB that leave AWS in a month, such as answers of queries.")


class Option(Strict):
    """Something that an operator can choose: what changes in the environment or in the workload."""

    title: str
    changes: dict[str, Any] = Field({}, description="What differs in the environment; null: not declared.")
    workload: dict[Name, Any] = Field({}, description="What differs in the workload.")


class Work(Strict):
    """The assumptions, the workloads and the options that are declared."""

    assumed: dict[Name, Assumed]
    workloads: dict[Name, Workload]
    options: dict[Name, tuple[Option, ...]] = Field({}, description="Options by workload, each on top of those before.")

    def workload(self, name: str) -> Workload:
        """One workload; ConfigError when it is not declared."""
        if name not in self.workloads:
            raise ConfigError(f"{unknown('workload', name, self.workloads)}. hint: config/cost/workloads.yaml")
        return self.workloads[name]

    def with_measured(self, measured: Mapping[str, Assumed]) -> Work:
        """The same, with what was measured in place of what was assumed of it."""
        return self.model_copy(update={"assumed": {**self.assumed, **measured}})


def load_work(root: Path) -> Work:
    """Loads config/cost/workloads.yaml; ConfigError has a line for each mistake."""
    return load_declared(TypeAdapter(Work), root, "cost", "workloads")


def chosen(workload: Workload, option: Option) -> Workload:
    """The workload with an option on top; ConfigError when the option does not fit."""
    merged = {**workload.model_dump(), **option.workload, "changes": _merged(workload.changes, option.changes)}
    try:
        return Workload.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_told(f"option {option.title!r}", error)) from None


def scaled(workload: Workload, gb_a_day: int) -> Workload:
    """The workload at another volume, all that grows with it in proportion."""
    share = gb_a_day / workload.gb_a_day
    return workload.model_copy(update={field: getattr(workload, field) * share for field in _GROWS})


def project_of(declared: Project, workload: Workload) -> Project:
    """The project of a workload's environment, with the workload's sources and differences; ConfigError says what does not fit."""
    for name in workload.sources:
        declared.source(name)
    kept = {name: source for name, source in declared.sources.items() if name in (workload.sources or declared.sources)}
    written = declared.environment.model_dump(mode="json", by_alias=True, exclude_unset=True)
    try:
        environment = Environment.model_validate(_without_nulls(_merged(written, workload.changes)))
    except ValidationError as error:
        raise ConfigError(_told(f"workload {workload.title!r}: changes", error)) from None
    return _of_sources(declared, kept, environment)


def _of_sources(project: Project, kept: Mapping[str, Any], environment: Environment) -> Project:
    schedules = {}
    for name, schedule in environment.schedules.items():
        sources = tuple(source for source in schedule.sources if source in kept)
        # A schedule of sources that are not there would be one of all.
        if sources or not schedule.sources:
            schedules[name] = schedule.model_copy(update={"sources": sources})
    there = environment.model_copy(update={"schedules": schedules})
    return project.model_copy(update={"sources": dict(kept), "environment": there})


def _merged(written: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lays changes over what is written: mappings key by key, anything else as a whole."""
    both = {
        key: _merged(written[key], change) for key, change in changes.items() if _are_mappings(written.get(key), change)
    }
    return {**written, **changes, **both}


def _are_mappings(one: Any, other: Any) -> bool:
    return isinstance(one, Mapping) and isinstance(other, Mapping)


def _without_nulls(value: Any) -> Any:
    """Takes away what a change sets to null: it is not declared."""
    if not isinstance(value, Mapping):
        return value
    return {key: _without_nulls(within) for key, within in value.items() if within is not None}


def _told(where: str, error: ValidationError) -> str:
    said = "; ".join(f"{'.'.join(map(str, place))}: {problem}" for place, problem in problems_of(error))
    return f"config/cost/workloads.yaml: {where}: {said}"
