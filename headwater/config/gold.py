"""What a gold table is: what the header of its SQL file declares, and what was found in its two queries when it was deployed."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator, Field

from headwater.config.strict import Name, Strict

_TYPE = re.compile(r"([A-Z]+(?: PRECISION)?)(?:\((\d+)(?:, (\d+))?\))?")
# For each of the warehouse's types the type that Spark gives its values, and how many arguments it takes.
_TYPES = {
    "BIGINT": ("bigint", 0),
    "BOOLEAN": ("boolean", 0),
    "CHAR": ("string", 1),
    "DATE": ("date", 0),
    "DECIMAL": ("decimal", 2),
    "DOUBLE PRECISION": ("double", 0),
    "INTEGER": ("int", 0),
    "REAL": ("float", 0),
    "SMALLINT": ("smallint", 0),
    "TIMESTAMP": ("timestamp", 0),
    "VARCHAR": ("string", 1),
}
_ARGUMENTS = ("", "(length)", "(precision, scale)")
_MOST = {"CHAR": 4096, "VARCHAR": 65535, "DECIMAL": 38}


def _warehouse_type(text: str) -> str:
    match = _TYPE.fullmatch(text)
    arguments = [int(number) for number in (match.groups()[1:] if match else ()) if number is not None]
    if not match or match[1] not in _TYPES or len(arguments) != _TYPES[match[1]][1]:
        known = ", ".join(f"{name}{_ARGUMENTS[taken]}" for name, (_, taken) in _TYPES.items())
        raise ValueError(f"type {text} unknown; known: {known}")
    if arguments and not (1 <= arguments[0] <= _MOST[match[1]] and all(scale <= arguments[0] for scale in arguments)):
        raise ValueError(f"type {text} is out of bounds: the warehouse's {match[1]} has 1 to {_MOST[match[1]]}")
    return text


class GoldColumn(Strict):
    """A column of a gold table: its type in the warehouse, such as `DECIMAL(18, 2)`, what it means, and in what it is counted."""

    type: Annotated[str, AfterValidator(_warehouse_type)]
    note: str
    unit: str | None = None

    @property
    def spark_type(self) -> str:
        """The type of its values in the lake, as Spark spells it."""
        name, *arguments = _parts(self.type)
        spark = _TYPES[name][0]
        return f"decimal({','.join(arguments)})" if spark == "decimal" else spark

    @property
    def most_bytes(self) -> int | None:
        """Bytes that a text may have in the warehouse, in UTF-8; None for what is no text."""
        name, *arguments = _parts(self.type)
        return int(arguments[0]) if _TYPES[name][0] == "string" else None


def _parts(warehouse_type: str) -> list[str]:
    match = _TYPE.fullmatch(warehouse_type)
    assert match is not None  # noqa: S101 - the validator took it
    return [part for part in match.groups() if part is not None]


class SharedQuery(Strict):
    """A query that several gold tables read by its name, as a file of sql/shared/ says it once."""

    inputs: tuple[Name, ...] = Field(description="Silver tables and shared queries that it reads itself.")
    rows: str
    unfed: str | None = Field(
        None, description="What it is where nothing feeds its tables; None where it cannot do without."
    )
    follows_changes: bool = Field(
        description="Whether changed rows of its tables alone tell which of its rows have changed."
    )


class GoldTable(Strict):
    """A gold table as `deploy` writes it, so that no job parses SQL."""

    purpose: str
    owner: str = Field(description="Who answers for what the numbers mean.")
    grain: tuple[Name, ...] = Field(min_length=1, description="Columns that identify a row; they are never null.")
    distribution: str = Field(description="The warehouse's: ALL, AUTO, EVEN or KEY (column).")
    sort_key: tuple[Name, ...] = Field(min_length=1)
    columns: dict[Name, GoldColumn] = Field(min_length=1)
    inputs: tuple[Name, ...] = Field(
        min_length=1, description="Silver tables that the queries read, also by shared ones."
    )
    optional: tuple[Name, ...] = Field((), description="Inputs without which it can be made where nothing feeds them.")
    shared: dict[Name, SharedQuery] = Field(
        {}, description="The shared queries that it reads, each after those that it reads itself."
    )
    affected: str
    rows: str

    def fed_by(self, tables: Collection[str]) -> GoldTable | None:
        """The table where only some silver tables are fed; None where it cannot be made of them, or of nothing."""
        lacking = {name for name in self.inputs if name not in tables}
        if not lacking <= set(self.optional) or lacking == set(self.inputs):
            return None
        shared = {
            name: query.model_copy(update={"inputs": (), "rows": query.unfed})
            if query.unfed and lacking & set(query.inputs)
            else query
            for name, query in self.shared.items()
        }
        return self.model_copy(
            update={"inputs": tuple(name for name in self.inputs if name in tables), "optional": (), "shared": shared}
        )
