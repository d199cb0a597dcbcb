"""The SQL of a staged, transactional, idempotent load.

A load's SQL is one transaction: stage the change file, upsert, and note the load in etl.load_ledger. Every statement that
touches the target asks the ledger first, so replaying a load changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headwater.errors import ConfigError
from headwater.warehouse.changes import ChangeFile

_IDENTIFIER = re.compile(r"^[a-z_][a-z0-9_]{0,126}$")
_PLAIN = re.compile(r"^[A-Za-z0-9_.:/@=+-]+$")


@dataclass(frozen=True)
class Load:
    """One table's load: its id, its COPY manifest, and its SQL, to be run as one transaction."""

    load_id: str
    table: str
    manifest: dict[str, Any]
    sqls: tuple[str, ...]


def load_of(changes: Sequence[ChangeFile], manifest_uri: str, copy_role: str, run_id: str) -> Load:
    """Makes the load of a table's pending change files; in each key the newest version wins."""
    newest = changes[-1]
    table, load_id = newest.table, f"{newest.table}@{newest.version}"
    for name in (table, *newest.grain, *newest.columns):
        if not _IDENTIFIER.match(name):
            raise ConfigError(f"{table}: {name!r} cannot be a column or table name in the warehouse")
    for value in (manifest_uri, copy_role, run_id, load_id):
        if not _PLAIN.match(value):
            raise ConfigError(f"{table}: {value!r} has characters that do not belong in SQL")
    columns = ", ".join(newest.columns)
    same_key = " AND ".join(f"analytics.{table}.{name} = incoming.{name}" for name in newest.grain)
    # Not this load, and none after it: what an older run had prepared never overwrites what a newer one has loaded.
    unseen = f"NOT EXISTS (SELECT 1 FROM etl.load_ledger WHERE table_name = '{table}' AND version >= {newest.version})"
    grain = ", ".join(newest.grain)
    sqls = (
        f"CREATE TEMP TABLE incoming AS SELECT {columns}, CAST('' AS VARCHAR(6)) AS _change, CAST(0 AS BIGINT) AS _version "
        f"FROM analytics.{table} WHERE 1 = 0",
        f"COPY incoming FROM '{manifest_uri}' IAM_ROLE '{copy_role}' FORMAT AS PARQUET MANIFEST",
        f"DELETE FROM analytics.{table} USING incoming WHERE {same_key} AND {unseen}",
        f"INSERT INTO analytics.{table} ({columns}) SELECT {columns} FROM (SELECT {columns}, _change, ROW_NUMBER() OVER "
        f"(PARTITION BY {grain} ORDER BY _version DESC) AS recency FROM incoming) AS ranked "
        f"WHERE recency = 1 AND _change = 'upsert' AND {unseen}",
        "INSERT INTO etl.load_ledger (load_id, table_name, version, row_count, run_id, loaded_at) "
        f"SELECT '{load_id}', '{table}', {newest.version}, (SELECT COUNT(*) FROM incoming), '{run_id}', GETDATE() "
        f"WHERE {unseen}",
        "DROP TABLE incoming",
    )
    entries = [
        {"url": url, "mandatory": True, "meta": {"content_length": size}}
        for change in changes
        for url, size in change.entries
    ]
    return Load(load_id, table, {"entries": entries}, sqls)
