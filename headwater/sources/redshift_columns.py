"""How a column of Redshift travels: as UNLOAD writes its type to Parquet, or as text where a reader of Parquet has no such type.

A day outside the years from 1 to 9999 is NULL, and stands in `_unread` beside it, as text (docs/types.md).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from headwater.config.relation import raw_name
from headwater.errors import FatalSourceError
from headwater.ledger.raw import UNREAD
from headwater.sources.relation import double_quoted

_AS_THEY_ARE = {
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "real",
    "double precision",
    "boolean",
    "character",
    "character varying",
    "super",
    # SUPER, as PostgreSQL calls what stands in for it.
    "jsonb",
    "bytea",
    "binary varying",
}
_MOMENTS = {"date", "timestamp without time zone", "timestamp with time zone"}
# UNLOAD writes them to no Parquet, and no text has all of them.
_UNLOADED_BY_NOTHING = {"geometry", "geography", "hllsketch"}


@dataclass(frozen=True)
class Column:
    """A column as Redshift calls it, and its type there."""

    name: str
    declared: str

    @property
    def raw(self) -> str:
        """Its name in a raw row."""
        return raw_name(self.name)

    @property
    def lost(self) -> str | None:
        """SQL of whether its value is none that is read; None where that cannot be."""
        if self.declared not in _MOMENTS:
            return None
        name = double_quoted(self.name)
        return f"({name} < '0001-01-01' OR {name} >= '10000-01-01')"

    @property
    def value(self) -> str:
        """SQL of its value as it travels; FatalSourceError for a type that cannot."""
        name, base = double_quoted(self.name), self.declared.partition("(")[0]
        if base in _UNLOADED_BY_NOTHING:
            raise FatalSourceError(
                f"{self.name}: type {base} cannot be unloaded. hint: read a view that makes text of it"
            )
        if self.lost is not None:
            return f"CASE WHEN {self.lost} THEN NULL ELSE {name} END"
        return name if base in _AS_THEY_ARE else f"{name}::VARCHAR"


def declared(type_: str, precision: str | None, scale: str | None) -> str:
    """A type of svv_columns, with the digits that it has."""
    return f"{type_}({precision},{scale or 0})" if type_ == "numeric" and precision else type_


def travelling(columns: Sequence[Column]) -> str:
    """What stands after SELECT, of columns as they travel, and what is unread of them beside."""
    told = [
        f"COALESCE(CASE WHEN {column.lost} THEN {key_of(column)} || {double_quoted(column.name)}::VARCHAR || '\"' END, '')"
        for column in columns
        if column.lost is not None
    ]
    unread = f"NULLIF('{{' || SUBSTRING({' || '.join(told)}, 2) || '}}', '{{}}')" if told else "NULL::VARCHAR"
    values = [f"{column.value} AS {double_quoted(column.raw)}" for column in columns]
    return ", ".join([*values, f"{unread} AS {UNREAD}"])


def key_of(column: Column) -> str:
    """SQL of what stands before a column's value in JSON."""
    return quoted(f',{json.dumps(column.raw, ensure_ascii=False)}:"')


def quoted(text: str) -> str:
    """A text as it stands in SQL."""
    return "'{}'".format(text.replace("'", "''"))
