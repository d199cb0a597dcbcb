"""A Data API whose statements end when a test says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

_CREATED, _TOOK = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC), timedelta(seconds=2)


class ActiveStatementsExceededError(Exception):
    """There is no room for another statement."""


@dataclass
class FakeDataApi:
    """Takes batches, and tells of each what the test has decided; `ends` is what becomes of one by itself.

    Each query finds `rows`, once `query_ends` lets it; where it `is_full`, nothing is taken.
    """

    exceptions: ClassVar = SimpleNamespace(ActiveStatementsExceededException=ActiveStatementsExceededError)

    ends: str = "FINISHED"
    query_ends: str = "FINISHED"
    rows: Sequence[tuple[str, ...]] = ()
    is_full: bool = False
    batches: dict[str, Sequence[str]] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    statuses: dict[str, dict[str, str]] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    """Rows that a batch's statements return or change, by the word that they begin with."""

    def batch_execute_statement(self, **given: Any) -> dict[str, str]:
        """Starts a batch."""
        if self.is_full:
            raise ActiveStatementsExceededError
        name = given.get("StatementName", "")
        self.batches[name] = given["Sqls"]
        self.tokens.append(given.get("ClientToken", ""))
        self.statuses.setdefault(name, {"Status": self.ends})
        return {"Id": name}

    def describe_statement(self, *, Id: str) -> dict[str, Any]:  # noqa: N803
        """Tells of a batch."""
        if Id == "query":
            return {"Status": self.query_ends}
        parts = [
            {"Status": "FINISHED", "QueryString": sql, "ResultRows": self.changed.get(sql.split()[0], -1)}
            for sql in self.batches.get(Id, ())
        ]
        return {"CreatedAt": _CREATED, "UpdatedAt": _CREATED + _TOOK, "SubStatements": parts} | self.statuses[Id]

    def execute_statement(self, **_: Any) -> dict[str, str]:
        """Starts a query."""
        if self.is_full:
            raise ActiveStatementsExceededError
        return {"Id": "query"}

    def get_paginator(self, _operation: str) -> FakeDataApi:
        """Reads the rows of a query, in pages."""
        return self

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        """Has one page."""
        records = [[{"stringValue": cell} for cell in row] for row in self.rows]
        yield {"ColumnMetadata": [], "Records": records}
