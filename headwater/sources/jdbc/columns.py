"""How a column of a database travels: as the driver gives it, or as the text that the database itself writes of its values.

A driver's own types hold less than a database's: no NaN, no day beyond the calendar, no 26 hours. A text holds every value, and is
the same from a table as from the change log. What becomes of it is decided afterwards, row by row (typed.py, docs/types.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from headwater.config.relation import raw_name

_SIZES = re.compile(r"\((\d+)(?:,\s*(-?\d+))?\)")
_LARGEST = 38
_SCALE_OF_ANY = 18

_POSTGRES = {
    "smallint": "smallint",
    "integer": "int",
    "bigint": "bigint",
    "oid": "decimal(20,0)",
    "boolean": "boolean",
    "real": "float",
    "double precision": "double",
    "bytea": "binary",
    "date": "date",
    "bit(1)": "boolean",
}
_AS_THE_DRIVER_GIVES_THEM = {"smallint", "int", "bigint", "boolean", "float", "double", "binary", "string"}
_TEXTS = ("text", "character", "character varying", '"char"', "name", "bpchar")


@dataclass(frozen=True)
class Column:
    """A column as the database calls it, its type there, and the Spark SQL type that a raw row has of it.

    `text` is SQL of its values as text, None where the driver gives them as they are; then a `type` of Spark's may be None as
    well, as the driver knows it.
    """

    name: str
    declared: str
    type: str | None
    text: str | None = None
    generated: bool = False

    @property
    def raw(self) -> str:
        """Its name in a raw row."""
        return raw_name(self.name)


def of_postgres(name: str, declared: str, quoted: str, *, generated: bool = False) -> Column:
    """A column of PostgreSQL, by its type as format_type() writes it, domains being what they are made of."""
    type_ = spark_type_of_postgres(declared)
    base = declared.partition("(")[0]
    if declared.endswith("[]"):
        # Of elements as text, a number in JSON would be a double.
        text: str | None = f"array_to_json({quoted}::text[])::text"
    elif declared.endswith("with time zone") and base.startswith("timestamp"):
        # Whatever the session's zone is.
        text = f"({quoted} AT TIME ZONE 'UTC')::text"
    elif type_ in _AS_THE_DRIVER_GIVES_THEM and (type_ != "string" or base in _TEXTS) and declared != "bit(1)":
        text = None
    else:
        text = f"{quoted}::text"
    return Column(name, declared, type_, text, generated)


def spark_type_of_postgres(declared: str) -> str:
    """The Spark SQL type of a type of PostgreSQL."""
    if declared.endswith("[]"):
        element = declared.removesuffix("[]")
        # Of a time, and of bits, an array is one of texts.
        return (
            f"array<{'string' if element.startswith(('time ', 'time(', 'bit')) else spark_type_of_postgres(element)}>"
        )
    if declared.partition("(")[0] == "numeric":
        return _decimal(declared)
    if declared.startswith("timestamp"):
        return "timestamp"
    return _POSTGRES.get(declared, "string")


def of_mysql(name: str, declared: str, quoted: str) -> Column:
    """A column of MySQL or MariaDB, by its type as information_schema writes it."""
    base = re.split(r"[( ]", declared)[0]
    match base:
        case "date" | "datetime" | "timestamp":
            # 0000-00-00 is how old applications write that there is none.
            text = f"IF({quoted} = 0, NULL, CAST({quoted} AS CHAR))"
            return Column(name, declared, "date" if base == "date" else "timestamp", text)
        case "time" | "inet4" | "inet6":
            return Column(name, declared, "string", f"CAST({quoted} AS CHAR)")
        case "bit" if declared != "bit(1)":
            return Column(name, declared, "bigint", f"CAST({quoted} + 0 AS CHAR)")
        case "decimal" if int(_sizes(declared)[0]) > _LARGEST:
            return Column(name, declared, _decimal(declared), f"CAST({quoted} AS CHAR)")
        case _:
            return Column(name, declared, None)


def _decimal(declared: str) -> str:
    """The decimal that has the most of a type's values: all of them where 38 digits do."""
    precision, scale = _sizes(declared)
    if precision == 0:
        return f"decimal({_LARGEST},{_SCALE_OF_ANY})"
    digits = max(precision, scale) - min(scale, 0)
    return f"decimal({min(digits, _LARGEST)},{min(max(scale, 0), _LARGEST)})"


def _sizes(declared: str) -> tuple[int, int]:
    """The precision and scale that a type declares; 0 where it declares none."""
    sizes = _SIZES.search(declared)
    return (0, 0) if sizes is None else (int(sizes[1]), int(sizes[2] or 0))
