"""Delta tables that are lists, with the contract of headwater/lake/delta.py: versions, transaction ids, metadata, RESTORE."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from headwater.lake.delta import Commit
from tests.support.model.world import World

Row = dict[str, Any]


@dataclass(frozen=True)
class _Version:
    rows: tuple[Row, ...]
    transactions: dict[str, int]
    commit: Commit


@dataclass
class MemoryTable:
    """One table, with all the versions that it has had."""

    path: str
    world: World
    versions: list[_Version] = field(default_factory=list)
    _writing: tuple[str, int, dict[str, Any]] | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of the newest version."""
        return self.versions[-1].rows if self.versions else ()

    def version(self) -> int:
        """The newest version; -1 before the first commit."""
        return len(self.versions) - 1

    def data_version(self, since: int) -> int:
        """The newest version after `since` that may have changed rows."""
        return max(self.version(), since)

    def transaction(self, app_id: str) -> int:
        """The last transaction of an application that the rows have: a RESTORE takes transactions back with their rows."""
        return self.versions[-1].transactions.get(app_id, 0) if self.versions else 0

    def commit_of(self, app_id: str, transaction: int) -> Commit:
        """The commit of a transaction, the newest first."""
        for version in reversed(self.versions):
            told = version.commit.metadata
            if (told.get("app_id"), told.get("transaction")) == (app_id, transaction):
                return version.commit
        raise LookupError(f"{self.path}: no commit of transaction {transaction} of {app_id}")

    def latest_metadata(self) -> dict[str, Any]:
        """The metadata of the newest commit that has any."""
        return next((version.commit.metadata for version in reversed(self.versions) if version.commit.metadata), {})

    @contextmanager
    def transact(self, app_id: str, transaction: int, **metadata: object) -> Iterator[None]:
        """Makes the commit inside carry a transaction id and metadata."""
        self._writing = app_id, transaction, {"app_id": app_id, "transaction": transaction, **metadata}
        try:
            yield
        finally:
            self._writing = None

    def commit(self, operation: str, rows: list[Row], **metrics: int) -> None:
        """Makes another version, unless the table has seen its transaction: what comes then, may be another's turn."""
        assert self._writing is not None
        app_id, transaction, metadata = self._writing
        if self.transaction(app_id) < transaction:
            seen = {**(self.versions[-1].transactions if self.versions else {}), app_id: transaction}
            commit = Commit(self.version() + 1, operation, metrics, metadata)
            self.versions.append(_Version(tuple(rows), seen, commit))
        self._writing = None
        self.world.call()

    def restore(self, version: int) -> None:
        """Goes back to a version, as RESTORE does."""
        to = self.versions[version]
        self.versions.append(_Version(to.rows, to.transactions, Commit(self.version() + 1, "RESTORE", {}, {})))
