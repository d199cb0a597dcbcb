"""Translates Athena's SQL to DuckDB's: sqlglot does the bulk, this module the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

CATALOG = "awsdatacatalog"

SESSION_SETUP = (
    "LOAD icu",
    "SET TimeZone = 'UTC'",
    # sqlglot writes lambdas with an arrow.
    "SET lambda_syntax = 'ENABLE_SINGLE_ARROW'",
    # Athena divides integers as integers, and refuses to divide by zero.
    "SET integer_division = true",
    "SET memory_limit = '2GB'",
    "SET threads = 2",
    # In Athena a date plus an interval is a date.
    """CREATE MACRO plus_interval(moment DATE, span) AS (moment + span)::DATE,
                    (moment TIMESTAMP, span) AS moment + span,
                    (moment TIMESTAMPTZ, span) AS moment + span,
                    (moment TIME, span) AS moment + span,
                    (moment INTERVAL, span) AS moment + span""",
    """CREATE MACRO truncated(unit, moment DATE) AS date_trunc(unit, moment)::DATE,
                    (unit, moment TIMESTAMP) AS date_trunc(unit, moment),
                    (unit, moment TIMESTAMPTZ) AS date_trunc(unit, moment)""",
    "CREATE MACRO at_timezone(moment, zone) AS timezone(zone, moment)",
    """CREATE MACRO to_iso8601(moment DATE) AS strftime(moment, '%Y-%m-%d'),
                    (moment TIMESTAMP) AS strftime(moment, '%Y-%m-%dT%H:%M:%S.%g'),
                    (moment TIMESTAMPTZ) AS strftime(moment, '%Y-%m-%dT%H:%M:%S.%gZ')""",
    "CREATE MACRO from_iso8601_date(said) AS CAST(said AS DATE)",
    "CREATE MACRO json_format(document) AS CAST(document AS VARCHAR)",
    """CREATE MACRO sequence(first, last) AS generate_series(first, last),
                    (first, last, step) AS generate_series(first, last, step)""",
)


class AthenaError(Exception):
    """What Athena would answer, as its StateChangeReason says it."""


class SyntaxRefusedError(AthenaError):
    """Athena refuses the text at once, without an execution."""


class Action(Enum):
    """What a text asks Athena to do."""

    QUERY = auto()
    SHOW_DATABASES = auto()
    SHOW_TABLES = auto()
    DESCRIBE = auto()
    CREATE_VIEW = auto()
    DROP_VIEW = auto()


@dataclass(frozen=True)
class TableName:
    """A table of the catalog; names are in lower case."""

    database: str
    name: str


@dataclass(frozen=True)
class Request:
    """A text of Athena's SQL, understood."""

    action: Action
    query: exp.Expression | None = None
    """The DuckDB tree of a query, or of a view's definition."""
    tables: frozenset[TableName] = frozenset()
    subject: TableName | None = None
    """The database of SHOW TABLES (without a name), or the table of DESCRIBE, or the view."""
    pattern: str | None = None
    original: str = ""
    """A view's definition as it was written."""
    replaces: bool = False

    @property
    def statement_type(self) -> str:
        """DML, DDL or UTILITY."""
        match self.action:
            case Action.QUERY:
                return "DML"
            case Action.CREATE_VIEW | Action.DROP_VIEW:
                return "DDL"
        return "UTILITY"

    @property
    def sql(self) -> str:
        """The query for DuckDB."""
        return self.query.sql("duckdb") if self.query is not None else ""


_SHOW_DATABASES = re.compile(r"SHOW\s+(?:DATABASES|SCHEMAS)(?:\s+(?:LIKE\s+)?'(?P<pattern>[^']*)')?\s*$", re.IGNORECASE)
_SHOW_TABLES = re.compile(
    r"""SHOW\s+(?:TABLES|VIEWS)(?:\s+(?:IN|FROM)\s+[`"]?(?P<database>[\w-]+)[`"]?)?(?:\s+(?:LIKE\s+)?'(?P<pattern>[^']*)')?\s*$""",
    re.IGNORECASE,
)
_DESCRIBE = re.compile(
    r"""(?:DESCRIBE|DESC|SHOW\s+COLUMNS\s+(?:IN|FROM))\s+(?:[`"]?(?P<database>[\w-]+)[`"]?\.)?[`"]?(?P<name>[\w-]+)[`"]?\s*$""",
    re.IGNORECASE,
)


def understand(sql: str, database: str | None, parameters: Sequence[str] = ()) -> Request:
    """Parses a text; names without a database are looked for in `database`, `?` take `parameters` in order.

    Raises SyntaxRefusedError for a text that Athena could not parse or that the local Athena does not carry out.
    """
    text = re.sub(r"^(?:\s+|--[^\n]*\n|/\*.*?\*/)*", "", sql, flags=re.DOTALL).rstrip().rstrip(";")
    if match := _SHOW_DATABASES.match(text):
        return Request(Action.SHOW_DATABASES, pattern=match["pattern"])
    if match := _SHOW_TABLES.match(text):
        return Request(
            Action.SHOW_TABLES, subject=TableName(_database(match["database"], database), ""), pattern=match["pattern"]
        )
    if match := _DESCRIBE.match(text):
        name = TableName(_database(match["database"], database), match["name"].lower())
        return Request(Action.DESCRIBE, subject=name)
    tree = _parsed(text)
    match tree:
        case exp.Create(kind="VIEW"):
            return _create_view(tree, text, database)
        case exp.Drop(kind="VIEW"):
            return Request(Action.DROP_VIEW, subject=_name(tree.args["tables"][0], database))
        case exp.Query() | exp.Values():
            return _query(tree, database, parameters)
    raise SyntaxRefusedError(
        f"Queries of this type are not supported: {text.split(maxsplit=1)[0].upper()}. "
        "The local Athena reads: SELECT, SHOW, DESCRIBE and views. Glue jobs write the tables"
    )


def _create_view(tree: exp.Create, text: str, database: str | None) -> Request:
    definition = re.split(r"\bAS\b", text, maxsplit=1, flags=re.IGNORECASE)[1].strip()
    query = _query(_parsed(definition), database, ())
    return Request(
        Action.CREATE_VIEW,
        query.query,
        query.tables,
        _name(tree.this, database),
        original=definition,
        replaces=bool(tree.args.get("replace")),
    )


def _parsed(text: str, dialect: str = "athena") -> exp.Expression:
    try:
        trees = sqlglot.parse(text, read=dialect)
    except SqlglotError as error:
        told = re.sub(r"\x1b\[\d+m", "", str(error)).split("\n")[0]
        raise SyntaxRefusedError(f"line 1:1: mismatched input: {told}") from None
    if len(trees) != 1 or trees[0] is None:
        raise SyntaxRefusedError("Only one sql statement is allowed")
    return trees[0]


def _query(tree: exp.Expression, database: str | None, parameters: Sequence[str]) -> Request:
    _bind(tree, parameters)
    _name_columns(tree)
    tables = set()
    for table in list(tree.find_all(exp.Table)):
        if not isinstance(table.this, exp.Identifier) or (not table.db and _is_defined_above(table)):
            continue
        name = _name(table, database)
        tables.add(name)
        table.set("catalog", None)
        table.set("db", exp.to_identifier(name.database, quoted=True))
        table.set("this", exp.to_identifier(name.name, quoted=True))
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(name.name, quoted=True)))
    for node in reversed(list(tree.walk(bfs=False))):
        converted = _convert(node)
        if converted is not node:
            node.replace(converted)
    return Request(Action.QUERY, tree, frozenset(tables))


def _bind(tree: exp.Expression, parameters: Sequence[str]) -> None:
    holes = list(tree.find_all(exp.Placeholder, bfs=False))
    if len(holes) != len(parameters):
        raise SyntaxRefusedError(
            f"INVALID_PARAMETER_USAGE: Incorrect number of parameters: expected {len(holes)} but found {len(parameters)}"
        )
    if any(hole.find_ancestor(exp.Where) is None for hole in holes):
        raise SyntaxRefusedError("INVALID_PARAMETER_USAGE: a parameter is read only in a WHERE clause")
    for hole, said in zip(holes, parameters, strict=True):
        # Trino's: in Athena's dialect sqlglot takes a backslash for an escape, which it is in DDL alone.
        value: Any = _parsed(f"SELECT {said}", "trino").selects[0] if said.strip() else exp.Literal.string("")
        # A bare word is a string.
        hole.replace(exp.Literal.string(said) if isinstance(value, exp.Column) else value)


def _name_columns(tree: exp.Expression) -> None:
    """Gives columns without a name the one that Athena gives them: _col0, _col1 and so on."""
    select = tree
    while isinstance(select, exp.SetOperation | exp.Subquery):
        select = select.this
    if not isinstance(select, exp.Select):
        return
    named = [
        column
        if isinstance(column, exp.Alias | exp.Column | exp.Star) or column.is_star
        else exp.alias_(column, f"_col{at}")
        for at, column in enumerate(select.expressions)
    ]
    select.set("expressions", named)


def _is_defined_above(table: exp.Table) -> bool:
    """True for the name of a common table expression that is in sight."""
    node: Any = table
    while node := node.parent:
        if isinstance(node, exp.Query) and any(cte.alias.lower() == table.name.lower() for cte in node.ctes):
            return True
    return False


def _name(table: exp.Expression, database: str | None) -> TableName:
    if table.args.get("catalog") is not None and table.catalog.lower() != CATALOG:
        raise SyntaxRefusedError(f"CATALOG_NOT_FOUND: line 1:15: Catalog '{table.catalog}' not found")
    return TableName(_database(table.args["db"].name if table.args.get("db") else None, database), table.name.lower())


def _database(said: str | None, default: str | None) -> str:
    database = said or default
    if database is None:
        raise SyntaxRefusedError(
            "MISSING_SCHEMA_NAME: line 1:15: Schema must be specified when session schema is not set"
        )
    return database.lower()


def _convert(node: exp.Expression) -> exp.Expression:
    match node:
        case exp.Identifier() if node.name.lower() == "at":
            # DuckDB takes a bare `at` for the start of time travel.
            return exp.to_identifier(node.name, quoted=True)
        case exp.DateAdd():
            unit = exp.Var(this=node.args["unit"].name.upper() if node.args.get("unit") else "DAY")
            return _plus_interval(node.this, exp.Mul(this=exp.Interval(this=exp.Literal.string("1"), unit=unit),
                                                     expression=exp.paren(node.expression.copy())))  # fmt: skip
        case exp.TimestampTrunc() | exp.DateTrunc():
            unit = exp.Literal.string(node.args["unit"].name)
            return exp.Anonymous(this="truncated", expressions=[unit, node.this.copy()])
        case exp.Add() if isinstance(node.expression, exp.Interval):
            return _plus_interval(node.this, node.expression)
        case exp.Add() if isinstance(node.this, exp.Interval):
            return _plus_interval(node.expression, node.this)
        case exp.Sub() if isinstance(node.expression, exp.Interval):
            return _plus_interval(node.this, exp.Mul(this=node.expression.copy(), expression=exp.Literal.number(-1)))
    return node


def _plus_interval(moment: exp.Expression, span: exp.Expression) -> exp.Expression:
    return exp.Anonymous(this="plus_interval", expressions=[moment.copy(), span.copy()])
