"""JDBC sources: rows beyond the bookmark keys, read in parallel by hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from . import bookmarks

Options = dict[str, Any]


@dataclass(frozen=True)
class Dialect:
    """What differs between databases; `{}` stands for a column or an expression."""

    driver: str
    text: str
    hash: str
    remainder: str


DIALECTS = {
    "postgresql": Dialect(
        driver="org.postgresql.Driver",
        text="CAST({} AS varchar)",
        hash="hashtext(CAST({} AS varchar))",
        remainder="mod(abs(CAST({} AS bigint)), {})",
    ),
    "mysql": Dialect(
        driver="com.mysql.cj.jdbc.Driver",
        text="CAST({} AS char)",
        hash="crc32({})",
        remainder="mod(abs({}), {})",
    ),
}


def read(session: SparkSession, engine: str, options: Options, context: str) -> DataFrame | None:
    """Reads a table or `(subquery) alias`; None when no row lies beyond the bookmark keys."""
    dialect = DIALECTS[engine]
    condition: str | None = None
    bookmark = bookmarks.current()
    keys = _keys(options)
    if bookmark is not None and context and keys:
        ascending = str(options.get("jobBookmarkKeysSortOrder", "asc")).lower() != "desc"
        lower = bookmark.lower.get(context)
        if bookmark.upper is None:
            last = _last(session, dialect, options, keys, ascending)
        else:
            last = bookmark.upper.get(context, {}).get("values")
        if last is None or (lower is not None and lower["values"] == last):
            return None
        bookmark.move(context, {"kind": "jdbc", "keys": keys, "values": last})
        condition = _between(keys, None if lower is None else lower["values"], last, ascending)
    predicates = _predicates(dialect, options, condition)
    properties = _properties(dialect, options)
    return session.read.jdbc(options["url"], options["dbtable"], predicates=predicates, properties=properties)


def _keys(options: Options) -> list[str]:
    keys = options.get("jobBookmarkKeys") or []
    return [key.strip() for key in keys.split(",")] if isinstance(keys, str) else list(keys)


def _properties(dialect: Dialect, options: Options) -> dict[str, str]:
    return {
        "user": options["user"],
        "password": options["password"],
        "driver": dialect.driver,
        "fetchsize": str(options.get("fetchsize", 10_000)),
    }


def _last(
    session: SparkSession, dialect: Dialect, options: Options, keys: Sequence[str], ascending: bool
) -> list[str] | None:
    # The position is fixed before the rows are read, so that rows that arrive meanwhile are the next run's.
    order = ", ".join(f"{key} {'DESC' if ascending else 'ASC'}" for key in keys)
    present = " AND ".join(f"{key} IS NOT NULL" for key in keys)
    columns = ", ".join(f"{dialect.text.format(key)} AS k{number}" for number, key in enumerate(keys))
    query = f"SELECT {columns} FROM {options['dbtable']} WHERE {present} ORDER BY {order} LIMIT 1"
    properties = _properties(dialect, options)
    row = session.read.jdbc(options["url"], f"({query}) newest", properties=properties).first()
    return None if row is None else [str(value) for value in row]


def _between(keys: Sequence[str], low: Sequence[str] | None, high: Sequence[str], ascending: bool) -> str:
    columns = _tuple(keys)
    beyond, within = (">", "<=") if ascending else ("<", ">=")
    conditions = [f"{columns} {within} {_tuple([_literal(value) for value in high])}"]
    if low is not None:
        conditions.append(f"{columns} {beyond} {_tuple([_literal(value) for value in low])}")
    return " AND ".join(conditions)


def _tuple(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"


def _literal(value: str) -> str:
    # A quoted literal takes the type of the column that it is compared with.
    return "'" + value.replace("'", "''") + "'"


def _predicates(dialect: Dialect, options: Options, condition: str | None) -> list[str]:
    field, expression = options.get("hashfield"), options.get("hashexpression")
    number = int(options.get("hashpartitions", 7))
    if (field is None and expression is None) or number < 2:
        return [condition or "1 = 1"]
    hashed = expression if expression is not None else dialect.hash.format(field)
    remainder = dialect.remainder.format(hashed, number)
    parts = [f"{remainder} = {part}" for part in range(number)]
    # Rows without a value belong to some partition too.
    parts[0] = f"({parts[0]} OR {expression if expression is not None else field} IS NULL)"
    return [part if condition is None else f"({condition}) AND {part}" for part in parts]
