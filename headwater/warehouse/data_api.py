"""The Redshift Data API, waited for: a statement's end and its rows.

A warehouse that sleeps takes a while to wake, and one that is busy takes no more than so many statements: who has a state machine to
wait for it begins a statement, and looks again when that has waited.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from headwater.errors import ConflictError, QueryError

_LONGEST_POLL_SECONDS = 1.0
BEGINS_WITHIN_SECONDS = 2.0
"""How long a statement waits for a warehouse that is awake and has room for it, at most."""
_NOT_BEGUN = {"SUBMITTED", "PICKED"}
# Of two transactions in each other's way Redshift refuses one, which may be tried again.
_CONFLICT = re.compile(
    r"ERROR: ?1023\b|Serializable isolation violation|conflict with concurrent transaction|deadlock detected"
)
_SHOWN = 200
_FULL = "Redshift has as many active statements as it takes"


class Place(Protocol):
    """Where statements go: a workgroup and its database."""

    @property
    def workgroup(self) -> str: ...  # noqa: D102 - named by what it is
    @property
    def database(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Rows:
    """The answer to a query: column names and rows of text or None."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]


def query(client: Any, place: Place, sql: str, seconds: float = 300, secret: str | None = None) -> Rows:
    """Runs one statement and reads its rows; QueryError when the warehouse refuses it or takes longer than `seconds`.

    Redshift knows the asker by the IAM identity, or by the user whose `secret` it is, an ARN.
    """
    statement = _taken(begin(client, place, sql, secret))
    answer = finish(client, statement, seconds)
    return rows_of(client, statement) if answer.get("HasResultSet") else Rows((), ())


def begin(client: Any, place: Place, sql: str, secret: str | None = None) -> str | None:
    """Starts one statement and returns its id; None while the warehouse has as many as it takes."""
    return _accepted(client, lambda: client.execute_statement(**_where(place, secret), Sql=sql))


def rows_of(client: Any, statement: str) -> Rows:
    """Reads the rows of a query that has finished."""
    columns: tuple[str, ...] = ()
    rows: list[tuple[str | None, ...]] = []
    for page in client.get_paginator("get_statement_result").paginate(Id=statement):
        columns = tuple(column["name"] for column in page["ColumnMetadata"])
        rows += [tuple(_text(cell) for cell in record) for record in page["Records"]]
    return Rows(columns, tuple(rows))


def run(client: Any, place: Place, sqls: Sequence[str], seconds: float, secret: str | None = None) -> None:
    """Runs statements as one transaction; QueryError when the warehouse refuses one or takes longer than `seconds`."""
    given = {**_where(place, secret), "Sqls": list(sqls)}
    finish(client, _taken(_accepted(client, lambda: client.batch_execute_statement(**given))), seconds)


def finish(client: Any, statement: str, seconds: float) -> Mapping[str, Any]:
    """Waits until a statement or a batch has finished and describes it; QueryError when it fails or takes too long."""
    if not has_finished(client, statement, seconds):
        raise QueryError(f"{unfinished(client, statement)} after {seconds:.0f} s")
    described: Mapping[str, Any] = client.describe_statement(Id=statement)
    return described


def submit(client: Any, place: Place, sqls: Sequence[str], name: str, token: str | None = None) -> str | None:
    """Starts a batch, which is one transaction, and returns its id; None while the warehouse has as many statements as it takes.

    Whoever asks with a `token` again within eight hours gets the id of the batch that he had started.
    """
    given = {**_where(place), "Sqls": list(sqls), "StatementName": name} | ({"ClientToken": token} if token else {})
    return _accepted(client, lambda: client.batch_execute_statement(**given))


def has_finished(client: Any, statement: str, seconds: float, *, begins_within: float | None = None) -> bool:
    """Waits so long for the end of a statement or a batch and says whether it came; QueryError when it failed.

    ConflictError when another transaction was in its way.

    With `begins_within` it does not wait for one that has not begun after so many seconds, for the warehouse sleeps or is busy.
    """
    now = time.monotonic()
    deadline, begun_by = now + seconds, now + (seconds if begins_within is None else min(begins_within, seconds))
    delay = 0.05
    while (answer := client.describe_statement(Id=statement))["Status"] not in {"FINISHED", "FAILED", "ABORTED"}:
        if time.monotonic() > (begun_by if answer["Status"] in _NOT_BEGUN else deadline):
            return False
        time.sleep(delay)
        delay = min(delay * 2, _LONGEST_POLL_SECONDS)
    if answer["Status"] != "FINISHED":
        # A statement that somebody aborted has no error.
        error = answer.get("Error", answer["Status"])
        failed = [part["QueryString"] for part in answer.get("SubStatements", ()) if part["Status"] == "FAILED"]
        told = "".join(f" in: {sql[:_SHOWN]}" for sql in failed)
        raise (ConflictError if _CONFLICT.search(error) else QueryError)(f"Redshift refused: {error}{told}")
    return True


@dataclass(frozen=True)
class Batch:
    """A batch that has ended: from when to when it took, and how many rows each of its statements has returned or changed."""

    began: datetime
    ended: datetime
    rows: tuple[tuple[str, int], ...]

    def rows_of(self, opening: str) -> int:
        """The rows of the statements that open so."""
        return sum(max(0, rows) for sql, rows in self.rows if sql.startswith(opening))


def batch_of(client: Any, statement: str) -> Batch:
    """Describes a batch that has ended."""
    answer = client.describe_statement(Id=statement)
    parts = tuple((part["QueryString"], int(part.get("ResultRows", -1))) for part in answer["SubStatements"])
    return Batch(answer["CreatedAt"], answer["UpdatedAt"], parts)


def unfinished(client: Any, statement: str | None) -> str:
    """Says how far a statement or a batch is that takes too long; None is one that the warehouse has not taken."""
    if statement is None:
        return _FULL
    status = client.describe_statement(Id=statement)["Status"]
    waits = " and waits for the warehouse, which is asleep or busy" if status == "SUBMITTED" else ""
    return f"statement {statement} is {status}{waits}"


def _accepted(client: Any, call: Callable[[], Mapping[str, Any]]) -> str | None:
    try:
        return str(call()["Id"])
    except client.exceptions.ActiveStatementsExceededException:
        return None


def _taken(statement: str | None) -> str:
    if statement is None:
        raise QueryError(f"{_FULL}. hint: again when some have ended")
    return statement


def _where(place: Place, secret: str | None = None) -> dict[str, str]:
    return {"WorkgroupName": place.workgroup, "Database": place.database} | ({"SecretArn": secret} if secret else {})


def _text(cell: Mapping[str, Any]) -> str | None:
    """A value as SQL writes it, in every engine alike."""
    match next(iter(cell.values())):
        case _ if cell.get("isNull"):
            return None
        case bool(value):
            return str(value).lower()
        case value:
            return str(value)
