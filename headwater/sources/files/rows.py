"""What the readers of all formats share: a row, a file that is bad, its header, and how a typed value is written as JSON."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from headwater.config import FilesStream
from headwater.errors import HandledSourceError
from headwater.ledger.raw import Problem
from headwater.ledger.untrusted import MOST_FIELDS
from headwater.log import shortened

MEGABYTE = 1024 * 1024
LARGEST_RATIO = 1000
"""Of a file to what is packed in it: beyond this it is a bomb, and not a file that packs well."""
_SHOWN = 10


class BadFileError(HandledSourceError):
    """A file cannot be read to its end; the problem is the reason it has in quarantine."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem = problem


@dataclass(frozen=True)
class FileRow:
    """One row of a file: its number from 1, its fields, or its text and the problem that it has."""

    number: int
    fields: dict[str, Any]
    problem: Problem | None = None
    text: str | None = None


def header_of(cells: Sequence[Any], stream: FilesStream) -> list[str]:
    """Checks a header against the declared fields: all there, none twice; more are drift, which has a policy of its own."""
    if len(cells) > MOST_FIELDS:
        raise BadFileError("bad_header", f"{len(cells)} columns; {MOST_FIELDS} are the most")
    header = [str(cell).strip() if cell is not None else "" for cell in cells]
    counted = Counter(header)
    missing = [name for name in stream.raw if name not in counted]
    twice = sorted(name for name, times in counted.items() if times > 1)
    reserved = [name for name in header if name.startswith("_") or not name]
    if missing or twice or reserved:
        said = {"missing": missing, "twice": twice, "no name": reserved}
        what = "; ".join(f"{what}: {_some(names)}" for what, names in said.items() if names)
        raise BadFileError("bad_header", f"{what}; declared are {', '.join(stream.raw)}")
    return header


def _some(names: Sequence[str]) -> str:
    told = ", ".join(repr(shortened(name, 100)) for name in names[:_SHOWN])
    return told if len(names) <= _SHOWN else f"{told} and {len(names) - _SHOWN} more"


def plain(value: Any) -> Any:
    """Turns a typed value into one that JSON has: times into ISO 8601, bytes into base64, whatever JSON has not into its text."""
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return value if value.is_finite() else str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {str(name): plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case _:
            return str(value)
