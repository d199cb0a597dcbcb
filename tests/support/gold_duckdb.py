"""Queries of gold tables asked of DuckDB, which plans one in milliseconds: what it answers otherwise, Spark would too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from string import Template
from typing import Any

import duckdb
import pyarrow as pa
import sqlglot
from pyspark.sql.pandas.types import to_arrow_schema
from sqlglot import exp

from tests.support.gold_cases import VALUES, Case, Gold

_FUNCTIONS = """
CREATE MACRO make_dt_interval(days) AS to_days(days);
CREATE MACRO days_from(first, last) AS
    [CAST(day AS DATE) FOR day IN generate_series(CAST(first AS TIMESTAMP), CAST(last AS TIMESTAMP), INTERVAL 1 DAY)];
"""
"""What sqlglot does not write in DuckDB's words."""


def alike(gold: Gold, case: Case, queries: Mapping[str, str]) -> set[str]:
    """Names the texts of `rows` that DuckDB does not take, or that give what is expected, before a case's step and after it."""
    assert case.then is not None
    steps = ((case, gold.inputs(case), False), (case.then, gold.changed(case), True))
    left = dict(queries)
    for state, changed, increment in steps:
        expected = gold.expected(state)
        with gold.named(gold.inputs(state), changed, increment=increment) as affected, duckdb.connect() as tables:
            _copy(gold, tables)
            kept = gold.left(case, affected) if increment else Counter()
            left = {
                name: sql
                for name, sql in left.items()
                if (rows := _asked(tables, sql)) is None or kept + rows == expected
            }
    return {*left}


def _copy(gold: Gold, tables: duckdb.DuckDBPyConnection) -> None:
    """Copies what `rows` reads and Spark knows by name: moments are UTC's."""
    tables.execute(_FUNCTIONS)
    tables.execute("SET TimeZone = 'UTC'")
    tree = sqlglot.parse_one(gold.declared.rows, read="spark")
    for name in {table.name for table in tree.find_all(exp.Table)} - {query.alias for query in tree.find_all(exp.CTE)}:
        frame = gold.spark.table(name)
        rows = [row.asDict() for row in frame.collect()]
        tables.from_arrow(pa.Table.from_pylist(rows, to_arrow_schema(frame.schema))).create(name)


def _asked(tables: duckdb.DuckDBPyConnection, sql: str) -> Counter[Any] | None:
    """The rows of a query of Spark's SQL; None where DuckDB does not take it."""
    try:
        answer = tables.execute(_translated(sql)).fetchall()
    except duckdb.Error:
        return None
    return Counter(tuple(map(_plain, row)) for row in answer)


def _translated(sql: str) -> str:
    tree = sqlglot.parse_one(Template(sql).substitute(VALUES), read="spark")
    return str(tree.transform(_of_days).sql("duckdb"))


def _of_days(node: Any) -> Any:
    """Gold's sequences are of days, which DuckDB's are not."""
    if isinstance(node, exp.GenerateSeries):
        return exp.Anonymous(this="days_from", expressions=[node.args["start"], node.args["end"]])
    return node


def _plain(value: Any) -> Any:
    """A value as Spark hands it out, whose moments are UTC's and say no zone."""
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) and value.tzinfo else value
