"""Raw rows as a table's typed columns: every value cast, and what could not be cast remembered."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.config import JsonStream, Stream, Table
from headwater.lake.columns import BATCH, FILE, RAW, ROW
from headwater.ledger.raw import PARSER, PROBLEM

UNREADABLE = "_unreadable"
"""The column that names those of a row's columns whose values could not be cast."""


def typed(stream: Stream, table: Table, raw: DataFrame) -> DataFrame:
    """Casts raw rows of a stream to the typed columns of the table that it feeds.

    Keeps the row as it came, its place, the problem of one that cannot be read, and the names of columns that did not.
    """
    unreadable = []
    values = []
    for name, column in table.columns.items():
        value = _value(stream, name)
        cast = value.cast(column.type)
        values.append(cast.alias(name))
        if isinstance(stream, JsonStream) and column.type != "string":
            unreadable.append(F.when(value.isNotNull() & cast.isNull(), F.lit(name)))
    lost = F.array_compact(F.array(*unreadable)) if unreadable else F.array().cast("array<string>")
    problem = F.col(PROBLEM) if isinstance(stream, JsonStream) else F.lit(None).cast("string").alias(PROBLEM)
    as_it_came = F.struct(*[F.col(f"`{name}`") for name in raw.columns if name not in {BATCH, FILE, ROW}]).alias(RAW)
    return raw.select(*values, BATCH, FILE, ROW, problem, lost.alias(UNREADABLE), as_it_came)


def _value(stream: Stream, name: str) -> Any:
    """A column's expression; that of the row's own parser where it has one."""
    expression = stream.columns.get(name, f"`{name}`")
    value = F.lit(None) if expression is None else F.expr(expression)
    for parser, shape in stream.parsers.items() if isinstance(stream, JsonStream) else ():
        if name in shape.columns:
            value = F.when(F.col(PARSER) == parser, F.expr(shape.columns[name])).otherwise(value)
    return value
