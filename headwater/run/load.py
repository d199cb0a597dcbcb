"""The loads of a run: one transaction for each gold table with changes that the warehouse lacks."""

from __future__ import annotations

import json
from typing import Any

import boto3

from headwater.open_project import OpenProject
from headwater.warehouse.changes import ChangeLog
from headwater.warehouse.load import load_of


def prepare_load(opened: OpenProject, run_id: str) -> dict[str, Any]:
    """Prepares one transaction for each gold table with changes that the warehouse lacks."""
    project = opened.project
    loaded = {
        str(table): int(str(version))
        for table, version in opened.query("SELECT table_name, MAX(version) FROM etl.load_ledger GROUP BY table_name")
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
