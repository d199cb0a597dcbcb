"""The values that options and arguments take: what is refused before anything is reached, and what a shell completes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path

import typer

from headwater.config import Project, parse_date
from headwater.deploy.project import load_project
from headwater.desk import frames
from headwater.desk.environments import ROOT
from headwater.errors import ConfigError, HeadwaterError
from headwater.run.plan import START_STAGES

_PERSON = re.compile(r"[0-9a-f]{32}")
ENGINES = ("athena", "redshift")


def one_of(option: str, value: str, known: Iterable[str]) -> str:
    """Finds a value among those that are known, in whichever case it is written; ConfigError lists them."""
    names = {name.lower(): name for name in known}
    found = names.get(value.lower())
    if found is None:
        raise ConfigError(f"{option} {value!r} unknown; known: {', '.join(names.values())}")
    return found


def sources(project: Project, names: Sequence[str], option: str = "--source") -> list[str]:
    """Finds declared sources."""
    return [one_of(option, name, project.sources) for name in names]


def tables(project: Project, names: Sequence[str]) -> list[str]:
    """Finds declared silver and gold tables."""
    return [one_of("table", name, [*project.silver, *project.gold]) for name in names]


def stream(project: Project, text: str) -> tuple[str, str]:
    """Finds a stream that is written as source.stream."""
    source, dot, name = text.partition(".")
    found = one_of("source", source, project.sources)
    if not dot:
        raise ConfigError(f"{text!r} is no stream; write source.stream, such as {streams_of(project, found)[0]}")
    return found, one_of(f"stream of {found}", name, project.sources[found].streams)


def streams_of(project: Project, source: str | None = None) -> list[str]:
    """Lists declared streams as source.stream."""
    return [
        f"{name}.{stream}"
        for name, declared in project.sources.items()
        if source in (None, name)
        for stream in declared.streams
    ]


def person(project: Project, text: str) -> str:
    """Reads the id of a person, or a record that is written as member:id."""
    member, colon, record = text.partition(":")
    members = [name for one in project.identities.values() for name in one.members]
    if not colon and _PERSON.fullmatch(text):
        return text
    if not colon or not record:
        known = ", ".join(members) or "none"
        raise ConfigError(
            f"{text!r} is nobody; write a person_id of 32 digits and letters a to f, or member:id; members: {known}"
        )
    one_of("member", member, members)
    return text


def stage(text: str) -> str:
    """Finds a stage that a run may start from."""
    return one_of("--start-from", text, START_STAGES)


def window(text: str) -> tuple[date, date]:
    """Reads FROM..TO; ConfigError unless both are dates and FROM is not after TO."""
    since, dots, until = text.partition("..")
    if not dots:
        raise ConfigError(f"--backfill {text!r}: write FROM..TO as dates, such as 2026-01-01..2026-01-31")
    days = day("--backfill", since), day("--backfill", until)
    if days[0] > days[1]:
        raise ConfigError(f"--backfill {text!r}: FROM is after TO. hint: write the earlier date first")
    return days


def day(option: str, text: str) -> date:
    """Reads a date."""
    try:
        return parse_date(text)
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None


def rows_file(option: str, file: Path, engine: str) -> None:
    """Checks that rows can be written to a file; ConfigError unless its suffix and the engine are known, and its folder takes it."""
    if engine != "athena":
        raise ConfigError(f"{option} writes what athena answers, which tells the types. hint: --engine athena")
    if file.suffix not in frames.SUFFIXES:
        raise ConfigError(f"{option} {str(file)!r}: known are files that end in {' or '.join(frames.SUFFIXES)}")
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise ConfigError(f"{option} {str(file)!r} cannot be written. hint: is its folder there, and yours?")


def _completed(known: Callable[[Project], Iterable[str]]) -> Callable[[typer.Context], list[str]]:
    def complete(ctx: typer.Context) -> list[str]:
        try:
            return sorted(known(load_project(ROOT, ctx.params.get("env") or "local")))
        except HeadwaterError:
            # A shell that completes has no place for an error; the command itself will say it.
            return []

    return complete


complete_source = _completed(lambda project: project.sources)
complete_stream = _completed(streams_of)
complete_table = _completed(lambda project: project.tables)
complete_built = _completed(lambda project: [*project.silver, *project.gold])


def complete_environment() -> list[str]:
    """Lists the declared environments."""
    return sorted(path.stem for path in (ROOT / "config" / "environments").glob("*.yaml"))


def complete_stage() -> list[str]:
    """Lists the stages that a run may start from."""
    return list(START_STAGES)


def complete_engine() -> list[str]:
    """Lists the engines that answer queries."""
    return list(ENGINES)
