"""The Redshift Data API, waited for: a statement's end and its rows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from headwater.errors import QueryError

_LONGEST_POLL_SECONDS = 1.0


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
    statement = client.execute_statement(**_where(place, secret), Sql=sql)["Id"]
    answer = finish(client, statement, seconds)
    columns: tuple[str, ...] = ()
    rows: list[tuple[str | None, ...]] = []
    if answer.get("HasResultSet"):
        for page in client.get_paginator("get_statement_result").paginate(Id=statement):
            columns = tuple(column["name"] for column in page["ColumnMetadata"])
            rows += [tuple(_text(cell) for cell in record) for record in page["Records"]]
    return Rows(columns, tuple(rows))


def run(client: Any, place: Place, sqls: Sequence[str], seconds: float, secret: str | None = None) -> None:
    """Runs statements as one transaction; QueryError when the warehouse refuses one or takes longer than `seconds`."""
    finish(client, client.batch_execute_statement(**_where(place, secret), Sqls=list(sqls))["Id"], seconds)


def finish(client: Any, statement: str, seconds: float) -> Mapping[str, Any]:
    """Waits until a statement or a batch has finished and describes it; QueryError when it fails or takes too long."""
    if not has_finished(client, statement, seconds):
        raise QueryError(f"{unfinished(client, statement)} after {seconds:.0f} s")
    described: Mapping[str, Any] = client.describe_statement(Id=statement)
    return described


def submit(client: Any, place: Place, sqls: Sequence[str], name: str) -> str:
    """Starts a batch, which is one transaction, and returns its statement."""
    statement: str = client.batch_execute_statement(**_where(place), Sqls=list(sqls), StatementName=name)["Id"]
    return statement


def has_finished(client: Any, statement: str, seconds: float) -> bool:
    """Waits so long for the end of a statement or a batch and says whether it came; QueryError when it failed."""
    deadline = time.monotonic() + seconds
    delay = 0.05
    while (answer := client.describe_statement(Id=statement))["Status"] not in {"FINISHED", "FAILED", "ABORTED"}:
        if time.monotonic() > deadline:
            return False
        time.sleep(delay)
        delay = min(delay * 2, _LONGEST_POLL_SECONDS)
    if answer["Status"] != "FINISHED":
        # A statement that somebody aborted has no error.
        raise QueryError(f"Redshift refused: {answer.get('Error', answer['Status'])}")
    return True


def unfinished(client: Any, statement: str) -> str:
    """Says how far a statement or a batch is that takes too long."""
    status = client.describe_statement(Id=statement)["Status"]
    waits = " and waits for the warehouse, which is asleep or busy" if status == "SUBMITTED" else ""
    return f"statement {statement} is {status}{waits}"


def _where(place: Place, secret: str | None = None) -> dict[str, str]:
    return {"WorkgroupName": place.workgroup, "Database": place.database} | ({"SecretArn": secret} if secret else {})


def _text(cell: Mapping[str, Any]) -> str | None:
    return None if cell.get("isNull") else str(next(iter(cell.values())))
