"""The page of sources: what is declared of every source, as one page of Markdown.

`make docs` writes it; `make check` and `headwater validate` say when it is out of date.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headwater.config import AnySource, Project
from headwater.deploy.project import Declared

_HEAD = """# Sources

Generated from config/sources/ and config/tables/ by `make docs`; edit the YAML, not this page.

*Position* is where the next run goes on, and what it reads again because the source may still change it. Every source keeps
to one contract, tests/contract and tests/e2e/test_every_source.py; a new one gets it by being declared.
"""


def sources_page(declared: Declared) -> str:
    """Writes the page for environment prod."""
    project = declared.project("prod")
    parts = [_HEAD, _overview(project)]
    parts += [_page(project, source, declared.root) for source in project.sources.values()]
    return "\n".join(parts)


def _overview(project: Project) -> str:
    lines = ["| source | speaks | streams | gold waits | secret |", "|---|---|---|---|---|"]
    for source in project.sources.values():
        waits = "no" if source.optional else "yes"
        secret = f"`{source.secret}`" if source.secret else "none"
        lines.append(
            f"| [{source.name}](#{source.name}) | {source.speaks} | {len(source.streams)} | {waits} | {secret} |"
        )
    return "\n".join([*lines, ""])


def _page(project: Project, source: AnySource, root: Path) -> str:
    lines = [f"## {source.name}", "", *_comment(root / "config" / "sources" / f"{source.name}.yaml"), ""]
    lines += [f"- {limit}" for limit in source.limits()]
    lines += [
        f"- Extract job: {source.job.workers} workers of {source.job.worker_type}, at most {source.job.timeout_minutes} min",
        "",
        "| stream | silver table | owner | key | write | position | backfill | drift |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, stream in source.streams.items():
        table = project.tables[stream.table]
        cells = [
            f"`{name}`",
            f"`{table.table}`",
            table.owner,
            ", ".join(f"`{column}`" for column in table.key),
            table.write.kind,
            stream.position_note,
            stream.backfill_note,
            project.drift_of(source.name, name),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _comment(path: Path) -> Iterator[str]:
    """The comment that a file opens with, less the editor's line."""
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            return
        if not line.startswith("# yaml-language-server"):
            yield line.removeprefix("#").strip()
