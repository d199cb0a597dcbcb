"""What the Data API keeps of its statements: what was asked, by whom, and what became of it, for a day."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.redshiftdata.exceptions import ResourceNotFoundException

from local.gateway.clock import CLOCK
from local.gateway.iam.principals import Principal
from local.gateway.redshift.table import Session

ENDED = {"FINISHED", "FAILED", "ABORTED"}
_KEPT_SECONDS = 86_400
_TOKENS_KEPT_SECONDS = 8 * 3600
_MOST_ACTIVE = 500


@dataclass(frozen=True)
class Result:
    """Columns and rows of a query, values as PostgreSQL writes them; None is NULL."""

    columns: list[dict[str, Any]]
    rows: list[list[bytes | None]]

    @property
    def size(self) -> int:
        """Its bytes."""
        return sum(map(_bytes, self.rows))

    @property
    def largest_row(self) -> int:
        """The bytes of its largest row."""
        return max(map(_bytes, self.rows), default=0)


def _bytes(row: list[bytes | None]) -> int:
    return sum(len(value) for value in row if value is not None)


@dataclass
class SubStatement:
    """One SQL text and what became of it."""

    sql: str
    status: str = "SUBMITTED"
    error: str | None = None
    created: float = field(default_factory=CLOCK.now)
    updated: float = field(default_factory=CLOCK.now)
    duration_ns: int = 0
    rows: int = -1
    result: Result | None = None
    query_id: int = field(default_factory=lambda: uuid.uuid4().int % 1_000_000_000)

    def move(self, status: str, error: str | None = None) -> None:
        """Says what has become of it."""
        self.status, self.error, self.updated = status, error, CLOCK.now()

    def describe(self) -> dict[str, Any]:
        """Renders the SubStatementData of the Data API."""
        described = {
            "Status": self.status,
            "CreatedAt": self.created,
            "UpdatedAt": self.updated,
            "Duration": self.duration_ns,
            "QueryString": self.sql,
            "RedshiftQueryId": self.query_id if self.status not in {"SUBMITTED", "ABORTED"} else -1,
            "ResultRows": self.rows,
            "ResultSize": self.result.size if self.result else -1 if self.rows < 0 else 0,
            "HasResultSet": self.result is not None,
        }
        return described | ({"Error": self.error} if self.error else {})


@dataclass
class Execution:
    """One call of ExecuteStatement or BatchExecuteStatement."""

    request: dict[str, Any]
    parts: list[SubStatement]
    is_batch: bool
    principal: Principal
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "SUBMITTED"
    error: str | None = None
    created: float = field(default_factory=CLOCK.now)
    updated: float = field(default_factory=CLOCK.now)
    duration_ns: int = 0
    cancelled: bool = False
    session: Session | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    process_id: int = 0

    def move(self, status: str, error: str | None = None) -> None:
        """Says what has become of it."""
        # The status is read without a lock: it changes last.
        self.error, self.updated = error, CLOCK.now()
        self.status = status
        if status in ENDED:
            self.ended.set()

    @property
    def parameters(self) -> dict[str, str]:
        """The values of its SQL's parameters."""
        return {item["name"]: item["value"] for item in self.request.get("Parameters") or []}

    def accepted(self) -> dict[str, Any]:
        """The answer to the call that submits the statement."""
        names = ("ClusterIdentifier", "Database", "DbUser", "SecretArn", "WorkgroupName")
        return {"Id": self.id, "CreatedAt": self.created} | {
            name: self.request[name] for name in names if self.request.get(name) is not None
        }

    def describe(self) -> dict[str, Any]:
        """The answer to DescribeStatement."""
        described = self.accepted() | {"RedshiftPid": self.process_id}
        if self.is_batch:
            described["SubStatements"] = [
                {"Id": f"{self.id}:{number}", **part.describe()} for number, part in enumerate(self.parts, 1)
            ]
            described |= {
                "ResultRows": -1,
                "ResultSize": -1,
                "RedshiftQueryId": 0,
                "HasResultSet": any(part.result for part in self.parts),
            }
        else:
            described |= self.parts[0].describe()
        described |= {
            "Status": self.status,
            "CreatedAt": self.created,
            "UpdatedAt": self.updated,
            "Duration": self.duration_ns,
        }
        if self.request.get("Parameters"):
            described["QueryParameters"] = self.request["Parameters"]
        return described | ({"Error": self.error} if self.error else {})

    def listed(self) -> dict[str, Any]:
        """One entry of ListStatements."""
        entry: dict[str, Any] = {
            "Id": self.id,
            "Status": self.status,
            "CreatedAt": self.created,
            "UpdatedAt": self.updated,
            "IsBatchStatement": self.is_batch,
            "QueryParameters": self.request.get("Parameters") or [],
        }
        if self.is_batch:
            entry["QueryStrings"] = [part.sql for part in self.parts]
        else:
            entry["QueryString"] = self.parts[0].sql
        return entry | {name: self.request[name] for name in ("StatementName", "SecretArn") if self.request.get(name)}


class Executions:
    """Every execution that is still known, by its id and by the token that it was asked with."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executions: dict[str, Execution] = {}
        self._by_token: dict[str, str] = {}

    def add(
        self, request: dict[str, Any], principal: Principal, statements: list[str], *, is_batch: bool
    ) -> tuple[Execution, bool]:
        """Keeps a new execution, and tells that it is new; a ClientToken that was seen before returns its execution.

        ActiveStatementsExceededException when as many as a warehouse takes have not ended.
        """
        token = request.get("ClientToken")
        with self._lock:
            self._forget()
            if token in self._by_token:
                return self._executions[self._by_token[token]], False
            workgroup = request.get("WorkgroupName")
            active = [
                kept
                for kept in self._executions.values()
                if not kept.ended.is_set() and kept.request.get("WorkgroupName") == workgroup
            ]
            if len(active) >= _MOST_ACTIVE:
                raise JsonRESTError(
                    "ActiveStatementsExceededException",
                    f"{workgroup} has {_MOST_ACTIVE} active statements, and takes no more",
                )
            execution = Execution(request, [SubStatement(text) for text in statements], is_batch, principal)
            self._executions[execution.id] = execution
            if token:
                self._by_token[token] = execution.id
        return execution, True

    def find(self, statement_id: str) -> tuple[Execution, int | None]:
        """The execution of an id and, for `<id>:<n>`, the index of the sub-statement; ResourceNotFoundException if none."""
        name, _, number = statement_id.partition(":")
        with self._lock:
            self._forget()
            execution = self._executions.get(name)
        if execution is None or (number and not 1 <= int(number) <= len(execution.parts)):
            raise ResourceNotFoundException
        return execution, int(number) - 1 if number else None

    def newest_first(self) -> list[Execution]:
        """Every execution that is still known."""
        with self._lock:
            self._forget()
            return sorted(self._executions.values(), key=lambda execution: execution.created, reverse=True)

    def _forget(self) -> None:
        # A statement that ended is known for a day, and a token for eight hours.
        ages = {
            name: CLOCK.now() - execution.updated
            for name, execution in self._executions.items()
            if execution.ended.is_set()
        }
        for token, name in list(self._by_token.items()):
            if (
                CLOCK.now() - self._executions[name].created >= _TOKENS_KEPT_SECONDS
                or ages.get(name, 0) >= _KEPT_SECONDS
            ):
                del self._by_token[token]
        for name, age in ages.items():
            if age >= _KEPT_SECONDS:
                del self._executions[name]
