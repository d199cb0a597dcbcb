"""Raw rows as a table's typed columns: every value cast, and what a cast would have altered remembered."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config import JsonStream, Stream, Table
from headwater.lake.columns import BATCH, FILE, RAW, ROW
from headwater.ledger.raw import PARSER, PROBLEM, UNREAD
from headwater.quality.conformed import conformed
from headwater.quality.exact import exact

UNREADABLE = "_unreadable"
"""The column that names those of a row's columns whose values no cast gives back."""


def typed(stream: Stream, table: Table, raw: DataFrame, also: Mapping[str, Column] | None = None) -> DataFrame:
    """Casts raw rows of a stream to the typed columns of the table that it feeds, and applies the table's rules to them.

    What a cast would alter is NULL.
    Keeps the row as it came, its place, the problem of one that cannot be read, and the names of columns that did not; `also` are
    further columns that are made of the raw row.
    """
    cast = cast_columns(stream, {name: column.type for name, column in table.sourced.items()}, raw)
    columns = [made.alias(name) for name, (_, made) in cast.items()]
    lost = [F.when(told.isNotNull() & made.isNull(), F.lit(name)) for name, (told, made) in cast.items()]
    problem = F.col(PROBLEM) if isinstance(stream, JsonStream) else F.lit(None).cast("string").alias(PROBLEM)
    as_it_came = F.struct(*[F.col(f"`{name}`") for name in raw.columns if name not in {BATCH, FILE, ROW}]).alias(RAW)
    lost += [F.when(was_unread, F.lit(name)) for name, was_unread in _unread(stream, table, raw).items()]
    told = F.array_except(F.array(*lost), F.array(F.lit(None).cast("string"))).alias(UNREADABLE)
    more = [column.alias(name) for name, column in (also or {}).items()]
    return conformed(table, raw.select(*columns, BATCH, FILE, ROW, problem, told, as_it_came, *more))


def _unread(stream: Stream, table: Table, raw: DataFrame) -> dict[str, Column]:
    """By column that is made of what a row may lack since nothing could read it there: whether this row lacks it."""
    if UNREAD not in raw.columns:
        return {}
    names = F.coalesce(F.json_object_keys(UNREAD), F.array().cast("array<string>"))
    made_of = {
        name: [field for field in raw.columns if re.search(rf"(?i)(?<!\w){re.escape(field)}(?!\w)", expression)]
        for name in table.columns
        if (expression := stream.columns.get(name, name)) is not None
    }
    return {name: F.arrays_overlap(names, F.array(*map(F.lit, fields))) for name, fields in made_of.items() if fields}


def cast_columns(stream: Stream, types: Mapping[str, str], raw: DataFrame) -> dict[str, tuple[Column, Column]]:
    """What a stream tells of raw rows, column by column, and the same cast to its type: NULL where the cast would alter a value."""
    values = {name: _value(stream, name) for name in types}
    given = raw.select(*[value.alias(name) for name, value in values.items()]).schema
    wanted = {name: T._parse_datatype_string(type_) for name, type_ in types.items()}  # noqa: SLF001 - nothing public reads a type and keeps a varchar's width
    return {name: (value, exact(value, given[name].dataType, wanted[name])) for name, value in values.items()}


def _value(stream: Stream, name: str) -> Column:
    """A column's expression; that of the row's own parser where it has one."""
    expression = stream.columns.get(name, f"`{name}`")
    value = F.lit(None) if expression is None else F.expr(expression)
    for parser, shape in stream.parsers.items() if isinstance(stream, JsonStream) else ():
        if name in shape.columns:
            value = F.when(F.col(PARSER) == parser, F.expr(shape.columns[name])).otherwise(value)
    return value
