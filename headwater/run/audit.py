"""The audit of a run: its books added up, and its check results, as SQL for the warehouse."""

from __future__ import annotations

from datetime import UTC, datetime

from headwater.errors import BooksError
from headwater.ledger.entries import Book
from headwater.open_project import OpenProject

_MOST_QUALITY_ROWS = 500


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


def prepare_audit(opened: OpenProject, run_id: str, started_at: str, in_part: bool) -> dict[str, list[str]]:
    """Makes the SQL of a run's audit entry and of its check results; an entry that is there stays."""
    books = books_of(opened, run_id)
    if not all(book.balances for book in books):
        wrong = ", ".join(f"{book.source}.{book.stream} batch {book.batch}" for book in books if not book.balances)
        raise BooksError(f"the books of run {run_id} do not balance: {wrong}")
    started = datetime.fromisoformat(started_at).astimezone(UTC)
    sums = [
        sum(book.extracted for book in books),
        sum(book.silver_inserted for book in books),
        sum(book.silver_updated for book in books),
        sum(book.quarantined for book in books),
    ]
    status = "failed_in_part" if in_part else "succeeded"
    run = _text(run_id)
    sqls = [
        "INSERT INTO etl.run_audit (run_id, status, started_at, ended_at, rows_extracted, rows_inserted, rows_updated, "
        f"rows_quarantined) SELECT {run}, '{status}', '{started:%Y-%m-%d %H:%M:%S}', GETDATE(), "
        f"{', '.join(str(value) for value in sums)} WHERE NOT EXISTS (SELECT 1 FROM etl.run_audit WHERE run_id = {run})"
    ]
    results = []
    for book in books:
        verdict = opened.ledger.stream(book.source, book.stream).verdict(book.batch)
        for check in verdict.checks if verdict else ():
            value = "NULL" if check.value is None else repr(check.value)
            results.append(
                f"({run}, {_text(book.source)}, {_text(book.stream)}, {book.batch}, {_text(check.check)}, "
                f"{_text(check.level)}, {str(check.passed).upper()}, {value})"
            )
    for first in range(0, len(results), _MOST_QUALITY_ROWS):
        rows = ", ".join(results[first : first + _MOST_QUALITY_ROWS])
        sqls.append(f"INSERT INTO etl.quality_results VALUES {rows}")
    return {"sqls": sqls}


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
