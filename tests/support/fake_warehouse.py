"""A Data API whose statements end when a test says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar


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

    def batch_execute_statement(self, **given: Any) -> dict[str, str]:
        """Starts a batch."""
        if self.is_full:
            raise ActiveStatementsExceededError
        name = given.get("StatementName", "")
        self.batches[name] = given["Sqls"]
        self.tokens.append(given.get("ClientToken", ""))
        self.statuses.setdefault(name, {"Status": self.ends})
        return {"Id": name}

    def describe_statement(self, *, Id: str) -> dict[str, str]:  # noqa: N803
        """Tells of a batch."""
        return {"Status": self.query_ends} if Id == "query" else self.statuses[Id]

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
