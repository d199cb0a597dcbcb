"""Records as Kinesis's producer library puts them together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from headwater.receive.aggregates import MAGIC


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def aggregate(*data: bytes, keys: Sequence[str] = ("k",)) -> bytes:
    """One record of some, whose partition keys are taken in turn."""
    message = b"".join(_field(1, key.encode()) for key in keys)
    for number, body in enumerate(data):
        message += _field(3, varint(1 << 3) + varint(number % len(keys)) + _field(3, body))
    return MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest()
