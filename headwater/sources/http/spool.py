"""The rows of a part on disk: they go page by page into a compressed file, so memory stays flat."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from headwater.ledger.shape import Learned
from headwater.sources.http.source import AccountDay, hexadecimal
from headwater.sources.http.updates import Recent


@dataclass
class Spool:
    """The rows of one part in a file, the digest of each account day among them, what they taught, and how long they took.

    `recent` is there where changes are read.
    """

    path: Path
    learned: Learned
    digests: dict[AccountDay, int]
    rows: int
    seconds: float
    recent: Recent | None = None

    def changed(self, known: Mapping[AccountDay, str] | None) -> set[AccountDay]:
        """The account days whose rows are others than those that are known."""
        known = known or {}
        return {day for day, digest in self.digests.items() if known.get(day) != hexadecimal(digest)}

    def lines(self) -> Iterator[str]:
        """The rows as they were written, each with its line feed."""
        with gzip.open(self.path, "rt", encoding="ascii") as file:
            yield from file
