"""Adds up the books of a run, and enters them in the warehouse."""

from typing import Any

import boto3

from headwater.open_project import OpenProject
from headwater.run.audit import AuditedRun, audit_run
from headwater.run.undone import left_undone


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Enters one run in the audit, and tells what it leaves undone; books that do not balance raise BooksError."""
    opened = OpenProject.deployed()
    undone = left_undone(opened, event["run_id"], event["started_at"], event["error"])
    run = AuditedRun(event["run_id"], event["started_at"], in_part=bool(undone))
    audited = audit_run(opened, boto3.client("redshift-data"), run, event["audit"])
    return {**audited, "in_part": run.in_part, "told": str(undone)}
