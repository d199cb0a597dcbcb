"""The audit of a run: its books added up, and its check results, in the warehouse."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headwater.errors import BooksError, QueryError
from headwater.ledger.entries import Book
from headwater.open_project import OpenProject
from headwater.run.limits import AUDIT_SECONDS, began, is_over
from headwater.warehouse.data_api import BEGINS_WITHIN_SECONDS, has_finished, submit, unfinished

_PATIENCE_SECONDS = 45.0
"""How long one call waits for the statement, once it has begun."""


def books_of(opened: OpenProject, run_id: str) -> list[Book]:
    """Reads the books that one run closed, newest batches only; costs as much as the run did."""
    books = []
    for ledger in opened.streams():
        for batch in range(ledger.closed_up_to(), 0, -1):
            book = ledger.book(batch)
            if book is None or book.run_id != run_id:
                break
            books.append(book)
    return books


@dataclass(frozen=True)
class AuditedRun:
    """A run that has come to its audit; `in_part` when an optional source has failed."""

    run_id: str
    started_at: str
    in_part: bool


def audit_run(opened: OpenProject, client: Any, run: AuditedRun, audit: Mapping[str, Any]) -> dict[str, Any]:
    """Enters a run and its check results in the warehouse, or looks how far that is; `done` once they are in.

    `audit` is the last answer, empty at first. An entry that is there stays. BooksError when the run's books do not balance.
    """
    since = began(audit)
    statement: str | None = audit.get("statement") or submit(
        client, opened.project.environment.warehouse, _prepare(opened, run), f"audit {run.run_id}"
    )
    done = statement is not None and has_finished(
        client, statement, _PATIENCE_SECONDS, begins_within=BEGINS_WITHIN_SECONDS
    )
    if not done and is_over(since, AUDIT_SECONDS):
        raise QueryError(f"audit: not entered since {since:%H:%M} UTC; {unfinished(client, statement)}")
    return {"done": done, "since": since.isoformat(), "statement": statement}


def _prepare(opened: OpenProject, run: AuditedRun) -> list[str]:
    """Makes the SQL of a run's audit; the check results, as many as they are, go by a file."""
    books = books_of(opened, run.run_id)
    if not all(book.balances for book in books):
        wrong = ", ".join(f"{book.source}.{book.stream} batch {book.batch}" for book in books if not book.balances)
        raise BooksError(f"the books of run {run.run_id} do not balance: {wrong}")
    started = datetime.fromisoformat(run.started_at).astimezone(UTC)
    sums = [
        sum(book.extracted for book in books),
        sum(book.silver_inserted for book in books),
        sum(book.silver_updated for book in books),
        sum(book.quarantined for book in books),
    ]
    status = "failed_in_part" if run.in_part else "succeeded"
    run_id = _text(run.run_id)
    sqls = [
        "INSERT INTO etl.run_audit (run_id, status, started_at, ended_at, rows_extracted, rows_inserted, rows_updated, "
        f"rows_quarantined) SELECT {run_id}, '{status}', '{started:%Y-%m-%d %H:%M:%S}', GETDATE(), "
        f"{', '.join(str(value) for value in sums)} WHERE NOT EXISTS (SELECT 1 FROM etl.run_audit WHERE run_id = {run_id})"
    ]
    if results := _results(opened, run.run_id, books):
        copy_role = opened.project.environment.warehouse.copy_role
        key = f"load/_audit/{run.run_id}.json"
        opened.lake.write(key, "\n".join(json.dumps(result) for result in results).encode())
        sqls += [
            f"DELETE FROM etl.quality_results WHERE run_id = {run_id}",
            f"COPY etl.quality_results FROM {_text(f'{opened.lake.uri}/{key}')} IAM_ROLE '{copy_role}' "
            "FORMAT AS JSON 'auto'",
        ]
    return sqls


def _results(opened: OpenProject, run_id: str, books: Iterable[Book]) -> list[dict[str, Any]]:
    """Lists the check results of a run's batches as rows of etl.quality_results."""
    rows = []
    for book in books:
        verdict = opened.ledger.stream(book.source, book.stream).verdict(book.batch)
        for check in verdict.checks if verdict else ():
            row = {
                "run_id": run_id,
                "source": book.source,
                "stream": book.stream,
                "batch": book.batch,
                "check_id": check.check,
                "level": check.level,
                "passed": check.passed,
                "value": check.value,
            }
            rows.append({name: value for name, value in row.items() if value is not None})
    return rows


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
