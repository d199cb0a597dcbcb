"""Raw rows as JSON lines, with the fields that the pipeline adds to them."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from simplejson import JSONEncoder

from headwater.ledger.shape import Fields, Learned, deviates

ACCOUNT = "_account"
PARSER = "_parser"
PROBLEM = "_problem"
ADDED = (ACCOUNT, PARSER, PROBLEM)
"""Fields that the pipeline adds to a JSON row, besides those that the stream declares."""

UNREAD = "_unread"
"""A raw row's values that its columns have no type for, by column, as JSON: `{"total": "NaN"}`; the columns themselves are NULL."""

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
    "bad_schema",
    "too_many_schemas",
    "tombstone",
    "too_large",
    "unreadable_file",
]
"""Why a row cannot be read at all; the reason it has in quarantine, whatever else is wrong with it."""

_ENCODER = JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, use_decimal=True)

Row = dict[str, Any]


@dataclass
class RowFile:
    """Writes rows to one gzip file of JSON lines and learns their shape; with `flag`, rows of another shape get a problem."""

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
        """Excludes some fields, which only rows of another shape have, from what is expected."""
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
    return str(_ENCODER.encode(value))
