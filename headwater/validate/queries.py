"""The queries of the query API, parsed as Athena's SQL: what they select, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from headwater.config import Project, Query
from headwater.config.fit import Types
from headwater.config.gold import GoldTable
from headwater.config.strict import Place, unknown

# Which answer otherwise each time, though gold stays as it is.
_RESTLESS = (exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.Rand, exp.Uuid, exp.CurrentUser)
_NO_SELECT = "must be one SELECT that is readable as Athena's SQL"
_RESTLESS_NAMES = {"now", "localtime", "localtimestamp", "random", "rand", "uuid", "shuffle"}


def of_queries(project: Project, gold: Mapping[str, Types], unread: Set[str]) -> Iterator[tuple[Place, str]]:
    """Where a query reads what is not there, or what it may not; one of a table whose file could not be read waits for that."""
    for name, query in project.queries.items():
        if unread & {*query.reads}:
            continue
        yield from ((("queries", name, *place), problem) for place, problem in _of_query(query, gold))


def of_consumers(project: Project) -> Iterator[tuple[Place, str]]:
    """Where a consumer may ask what is no query."""
    api = project.environment.query_api
    for name, consumer in api.consumers.items() if api else ():
        for number, query in enumerate(consumer.queries):
            if query not in project.queries:
                place = ("environment", "query_api", "consumers", name, "queries", number)
                yield place, unknown("query", query, project.queries)


def of_saved_query(text: str, gold: Mapping[str, Types]) -> Iterator[str]:
    """What is wrong with a query of sql/athena, which Athena's workgroup offers: its first line says what it answers."""
    if not text.startswith("-- "):
        yield "must open with `-- ` and what it answers"
    tree = _parsed(text)
    if not isinstance(tree, exp.Query):
        yield _NO_SELECT
        return
    unknown_tables = [unknown("gold table", table, gold) for table in sorted(_tables(tree) - gold.keys())]
    yield from unknown_tables
    if not unknown_tables:
        yield from _unresolved(tree, gold)


def selected(query: Query, gold: Mapping[str, GoldTable]) -> dict[str, exp.DataType]:
    """The columns that a query selects, with their types; SqlglotError when it cannot be told."""
    schema = _schema(
        {name: {n: column.spark_type for n, column in table.columns.items()} for name, table in gold.items()}
    )
    tree: Any = annotate_types(_qualified(sqlglot.parse_one(query.text, read="athena"), schema), schema=schema)
    return {column.alias_or_name: column.type for column in tree.selects}


def _of_query(query: Query, gold: Mapping[str, Types]) -> Iterator[tuple[Place, str]]:
    for number, table in enumerate(query.reads):
        if table not in gold:
            yield ("reads", number), unknown("gold table", table, gold)
    tree = _parsed(query.text)
    if not isinstance(tree, exp.Query):
        yield ("sql",), _NO_SELECT
        return
    found = list(_wrong(tree, query, gold))
    if not found and {*query.reads} <= gold.keys():
        found = list(_unresolved(tree, gold))
    yield from ((("sql",), problem) for problem in found)


def _parsed(text: str) -> Any:
    """The tree of a text, or None where it is not readable as one statement."""
    try:
        [tree] = sqlglot.parse(text, read="athena")
    except (SqlglotError, ValueError):
        return None
    return tree


def _tables(tree: Any) -> set[str]:
    """The tables that a statement reads, which are none of its own subqueries."""
    own = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    return {".".join(part.name for part in table.parts).lower() for table in tree.find_all(exp.Table)} - own


def _unresolved(tree: Any, gold: Mapping[str, Types]) -> Iterator[str]:
    """What cannot be told of the columns that a statement reads or selects."""
    try:
        names = [column.alias_or_name for column in _qualified(tree, _schema(gold)).selects]
    except SqlglotError as error:
        yield str(error).splitlines()[0]
        return
    for name in sorted({name for name in names if not name or name.startswith("_col_") or names.count(name) > 1}):
        yield f"selects {name or 'a column'}: each column needs a name of its own. hint: AS"


def _wrong(tree: exp.Expression, query: Query, gold: Mapping[str, Types]) -> Iterator[str]:
    tables = _tables(tree)
    for table in sorted(tables - gold.keys()):
        yield unknown("gold table", table, gold)
    if tables | {*query.reads} <= gold.keys() and tables != {*query.reads}:
        yield f"reads {', '.join(sorted(tables))}, and `reads` says {', '.join(sorted(query.reads))}"
    holes = list(tree.find_all(exp.Placeholder))
    if len(holes) != len(query.used):
        yield "has a question mark of its own. hint: :name is a parameter"
    if any(hole.find_ancestor(exp.Where) is None for hole in holes):
        yield "has a parameter outside of WHERE, where Athena takes none"
    restless = {node.sql(dialect="athena") for node in tree.find_all(*_RESTLESS)}
    restless |= {node.name for node in tree.find_all(exp.Anonymous) if node.name.lower() in _RESTLESS_NAMES}
    for said in sorted(restless):
        yield f"{said} answers otherwise each time, but an answer is kept as long as gold stays. hint: a parameter"


def _schema(columns: Mapping[str, Types]) -> MappingSchema:
    return MappingSchema({name: dict(types) for name, types in columns.items()}, dialect="spark")


def _qualified(tree: Any, schema: MappingSchema) -> Any:
    return qualify(tree.copy(), dialect="athena", schema=schema)
