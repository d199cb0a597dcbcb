"""Turns: of the runs that have extracted, one at a time goes on to Check, silver, gold and the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.errors import LedgerError
from headwater.ledger.lease import Lease, take_lease
from headwater.open_project import OpenProject
from headwater.run.limits import TURN_SECONDS, began, is_over


def take_turn(opened: OpenProject, states: Any, execution_arn: str, turn: Mapping[str, Any]) -> dict[str, Any]:
    """Takes the turn for one run, or says which run has it; LedgerError when that has taken longer than any turn may.

    The turn is a lease that ends with its execution, however that ends. `turn` is the last answer, empty at first.
    """
    machine, _, run_id = execution_arn.rpartition(":")

    def ended(_machine: str, other: str) -> bool:
        try:
            status: str = states.describe_execution(executionArn=f"{machine}:{other}")["status"]
        except states.exceptions.ExecutionDoesNotExist:
            return True
        return status != "RUNNING"

    name = machine.rpartition(":")[2]
    found = take_lease(opened.ledger.bucket, "run", name, run_id, ended)
    since = began(turn)
    if isinstance(found, Lease):
        return {"taken": True, "waits_for": None, "since": since.isoformat()}
    if is_over(since, TURN_SECONDS):
        raise LedgerError(
            f"run {found.job_run_id} has had its turn since {found.taken_at:%Y-%m-%d %H:%M} UTC, and this run has waited for it "
            f"since {since:%Y-%m-%d %H:%M} UTC. hint: wait for that run or stop it, then run again with --start-from Check"
        )
    return {"taken": False, "waits_for": found.job_run_id, "since": since.isoformat()}
