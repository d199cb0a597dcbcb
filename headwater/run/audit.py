"""The audit of a run: the books that no audit has entered yet, added up, and their check results, in the warehouse."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headwater.errors import BooksError, QueryError
from headwater.ledger.entries import Book, StageRun, Verdict
from headwater.ledger.stage_runs import StageRuns
from headwater.log import shortened
from headwater.open_project import OpenProject
from headwater.run.alert import IN_PART
from headwater.run.entering import copied, text
from headwater.run.limits import AUDIT_SECONDS, began, is_over
from headwater.run.lineage import tell_lineage
from headwater.run.stages import EndedRun, Told, ended_runs, stages_entered
from headwater.warehouse.data_api import BEGINS_WITHIN_SECONDS, has_finished, submit, unfinished

_ENTERED_KEY = "load/_audit/entered.json"
_PATIENCE_SECONDS = 45.0
"""How long one call waits for the statement, once it has begun."""


_MOST_CHARACTERS = 1000
MOST_AT_FIRST = 100
"""Books of a stream that its first audit enters: the ledger keeps what is older."""
Reach = dict[str, tuple[int, int]]
"""The first and the last batch of each stream, written as `source.stream`, whose books an audit enters."""


def books_of(opened: OpenProject, run_ids: Collection[str]) -> list[Book]:
    """Reads the books that some runs closed, which are the newest ones; costs as much as the runs did."""
    books = []
    for ledger in opened.streams():
        for batch in range(ledger.closed_up_to(), 0, -1):
            book = ledger.book(batch)
            if book is None or book.run_id not in run_ids:
                break
            books.append(book)
    return books


@dataclass(frozen=True)
class AuditedRun:
    """A run that has come to its audit; `in_part` when it leaves something undone."""

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
    if done:
        _move_on(opened, run)
    return {"done": done, "since": since.isoformat(), "statement": statement}


def _prepare(opened: OpenProject, run: AuditedRun) -> list[str]:
    """Makes the SQL of a run's audit: every book that none has entered, also those of runs that never came to theirs.

    Books and check results, as many as they are, go by files; one that is entered already is replaced.
    """
    reach = _reach(opened)
    opened.lake.write(_reach_key(run), json.dumps(reach).encode())
    ended = ended_runs(opened, run.run_id)
    opened.lake.write(_stages_key(run), json.dumps([key for one in ended for key in one.waiting.keys]).encode())
    judged = _judged(opened, reach)
    books = [book for book, _ in judged]
    if not all(book.balances for book in books):
        wrong = ", ".join(f"{book.source}.{book.stream} batch {book.batch}" for book in books if not book.balances)
        raise BooksError(f"the books that run {run.run_id} finds do not balance: {wrong}")
    started = datetime.fromisoformat(run.started_at).astimezone(UTC)
    own = [book for book in books if book.run_id == run.run_id]
    sums = [
        sum(getattr(book, name) for book in own)
        for name in ("extracted", "silver_inserted", "silver_updated", "quarantined")
    ]
    status = "failed_in_part" if run.in_part else "succeeded"
    run_id = text(run.run_id)
    return [
        *stages_entered(opened, run.run_id, ended, tell_lineage(opened, _told(run, ended))),
        "INSERT INTO etl.runs (run_id, status, started_at, ended_at, rows_extracted, rows_inserted, rows_updated, "
        f"rows_quarantined) SELECT {run_id}, '{status}', '{started:%Y-%m-%d %H:%M:%S}', GETDATE(), "
        f"{', '.join(str(value) for value in sums)} WHERE NOT EXISTS (SELECT 1 FROM etl.runs WHERE run_id = {run_id})",
        *_entered(opened, run, "books", reach, [book.model_dump(exclude={"reasons"}) for book in books]),
        *_entered(opened, run, "quality_results", reach, _results(judged)),
    ]


def _told(run: AuditedRun, ended: Iterable[EndedRun]) -> list[tuple[Told, list[StageRun]]]:
    """This run, and those that never came to their audit, as lineage tells of them."""
    others, now = [], datetime.now(UTC)
    own = Told(run.run_id, datetime.fromisoformat(run.started_at), now, IN_PART if run.in_part else None)
    of_own: list[StageRun] = []
    for one in ended:
        if one.waiting.run_id == run.run_id:
            of_own = one.stage_runs
        else:
            others.append((one.told, one.stage_runs))
    return [(own, of_own), *others]


def _entered(
    opened: OpenProject, run: AuditedRun, table: str, reach: Reach, rows: list[dict[str, Any]]
) -> Iterator[str]:
    """Makes the SQL that puts rows in a table of etl in place of those about the same batches."""
    if not rows:
        return
    said = (
        f"source = {text(source)} AND stream = {text(stream)} AND batch BETWEEN {first} AND {last}"
        for name, (first, last) in reach.items()
        for source, _, stream in [name.partition(".")]
    )
    yield f"DELETE FROM etl.{table} WHERE {' OR '.join(f'({batches})' for batches in said)}"
    yield copied(opened, run.run_id, table, rows)


def _reach(opened: OpenProject) -> Reach:
    """Finds the books that no audit has entered."""
    entered = json.loads(opened.lake.read(_ENTERED_KEY) or b"{}")
    reach = {}
    for ledger in opened.streams():
        name, closed = f"{ledger.source}.{ledger.stream}", ledger.closed_up_to()
        first = entered.get(name, max(0, closed - MOST_AT_FIRST)) + 1
        if first <= closed:
            reach[name] = (first, closed)
    return reach


def _move_on(opened: OpenProject, run: AuditedRun) -> None:
    """Records what this audit has entered; one that dies before leaves the next to enter the same once more."""
    reach = json.loads(opened.lake.read(_reach_key(run)) or b"{}")
    entered = json.loads(opened.lake.read(_ENTERED_KEY) or b"{}")
    entered |= {name: last for name, (_, last) in reach.items()}
    opened.lake.write(_ENTERED_KEY, json.dumps(entered, sort_keys=True).encode())
    StageRuns(opened.ledger.bucket).remove(json.loads(opened.lake.read(_stages_key(run)) or b"[]"))


def _reach_key(run: AuditedRun) -> str:
    return f"load/_audit/{run.run_id}.reach.json"


def _stages_key(run: AuditedRun) -> str:
    return f"load/_audit/{run.run_id}.stages.json"


def _judged(opened: OpenProject, reach: Reach) -> list[tuple[Book, Verdict | None]]:
    """Reads books, each with the verdict of its batch."""
    judged: list[tuple[Book | None, Verdict | None]] = []
    for name, batches in reach.items():
        ledger = opened.ledger.stream(*name.split("."))
        judged += zip(ledger.books(*batches), ledger.verdicts(*batches), strict=True)
    return [(book, verdict) for book, verdict in judged if book]


def _results(judged: Iterable[tuple[Book, Verdict | None]]) -> list[dict[str, Any]]:
    """Lists the check results of batches as rows of etl.quality_results."""
    rows = []
    for book, verdict in judged:
        for check in verdict.checks if verdict else ():
            row = {
                "run_id": book.run_id,
                "source": book.source,
                "stream": book.stream,
                "batch": book.batch,
                "check_id": check.check,
                "level": check.level,
                "passed": check.passed,
                "value": check.value,
                "message": shortened(check.message, _MOST_CHARACTERS) or None,
                "failed_rows": check.failed_rows,
                "batch_rows": verdict.rows if verdict else None,
            }
            rows.append({name: value for name, value in row.items() if value is not None})
    return rows
