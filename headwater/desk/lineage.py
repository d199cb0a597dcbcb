"""`headwater lineage`: what a column is made of, back to the sources' fields, and what is made of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from headwater.config.lineage import Branch, Graph
from headwater.config.strict import meant
from headwater.deploy.lineage import lineage_of
from headwater.desk.environments import ROOT, project_of
from headwater.desk.options import EnvOption, JsonOption
from headwater.desk.screen import note, out, plain, print_json
from headwater.errors import ConfigError, HeadwaterError


def _graph(env: str) -> Graph:
    return Graph(lineage_of(project_of(env), ROOT))


def _complete(ctx: typer.Context) -> list[str]:
    try:
        return _graph(ctx.params.get("env") or "local").names
    except HeadwaterError:
        return []


def lineage(
    column: Annotated[
        str,
        typer.Argument(
            help="gold.table.column, silver.table.column, analytics.view.column or source.stream.field; a table, view or "
            "stream for all that it has.",
            autocompletion=_complete,
        ),
    ],
    env: EnvOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Show what a column is made of, back to the sources' fields, and what is made of it."""
    graph = _graph(env)
    names = graph.within(column.lower()) or graph.within(column)
    if not names:
        raise ConfigError(
            f"column {column!r} unknown{meant(column, graph.names) or '.'} hint: write gold.table.column, silver.table.column, "
            "analytics.view.column or source.stream.field; docs/lineage.md lists them"
        )
    if as_json:
        print_json([_told(graph, name) for name in names])
        return
    for name in names:
        for branch, above in ((graph.upstream(name), "made of"), (graph.downstream(name), "goes into")):
            if branch.branches:
                out.print(_tree(branch, f"{name} {above}"))
        if decided := graph.decides(name):
            note(f"{name} filters, joins or groups the rows of {', '.join(decided)}")
    for table in sorted({name.rpartition(".")[0] for name in names}):
        if deciding := graph.decided_by(table):
            note(f"which rows {table} has is decided by {', '.join(deciding)}")


def _told(graph: Graph, name: str) -> dict[str, Any]:
    return {
        "column": name,
        "made_of": _nested(graph.upstream(name)),
        "goes_into": _nested(graph.downstream(name)),
        "decides_rows_of": graph.decides(name),
        "rows_decided_by": graph.decided_by(name.rpartition(".")[0]),
    }


def _nested(branch: Branch) -> dict[str, Any]:
    return {inner.name: _nested(inner) for inner in branch.branches}


def _tree(branch: Branch, title: str) -> Tree:
    tree = Tree(Text(plain(title), "bold"))
    for inner in branch.branches:
        tree.add(_tree(inner, inner.name) if inner.branches else Text(plain(inner.name)))
    return tree
