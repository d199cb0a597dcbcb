"""Reads which sources have batches that wait, and which streams are held back."""

from typing import Any

from headwater.open_project import OpenProject
from headwater.run.verdicts import read_verdicts


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Returns the sources whose batches wait for Check and for Silver."""
    return read_verdicts(
        OpenProject.deployed(),
        event["run_id"],
        event["after"],
        event["sources"],
        event["outcomes"],
        event["error"],
        event.get("start_from", "Extract"),
    )
