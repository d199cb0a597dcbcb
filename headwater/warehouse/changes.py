"""What Gold publishes for Load: the change files of each gold table, listed in the lake bucket.

load/<table>/changes/<version>/<attempt>/*.parquet   rows, which no one looks for until a publication names them
load/<table>/published/<countdown>.json              one publication
load/<table>/refused/<version>                       what the warehouse said when it refused all up to a publication
load/<table>/manifests/*.json                        what one load copies
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, pairwise
from typing import Any

from headwater.errors import LoadError
from headwater.ledger.bucket import Bucket, countdown, counted_down

FIRST = -1
"""The version of a warehouse that has nothing of a table: a file since then holds the whole table."""
MOST_FILES = 100
"""Files that an empty warehouse needs, at most: a publication after so many others holds the whole table."""


@dataclass(frozen=True)
class ChangeFile:
    """What changed in a gold table `since` one of its versions up to another: Parquet files of its columns, `_change` and `_version`.

    `rows` is how many the files hold, and `number` how many publications there are since one of the whole table. Publications of
    earlier versions of Headwater say neither, and hold what changed since the one before.
    """

    table: str
    grain: tuple[str, ...]
    columns: tuple[str, ...]
    version: int
    entries: tuple[tuple[str, int], ...]
    since: int | None = None
    rows: int | None = None
    number: int | None = None

    @classmethod
    def parse(cls, body: bytes) -> ChangeFile:
        """Reads a publication."""
        told: dict[str, Any] = json.loads(body)
        lists = {name: tuple(told[name]) for name in ("grain", "columns")}
        return cls(**{**told, **lists, "entries": tuple((url, size) for url, size in told["entries"])})

    @property
    def is_whole(self) -> bool:
        """True when the files hold every row that the table has."""
        return self.since == FIRST


@dataclass(frozen=True)
class ChangeLog:
    """The publications of one gold table, below `load/<table>/` in the lake bucket."""

    bucket: Bucket
    table: str

    @property
    def prefix(self) -> str:
        """Key prefix of everything about the table's loads."""
        return f"load/{self.table}"

    def folder(self, version: int) -> str:
        """Names a new folder for one version's files: whoever publishes first, nobody replaces what is published."""
        return f"{self.prefix}/changes/{version:09d}/{uuid.uuid4().hex[:12]}"

    def entries(self, folder: str) -> tuple[tuple[str, int], ...]:
        """Lists the files that were written to a folder."""
        found = ((key, size) for key, _, size in self.bucket.keys(f"{folder}/") if key.endswith(".parquet"))
        return tuple((f"{self.bucket.uri}/{key}", size) for key, size in found)

    def _key(self, version: int) -> str:
        return f"{self.prefix}/published/{countdown(version)}.json"

    def _versions(self, page: int = 1000) -> Iterator[int]:
        """Lists what is published, newest first."""
        return (counted_down(key) for key, _, _ in self.bucket.keys(f"{self.prefix}/published/", page))

    def _read(self, version: int) -> ChangeFile:
        body = self.bucket.read(self._key(version))
        if body is None:
            raise LoadError(f"{self.bucket.uri}/{self._key(version)} is gone. hint: have an older version of it back")
        return ChangeFile.parse(body)

    def latest_version(self) -> int:
        """Finds the newest published version; FIRST before there is one."""
        return next(self._versions(page=1), FIRST)

    def next_since(self, latest: int, columns: Sequence[str]) -> tuple[int, int]:
        """Decides since when the publication after `latest` holds what changed, and its number.

        It holds the whole table when the warehouse has refused the latest, so that nothing waits behind what was refused, where the
        table's `columns` are others now, and after MOST_FILES others.
        """
        newest = self._read(latest) if latest > FIRST else None
        number = MOST_FILES if newest is None or newest.number is None else newest.number + 1
        reshaped = newest is not None and newest.columns != tuple(columns)
        if reshaped or number >= MOST_FILES or self.bucket.read(self._refused_key(latest)) is not None:
            return FIRST, 0
        return latest, number

    def publish(self, change: ChangeFile) -> None:
        """Makes a change file visible to Load; the first publication of a version stands."""
        self.bucket.create(self._key(change.version), json.dumps(asdict(change)).encode())

    def refuse(self, why: str) -> None:
        """Notes that the warehouse has refused what is published."""
        self.bucket.write(self._refused_key(self.latest_version()), why.encode())

    def _refused_key(self, version: int) -> str:
        return f"{self.prefix}/refused/{version:09d}"

    def after(self, version: int) -> list[ChangeFile]:
        """Reads the fewest change files that bring a warehouse from a version to the newest one, oldest first."""
        needed: list[ChangeFile] = []
        reached: int | None = None
        for published, before in pairwise(chain(self._versions(), [FIRST])):
            if published <= version or (reached is not None and reached <= version):
                break
            if reached is not None and published > reached:
                continue
            change = self._read(published)
            reached = before if change.since is None else change.since
            needed.append(replace(change, since=reached))
        return needed[::-1]
