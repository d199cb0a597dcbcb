"""Column lineage, found in what is declared: silver's expressions over raw fields, gold's queries, and the warehouse's views.

Only at the operator's desk: what is found rides in the deployed project (headwater/config/lineage.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, find_all_in_scope, traverse_scope
from sqlglot.schema import MappingSchema

from headwater.config import JsonStream, Project, Stream, Table
from headwater.config.lineage import Lineage, Origins
from headwater.config.table import SCD2_COLUMNS
from headwater.deploy.gold_sql import DIALECT, Columns, silver_columns

_AFFECTED = "affected"
_DECIDING = ("where", "having", "qualify", "group", "joins")


@dataclass(frozen=True)
class _Found:
    """Of what the columns of a query are made, and what else decides which rows it has, as `table.column`."""

    columns: dict[str, frozenset[str]]
    rows: frozenset[str]


def lineage_of(project: Project, root: Path) -> Lineage:
    """Finds the lineage of every column of silver and gold, and of the views that the files below `root` make of gold."""
    silver: Origins = {name: _of_silver(project, table) for name, table in project.tables.items()}
    gold: Origins = {}
    rows: dict[str, tuple[str, ...]] = {}
    for name, table in project.gold.items():
        known: dict[str, _Found] = {}
        tables: dict[str, Mapping[str, str]] = {**silver_columns(project)}
        for shared, query in table.shared.items():
            known[shared] = of_query(query.rows, tables, known)
            tables[shared] = dict.fromkeys(known[shared].columns, "string")
        found = of_query(table.rows, tables, known)
        gold[name] = {column: _named("silver", found.columns.get(column, ())) for column in table.columns}
        rows[f"gold.{name}"] = _named("silver", found.rows)
    views: Origins = {}
    made: dict[str, Mapping[str, str]] = {
        name: {column: declared.type for column, declared in table.columns.items()}
        for name, table in project.gold.items()
    }
    for path in sorted((root / "sql" / "redshift" / "views").glob("*.sql")):
        view = sqlglot.parse_one(path.read_text(), read="redshift").expression
        if {table.name for table in view.find_all(exp.Table)} <= made.keys():
            found = of_query(view.sql("redshift"), made, {}, "redshift")
            views[path.stem] = {column: _named("gold", origins) for column, origins in found.columns.items()}
            rows[f"analytics.{path.stem}"] = _named("gold", found.rows)
    return Lineage(silver=silver, gold=gold, views=views, rows=rows)


def _named(zone: str, columns: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{zone}.{name}" for name in sorted(columns))


def _of_silver(project: Project, table: Table) -> dict[str, tuple[str, ...]]:
    """Of which fields of which streams each column of a silver table is made."""
    feeding = [
        (f"{source.name}.{name}", stream)
        for source in project.sources.values()
        for name, stream in source.streams.items()
        if stream.table == table.table
    ]
    found = {
        column: tuple(f"{name}.{field}" for name, stream in feeding for field in fields_of(stream, column))
        for column in table.columns
    }
    # What a version's validity is told by.
    version = found.get(table.version or "", ())
    return found | {name: version for name in SCD2_COLUMNS if name in table.types}


def fields_of(stream: Stream, column: str) -> list[str]:
    """The raw fields that a stream tells a column of its table by, as the stream spells them, whichever parser reads its rows."""
    expressions = [stream.columns.get(column, f"`{column}`")]
    if isinstance(stream, JsonStream):
        expressions += [told.columns[column] for told in stream.parsers.values() if column in told.columns]
    spelled = {name.lower(): name for name in stream.raw_fields or ()}
    named = (
        node.parts[0].name
        for expression in expressions
        if expression is not None
        for node in sqlglot.parse_one(f"SELECT {expression}", read=DIALECT).find_all(exp.Column)
    )
    return list(dict.fromkeys(spelled.get(name.lower(), name) for name in named))


def of_query(sql: str, tables: Columns, known: Mapping[str, _Found], dialect: str = DIALECT) -> _Found:
    """Finds the lineage of a query over tables; of those among them that are queries themselves, theirs is `known`."""
    tree: Any = sqlglot.parse_one(sql, read=dialect)
    for condition in tree.find_all(exp.In):
        # Which rows an increment computes anew is no part of what the rows are.
        if any(table.name == _AFFECTED for table in condition.find_all(exp.Table)):
            condition.replace(exp.true())
    schema = MappingSchema({name: dict(columns) for name, columns in tables.items()}, dialect=dialect)
    tree = qualify(tree, dialect=dialect, schema=schema, validate_qualify_columns=False, identify=False)
    return _Query(tree, known).found()


class _Query:
    """A qualified query, whose columns are followed through its subqueries."""

    def __init__(self, tree: Any, known: Mapping[str, _Found]) -> None:
        self._known = known
        self._scopes = traverse_scope(tree)
        self._outputs: dict[tuple[int, int], frozenset[str]] = {}

    def found(self) -> _Found:
        """What each column is made of, and what decides which rows there are."""
        outer = self._scopes[-1]
        names = [select.alias_or_name for select in outer.expression.selects]
        columns = {name: self._output(outer, place) for place, name in enumerate(names)}
        return _Found(columns, frozenset().union(*(self._deciding(scope) for scope in self._scopes)))

    def _deciding(self, scope: Scope) -> Iterator[str]:
        for source in scope.sources.values():
            if isinstance(source, exp.Table) and source.name in self._known:
                yield from self._known[source.name].rows
        for clause in _DECIDING:
            parts = scope.expression.args.get(clause) or ()
            for part in parts if isinstance(parts, list) else [parts] if parts else ():
                yield from self._part(part, scope)

    def _output(self, scope: Scope, place: int) -> frozenset[str]:
        """Of what a column of a subquery is made, by its place."""
        key = id(scope), place
        if key not in self._outputs:
            inner = scope.set_operation_scopes
            self._outputs[key] = (
                frozenset().union(*(self._output(one, place) for one in inner))
                if isinstance(scope.expression, exp.SetOperation)
                else self._part(scope.expression.selects[place], scope)
            )
        return self._outputs[key]

    def _part(self, part: Any, scope: Scope) -> frozenset[str]:
        """What a part of a subquery reads, with what it selects from others within."""
        found: set[str] = set()
        for column in find_all_in_scope(part, exp.Column):
            found |= self._column(column, scope)
        for inner in scope.subquery_scopes:
            if part is inner.expression or any(node is part for node in _around(inner.expression)):
                found = found.union(*(self._output(inner, place) for place in range(len(inner.expression.selects))))
        return frozenset(found)

    def _column(self, column: Any, scope: Scope) -> frozenset[str]:
        around: Scope | None = scope
        while around is not None and column.table not in around.sources:
            around = around.parent
        source = around.sources[column.table] if around is not None else None
        if isinstance(source, Scope):
            names = [select.alias_or_name for select in getattr(source.expression, "selects", ())]
            if column.name in names:
                return self._output(source, names.index(column.name))
            # Of a generator, such as LATERAL VIEW explode: all that it is given.
            return self._part(source.expression, source)
        if not isinstance(source, exp.Table):
            return frozenset()
        if source.name in self._known:
            return self._known[source.name].columns.get(column.name, frozenset())
        return frozenset() if source.name == _AFFECTED else frozenset({f"{source.name}.{column.name}"})


def _around(node: Any) -> Iterator[Any]:
    while node is not None:
        yield node
        node = node.parent
