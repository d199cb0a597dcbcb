"""Prepares the transactions that bring the warehouse up to date."""

from typing import Any

from headwater.run.load import prepare_load
from headwater.run.project import OpenProject


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Returns one load for each gold table that has changes the warehouse lacks."""
    return prepare_load(OpenProject.deployed(), event["run_id"])
