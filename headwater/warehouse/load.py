"""The SQL of a staged, transactional, idempotent load.

A load's SQL is one transaction. It takes the turn of etl.load_turn first: snapshot isolation lets two transactions insert the same
rows into one table, but of two that update one row Redshift refuses the later. Then it stages the change files, holds what is staged
to what was published, upserts, and notes the load in etl.load_ledger. Every statement that touches the target asks the ledger first,
so that a load that is repeated or overtaken changes nothing.
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
    grain = ", ".join(newest.grain)
    same_key = " AND ".join(f"analytics.{table}.{name} = incoming.{name}" for name in newest.grain)
    # Not this load, and none after it: what an older run had prepared never overwrites what a newer one has loaded.
    unseen = f"NOT EXISTS (SELECT 1 FROM etl.load_ledger WHERE table_name = '{table}' AND version >= {newest.version})"
    replaced = f"WHERE {unseen}" if changes[0].is_whole else f"USING incoming WHERE {same_key} AND {unseen}"
    sqls = (
        f"UPDATE etl.load_turn SET run_id = '{run_id}', taken_at = GETDATE()",
        "SELECT 1 / COUNT(*) AS there_is_a_turn_to_take FROM etl.load_turn",
        f"CREATE TEMP TABLE incoming AS SELECT {columns}, CAST('' AS VARCHAR(6)) AS _change, CAST(0 AS BIGINT) AS _version "
        f"FROM analytics.{table} WHERE 1 = 0",
        f"COPY incoming FROM '{manifest_uri}' IAM_ROLE '{copy_role}' FORMAT AS PARQUET MANIFEST",
        *_checks(changes),
        f"DELETE FROM analytics.{table} {replaced}",
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


def _checks(changes: Sequence[ChangeFile]) -> list[str]:
    """Statements that divide by zero, each in the name of what it asks, where what is staged is not what was published."""
    grain = changes[-1].grain
    published = [change.rows for change in changes if change.rows is not None]
    keyed = " AND ".join(f"COUNT({name}) = COUNT(*)" for name in grain)
    twice = f"SELECT 1 AS one FROM incoming GROUP BY {', '.join(grain)}, _version HAVING COUNT(*) > 1"
    checks = [
        f"SELECT 1 / CASE WHEN {keyed} THEN 1 ELSE 0 END AS no_key_is_null FROM incoming",
        f"SELECT 1 / CASE WHEN COUNT(*) = 0 THEN 1 ELSE 0 END AS no_key_is_there_twice FROM ({twice}) AS twice",
    ]
    # What an earlier version of Headwater has published does not say how many rows it has.
    if len(published) == len(changes):
        checks.insert(
            0,
            f"SELECT 1 / CASE WHEN COUNT(*) = {sum(published)} THEN 1 ELSE 0 END AS as_many_rows_as_published FROM incoming",
        )
    return checks
