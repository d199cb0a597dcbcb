"""What an environment names: sources, tables, columns and time zones that must exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from zoneinfo import available_timezones

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from headwater.config import Environment, HttpSource, JdbcSource, Project
from headwater.config.fit import Types
from headwater.config.strict import Place, meant, unknown

_zones = cache(available_timezones)


def of_environment(project: Project, tables: Mapping[str, Types]) -> Iterator[tuple[Place, str]]:
    """Where an environment names what is not there; `tables` are the silver and gold tables with their columns."""
    yield from ((("environment", *place), problem) for place, problem in _of_environment(project, tables))


def _of_environment(project: Project, tables: Mapping[str, Types]) -> Iterator[tuple[Place, str]]:
    environment = project.environment
    for place, zone in _zones_of(environment):
        if zone not in _zones():
            yield place, f"no time zone {zone}{meant(zone, _zones())}"
    yield from _of_sources_named(project)
    for name, proxy in (environment.network.rds_proxies if environment.network else {}).items():
        databases = [
            source.name
            for source in project.sources.values()
            if isinstance(source, JdbcSource) and source.name not in environment.without
        ]
        if proxy.source not in databases:
            yield ("network", "rds_proxies", name, "source"), unknown("source of kind jdbc", proxy.source, databases)
    yield from _of_overrides(project)
    yield from _of_analysts(environment, tables)


def _of_sources_named(project: Project) -> Iterator[tuple[Place, str]]:
    environment = project.environment
    for number, source in enumerate(environment.without):
        if source not in project.sources:
            yield ("without", number), unknown("source", source, project.sources)
    if project.sources.keys() <= set(environment.without):
        yield ("without",), "leaves no source"
    for name, schedule in environment.schedules.items():
        for number, source in enumerate(schedule.sources):
            if source not in project.sources:
                yield ("schedules", name, "sources", number), unknown("source", source, project.sources)
            elif source in environment.without:
                yield ("schedules", name, "sources", number), f"{source} is left out by `without`"


def of_endpoints(environment: Environment, made: dict[str, str]) -> Iterator[tuple[Place, str]]:
    """Where an environment makes VPC endpoints that another has made: a service has one private name in a VPC.

    `made` holds, by VPC, the environments that were looked at, and this one goes into it.
    """
    if environment.network and environment.network.endpoints:
        other = made.setdefault(environment.network.vpc, environment.name)
        if other != environment.name:
            problem = f"{environment.network.vpc} gets its endpoints from {other}; they serve all of it. hint: endpoints: false"
            yield ("environment", "network", "endpoints"), problem


def of_sources(project: Project) -> Iterator[tuple[Place, str]]:
    """Where a source names a time zone that is none."""
    for name, source in project.sources.items():
        for account, zone in source.time_zones.items() if isinstance(source, HttpSource) else ():
            if zone not in _zones():
                yield ("sources", name, "time_zones", account), f"no time zone {zone}{meant(zone, _zones())}"


def _zones_of(environment: Environment) -> Iterator[tuple[Place, str]]:
    for name, schedule in environment.schedules.items():
        yield ("schedules", name, "time_zone"), schedule.time_zone
    if environment.maintenance:
        yield ("maintenance", "time_zone"), environment.maintenance.time_zone
    for name, override in environment.sources.items():
        for account, zone in (override.time_zones or {}).items():
            yield ("sources", name, "time_zones", account), zone


def _of_overrides(project: Project) -> Iterator[tuple[Place, str]]:
    for name, override in project.environment.sources.items():
        if name not in project.sources:
            yield ("sources", name), unknown("source", name, project.sources)
            continue
        source = project.sources[name]
        for field in sorted(override.model_fields_set - source.overridable):
            yield ("sources", name, field), f"nothing of {name}, which is of kind {source.kind}"


def _of_analysts(environment: Environment, tables: Mapping[str, Types]) -> Iterator[tuple[Place, str]]:
    for table, columns in environment.analysts.hidden_columns.items():
        place = ("analysts", "hidden_columns", table)
        if table not in tables:
            yield place, unknown("table", table, tables)
            continue
        for number, column in enumerate(columns):
            if column not in tables[table]:
                yield (*place, number), unknown("column", column, tables[table])
    for table, condition in environment.analysts.row_filters.items():
        place = ("analysts", "row_filters", table)
        if table not in tables:
            yield place, unknown("table", table, tables)
            continue
        try:
            named = {column.name for column in parse_one(condition, read="athena").find_all(exp.Column)}
        except SqlglotError:
            yield place, "not readable as a condition"
            continue
        yield from ((place, unknown("column", name, tables[table])) for name in sorted(named - {*tables[table]}))
