"""Reads what Check said about a source's new batches."""

from typing import Any

from headwater.open_project import OpenProject
from headwater.run.verdict import read_verdict


def handler(event: dict[str, Any], _context: object) -> dict[str, str]:
    """Returns the worst verdict of one source, and the batches that halt."""
    return read_verdict(OpenProject.deployed(), event["source"])
