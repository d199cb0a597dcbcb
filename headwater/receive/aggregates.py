"""Takes apart what Kinesis's producer library has put together: many small records, sent as the data of one.

Such data is four bytes that say so, a message of protocol buffers, and its MD5:

    message AggregatedRecord { repeated string partition_key_table = 1; repeated Record records = 3; }
    message Record { uint64 partition_key_index = 1; bytes data = 3; }
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

MAGIC = b"\xf3\x89\x9a\xc2"
MOST_RECORDS = 10_000
"""In one aggregate, of which Kinesis takes a megabyte: records of no data at all would be half a million."""
_DIGEST = hashlib.md5(usedforsecurity=False).digest_size
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


def taken_apart(data: bytes) -> list[tuple[str, bytes]] | None:
    """Partition key and data of each record within; None when the data is no aggregate, or one that does not hold."""
    message, digest = data[len(MAGIC) : -_DIGEST], data[-_DIGEST:]
    if not data.startswith(MAGIC) or hashlib.md5(message, usedforsecurity=False).digest() != digest:
        return None
    keys: list[bytes] = []
    records: list[tuple[int, bytes]] = []
    try:
        for number, value in _fields(message):
            if number == 1:
                keys.append(bytes(value))
            elif number == 3:
                fields = dict(_fields(bytes(value)))
                records.append((int(fields.get(1, 0)), bytes(fields[3])))
                if len(records) > MOST_RECORDS:
                    return None
        return [(keys[key].decode(), data) for key, data in records]
    except (LookupError, TypeError, ValueError):
        return None


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message by their numbers; ValueError or IndexError where it breaks off."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in {_FIXED64, _FIXED32}:
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"no kind of field: {kind}")
        if at + length > len(message):
            raise ValueError("the message breaks off")
        yield number, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        byte = message[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number without end")
