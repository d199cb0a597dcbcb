"""The loads of a run: one transaction after the other, for each gold table with changes that the warehouse lacks."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from headwater.errors import ConflictError, LoadError, QueryError
from headwater.ledger.entries import StageRun
from headwater.ledger.stage_runs import StageRuns
from headwater.log import get_logger, shortened
from headwater.open_project import OpenProject
from headwater.run.limits import LOAD_SECONDS, began, is_over
from headwater.warehouse.changes import FIRST, ChangeLog
from headwater.warehouse.data_api import (
    BEGINS_WITHIN_SECONDS,
    Rows,
    batch_of,
    begin,
    has_finished,
    rows_of,
    submit,
    unfinished,
)
from headwater.warehouse.load import Load, load_of

MOST_TRIES = 6
"""Tries of one table's load while other transactions are in its way."""
_PATIENCE_SECONDS = 45.0
"""How long one call waits for its statements, once they have begun: the warehouse goes on to the next table at once."""
_LONGEST_PAUSE_SECONDS = 5.0
"""How long a load waits before it is tried again, at most and besides what the state machine waits."""

_MOST_CHARACTERS = 1000
"""Of what the warehouse said of a table that it refused, in the state; the log has the whole."""

_LOADED = "SELECT table_name, MAX(version) FROM etl.load_ledger GROUP BY table_name"

log = get_logger(__name__)


def load_changes(
    opened: OpenProject,
    client: Any,
    run_id: str,
    load: Mapping[str, Any],
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Loads what the warehouse lacks, or goes on with it; `done` once all is loaded.

    `load` is the last answer, empty at first; `tables` of it is None until the warehouse's own ledger has said what it lacks. Where
    that is nothing, nothing but this question reaches it. It is asked again after another transaction was in a load's way, which may
    have loaded the same. LoadError, once the others are loaded, when the warehouse has `refused` a table, which is as it was.
    """
    since = began(load)
    warehouse = opened.project.environment.warehouse
    tables: dict[str, int] | None = load.get("tables")
    statement: str | None = load.get("statement")
    tries: int = load.get("tries") or 1
    refused: dict[str, str] = load.get("refused") or {}
    deadline = time.monotonic() + _PATIENCE_SECONDS
    if tables is None:
        statement = statement or begin(client, warehouse, _LOADED)
        if statement is not None and _ended(client, statement, deadline):
            tables, statement = _pending(opened, rows_of(client, statement), refused), None
    while tables:
        table = next(iter(tables))
        if statement is None:
            prepared = _prepare(opened, table, tables[table], run_id)
            token = _token(warehouse.workgroup, prepared.load_id, run_id, tries)
            statement = submit(client, warehouse, prepared.sqls, prepared.load_id, token)
        try:
            if not _ended(client, statement, deadline):
                break
            assert statement is not None  # noqa: S101 - it has ended
            _tell(opened, client, table, run_id, statement)
            log.info("loaded", table=table, run_id=run_id)
        except ConflictError as error:
            _make_way(table, error, tries, sleep)
            tables, statement, tries = None, None, tries + 1
            break
        except QueryError as error:
            _changes(opened, table).refuse(str(error))
            _tell(opened, client, table, run_id, str(statement), str(error))
            log.warning("refused", table=table, run_id=run_id, error=str(error))
            refused = refused | {table: shortened(str(error), _MOST_CHARACTERS)}
        tables = {name: version for name, version in tables.items() if name != table}
        statement, tries = None, 1
    done = tables == {}
    if not done and is_over(since, LOAD_SECONDS):
        late = ", ".join(tables or ("etl.load_ledger",))
        raise LoadError(f"{late}: not loaded since {since:%H:%M} UTC; {unfinished(client, statement)}")
    if done and refused:
        raise LoadError("; ".join(f"{table}: {error}" for table, error in refused.items()))
    told = {"since": since.isoformat(), "tables": tables, "statement": statement, "tries": tries, "refused": refused}
    return {"done": done, **told}


def _tell(opened: OpenProject, client: Any, table: str, run_id: str, statement: str, error: str | None = None) -> None:
    """Writes down what the load of a table has done; a row that replaces another is deleted and inserted, as the load does it."""
    batch = batch_of(client, statement)
    # A transaction that was refused has changed nothing.
    done = batch.rows_of if error is None else lambda _opening: 0
    stage_run = StageRun(
        run_id=run_id,
        stage="Load",
        job_run_id=statement,
        table=table,
        started_at=batch.began,
        ended_at=batch.ended,
        succeeded=error is None,
        rows_read=done("COPY "),
        rows_inserted=done(f"INSERT INTO analytics.{table} "),
        rows_deleted=done(f"DELETE FROM analytics.{table} "),
        messages=() if error is None else (shortened(error, _MOST_CHARACTERS),),
    )
    StageRuns(opened.ledger.bucket).write(table, [stage_run])


def _make_way(table: str, error: ConflictError, tries: int, sleep: Callable[[float], None]) -> None:
    """Waits while another transaction is in a load's way; LoadError when that was so at each try."""
    if tries == MOST_TRIES:
        raise LoadError(f"{table}: {error}, {MOST_TRIES} times. hint: run again") from None
    log.info("another transaction was in the way", table=table, tries=tries)
    sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))


def _ended(client: Any, statement: str | None, deadline: float) -> bool:
    patience = deadline - time.monotonic()
    return statement is not None and has_finished(client, statement, patience, begins_within=BEGINS_WITHIN_SECONDS)


def _token(workgroup: str, load_id: str, run_id: str, tries: int) -> str:
    """Names one try of a load: asked for twice, by a function that was called again, it still runs once."""
    # Whether tokens of one account's workgroups meet is not documented.
    return hashlib.sha256(f"{workgroup}\n{load_id}\n{run_id}\n{tries}".encode()).hexdigest()


def _pending(opened: OpenProject, ledger: Rows, refused: Collection[str]) -> dict[str, int]:
    """Lists the tables with changes that the warehouse lacks and has not refused, with the newest version that it has."""
    loaded = {str(table): int(str(version)) for table, version in ledger.rows}
    versions = {table: loaded.get(table, FIRST) for table in opened.project.gold if table not in refused}
    return {table: version for table, version in versions.items() if _changes(opened, table).latest_version() > version}


def _prepare(opened: OpenProject, table: str, loaded: int, run_id: str) -> Load:
    pending = _changes(opened, table).after(loaded)
    # Named by all that it holds: another run's load since another version has a manifest of its own.
    key = f"load/{table}/manifests/{loaded + 1:09d}-{pending[-1].version:09d}.json"
    load = load_of(pending, f"{opened.lake.uri}/{key}", opened.project.environment.warehouse.copy_role, run_id)
    opened.lake.write(key, json.dumps(load.manifest).encode())
    return load


def _changes(opened: OpenProject, table: str) -> ChangeLog:
    return ChangeLog(opened.lake, table)
