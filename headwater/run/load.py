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
from headwater.warehouse.data_api import BEGINS_WITHIN_SECONDS, Rows, begin, has_finished, rows_of, submit, unfinished
from headwater.warehouse.load import Load, load_of

_PATIENCE_SECONDS = 45.0
"""How long one call waits for its statements, once they have begun: the warehouse goes on to the next table at once."""

_LOADED = "SELECT table_name, MAX(version) FROM etl.load_ledger GROUP BY table_name"

log = get_logger(__name__)


def load_changes(opened: OpenProject, client: Any, run_id: str, load: Mapping[str, Any]) -> dict[str, Any]:
    """Loads what the warehouse lacks, or goes on with it; `done` once all is loaded.

    `load` is the last answer, empty at first; `tables` of it is None until the warehouse's own ledger has said what it lacks. Where
    that is nothing, nothing but this question reaches it. LoadError when it refuses a load, whose table is as it was.
    """
    since = began(load)
    warehouse = opened.project.environment.warehouse
    tables: dict[str, int] | None = load.get("tables")
    statement: str | None = load.get("statement")
    deadline = time.monotonic() + _PATIENCE_SECONDS

    def ended(begun: str | None) -> bool:
        patience = deadline - time.monotonic()
        return begun is not None and has_finished(client, begun, patience, begins_within=BEGINS_WITHIN_SECONDS)

    if tables is None:
        statement = statement or begin(client, warehouse, _LOADED)
        if statement is not None and ended(statement):
            tables, statement = _pending(opened, rows_of(client, statement)), None
    while tables:
        table = next(iter(tables))
        if statement is None:
            prepared = _prepare(opened, table, tables[table], run_id)
            statement = submit(client, warehouse, prepared.sqls, prepared.load_id)
        try:
            if not ended(statement):
                break
        except QueryError as error:
            raise LoadError(f"{table}: {error}") from None
        log.info("loaded", table=table, run_id=run_id)
        tables = {name: version for name, version in tables.items() if name != table}
        statement = None
    done = tables == {}
    if not done and is_over(since, LOAD_SECONDS):
        late = ", ".join(tables or ("etl.load_ledger",))
        raise LoadError(f"{late}: not loaded since {since:%H:%M} UTC; {unfinished(client, statement)}")
    return {"done": done, "since": since.isoformat(), "tables": tables, "statement": statement}


def _pending(opened: OpenProject, ledger: Rows) -> dict[str, int]:
    """Lists the tables with changes that the warehouse lacks, with the newest version that it has."""
    loaded = {str(table): int(str(version)) for table, version in ledger.rows}
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
