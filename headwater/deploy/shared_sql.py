"""The queries of sql/shared/, which gold tables read by name: what of gold more than one table says, and must not say twice."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from headwater.config.gold import SharedQuery
from headwater.deploy.gold_file import Problem, SharedFile
from headwater.deploy.gold_sql import Columns, changed_too, parsed, reads, refuse, selected
from headwater.errors import ConfigError


def shared_queries(texts: Mapping[str, str]) -> dict[str, SharedQuery]:
    """Reads sql/shared/ without a look at silver, each query after those that it reads; ConfigError lists what is wrong."""
    files = {name: SharedFile(name, text) for name, text in texts.items()}
    refuse([problem for file in files.values() for problem in file.problems])
    inputs = {name: reads([parsed(file, file.rows)]) for name, file in files.items() if not file.problems}
    refuse([problem for file in files.values() for problem in file.problems])
    try:
        order = [name for name in TopologicalSorter(inputs).static_order() if name in files]
    except CycleError as error:
        raise ConfigError(
            f"sql/shared/{error.args[1][0]}.sql: reads itself, by {' and '.join(error.args[1])}"
        ) from None
    return {
        name: SharedQuery(
            inputs=tuple(sorted(inputs[name])),
            rows=files[name].rows.text.strip(),
            unfed=files[name].unfed.text.strip() or None,
            follows_changes=len(inputs[name]) == 1 and not inputs[name] & files.keys(),
        )
        for name in order
    }


def shared_columns(
    texts: Mapping[str, str], queries: Mapping[str, SharedQuery], silver: Columns
) -> tuple[dict[str, Mapping[str, str]], list[Problem]]:
    """The columns of shared queries, as they were read, and of what has changed in them, and what is wrong with the files, by line.

    Which type a column has is Spark's to say.
    """
    known: dict[str, Mapping[str, str]] = {}
    wrong: list[Problem] = []
    for name, query in queries.items():
        file = SharedFile(name, texts[name])
        if name in silver:
            file.report(1, f"{name} is a silver table. hint: another name")
        columns = selected(file, file.rows, {**silver, **changed_too(silver), **known})
        if query.unfed and list(selected(file, file.unfed, {})) != list(columns):
            file.report(file.unfed.line, f"has to select what `-- rows` does: {', '.join(columns)}")
        known[name] = dict.fromkeys(columns, "string")
        if query.follows_changes:
            known.update(changed_too({name: known[name]}))
        wrong += file.problems
    return known, wrong
