"""Raw rows as JSON lines, with what the pipeline adds to them, and what is learnt of their shape on the way.

A field's *type* is the JSON type of its values (for Parquet the column's type); several are joined by `|`, and `?` at the end
says that some row lacked the field.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

ACCOUNT = "_account"
PARSER = "_parser"
PROBLEM = "_problem"
ADDED = (ACCOUNT, PARSER, PROBLEM)
"""Fields that the pipeline adds to a JSON row, besides those that the stream declares."""

Problem = Literal[
    "schema_drift",
    "not_json",
    "not_an_object",
    "bad_encoding",
    "bad_header",
    "bad_row",
    "bad_avro",
    "not_framed",
    "schema_by_guid",
    "unknown_schema",
    "tombstone",
    "too_large",
    "unreadable_file",
]
"""Why a row cannot be read at all; the reason it has in quarantine, whatever else is wrong with it."""

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode

Row = dict[str, Any]
Fields = Mapping[str, str]


class FieldChange(BaseModel):
    """One way in which a batch's rows differ from the rows before them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str
    change: Literal["new", "missing", "retyped"]
    before: str | None = None
    after: str | None = None

    def __str__(self) -> str:
        match self.change:
            case "new":
                return f"new field {self.field} ({self.after})"
            case "missing":
                return f"field {self.field} ({self.before}) is missing"
            case _:
                return f"field {self.field} was {self.before} and is {self.after}"


@dataclass
class Learned:
    """What rows taught of their fields: how many rows had each, with which types, and how many are of a shape without it."""

    rows: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    types: dict[str, set[str]] = field(default_factory=dict)
    foreign: dict[str, int] = field(default_factory=dict)

    def row(self, row: Mapping[str, Any], foreign: Iterable[str] = ()) -> None:
        """Learns from one JSON row, of a shape to which some declared fields are foreign."""
        self.rows += 1
        for name in foreign:
            self.foreign[name] = self.foreign.get(name, 0) + 1
        for name, value in row.items():
            self.seen[name] = self.seen.get(name, 0) + 1
            kind = type_of(value)
            known = self.types.setdefault(name, set())
            if kind not in known:
                known.add(kind)

    @classmethod
    def of_columns(cls, columns: Fields) -> Learned:
        """Takes the columns of Parquet files, by name and type."""
        return cls(1, dict.fromkeys(columns, 1), {name: {kind} for name, kind in columns.items()})

    def merge(self, other: Learned) -> None:
        """Adds what other rows of the same batch taught."""
        self.rows += other.rows
        for name, count in other.seen.items():
            self.seen[name] = self.seen.get(name, 0) + count
            self.types.setdefault(name, set()).update(other.types[name])
        for name, count in other.foreign.items():
            self.foreign[name] = self.foreign.get(name, 0) + count

    def fields(self, known: Fields) -> dict[str, str]:
        """Joins what was known before with what was learnt; a field that no row's shape has had so far has no type."""
        joined = {}
        for name in sorted({*known, *self.seen, *self.foreign}):
            types, optional = _types(known.get(name, ""))
            types |= self.types.get(name, set())
            lacking = self.rows - self.foreign.get(name, 0) - self.seen.get(name, 0)
            absent = bool(types) and (lacking > 0 or (bool(known) and name not in known))
            joined[name] = "|".join(sorted(types - {"null"} or types)) + ("?" if optional or absent else "")
        return joined

    def changes(self, known: Fields, declared: Iterable[str]) -> tuple[FieldChange, ...]:
        """Tells how the rows differ from what was known before; the first rows of all only from what is declared, if it is."""
        expected = {*(name for name, kind in known.items() if kind), *declared}
        if not expected:
            return ()
        found = [
            FieldChange(field=name, change="new", after="|".join(sorted(self.types[name])))
            for name in sorted(self.seen.keys() - expected)
        ]
        for name, kind in sorted(known.items()):
            before, optional = _types(kind)
            after = self.types.get(name, set())
            if not before:
                continue
            if self.rows > self.foreign.get(name, 0) and name not in self.seen and not optional:
                found.append(FieldChange(field=name, change="missing", before=kind))
            elif before - {"null"} and after - before - {"null"}:
                retyped = "|".join(sorted(after - {"null"}))
                found.append(FieldChange(field=name, change="retyped", before=kind.rstrip("?"), after=retyped))
        return tuple(found)


def _types(kind: str) -> tuple[set[str], bool]:
    return {name for name in kind.rstrip("?").split("|") if name}, kind.endswith("?")


def type_of(value: Any) -> str:
    """Names the JSON type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float() | Decimal():
            return "number"
        case str():
            return "string"
        case Mapping():
            return "object"
        case _:
            return "array"


def deviates(row: Mapping[str, Any], known: Fields, declared: frozenset[str]) -> bool:
    """Tells whether a row has another shape than the rows before it: a new field, a missing one, or one of another type."""
    for name, value in row.items():
        if name not in known:
            if name not in declared:
                return True
            continue
        types, _ = _types(known[name])
        if value is not None and types - {"null"} and type_of(value) not in types:
            return True
    return any(name not in row and kind and not kind.endswith("?") for name, kind in known.items())


@dataclass
class RowFile:
    """Writes rows into one gzip file of JSON lines, and learns their shape; with `flag`, rows of another shape get a problem."""

    path: Path
    known: Fields
    declared: frozenset[str]
    flag: bool = False
    learned: Learned = field(default_factory=Learned)
    rows: int = 0
    foreign: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._file = gzip.open(self.path, "wt", encoding="ascii", compresslevel=6)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> RowFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def without(self, foreign: frozenset[str]) -> None:
        """Expects none of some fields, which only rows of another shape have."""
        self.foreign = foreign
        self.known = {name: kind for name, kind in self.known.items() if name not in foreign}
        self.declared -= foreign

    def write(self, row: Mapping[str, Any], **added: str | None) -> str:
        """Writes one row with the fields that the pipeline adds to it; returns its line."""
        problem = added.get(PROBLEM)
        if not problem:
            self.learned.row(row, self.foreign)
            if self.flag and deviates(row, self.known, self.declared):
                added[PROBLEM] = "schema_drift"
        line = to_line({**row, **{name: value for name, value in added.items() if value}})
        self._file.write(f"{line}\n")
        self.rows += 1
        return line


def to_line(value: Any) -> str:
    """Writes a value as one line of compact ASCII JSON with sorted keys, decimals as the numbers they came as."""
    try:
        return _encode(value)
    except TypeError:
        # A decimal is in it, which the encoder cannot write as a number without making it a float.
        pass
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(key)}:{to_line(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(to_line(item) for item in value) + "]"
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} does not come out of JSON")
