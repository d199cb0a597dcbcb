"""Which Spark SQL type a database's column has, as Spark's JDBC reader takes it."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMERIC = re.compile(r"^(?:numeric|decimal)\((\d+),(\d+)\)")
_LARGEST_PRECISION = 38


def _decimal(type_: str) -> str:
    sizes = _NUMERIC.match(type_)
    if sizes is None:
        return "decimal(38,18)"
    return f"decimal({min(int(sizes[1]), _LARGEST_PRECISION)},{sizes[2]})"


def of_postgres(type_: str) -> str:
    """The Spark SQL type of a column, as Spark's JDBC reader has it."""
    known = {
        "smallint": "smallint",
        "integer": "int",
        "bigint": "bigint",
        "real": "float",
        "double precision": "double",
        "boolean": "boolean",
        "date": "date",
        "bytea": "binary",
    }
    if type_.startswith("numeric") and not type_.endswith("]"):
        return _decimal(type_)
    if type_.startswith("timestamp") and not type_.endswith("]"):
        return "timestamp"
    return known.get(type_, "string")


def of_mysql(type_: str) -> str:
    """The Spark SQL type of a column, as Spark's JDBC reader has it."""
    base: Sequence[str] = re.split(r"[( ]", type_.lower())
    unsigned = "unsigned" in type_.lower()
    match base[0]:
        case "decimal" | "numeric":
            return _decimal(type_.lower())
        case "bigint":
            return "decimal(20,0)" if unsigned else "bigint"
        case "int" | "integer":
            return "bigint" if unsigned else "int"
        case "tinyint" | "smallint" | "mediumint" | "year":
            return "int"
        case "bit":
            return "boolean" if type_.lower() == "bit(1)" else "bigint"
        case "float" | "double" | "date":
            return base[0]
        case "datetime" | "timestamp":
            return "timestamp"
        case "binary" | "varbinary" | "blob" | "tinyblob" | "mediumblob" | "longblob":
            return "binary"
        case _:
            return "string"
