"""Explores the warehouse through the Data API, with the caller's own AWS credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from headwater.config import RedshiftSource, Warehouse
from headwater.config.relation import raw_name
from headwater.errors import FatalSourceError, QueryError
from headwater.explore.found import Field, Found, Sample
from headwater.explore.relations import Column, found_in, lacking, sampled
from headwater.explore.secret import client
from headwater.sources.relation import double_quoted
from headwater.warehouse import data_api
from headwater.warehouse.data_api import Rows

# A workgroup that has been idle takes some time to answer.
_STATEMENT_SECONDS = 60.0
_TEXT = re.compile(r"^(character|varchar|text|super|time|json)")


@dataclass(frozen=True)
class RedshiftExplorer:
    """Explores the schemas of one warehouse."""

    source: RedshiftSource
    warehouse: Warehouse
    api: Any

    def check(self, stream: str) -> str:
        """Reads the relation's columns."""
        declared = self.source.streams[stream]
        names = self._query(f"SELECT * FROM {declared.relation} WHERE 1 = 0").columns
        lacking(declared.relation, names, declared)
        return f"{declared.relation} can be read, {len(names)} columns"

    def find(self) -> Iterator[Found]:
        """Finds the relations that the caller's database user may read."""
        return found_in(self._columns(), "redshift")

    def sample(self, stream: str, rows: int) -> Sample:
        """Reads some rows of a relation, in no order."""
        declared = self.source.streams[stream]
        relation = declared.relation
        read = self._query(f"SELECT {sampled(declared, double_quoted, {})} FROM {relation} LIMIT {rows}")
        schema, _, table = relation.lower().rpartition(".")
        known = {c[2]: c[3] for c in self._columns() if c[1] == table and schema in ("", c[0])}
        fields = tuple(Field(raw_name(name), known.get(name, "string")) for name in read.columns)
        return Sample([{f.name: _value(f, v) for f, v in zip(fields, row, strict=True)} for row in read.rows], fields)

    def _columns(self) -> list[Column]:
        answer = self._query(
            "SELECT c.table_schema, c.table_name, c.column_name, c.data_type, c.numeric_precision, c.numeric_scale, "
            "k.ordinal_position FROM information_schema.columns c "
            "LEFT JOIN information_schema.table_constraints t ON t.table_schema = c.table_schema "
            "AND t.table_name = c.table_name AND t.constraint_type = 'PRIMARY KEY' "
            "LEFT JOIN information_schema.key_column_usage k ON k.constraint_name = t.constraint_name "
            "AND k.table_schema = c.table_schema AND k.table_name = c.table_name AND k.column_name = c.column_name "
            "WHERE c.table_schema NOT IN ('information_schema', 'pg_catalog', 'pg_internal') "
            "ORDER BY c.table_schema, c.table_name, c.ordinal_position"
        )
        return [
            (str(schema), str(table), str(name), _type_of(str(kind), precision, scale), int(place or 0))
            for schema, table, name, kind, precision, scale, place in answer.rows
        ]

    def _query(self, sql: str) -> Rows:
        try:
            return data_api.query(self.api, self.warehouse, sql, _STATEMENT_SECONDS)
        except QueryError as error:
            said = " ".join(str(error).split())
            denied = "permission denied" in said
            hint = " hint: GRANT USAGE on the schema and SELECT to this database user" if denied else ""
            raise FatalSourceError(f"{said}.{hint}") from None


@contextmanager
def open_redshift(source: RedshiftSource, warehouse: Warehouse) -> Iterator[RedshiftExplorer]:
    """Opens the Data API of the environment's warehouse."""
    yield RedshiftExplorer(source, warehouse, client("redshift-data"))


def _type_of(kind: str, precision: str | None, scale: str | None) -> str:
    known = {
        "smallint": "smallint",
        "integer": "int",
        "bigint": "bigint",
        "real": "float",
        "double precision": "double",
    }
    if kind == "numeric":
        return f"decimal({precision or 38},{scale or 0})"
    if kind.startswith("timestamp"):
        return "timestamp"
    return "string" if _TEXT.match(kind) else known.get(kind, kind if kind in {"boolean", "date"} else "string")


def _value(field: Field, text: str | None) -> Any:
    """A value as Parquet would hold it: the Data API answers in text."""
    if text is None or field.type in {"string", "timestamp", "date"}:
        return text
    if field.type == "boolean":
        return text.lower() in {"true", "t"}
    if field.type in {"float", "double"}:
        return float(text)
    return Decimal(text) if field.type.startswith("decimal") else int(text)
