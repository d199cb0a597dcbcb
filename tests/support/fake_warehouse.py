"""A Data API whose statements end when a test says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class FakeDataApi:
    """Takes batches, and tells of each what the test has decided; `ends` is what becomes of one by itself."""

    ends: str = "FINISHED"
    batches: dict[str, Sequence[str]] = field(default_factory=dict)
    statuses: dict[str, dict[str, str]] = field(default_factory=dict)

    def batch_execute_statement(self, *, Sqls: Sequence[str], StatementName: str, **_: Any) -> dict[str, str]:  # noqa: N803
        """Starts a batch."""
        self.batches[StatementName] = Sqls
        self.statuses.setdefault(StatementName, {"Status": self.ends})
        return {"Id": StatementName}

    def describe_statement(self, *, Id: str) -> dict[str, str]:  # noqa: N803
        """Tells of a batch."""
        return self.statuses[Id]
