"""A table of the warehouse as COPY fills it: its columns, and the way in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from psycopg import sql

from local.gateway.redshift.lexemes import RedshiftError

Session = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Column:
    """A column of a table in the warehouse."""

    name: str
    type: str
    """As PostgreSQL's format_type says it, without the modifier: `character varying`, `numeric`."""
    modifier: int
    not_null: bool
    identity: bool

    @property
    def length(self) -> int | None:
        """Greatest number of bytes of a string column."""
        is_string = self.type in {"character varying", "character"}
        return self.modifier - 4 if is_string and self.modifier >= 4 else None

    @property
    def precision_and_scale(self) -> tuple[int, int]:
        """Digits of a decimal, and those after the point."""
        packed = self.modifier - 4
        return packed >> 16 & 0xFFFF, packed & 0x7FF

    @property
    def declared(self) -> str:
        """The type in Redshift's words."""
        match self.type:
            case "character varying":
                return f"VARCHAR({self.length})"
            case "character":
                return f"CHAR({self.length})"
            case "numeric":
                return "DECIMAL({}, {})".format(*self.precision_and_scale)
            case "jsonb":
                return "SUPER"
            case _:
                return self.type.upper()


def columns_of(session: Session, table: list[str], names: list[str]) -> list[Column]:
    """The columns that are filled, in the order of the file: those named, or all that fill none themselves."""
    rows = session.execute(
        """SELECT attname, format_type(atttypid, NULL), atttypmod, attnotnull, attidentity <> '' FROM pg_attribute
           WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum""",
        [sql.Identifier(*table).as_string(session)],
    ).fetchall()
    columns = {row[0]: Column(*row) for row in rows}
    if missing := [name for name in names if name not in columns]:
        raise RedshiftError(f'column "{missing[0]}" of relation "{".".join(table)}" does not exist')
    return (
        [columns[name] for name in names] if names else [column for column in columns.values() if not column.identity]
    )


@contextmanager
def copy_into(session: Session, table: list[str], columns: list[Column], options: str) -> Iterator[psycopg.Copy]:
    """Opens PostgreSQL's own COPY of CSV into a table, with further options of its WITH list."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv{})").format(
        sql.Identifier(*table),
        sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
        sql.SQL(cast("Any", options)),
    )
    with session.cursor() as cursor, cursor.copy(statement) as target:
        yield target
