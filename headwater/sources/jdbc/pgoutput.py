"""Reads PostgreSQL's logical replication messages (plugin pgoutput, protocol version 1) into changes of rows.

The format is described in PostgreSQL's manual, chapter "Logical Replication Message Formats". Values are text, as the server
writes them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from headwater.errors import FatalSourceError

ChangeKind = Literal["insert", "update", "delete"]
Values = dict[str, str | None]

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Change:
    """One change of one row: `lsn` is where the log has it, `committed_at` is UTC; a delete has the row's last values."""

    kind: ChangeKind
    lsn: int
    committed_at: datetime
    values: Values


@dataclass(frozen=True)
class _Relation:
    schema: str
    table: str
    columns: tuple[str, ...]


@dataclass
class _Message:
    """One message, read from its beginning to its end."""

    data: bytes
    at: int = 0

    def integer(self, form: Literal["B", "H", "I", "q", "Q"]) -> int:
        size = struct.calcsize(f">{form}")
        [value] = struct.unpack_from(f">{form}", self.data, self.at)
        self.at += size
        return int(value)

    def letter(self) -> str:
        return chr(self.integer("B"))

    def string(self) -> str:
        end = self.data.index(0, self.at)
        text = self.data[self.at : end].decode()
        self.at = end + 1
        return text

    def text(self) -> str:
        length = self.integer("I")
        text = self.data[self.at : self.at + length].decode()
        self.at += length
        return text


@dataclass
class Decoder:
    """Turns a log's messages, in order, into the changes of one relation; `key` are its primary key's columns."""

    schema: str
    table: str
    key: tuple[str, ...]
    _relations: dict[int, _Relation] = field(default_factory=dict)
    _committed_at: datetime = _EPOCH

    def feed(self, lsn: int, data: bytes) -> Iterator[Change]:
        """Reads one message; yields its changes of the relation, none for most messages."""
        message = _Message(data)
        match message.letter():
            case "B":
                message.integer("Q")
                self._committed_at = _EPOCH + timedelta(microseconds=message.integer("q"))
            case "R":
                self._learn(message)
            case "I" | "U" | "D" as kind:
                relation = self._relations[message.integer("I")]
                if self._is_ours(relation):
                    yield from self._changed(kind, lsn, message, relation)
            case "T":
                self._refuse_truncate(message)
            case "C" | "O" | "Y" | "M":
                pass  # end of a transaction, origin, type, message: nothing about rows
            case other:
                raise FatalSourceError(f"{self._name}: message {other!r} in the log is not of pgoutput's version 1")

    @property
    def _name(self) -> str:
        return f"{self.schema}.{self.table}"

    def _learn(self, message: _Message) -> None:
        number = message.integer("I")
        schema, table = message.string(), message.string()
        message.letter()  # replica identity, which the reader has checked
        columns = []
        for _ in range(message.integer("H")):
            message.integer("B")
            columns.append(message.string())
            message.integer("Q")
        self._relations[number] = _Relation(schema or "pg_catalog", table, tuple(columns))

    def _is_ours(self, relation: _Relation) -> bool:
        return (relation.schema, relation.table) == (self.schema, self.table)

    def _changed(self, kind: str, lsn: int, message: _Message, relation: _Relation) -> Iterator[Change]:
        match kind:
            case "I":
                yield self._change("insert", lsn, self._new(message, relation))
            case "D":
                yield self._change("delete", lsn, self._old(message, relation))
            case _:
                yield from self._updated(lsn, message, relation)

    def _updated(self, lsn: int, message: _Message, relation: _Relation) -> Iterator[Change]:
        old: Values = {}
        if message.data[message.at : message.at + 1] in {b"O", b"K"}:
            old = self._old(message, relation)
        values = self._new(message, relation, old)
        if old and any(old[name] != values[name] for name in self.key):
            # Under its new key it is another row.
            yield self._change("delete", lsn, old)
            yield self._change("insert", lsn, values)
            return
        yield self._change("update", lsn, values)

    def _new(self, message: _Message, relation: _Relation, old: Values | None = None) -> Values:
        message.letter()
        return self._tuple(message, relation, old or {})

    def _old(self, message: _Message, relation: _Relation) -> Values:
        if message.letter() != "O":
            raise FatalSourceError(
                f"{self._name}: a change in the log has only the row's key. "
                f"hint: ALTER TABLE {self._name} REPLICA IDENTITY FULL, and declare another slot to read it again"
            )
        return self._tuple(message, relation, {})

    def _tuple(self, message: _Message, relation: _Relation, old: Values) -> Values:
        values: Values = {}
        columns = message.integer("H")
        for name in relation.columns[:columns]:
            match message.letter():
                case "n":
                    values[name] = None
                case "t":
                    values[name] = message.text()
                case "u" if name in old:
                    # A long value that did not change is not in the log again, but the row before the change has it.
                    values[name] = old[name]
                case kind:
                    raise FatalSourceError(
                        f"{self._name}.{name}: the log does not have the value (kind {kind}). "
                        f"hint: ALTER TABLE {self._name} REPLICA IDENTITY FULL, and declare another slot to read it again"
                    )
        return values

    def _change(self, kind: ChangeKind, lsn: int, values: Values) -> Change:
        return Change(kind, lsn, self._committed_at, values)

    def _refuse_truncate(self, message: _Message) -> None:
        count = message.integer("I")
        message.integer("B")
        truncated = [self._relations[message.integer("I")] for _ in range(count)]
        if any(self._is_ours(relation) for relation in truncated):
            raise FatalSourceError(
                f"{self._name} was truncated, which tells no row's end. "
                "hint: mark the rows as deleted in silver, then declare another slot to read the relation again"
            )


def parse_lsn(text: str) -> int:
    """Reads a log sequence number such as `16/B374D848`."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


@dataclass(frozen=True)
class VisibleTransactions:
    """What a snapshot saw, from its text `xmin:xmax:xip,…`."""

    first_open: int
    first_unborn: int
    open: frozenset[int]

    @classmethod
    def of(cls, text: str) -> VisibleTransactions:
        """Reads the text of pg_current_snapshot()."""
        first_open, first_unborn, running = text.split(":")
        return cls(int(first_open), int(first_unborn), frozenset(int(xid) for xid in running.split(",") if xid))

    def has(self, xid: int) -> bool:
        """True when a committed transaction, by its 32-bit number as the log has it, was seen."""
        # The snapshot's numbers have 64 bits; the transaction is the one of that ending that is nearest.
        distance = (xid - self.first_unborn) & 0xFFFFFFFF
        full = self.first_unborn + (distance - (1 << 32) if distance >= 1 << 31 else distance)
        return full < self.first_unborn and full not in self.open
