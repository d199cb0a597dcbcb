"""An S3 in memory whose calls go wrong as a test says, with boto3's own repetition of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from botocore.exceptions import ClientError

Fault = Literal["lost_reply", "late", "conflict", "refused", "broken_off", "rival"]
"""What befalls a write, or comes before a call.

lost_reply   it is carried out, and boto3, which hears nothing, repeats it
late         boto3 gives it up and repeats it, which S3 answers with 409; it is carried out only before the next call
conflict     S3 answers 409
refused      S3 has too much to do, as often as boto3 asks
broken_off   it is carried out, and as often as boto3 repeats it, no answer comes
rival        another writer goes first
"""
FAULTS: Sequence[Fault] = ("lost_reply", "late", "conflict", "refused", "broken_off", "rival")


_NOW = datetime.now(UTC)


def _error(status: int, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")  # type: ignore[typeddict-item]


@dataclass
class FaultyS3:
    """One bucket; `faults` befall its calls in turn, and a `rival` is let in before a call, as often as faults say."""

    faults: Iterator[Fault | None]
    rival: Callable[[], None] = lambda: None
    objects: dict[str, bytes] = field(default_factory=dict)
    _late: list[tuple[str, bytes]] = field(default_factory=list)

    def _begin(self) -> Fault | None:
        while self._late:
            key, body = self._late.pop()
            self.objects.setdefault(key, body)
        fault = next(self.faults, None)
        if fault == "rival":
            self.rival()
        return fault

    def put_object(self, *, Key: str, Body: bytes, IfNoneMatch: str | None = None, **_: Any) -> None:  # noqa: N803
        """Writes an object, once it is let."""
        match self._begin():
            case "lost_reply":
                self._put(Key, Body, IfNoneMatch)
                self._put(Key, Body, IfNoneMatch)
            case "broken_off":
                self._put(Key, Body, IfNoneMatch)
                raise _error(500, "InternalError")
            case "late" if IfNoneMatch:
                self._late.append((Key, Body))
                raise _error(409, "ConditionalRequestConflict")
            case "conflict" if IfNoneMatch:
                raise _error(409, "ConditionalRequestConflict")
            case "refused":
                raise _error(503, "SlowDown")
            case _:
                self._put(Key, Body, IfNoneMatch)

    def _put(self, key: str, body: bytes, condition: str | None) -> None:
        if condition and key in self.objects:
            raise _error(412, "PreconditionFailed")
        self.objects[key] = body

    def get_object(self, *, Key: str, **_: Any) -> Mapping[str, Any]:  # noqa: N803
        """Reads an object."""
        self._begin()
        if Key not in self.objects:
            raise _error(404, "NoSuchKey")
        return {"Body": io.BytesIO(self.objects[Key])}

    def delete_object(self, *, Key: str, **_: Any) -> None:  # noqa: N803
        """Deletes an object."""
        self._begin()
        self.objects.pop(Key, None)

    def upload_file(self, path: str, _bucket: str, key: str) -> None:
        """Uploads a file."""
        self.put_object(Key=key, Body=Path(path).read_bytes())

    def get_paginator(self, _operation: str) -> FaultyS3:
        """Lists objects, in pages."""
        return self

    def paginate(self, *, Prefix: str, PaginationConfig: Mapping[str, int], **_: Any) -> Iterator[Mapping[str, Any]]:  # noqa: N803
        """Has as many pages as there have to be."""
        found = sorted(key for key in self.objects if key.startswith(Prefix))
        size = PaginationConfig["PageSize"]
        for first in range(0, max(len(found), 1), size):
            self._begin()
            page = [key for key in found[first : first + size] if key in self.objects]
            yield {"Contents": [{"Key": key, "LastModified": _NOW, "Size": len(self.objects[key])} for key in page]}
