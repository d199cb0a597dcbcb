"""The page of lineage: from which sources' fields each gold column comes, and where each field goes, as one page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from headwater.config import Project
from headwater.config.lineage import Graph
from headwater.deploy.lineage import lineage_of
from headwater.deploy.project import Declared

_HEAD = """# Lineage

Generated from config/sources/, config/tables/, sql/ by `make docs`; edit those, not this page.

From which columns of silver, and from which fields of the sources, each column of gold comes; below, where each source's fields go.
`headwater lineage gold.marketing_performance.roas` follows one column both ways. A silver column comes from each stream that feeds its
table. What filters, joins or groups rows is named once for each table, since it is behind all of its columns; a column that is made of
nothing else, such as a count of rows or a constant, has a dash.
"""


def lineage_page(declared: Declared) -> str:
    """Writes the page for environment prod."""
    project = declared.project("prod")
    graph = Graph(lineage_of(project, declared.root))
    return "\n".join([_HEAD, *_picture(project), *_gold(project, graph), *_sources(project, graph)])


def _picture(project: Project) -> Iterator[str]:
    yield from ("## Tables", "", "```mermaid", "flowchart LR")
    read = {name for table in project.gold.values() for name in table.inputs}
    for source in project.sources.values():
        for name in dict.fromkeys(stream.table for stream in source.streams.values()):
            if name in read:
                yield f"  {source.name}[({source.name})] --> silver.{name}"
    for name, table in project.gold.items():
        for silver in table.inputs:
            yield f"  silver.{silver} --> gold.{name}"
    yield from ("```", "")


def _gold(project: Project, graph: Graph) -> Iterator[str]:
    yield from ("## Gold, and what it is made of", "")
    for name, table in project.gold.items():
        yield from (f"### gold.{name}", "", f"{table.purpose[:1].upper()}{table.purpose[1:]} Owner: {table.owner}.", "")
        yield f"Its rows are decided by {_grouped(graph.decided_by(f'gold.{name}'))}."
        yield from ("", "| column | of silver | of the sources' fields |", "|---|---|---|")
        for column in table.columns:
            branch = graph.upstream(f"gold.{name}.{column}")
            fields = sorted({field.name for silver in branch.branches for field in silver.branches})
            yield f"| `{column}` | {_grouped(one.name for one in branch.branches)} | {_grouped(fields)} |"
        yield ""


def _sources(project: Project, graph: Graph) -> Iterator[str]:
    yield from ("## Sources, and where their fields go", "")
    for source in project.sources.values():
        for stream in source.streams:
            named = f"{source.name}.{stream}"
            yield from (f"### {named}", "", "| field | in silver | in gold |", "|---|---|---|")
            for field in graph.within(named):
                branch = graph.downstream(field)
                gold = {one.name for silver in branch.branches for one in silver.branches}
                silver_columns = _grouped(one.name for one in branch.branches)
                yield f"| `{field.removeprefix(f'{named}.')}` | {silver_columns} | {_grouped(sorted(gold))} |"
            yield ""


def _grouped(names: Iterable[str]) -> str:
    """Names as a cell: the columns of each table, or the fields of each stream, after its name."""
    tables: dict[str, list[str]] = {}
    for name in names:
        table, _, column = name.rpartition(".")
        tables.setdefault(table, []).append(column)
    told = (f"{table}: {', '.join(f'`{column}`' for column in columns)}" for table, columns in tables.items())
    return "; ".join(told) or "-"
