"""Adds up the books of a run for its audit entry."""

from typing import Any

from headwater.open_project import OpenProject
from headwater.run.audit import prepare_audit


def handler(event: dict[str, Any], _context: object) -> dict[str, list[str]]:
    """Returns the SQL of one run's audit; books that do not balance raise BooksError."""
    return prepare_audit(OpenProject.deployed(), event["run_id"], event["started_at"], event["in_part"])
