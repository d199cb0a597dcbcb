"""A Redshift with a Data API, in SQLite: batches that are transactions, end when a seed says so, and may be in each other's way."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from tests.support.model.world import World

_COPY = re.compile(r"COPY (\w+) FROM 's3://[^/]+/([^']+)'")
_USING = re.compile(r"DELETE FROM (\S+) USING (\w+) WHERE (.*)", re.DOTALL)
_VERSION = re.compile(r"SELECT '\w+@(\d+)'")
_THEN = datetime(2024, 1, 1, tzinfo=UTC)
_CONFLICT = "ERROR: 1023 Detail: Serializable isolation violation on table"


class _FullError(Exception):
    pass


@dataclass
class Warehouse:
    """A database whose rows are those of `objects` that batches copy; `ran` has what each batch that came to its end has left."""

    exceptions: ClassVar = SimpleNamespace(ActiveStatementsExceededException=_FullError)

    world: World
    objects: dict[str, bytes]
    table: str
    ran: list[list[tuple[Any, ...]]] = field(default_factory=list)
    _statuses: dict[str, dict[str, str]] = field(default_factory=dict)
    _waiting: dict[str, Sequence[str]] = field(default_factory=dict)
    _slow: set[str] = field(default_factory=set)
    _tokens: dict[str, str] = field(default_factory=dict)
    _found: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    _batches: dict[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.db.create_function("GETDATE", 0, lambda: "now")
        for schema in ("analytics", "etl"):
            self.db.execute(f"ATTACH ':memory:' AS {schema}")
        self.db.execute(f"CREATE TABLE analytics.{self.table} (id INTEGER, value INTEGER)")
        self.db.execute(
            "CREATE TABLE etl.load_ledger (load_id, table_name, version INTEGER, row_count, run_id, loaded_at)"
        )
        self.db.execute("CREATE TABLE etl.load_turn (run_id, taken_at)")
        self.db.execute("INSERT INTO etl.load_turn VALUES (NULL, NULL)")

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """What a reader finds."""
        return self.db.execute(f"SELECT id, value FROM analytics.{self.table} ORDER BY 1, 2").fetchall()

    @property
    def loads(self) -> list[tuple[str, int]]:
        """The loads that were made, in their order."""
        return self.db.execute("SELECT load_id, version FROM etl.load_ledger ORDER BY rowid").fetchall()

    def execute_statement(self, *, Sql: str, **_: Any) -> dict[str, str]:  # noqa: N803
        """Runs a query."""
        self.world.call()
        name = f"query-{len(self._statuses)}"
        self._found[name] = self.db.execute(Sql).fetchall()
        self._statuses[name] = {"Status": "FINISHED"}
        return {"Id": name}

    def batch_execute_statement(self, *, Sqls: Sequence[str], ClientToken: str, **_: Any) -> dict[str, str]:  # noqa: N803
        """Takes a batch, once for each token; the reply may be lost."""
        self.world.call()
        if ClientToken not in self._tokens:
            name = self._tokens[ClientToken] = f"batch-{len(self._statuses)}"
            self._statuses[name] = {"Status": "STARTED"}
            self._waiting[name] = self._batches[name] = Sqls
            if self.world.strikes("slow load", 8):
                self._slow.add(name)
        if self.world.strikes("lost reply of the warehouse", 4):
            raise ClientError({"Error": {"Code": "InternalServerException"}}, "BatchExecuteStatement")
        return {"Id": self._tokens[ClientToken]}

    def describe_statement(self, *, Id: str) -> dict[str, Any]:  # noqa: N803
        """Tells of a statement, which may come to its end meanwhile."""
        self.world.call()
        if Id not in self._slow and self.world.random.random() < 0.6:
            self.end(Id)
        status = self._statuses[Id]
        # It does not count what a statement changes, as Redshift does not where it cannot say.
        parts = [{**status, "QueryString": sql, "ResultRows": -1} for sql in self._batches.get(Id, ())]
        return {"CreatedAt": _THEN, "UpdatedAt": _THEN, "SubStatements": parts} | status

    def get_paginator(self, _operation: str) -> Warehouse:
        """Reads the rows of a query."""
        return self

    def paginate(self, *, Id: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        """Has one page."""
        records = [[{"stringValue": str(cell)} for cell in row] for row in self._found[Id]]
        yield {"ColumnMetadata": [], "Records": records}

    def end_one(self) -> None:
        """Comes to the end of the batch that has waited longest, whoever still asks after it."""
        if self._waiting and self.world.random.random() < 0.004:
            self.end(next(iter(self._waiting)))

    def end_all(self) -> None:
        """Comes to the end of whatever still waits."""
        for name in list(self._waiting):
            self.end(name)

    def end(self, name: str) -> None:
        """Runs a batch that waits, as one transaction."""
        if (sqls := self._waiting.pop(name, None)) is None:
            return
        if self._is_overtaken(sqls):
            self.world.struck.append("overtaken load")
        error = _CONFLICT if self.world.strikes("conflict in the warehouse", 4) else self._run(sqls)
        self._statuses[name] = {"Status": "FAILED", "Error": error} if error else {"Status": "FINISHED"}
        self.ran.append(self.rows)

    def _is_overtaken(self, sqls: Sequence[str]) -> bool:
        [version] = {found[1] for sql in sqls if (found := _VERSION.search(sql))}
        return any(loaded >= int(version) for _, loaded in self.loads)

    def _run(self, sqls: Sequence[str]) -> str | None:
        self.db.execute("BEGIN")
        for sql in sqls:
            if copy := _COPY.match(sql):
                self._copy(copy[1], copy[2])
                continue
            using = _USING.match(sql)
            found = self.db.execute(
                f"DELETE FROM {using[1]} WHERE EXISTS (SELECT 1 FROM {using[2]} WHERE {using[3]})" if using else sql
            ).fetchall()
            # SQLite answers a division by zero with NULL.
            if found == [(None,)]:
                self.db.execute("ROLLBACK")
                return f"ERROR: Divide by zero in {sql}"
        self.db.execute("COMMIT")
        return None

    def _copy(self, table: str, manifest: str) -> None:
        for entry in json.loads(self.objects[manifest])["entries"]:
            rows = json.loads(self.objects[entry["url"].split("/", 3)[3]])
            self.db.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?)", rows)
