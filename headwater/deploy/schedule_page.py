"""The page of the load schedule: when each environment's runs start, and how each source is read in them."""

from __future__ import annotations

from collections.abc import Iterator

from headwater.deploy.freshness import in_words, read_in
from headwater.deploy.project import Declared

_HEAD = """# Load schedule

Generated from config/environments/ and config/sources/ by `make docs`; edit the YAML, not this page.

A run reads its sources side by side, and then goes on to silver, gold and the warehouse: all that it has read is there once it has
ended. Beyond Extract one run at a time goes on.
"""


def schedule_page(declared: Declared) -> str:
    """Writes the page."""
    lines = [_HEAD]
    for name in declared.environments:
        lines += _environment(declared, name)
    return "\n".join([*lines, *_sources(declared), ""])


def _environment(declared: Declared, name: str) -> Iterator[str]:
    environment = declared.project(name).environment
    yield from (f"## {name}", "", "| what | when | sources |", "|---|---|---|")
    for schedule, clock in environment.schedules.items():
        yield f"| run `{schedule}` | {in_words(clock)} | {', '.join(clock.sources) or 'all'} |"
    if environment.maintenance:
        yield f"| Maintain | {in_words(environment.maintenance)} | the lake's tables |"
    if not environment.schedules:
        yield "| runs | when somebody starts one | |"
    yield from ("", f"An alert is sent where no run has succeeded within {environment.alerts.fresh_hours} hours.", "")


def _sources(declared: Declared) -> Iterator[str]:
    project = declared.project("prod")
    yield from ("## Streams, in prod", "", "| stream | runs | position, and what is read again | backfill |")
    yield "|---|---|---|---|"
    for source in project.sources.values():
        runs = ", ".join(f"`{name}`" for name in read_in(project, source.name)) or "none"
        for name, stream in source.streams.items():
            yield f"| `{source.name}.{name}` | {runs} | {stream.position_note} | {stream.backfill_note} |"
