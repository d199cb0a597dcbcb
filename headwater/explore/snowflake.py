"""Explores Snowflake through the production reader's own session, with shorter limits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from snowflake.connector.errors import ProgrammingError

from headwater.config import SnowflakeSource
from headwater.config.relation import raw_name
from headwater.errors import FatalSourceError
from headwater.explore.found import SECONDS, Field, Found, Sample
from headwater.explore.relations import Column, found_in, lacking, sampled
from headwater.explore.secret import Secret
from headwater.sources.relation import double_quoted
from headwater.sources.snowflake import connected

# Snowflake's words for what does not exist or may not be seen, which it does not tell apart.
_ABSENT = 2003


@dataclass(frozen=True)
class SnowflakeExplorer:
    """Explores one Snowflake database."""

    source: SnowflakeSource
    connection: Any

    def check(self, stream: str) -> str:
        """Reads the relation's columns."""
        declared = self.source.streams[stream]
        names, _ = self._query(f"SELECT * FROM {declared.relation} WHERE 1 = 0")
        lacking(declared.relation, names, declared)
        return f"{declared.relation} can be read, {len(names)} columns"

    def find(self) -> Iterator[Found]:
        """Finds the relations that this role may read."""
        return found_in(self._columns(), "snowflake")

    def sample(self, stream: str, rows: int) -> Sample:
        """Reads some rows of a relation, in no order."""
        declared = self.source.streams[stream]
        schema, _, table = declared.relation.upper().rpartition(".")
        columns = [c for c in self._columns() if c[1].upper() == table and schema in ("", c[0].upper())]
        known = {c[2].lower(): c[3] for c in columns}
        shown = sampled(declared, double_quoted, {c[2].lower(): c[2] for c in columns})
        names, read = self._query(f"SELECT {shown} FROM {declared.relation} LIMIT {rows}")
        fields = tuple(Field(raw_name(name.lower()), known.get(name.lower(), "string")) for name in names)
        return Sample([{f.name: v for f, v in zip(fields, row, strict=True)} for row in read], fields)

    def _columns(self) -> list[Column]:
        _, rows = self._query(
            "SELECT table_schema, table_name, column_name, data_type, numeric_precision, numeric_scale "
            f"FROM {self.source.database}.information_schema.columns WHERE table_schema <> 'INFORMATION_SCHEMA' "
            "ORDER BY table_schema, table_name, ordinal_position"
        )
        keys = self._keys()
        return [
            (
                str(schema),
                str(table),
                str(name),
                _type_of(str(kind), precision, scale),
                keys.get((schema, table, name), 0),
            )
            for schema, table, name, kind, precision, scale in rows
        ]

    def _keys(self) -> dict[tuple[str, str, str], int]:
        try:
            names, rows = self._query(f"SHOW PRIMARY KEYS IN DATABASE {self.source.database}")
        except FatalSourceError:
            # They are only a help: a key is for a person to declare.
            return {}
        places = [[name.lower() for name in names].index(wanted) for wanted in _KEY_COLUMNS]
        found = {}
        for row in rows:
            schema, table, column, sequence = (row[place] for place in places)
            found[(str(schema), str(table), str(column))] = int(sequence)
        return found

    def _query(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(sql, timeout=SECONDS)
                return [column.name for column in cursor.description], cursor.fetchall()
        except ProgrammingError as error:
            hint = (
                "hint: GRANT USAGE on database, schema and warehouse, and SELECT, to the role"
                if error.errno == _ABSENT
                else ""
            )
            raise FatalSourceError(f"{' '.join(str(error.msg).split())} {hint}".strip()) from None


_KEY_COLUMNS = ("schema_name", "table_name", "column_name", "key_sequence")


@contextmanager
def open_snowflake(source: SnowflakeSource, secret: Secret) -> Iterator[SnowflakeExplorer]:
    """Opens a session as the production reader does, but gives up soon."""
    with connected(source, secret.values, SECONDS, SECONDS) as connection:
        yield SnowflakeExplorer(source, connection)


def _type_of(kind: str, precision: Any, scale: Any) -> str:
    match kind:
        case "NUMBER" | "DECIMAL" | "NUMERIC":
            return "bigint" if not scale and int(precision or 38) <= 18 else f"decimal({precision or 38},{scale or 0})"
        case "FLOAT" | "DOUBLE" | "REAL":
            return "double"
        case "BOOLEAN" | "DATE" | "BINARY":
            return kind.lower()
        case _:
            return "timestamp" if kind.startswith("TIMESTAMP") else "string"
