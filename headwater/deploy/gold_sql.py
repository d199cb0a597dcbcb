"""The queries of gold tables, parsed as Spark's SQL: which silver tables and columns they read, and what is wrong with them.

Only at the operator's desk: what jobs need of a query rides in the deployed project (headwater/config/gold.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from string import Template
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.resolver import Resolver
from sqlglot.optimizer.scope import Scope, traverse_scope
from sqlglot.schema import MappingSchema

from headwater.config import Project
from headwater.config.gold import GoldTable, SharedQuery
from headwater.deploy.gold_file import GoldFile, Problem, Query, SqlFile
from headwater.errors import ConfigError
from headwater.validate.expressions import UNREAD, unknown_functions, unknown_types, unreadable, wrong_patterns

DIALECT = "spark"
PLACEHOLDERS = ("reporting_currency", "business_time_zone", "attribution_days")
_AFFECTED = "affected"
_CHANGED = "changed_"
_SILVER = re.compile(r"[a-z][a-z0-9_]{0,62}")
_UNNAMED = "_col_"  # sqlglot's name of a selected expression that has none

Columns = Mapping[str, Mapping[str, str]]
"""The columns of tables: Spark's type by column by table."""


def silver_columns(project: Project) -> Columns:
    """Lists the columns of every silver table, with those that a history of versions has besides."""
    return {name: table.types for name, table in project.silver.items()}


def gold_table(table: str, text: str, shared: Mapping[str, SharedQuery] | None = None) -> GoldTable:
    """Reads sql/gold/<table>.sql without a look at silver; ConfigError lists what is wrong, with file and line.

    `shared` are the queries that it may read by name, each after those that it reads itself.
    """
    file = GoldFile(table, text)
    trees = [parsed(file, query) for query in (file.affected, file.rows)] if not file.problems else []
    refuse(file.problems)
    read = reads(trees)
    used = _used(read, shared or {})
    direct = {*read, *(name for query in used.values() if query.unfed is None for name in query.inputs)} - used.keys()
    inputs = _inputs(file, {*direct, *(name for query in used.values() for name in query.inputs)} - used.keys())
    refuse(file.problems)
    return GoldTable(
        purpose=file.purpose,
        owner=file.fields["Owner"],
        grain=file.grain,
        distribution=file.fields["Distribution"],
        sort_key=file.sort_key,
        columns=file.columns,
        inputs=inputs,
        optional=tuple(name for name in inputs if name not in direct),
        shared=used,
        affected=file.affected.text.strip(),
        rows=file.rows.text.strip(),
    )


def problems(table: str, text: str, silver: Columns, shared: Columns | None = None) -> list[Problem]:
    """Lists what is wrong with sql/gold/<table>.sql, by line: header, syntax, tables and columns that do not exist.

    `shared` are the columns of shared queries, and of what has changed in them.
    """
    file = GoldFile(table, text)
    if not file.rows.text:
        return file.problems
    known_tables = {**silver, **changed_too(silver), **(shared or {})}
    grain = {name: file.columns[name].spark_type for name in file.grain if name in file.columns}
    affected = selected(file, file.affected, known_tables)
    for name, line in affected.items():
        if name not in grain and len(grain) == len(file.grain) > 0:
            file.report(line, f"affected selects {name}, which is not in the grain: {', '.join(file.grain)}")
    # Where the one cannot be read, the other tells what it should select.
    known = {name: grain.get(name, "string") for name in affected} or grain
    if known:
        _compare(file, selected(file, file.rows, {**known_tables, _AFFECTED: known}))
    if not file.problems:
        _inputs(file, reads([parsed(file, query) for query in (file.affected, file.rows)]))
    return sorted(file.problems)


def changed_too(tables: Columns) -> dict[str, Mapping[str, str]]:
    """The columns of what has changed in tables."""
    return {f"{_CHANGED}{name}": columns for name, columns in tables.items()}


def reads(trees: Iterable[Any]) -> set[str]:
    """Finds what queries read by name, also what has changed in it: silver tables and shared queries."""
    return {_name(table).removeprefix(_CHANGED) for tree in trees for table in _tables(tree)} - {_AFFECTED}


def _used(read: set[str], shared: Mapping[str, SharedQuery]) -> dict[str, SharedQuery]:
    """The shared queries among what is read, and those that these read, in their order."""
    used = set(read)
    for name in reversed([*shared]):
        if name in used:
            used.update(shared[name].inputs)
    return {name: query for name, query in shared.items() if name in used}


def _inputs(file: GoldFile, named: set[str]) -> tuple[str, ...]:
    """Lists what is read; reports names that no silver table can have, and that there are none."""
    inputs = sorted(named)
    for name in inputs:
        if not _SILVER.fullmatch(name):
            file.report(file.affected.line, f"table {name} unknown. hint: silver tables are read by their bare name")
    if not inputs:
        file.report(file.affected.line, "reads no silver table, so nothing would ever be computed")
    return tuple(inputs)


def refuse(found: list[Problem]) -> None:
    """Raises ConfigError with all problems, if there are any."""
    if found:
        raise ConfigError("\n".join(map(str, found)))


def _compare(file: GoldFile, selected: dict[str, int]) -> None:
    """Holds the header's columns to those that `rows` selects; says nothing where it could not be read."""
    lacking = [name for name in selected if name not in file.columns]
    unused = [name for name in file.columns if name not in selected] if selected else []
    if len(lacking) == len(unused):
        for name, other in zip(lacking, unused, strict=True):
            file.report(selected[name], f"rows selects {name} where the header names {other}")
        if selected and not lacking and list(selected) != list(file.columns):
            order = ", ".join(selected)
            file.report(file.rows.line, f"rows selects its columns in another order than the header: {order}")
        return
    for name in lacking:
        file.report(selected[name], f"rows selects {name}, which the header lacks: add `-- {name} TYPE: note`")
    for name in unused:
        file.report(file.line_of(name), f"the header names {name}, which rows does not select")


def selected(file: SqlFile, query: Query, tables: Columns) -> dict[str, int]:
    """Finds the columns that a query selects, with their lines; reports what is wrong with it, and then finds none."""
    tree = parsed(file, query)
    if tree is None or not _tables_exist(file, query, tree, tables):
        return {}
    read = {_name(table) for table in _tables(tree)}
    schema = MappingSchema({name: dict(tables[name]) for name in sorted(read)}, dialect=DIALECT)
    for join in tree.find_all(exp.Join):
        # Columns of the other side do not go on, so there is nothing to merge, which sqlglot would try.
        if join.kind in {"SEMI", "ANTI"}:
            join.set("using", None)
    try:
        # What cannot be resolved is left as it is, and all of it is reported below, each in its own line.
        tree = qualify(
            tree, dialect=DIALECT, schema=schema, allow_partial_qualification=True, validate_qualify_columns=False
        )
        wrong = list(_unresolved(tree, schema))
    except UNREAD as error:
        file.report(query.line, " ".join(str(error).split()))
        return {}
    for column, message in wrong:
        file.report(_line(query, column), message)
    if wrong:
        return {}
    found: dict[str, int] = {}
    for select in tree.selects:
        if select.alias_or_name in found:
            file.report(_line(query, select), f"selects {select.alias_or_name} twice")
        found.setdefault(select.alias_or_name, _line(query, select))
    return found


def parsed(file: SqlFile, query: Query) -> Any:
    """Parses a query; reports what is wrong and returns None."""
    for number, line in enumerate(query.text.splitlines(), query.line):
        template = Template(line)
        unknown = sorted(set(template.get_identifiers()) - set(PLACEHOLDERS))
        if unknown or not template.is_valid():
            file.report(
                number,
                f"${{{', '.join(unknown) or '…'}}} is no placeholder; known: ${{{', '.join(PLACEHOLDERS)}}}. hint: a $ "
                "that is meant as one is $$",
            )
            return None
    if wrong := next(unreadable(query.text), None):
        start, problem = wrong
        file.report(query.line + query.text.count("\n", 0, start), problem)
        return None
    try:
        found = [tree for tree in sqlglot.parse(query.text, read=DIALECT) if tree is not None]
    except ParseError as error:
        first = error.errors[0]
        file.report(query.line + (first["line"] or 1) - 1, f"{first['description']}, at `{first['highlight']}`")
        return None
    except TokenError as error:
        ends = query.text[: error.start or 0].count("\n")
        file.report(query.line + ends, f"{str(error).splitlines()[0]}. hint: a quote or a comment is left open")
        return None
    except UNREAD:
        file.report(query.line, "not readable: arguments are missing, or too many brackets lie in one another")
        return None
    if len(found) != 1 or not isinstance(found[0], exp.Query):
        file.report(query.line, "must be one query")
        return None
    for start, problem in unknown_functions(
        query.text, {alias.name.lower() for alias in found[0].find_all(exp.TableAlias)}
    ):
        file.report(query.line + query.text.count("\n", 0, start), problem)
    for problem in (*unknown_types(query.text, found[0]), *wrong_patterns(found[0])):
        file.report(query.line, problem)
    return found[0]


def _tables_exist(file: SqlFile, query: Query, tree: Any, tables: Columns) -> bool:
    reads = _tables(tree)
    unknown = [table for table in reads if _name(table) not in tables]
    silver = ", ".join(sorted(name for name in tables if not name.startswith(_CHANGED) and name != _AFFECTED))
    for table in unknown:
        file.report(_line(query, table), f"table {_name(table)} unknown; known, each also as {_CHANGED}…: {silver}")
    if _AFFECTED in tables and _AFFECTED not in map(_name, reads):
        file.report(query.line, f"rows never reads {_AFFECTED}, so each run would compute every row")
        return False
    return not unknown


def _tables(tree: Any) -> list[Any]:
    """Finds the tables that a query reads, which are none of its own subqueries."""
    return [
        source
        for scope in traverse_scope(tree)
        for source in scope.sources.values()
        if isinstance(source, exp.Table)
        and not isinstance(source.this, exp.Func)
        and source.name not in scope.cte_sources
    ]


def _name(table: Any) -> str:
    return ".".join(part.name for part in table.parts).lower()


def _unresolved(tree: Any, schema: MappingSchema) -> Iterator[tuple[Any, str]]:
    """Finds the columns of a qualified query that no table has, or several."""
    seen = set()
    for scope in traverse_scope(tree):
        # What PIVOT makes of its rows' values is Spark's to judge.
        if not isinstance(scope.expression, exp.Select) or scope.pivots:
            continue
        for column in scope.columns:
            # A column of an outer query is a column of each scope between.
            if id(column) in seen:
                continue
            seen.add(id(column))
            message = _wrong(column, scope, schema)
            if message:
                yield column, message


def _wrong(column: Any, scope: Scope, schema: MappingSchema) -> str | None:
    around: Scope | None = scope
    while around is not None and column.table and column.table not in around.sources:
        around = around.parent if around.can_be_correlated else None
    if around is None:
        return f"{column.table}.{column.name}: {column.table} is no table of this query"
    resolver = Resolver(around, schema)
    known = {
        name: resolver.get_source_columns(name) for name in ([column.table] if column.table else scope.selected_sources)
    }
    # A generator such as inline() names its columns itself.
    if any(name.startswith(_UNNAMED) for columns in known.values() for name in columns or [_UNNAMED]):
        return None
    having = [name for name, columns in known.items() if column.name in columns]
    if len(having) == 1:
        return None
    if having:
        return f"column {column.name} is ambiguous: {' and '.join(having)} have it"
    columns = "; ".join(f"{name} has {', '.join(columns)}" for name, columns in known.items())
    return f"column {column.name} unknown: {columns or 'the query reads no table'}"


def _line(query: Query, node: Any) -> int:
    """The line of the file on which a part of a query stands."""
    found = (part.meta["line"] for part in node.walk() if part.meta.get("line"))
    return query.line + int(next(found, 1)) - 1
