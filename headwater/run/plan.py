"""The plan of a run: which sources, from which stage on, and what each stream needs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from headwater.config import JdbcSource, Project, parse_date
from headwater.config.definition import feeding
from headwater.errors import ConfigError
from headwater.open_project import OpenProject
from headwater.run.limits import stage_seconds, task_seconds
from headwater.sources.kinds import kind_of

START_STAGES = ("Extract", "Check", "Silver", "Gold", "Load")
_WINDOW = re.compile(r"^(\d{4}-\d{2}-\d{2})\.\.(\d{4}-\d{2}-\d{2})$")


def plan_run(opened: OpenProject, run_id: str, started_at: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Turns a run's input into its plan; ConfigError names what is wrong with the input.

    `streams` in the plan says for each stream whether this run loads its history, an increment, or the days of a backfill.
    """
    known = {"sources", "start_from", "mode", "window", "as_of", "rebuild"}
    unknown = sorted(set(asked) - known)
    if unknown:
        raise ConfigError(f"run input: {', '.join(unknown)} unknown; known: {', '.join(sorted(known))}")
    project = opened.project
    sources = list(dict.fromkeys(asked.get("sources") or project.sources))
    for name in sources:
        project.source(name)
    rebuild = list(asked.get("rebuild") or ())
    start_from = asked.get("start_from") or "Extract"
    if start_from not in START_STAGES:
        raise ConfigError(f"run input: start_from {start_from!r} unknown; known: {', '.join(START_STAGES)}")
    mode = asked.get("mode") or "incremental"
    if mode not in {"incremental", "backfill"}:
        raise ConfigError(f"run input: mode {mode!r} unknown; known: incremental, backfill")
    if mode == "backfill":
        sources = backfilled(project, list(asked.get("sources") or ()))
    if rebuild:
        if others := sorted({"sources", "start_from", "mode", "window"} & set(asked)):
            raise ConfigError(f"run input: rebuild goes without {', '.join(others)}: it says itself what it needs")
        sources, start_from = rebuilt(project, rebuild)
    return {
        "run_id": run_id,
        "start_from": start_from,
        "mode": mode,
        "as_of": _as_of(asked.get("as_of"), started_at).isoformat(),
        "window": _window(mode, asked.get("window")),
        "rebuild": ",".join(rebuild) or "-",
        "sources": [
            {
                "source": name,
                "timeout": task_seconds(project.source(name).job.timeout_minutes),
                "streams": {
                    ledger.stream: "backfill" if mode == "backfill" else "incremental" if ledger.latest() else "history"
                    for ledger in opened.streams(name)
                },
            }
            for name in sources
        ],
        "timeouts": stage_seconds(project),
        # What later states find where earlier ones had nothing to say, or were skipped by a restart.
        "verdicts": {"outcomes": [], "check": "", "silver": ""},
        "turn": {},
        "errors": {"check": {}, "silver": {}, "gold": {}},
        "crawl": {},
        "load": {},
        "audit": {},
    }


def backfilled(project: Project, asked: Sequence[str]) -> list[str]:
    """Lists the sources of a backfill: those asked for, else all that can be asked for what has been.

    ConfigError names the streams that cannot be read by days.
    """
    sources = list(asked) or [name for name in project.sources if not _comes_by_itself(project, name)]
    lacking = [
        f"{source.name}.{name}"
        for source in map(project.source, sources)
        if isinstance(source, JdbcSource)
        for name, stream in source.streams.items()
        if stream.backfill_column is None
    ]
    if lacking:
        raise ConfigError(
            f"run input: {', '.join(lacking)} cannot be read by days. "
            "hint: declare `day`, the column that has them, or name the other sources"
        )
    received = [name for name in sources if _comes_by_itself(project, name)]
    if received:
        raise ConfigError(
            f"run input: {', '.join(received)} cannot be asked for what has been. hint: name the other sources; "
            "what has come in is in raw and bronze"
        )
    return sources


def rebuilt(project: Project, tables: Sequence[str]) -> tuple[list[str], str]:
    """The sources that feed the tables of a rebuild, and the stage from which it starts: no source is read.

    ConfigError lists the tables that there are.
    """
    for name in tables:
        if name not in project.silver and name not in project.gold:
            known = ", ".join([*sorted(project.silver), *sorted(project.gold)])
            raise ConfigError(f"run input: table {name!r} of rebuild unknown; known: {known}")
    silver = [name for name in tables if name in project.tables]
    sources = [source for table in silver for source, _, _ in feeding(project, table)]
    return list(dict.fromkeys(sources)), "Silver" if silver else "Gold"


def _as_of(asked: Any, started_at: str) -> date:
    """The day that a run is for; ConfigError for one that had not begun when the run did, and so could not be read whole."""
    started = parse_date(started_at[:10])
    day = parse_date(str(asked)[:10]) if asked else started
    if day > started:
        raise ConfigError(
            f"run input: as_of {day} is after the day on which the run started, {started}. "
            "hint: leave as_of out for today, which is UTC's"
        )
    return day


def _comes_by_itself(project: Project, source: str) -> bool:
    return kind_of(project.source(source)).received


def _window(mode: str, window: Any) -> str:
    if mode != "backfill":
        if window:
            raise ConfigError("run input: window belongs to mode backfill")
        return "-"
    text = f"{window['from']}..{window['to']}" if isinstance(window, Mapping) else str(window)
    match = _WINDOW.match(text)
    if not match or parse_date(match[1]) > parse_date(match[2]):
        raise ConfigError(f"run input: window {text!r}; write {{from, to}} as dates, from not after to")
    return text
