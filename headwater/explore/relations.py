"""What databases have in common: columns become relations, and relations become proposals of streams."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from headwater.config import RelationStream, WatermarkRead
from headwater.errors import ConfigError
from headwater.explore.found import Field, Found
from headwater.explore.infer import version_of

# What is declared is an Identifier; names of another kind are read through a view.
_PLAIN = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_INTEGERS = {"smallint", "int", "bigint"}
FILL_IN = "FILL_IN"

Column = tuple[str, str, str, str, int]
"""Schema, relation, column, Spark SQL type, and the place within the primary key, from 1; 0 outside of it."""


def found_in(columns: Iterable[Column], kind: str) -> Iterator[Found]:
    """Proposes a stream of a kind for each relation; columns come relation by relation, in order."""
    for (schema, relation), group in groupby(columns, key=lambda column: column[:2]):
        members = list(group)
        if _PLAIN.match(schema) and _PLAIN.match(relation):
            yield _found(schema, relation, members, kind)


def _found(schema: str, relation: str, columns: Sequence[Column], kind: str) -> Found:
    fields = tuple(Field(name.lower(), type_) for _, _, name, type_, _ in columns)
    types = {field.name: field.type for field in fields}
    key = tuple(name.lower() for _, _, name, _, place in sorted(columns, key=lambda c: c[4]) if place)
    version = version_of(fields)
    declares: dict[str, Any] = {"relation": f"{schema}.{relation}".lower()}
    if version is None and kind == "jdbc" and len(key) == 1 and types[key[0]] in _INTEGERS:
        # Only for rows that never change: the proposal says so beside it.
        declares["read"] = {"kind": "bookmark", "keys": list(key)}
    else:
        declares["read"] = {"kind": "watermark", "column": version or FILL_IN}
    if kind == "jdbc":
        numbers = [name for name in (*key, *types) if types[name] in _INTEGERS or types[name].endswith(",0)")]
        declares["partition_column"] = numbers[0] if numbers else FILL_IN
    if kind == "redshift":
        declares["row_id"] = key[0] if key else FILL_IN
    return Found(relation.lower(), f"{schema}.{relation}", fields, declares, key, version)


def sampled(stream: RelationStream, quoted: Callable[[str], str], there: Mapping[str, str]) -> str:
    """SQL of the columns that a sample shows: those that the stream reads, so that nobody sees what stays at the source.

    `there` holds what the database calls them by the name that is declared, where that is another one.
    """
    columns = stream.read_columns
    return "*" if columns is None else ", ".join(quoted(there.get(name, name)) for name in columns)


def lacking(where: str, columns: Iterable[str], stream: Any) -> None:
    """ConfigError when a relation lacks columns that its stream is read by."""
    there = {name.lower() for name in columns}
    read = stream.read
    named = [read.column] if isinstance(read, WatermarkRead) else list(getattr(read, "keys", ()))
    named += [name for name in (getattr(stream, "partition_column", None), getattr(stream, "row_id", None)) if name]
    missing = [name for name in dict.fromkeys(named) if name.lower() not in there]
    if missing:
        raise ConfigError(f"{where} has no column {', '.join(missing)}; known: {', '.join(sorted(there))}")
