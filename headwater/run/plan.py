"""What the state machine's Lambdas decide and say: plan, verdict, loads, audit and alerts of a run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import boto3

from headwater.config import JdbcSource, Project, load_deployed, parse_date
from headwater.errors import BooksError, ConfigError
from headwater.ledger.stream import Book, Bucket, Ledger, StreamLedger
from headwater.log import redact
from headwater.sources.kinds import kind_of
from headwater.warehouse import data_api
from headwater.warehouse.load import ChangeLog, load_of

START_STAGES = ("Extract", "Check", "Silver", "Gold", "Load")
_WINDOW = re.compile(r"^(\d{4}-\d{2}-\d{2})\.\.(\d{4}-\d{2}-\d{2})$")
_STATEMENT_SECONDS = 60.0
_MOST_QUALITY_ROWS = 500
_WORST_FIRST = ("missing", "halt", "warn", "pass", "none")


@dataclass(frozen=True)
class Environment:
    """One deployed environment, as its Lambdas and the CLI reach it."""

    project: Project

    @classmethod
    def deployed(cls) -> Environment:
        """Opens the environment whose project file is named by PROJECT_URI."""
        parts = urlsplit(os.environ["PROJECT_URI"])
        body = boto3.client("s3").get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))["Body"].read()
        return cls(load_deployed(body.decode()))

    @cached_property
    def ledger(self) -> Ledger:
        """The environment's ledger."""
        return Ledger(Bucket(boto3.client("s3"), self.project.environment.bucket("raw")))

    def streams(self, source: str | None = None) -> Iterator[StreamLedger]:
        """Opens the ledger of every stream, of one source or of all."""
        for name, declared in self.project.sources.items():
            if source in (None, name):
                for stream in declared.streams:
                    yield self.ledger.stream(name, stream)

    def query(self, sql: str) -> tuple[tuple[str | None, ...], ...]:
        """Runs one query in the warehouse and reads its rows; QueryError when the warehouse refuses."""
        warehouse = self.project.environment.warehouse
        return data_api.query(boto3.client("redshift-data"), warehouse, sql, _STATEMENT_SECONDS).rows


def plan_run(environment: Environment, run_id: str, started_at: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Turns a run's input into its plan; ConfigError names what is wrong with the input.

    `streams` in the plan says for each stream whether this run loads its history, an increment, or a backfill window.
    """
    known = {"sources", "start_from", "mode", "window", "as_of"}
    unknown = sorted(set(asked) - known)
    if unknown:
        raise ConfigError(f"run input: {', '.join(unknown)} unknown; known: {', '.join(sorted(known))}")
    project = environment.project
    sources = list(asked.get("sources") or project.sources)
    for name in sources:
        project.source(name)
    start_from = asked.get("start_from") or "Extract"
    if start_from not in START_STAGES:
        raise ConfigError(f"run input: start_from {start_from!r} unknown; known: {', '.join(START_STAGES)}")
    mode = asked.get("mode") or "incremental"
    if mode not in {"incremental", "backfill"}:
        raise ConfigError(f"run input: mode {mode!r} unknown; known: incremental, backfill")
    if mode == "backfill" and not asked.get("sources"):
        sources = [name for name in sources if not _comes_by_itself(project, name)]
    if mode == "backfill":
        _refuse_streams_without_days(project, sources)
    return {
        "run_id": run_id,
        "start_from": start_from,
        "mode": mode,
        "as_of": parse_date(str(asked.get("as_of") or started_at)[:10]).isoformat(),
        "window": _window(mode, asked.get("window")),
        "sources": [
            {
                "source": name,
                "optional": project.source(name).optional,
                "streams": {
                    ledger.stream: "backfill" if mode == "backfill" else "incremental" if ledger.latest() else "history"
                    for ledger in environment.streams(name)
                },
            }
            for name in sources
        ],
        "crawlers": [
            *[project.environment.crawler("bronze", name) for name in sources],
            *[
                project.environment.crawler(zone)
                for zone in ("silver", "quarantine", *(["gold"] if project.gold else []))
            ],
        ],
        # What the states after the sources look at, also when a restart skips the sources.
        "outcomes": [],
        "failures": {"stop": False, "in_part": False},
    }


def _refuse_streams_without_days(project: Project, sources: Sequence[str]) -> None:
    lacking = [
        f"{source.name}.{name}"
        for source in map(project.source, sources)
        if isinstance(source, JdbcSource)
        for name, stream in source.streams.items()
        if stream.backfill_column is None
    ]
    if lacking:
        raise ConfigError(
            f"run input: {', '.join(lacking)} cannot be read by days. "
            "hint: declare `day`, the column that has them, or name the other sources"
        )
    received = [name for name in sources if _comes_by_itself(project, name)]
    if received:
        raise ConfigError(
            f"run input: {', '.join(received)} cannot be asked for what has been. hint: name the other sources; "
            "what has come in is in raw and bronze"
        )


def _comes_by_itself(project: Project, source: str) -> bool:
    return kind_of(project.source(source)).received


def _window(mode: str, window: Any) -> str:
    if mode != "backfill":
        if window:
            raise ConfigError("run input: window belongs to mode backfill")
        return "-"
    text = f"{window['from']}..{window['to']}" if isinstance(window, Mapping) else str(window)
    match = _WINDOW.match(text)
    if not match or parse_date(match[1]) > parse_date(match[2]):
        raise ConfigError(f"run input: window {text!r}; write {{from, to}} as dates, from not after to")
    return text


def read_verdict(environment: Environment, source: str) -> dict[str, str]:
    """Tells the worst verdict on the batches of a source that wait for silver, and which of them halt.

    Worst first: missing (Check has not seen them all), halt, warn, pass; none when no batch waits.
    """
    halted = []
    found = {"none"}
    for ledger in environment.streams(source):
        for manifest in ledger.since(ledger.closed_up_to()):
            verdict = ledger.verdict(manifest.batch)
            if verdict is None:
                found.add("missing")
            elif verdict.verdict == "halt" and ledger.decision(manifest.batch) is None:
                failed = ", ".join(
                    f"{check.check} {check.message}".strip() for check in verdict.checks if not check.passed
                )
                halted.append(f"{source}.{ledger.stream} batch {manifest.batch}: {failed}")
                found.add("halt")
            else:
                # What a person has decided on is held back no more.
                found.add("pass" if verdict.verdict == "pass" else "warn")
    return {"verdict": min(found, key=_WORST_FIRST.index), "halted": "; ".join(halted)}


def prepare_load(environment: Environment, run_id: str) -> dict[str, Any]:
    """Prepares one transaction for each gold table that the warehouse lacks changes of."""
    project = environment.project
    loaded = {
        str(table): int(str(version))
        for table, version in environment.query(
            "SELECT table_name, MAX(version) FROM etl.load_ledger GROUP BY table_name"
        )
    }
    s3 = boto3.client("s3")
    lake = project.environment.bucket("lake")
    loads = []
    for table in project.gold:
        pending = ChangeLog(s3, lake, table).since(loaded.get(table, -1))
        if not pending:
            continue
        key = f"load/{table}/manifests/{pending[-1].version:09d}.json"
        load = load_of(pending, f"s3://{lake}/{key}", project.environment.warehouse.copy_role, run_id)
        s3.put_object(Bucket=lake, Key=key, Body=json.dumps(load.manifest).encode())
        loads.append({"load_id": load.load_id, "table": table, "sqls": list(load.sqls)})
    return {"loads": loads}


def books_of(environment: Environment, run_id: str) -> list[Book]:
    """Reads the books that one run closed, newest batches only; costs as much as the run did."""
    books = []
    for ledger in environment.streams():
        for batch in range(ledger.closed_up_to(), 0, -1):
            book = ledger.book(batch)
            if book is None or book.run_id != run_id:
                break
            books.append(book)
    return books


def prepare_audit(environment: Environment, run_id: str, started_at: str, in_part: bool) -> dict[str, list[str]]:
    """Makes the SQL of a run's audit entry and of its check results; an entry that is there stays."""
    books = books_of(environment, run_id)
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
        verdict = environment.ledger.stream(book.source, book.stream).verdict(book.batch)
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


def alert_of(environment_name: str, failure: Mapping[str, Any]) -> tuple[str, str]:
    """Words the alert of one failed run: subject and message with run, source, stage and cause, secrets struck out."""
    outcomes = [outcome for outcome in failure.get("outcomes", []) if outcome["status"] != "succeeded"]
    lines = [f"run: {failure['run_id']}", f"environment: {environment_name}", f"started: {failure['started_at']}"]
    failed = [(outcome["source"], outcome["stage"], outcome["error"]) for outcome in outcomes]
    if not failed or failure["stage"] != "Sources":
        failed.append(("-", failure["stage"], failure["error"]))
    for source, stage, error in failed:
        lines += [
            "",
            f"source: {source}",
            f"stage: {stage}",
            f"error: {error['Error']}",
            f"cause: {_cause(error['Cause'])}",
        ]
    in_part = failure["error"]["Error"] == "FailedInPart"
    lines += ["", "hint: mend the cause, then run again; every stage is safe to repeat."]
    subject = f"[headwater {environment_name}] run {failure['run_id']} {'failed in part' if in_part else 'failed'}"
    return subject[:100], redact("\n".join(lines))


def _cause(cause: str) -> str:
    # A failed Glue run's cause is the whole JobRun as JSON; what a person needs is its message.
    try:
        run = json.loads(cause)
    except ValueError:
        return cause
    return str(run.get("ErrorMessage") or run.get("errorMessage") or cause) if isinstance(run, dict) else cause
