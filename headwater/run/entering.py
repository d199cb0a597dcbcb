"""How the audit of a run enters rows in the warehouse: by files, so that neither the state nor a statement grows with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from headwater.open_project import OpenProject


def copied(opened: OpenProject, run_id: str, table: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """Makes the SQL that copies rows to a table of etl, from a file in the lake's bucket."""
    key = f"load/_audit/{run_id}.{table}.json"
    opened.lake.write(key, "\n".join(json.dumps(row) for row in rows).encode())
    copy_role = opened.project.environment.warehouse.copy_role
    return f"COPY etl.{table} FROM {text(f'{opened.lake.uri}/{key}')} IAM_ROLE '{copy_role}' FORMAT AS JSON 'auto'"


def text(value: str) -> str:
    """A text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"
