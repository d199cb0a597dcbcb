"""Writes pgoutput's messages, to test what reads them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

UNCHANGED = object()
"""A long value that an update left alone: the log does not repeat it."""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def begin(at: datetime, xid: int = 1) -> bytes:
    microseconds = (at - _EPOCH).days * 86_400_000_000 + (at - _EPOCH).seconds * 1_000_000 + (at - _EPOCH).microseconds
    return b"B" + struct.pack(">QqI", 0, microseconds, xid)


def commit() -> bytes:
    return b"C" + struct.pack(">BQQq", 0, 0, 0, 0)


def relation(number: int, schema: str, table: str, columns: Sequence[str]) -> bytes:
    head = b"R" + struct.pack(">I", number) + schema.encode() + b"\0" + table.encode() + b"\0f"
    return (
        head
        + struct.pack(">H", len(columns))
        + b"".join(b"\1" + name.encode() + b"\0" + struct.pack(">II", 25, 0xFFFFFFFF) for name in columns)
    )


def row(values: Mapping[str, object]) -> bytes:
    written = struct.pack(">H", len(values))
    for value in values.values():
        if value is None:
            written += b"n"
        elif value is UNCHANGED:
            written += b"u"
        else:
            text = str(value).encode()
            written += b"t" + struct.pack(">I", len(text)) + text
    return written


def insert(number: int, values: Mapping[str, object]) -> bytes:
    return b"I" + struct.pack(">I", number) + b"N" + row(values)


def update(number: int, old: Mapping[str, object] | None, new: Mapping[str, object]) -> bytes:
    before = b"" if old is None else b"O" + row(old)
    return b"U" + struct.pack(">I", number) + before + b"N" + row(new)


def delete(number: int, old: Mapping[str, object], kind: bytes = b"O") -> bytes:
    return b"D" + struct.pack(">I", number) + kind + row(old)


def truncate(*numbers: int) -> bytes:
    return b"T" + struct.pack(">IB", len(numbers), 0) + b"".join(struct.pack(">I", number) for number in numbers)
