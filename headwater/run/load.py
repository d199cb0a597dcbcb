"""The loads of a run: one transaction after the other, for each gold table with changes that the warehouse lacks."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from headwater.errors import LoadError, QueryError
from headwater.log import get_logger
from headwater.open_project import OpenProject
from headwater.run.limits import LOAD_SECONDS, began, is_over
from headwater.warehouse.changes import ChangeLog
from headwater.warehouse.data_api import has_finished, submit, unfinished
from headwater.warehouse.load import Load, load_of

_PATIENCE_SECONDS = 45.0
"""How long one call waits for its statements: the warehouse is awake, and goes on to the next table at once."""

log = get_logger(__name__)


def load_changes(opened: OpenProject, client: Any, run_id: str, load: Mapping[str, Any]) -> dict[str, Any]:
    """Loads what the warehouse lacks, or goes on with it; `done` once all is loaded.

    `load` is the last answer, empty at first. The warehouse's own ledger says what it lacks; where that is nothing, nothing but
    this question reaches it. LoadError when it refuses a load, whose table is as it was.
    """
    since = began(load)
    warehouse = opened.project.environment.warehouse
    tables: dict[str, int] = dict(load["tables"]) if "tables" in load else _pending(opened)
    statement: str | None = load.get("statement")
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while tables:
        table = next(iter(tables))
        if statement is None:
            prepared = _prepare(opened, table, tables[table], run_id)
            statement = submit(client, warehouse, prepared.sqls, prepared.load_id)
        try:
            ended = has_finished(client, statement, deadline - time.monotonic())
        except QueryError as error:
            raise LoadError(f"{table}: {error}") from None
        if not ended:
            break
        log.info("loaded", table=table, run_id=run_id)
        del tables[table]
        statement = None
    if statement is not None and is_over(since, LOAD_SECONDS):
        raise LoadError(f"{', '.join(tables)}: not loaded since {since:%H:%M} UTC; {unfinished(client, statement)}")
    return {"done": not tables, "since": since.isoformat(), "tables": tables, "statement": statement}


def _pending(opened: OpenProject) -> dict[str, int]:
    """Lists the tables with changes that the warehouse lacks, with the newest version that it has."""
    rows = opened.query("SELECT table_name, MAX(version) FROM etl.load_ledger GROUP BY table_name")
    loaded = {str(table): int(str(version)) for table, version in rows}
    versions = {table: loaded.get(table, -1) for table in opened.project.gold}
    return {table: version for table, version in versions.items() if _changes(opened, table).latest_version() > version}


def _prepare(opened: OpenProject, table: str, loaded: int, run_id: str) -> Load:
    pending = _changes(opened, table).since(loaded)
    key = f"load/{table}/manifests/{pending[-1].version:09d}.json"
    load = load_of(pending, f"{opened.lake.uri}/{key}", opened.project.environment.warehouse.copy_role, run_id)
    opened.lake.write(key, json.dumps(load.manifest).encode())
    return load


def _changes(opened: OpenProject, table: str) -> ChangeLog:
    return ChangeLog(opened.lake.s3, opened.lake.name, table)
