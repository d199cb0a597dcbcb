"""Adds up the books of a run, and enters them in the warehouse."""

from typing import Any

import boto3

from headwater.open_project import OpenProject
from headwater.run.audit import AuditedRun, audit_run


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Enters one run in the audit; books that do not balance raise BooksError."""
    run = AuditedRun(event["run_id"], event["started_at"], event["in_part"])
    return audit_run(OpenProject.deployed(), boto3.client("redshift-data"), run, event["audit"])
