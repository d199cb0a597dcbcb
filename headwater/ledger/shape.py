"""The shape of rows, learnt from the rows themselves: which fields they have, and of which types.

A field's *type* is the JSON type of its values (for Parquet the column's type); several are joined by `|`, and `?` at the end
says that some row lacked the field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Fields = Mapping[str, str]
MOST_UNDECLARED = 500
"""Fields of a stream that are known though nobody declared them; `headwater source forget-fields` makes room for others."""
MOST_NEW = 100
"""Fields that one batch may teach."""
LONGEST_NAME = 127
"""Of a field that is learnt: no engine takes a longer one for a column."""


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
    """What rows taught of their fields: how many rows had each, with which types, and how many are of a shape without it.

    Of fields that are not `expected` there is `room` for some; the others stay in the rows and are counted as `left_out`.
    """

    expected: frozenset[str] = frozenset()
    room: int = MOST_NEW
    left_out: int = 0
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
            if name not in self.seen and not self._admits(name):
                self.left_out += 1
                continue
            self.seen[name] = self.seen.get(name, 0) + 1
            kind = type_of(value)
            known = self.types.setdefault(name, set())
            if kind not in known:
                known.add(kind)

    def _admits(self, name: str) -> bool:
        """Whether a field that no row has had yet may be learnt; what it takes of the room is taken."""
        if name in self.expected:
            return True
        if len(name) > LONGEST_NAME or self.room <= 0:
            return False
        self.room -= 1
        return True

    @classmethod
    def beside(cls, known: Fields, declared: frozenset[str]) -> Learned:
        """Nothing yet, of a stream with fields that are known and some that are declared."""
        undeclared = len(known.keys() - declared)
        return cls(declared.union(known), max(0, min(MOST_NEW, MOST_UNDECLARED - undeclared)))

    @classmethod
    def of_columns(cls, columns: Fields) -> Learned:
        """Takes the columns of Parquet files, by name and type."""
        seen, types = dict.fromkeys(columns, 1), {name: {kind} for name, kind in columns.items()}
        return cls(frozenset(columns), rows=1, seen=seen, types=types)

    def merge(self, other: Learned) -> None:
        """Adds what other rows of the same batch taught."""
        self.rows += other.rows
        self.left_out += other.left_out
        for name, count in other.seen.items():
            if name not in self.seen and not self._admits(name):
                self.left_out += count
                continue
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
        """Lists how the rows differ from what was known before; the very first rows only from what is declared, if anything is."""
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


def relation_changes(before: Mapping[str, str] | None, now: Mapping[str, str] | None) -> tuple[FieldChange, ...]:
    """Lists how the columns of a relation differ from those before; nothing where nobody noted either."""
    if before is None or now is None:
        return ()
    return (
        *(FieldChange(field=name, change="new", after=f"{now[name]}, not read") for name in now if name not in before),
        *(FieldChange(field=name, change="missing", before=before[name]) for name in before if name not in now),
        *(
            FieldChange(field=name, change="retyped", before=before[name], after=now[name])
            for name in now
            if name in before and now[name] != before[name]
        ),
    )


def retyped(now: Fields, known: Fields) -> dict[str, str]:
    """The types that earlier batches had of columns which have another one now; none of a column that had several."""
    before = {name: kind.rstrip("?") for name, kind in known.items() if "|" not in kind}
    return {name: before[name] for name, kind in now.items() if before.get(name, kind) not in (kind, "")}


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
    """True when a row has another shape than the rows before it: a new field, a missing one, or one of another type."""
    for name, value in row.items():
        if name not in known:
            if name not in declared:
                return True
            continue
        types, _ = _types(known[name])
        if value is not None and types - {"null"} and type_of(value) not in types:
            return True
    return any(name not in row and kind and not kind.endswith("?") for name, kind in known.items())
