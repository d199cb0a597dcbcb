"""Prepares the transactions that bring the warehouse up to date."""

from typing import Any

from headwater.open_project import OpenProject
from headwater.run.load import prepare_load


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Returns one load for each gold table that has changes the warehouse lacks."""
    return prepare_load(OpenProject.deployed(), event["run_id"])
