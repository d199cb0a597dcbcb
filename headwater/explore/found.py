"""What is found in a source, and the contract of what explores one kind of source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from headwater.ledger.raw import Problem

SECONDS = 10
"""Bound of every connection and every request: a wrong host is told of, not waited for."""


@dataclass(frozen=True)
class Field:
    """A field of a row and the Spark SQL type that fits it."""

    name: str
    type: str


@dataclass(frozen=True)
class Found:
    """Something that can be read as a stream; `declares` is what a stream declares of it, beside its table.

    With `raw` its raw rows are JSON lines. `version` is the field that most likely orders the versions of a key. `table` is the
    silver table that a declared stream feeds already.
    """

    name: str
    place: str
    fields: tuple[Field, ...]
    declares: Mapping[str, Any]
    key: tuple[str, ...] = ()
    version: str | None = None
    raw: bool = False
    table: str | None = None


@dataclass(frozen=True)
class Sample:
    """Some rows as they come; `fields` are the columns of a typed row, None where raw rows are JSON lines.

    `records` and `schemas` are those of a Kafka topic, whose rows are decoded by Spark.
    """

    rows: Sequence[Mapping[str, Any]]
    fields: tuple[Field, ...] | None = None
    records: Sequence[Mapping[str, Any]] | None = None
    schemas: Mapping[int, Mapping[str, Any] | Problem] = field(default_factory=dict)


class Explorer(Protocol):
    """Explores one source over a connection that is open; nothing is made, moved or changed there."""

    def check(self, stream: str) -> str:
        """Says what was read of a declared stream; HeadwaterError says what is missing, and the way out."""
        ...

    def find(self) -> Iterator[Found]:
        """Finds what the source has to read."""
        ...

    def sample(self, stream: str, rows: int) -> Sample:
        """Reads some rows of a declared stream."""
        ...
