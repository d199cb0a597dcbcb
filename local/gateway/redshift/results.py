"""Results of queries as the Data API tells them: columns with Redshift's types, and cells."""

from __future__ import annotations

from typing import Any

import psycopg

from local.gateway.redshift.executions import Result
from local.gateway.redshift.lexemes import RedshiftError
from local.gateway.redshift.table import Session

_LARGEST_RESULT = 500 << 20
_LARGEST_ROW = 64 << 10
_LONG, _DOUBLE, _BOOLEAN = {"int2", "int4", "int8", "oid"}, {"float4", "float8"}, {"bool"}
_TYPE_NAMES = {
    "jsonb": "super",
    "json": "super",
    "text": "varchar",
    "bytea": "varbyte",
    "unknown": "varchar",
    "name": "varchar",
}


def query(session: Session, command: str) -> tuple[int, Result | None]:
    """Runs one command, and returns how many rows it made or changed and, of a query, what it found."""
    with session.cursor() as cursor:
        cursor.execute(command.encode())
        answer = cursor.pgresult
        if cursor.description is None or answer is None:
            return max(cursor.rowcount, 0), None
        columns = [_column(session, column) for column in cursor.description]
        rows = [[answer.get_value(row, at) for at in range(answer.nfields)] for row in range(answer.ntuples)]
    result = Result(columns, rows)
    if result.largest_row > _LARGEST_ROW:
        raise RedshiftError("ERROR: Packet for query is too large: the Data API returns rows of 64 KB at most")
    if result.size > _LARGEST_RESULT:
        raise RedshiftError(
            "ERROR: Database response exceeded size limit: the Data API returns 500 MB at most. hint: UNLOAD"
        )
    return len(rows), result


def _column(session: Session, column: psycopg.Column) -> dict[str, Any]:
    known = session.adapters.types.get(column.type_code)
    kind = known.name if known else "varchar"
    return {
        "name": column.name,
        "label": column.name,
        "typeName": _TYPE_NAMES.get(kind, kind),
        "isCaseSensitive": kind in {"varchar", "text", "bpchar"},
        "isCurrency": False,
        "isSigned": kind in {*_LONG, *_DOUBLE, "numeric"},
        "length": 0,
        "nullable": 1,
        "precision": column.precision or column.display_size or 0,
        "scale": column.scale or 0,
        "schemaName": "",
        "tableName": "",
    }


def cell(value: bytes | None, kind: str) -> dict[str, Any]:
    """Renders one value, of a column of this type, as a Field of the Data API."""
    if value is None:
        return {"isNull": True}
    if kind in _LONG:
        return {"longValue": int(value)}
    if kind in _DOUBLE and value not in {b"NaN", b"Infinity", b"-Infinity"}:
        return {"doubleValue": float(value)}
    if kind in _BOOLEAN:
        return {"booleanValue": value == b"t"}
    return {"stringValue": value.decode()}
