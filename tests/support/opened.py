"""Opened projects that differ from the declared one."""

from __future__ import annotations

from headwater.config.environment import LineageTo
from headwater.open_project import OpenProject


def telling(opened: OpenProject, to: LineageTo | None) -> OpenProject:
    """The project where lineage goes somewhere else, or nowhere."""
    environment = opened.project.environment.model_copy(update={"lineage": to})
    other = OpenProject(opened.project.model_copy(update={"environment": environment}))
    other.__dict__["ledger"] = opened.ledger
    return other
