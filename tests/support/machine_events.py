"""How many events an execution of a state machine can have at most: its history ends at 25,000, and the execution with it."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

MOST_EVENTS = 25_000
_ENTERED_AND_EXITED = 2
# Scheduled, started and succeeded or failed; a run that is waited for is submitted as well.
_TRY = {"lambda:invoke": 3, "startJobRun.sync": 4}


def most_events(machine: Mapping[str, Any], items: Mapping[str, int], seconds: Mapping[str, int]) -> int:
    """Counts the events of the longest way through a machine, on which each task fails as often as it is retried.

    `items` are how many each Map has; `seconds` how long each task is asked again that a Wait leads back to. Of what is asked
    again no call is retried: what is left below MOST_EVENTS is for that.
    """
    return 2 + _longest(machine, machine["StartAt"], items, seconds)


def _longest(machine: Mapping[str, Any], name: str, items: Mapping[str, int], seconds: Mapping[str, int]) -> int:
    state = machine["States"][name]
    if state["Type"] == "Wait":
        # Back to a task that was counted: as often as its time has such waits.
        asked = state["Next"]
        choice = machine["States"][asked]["Next"]
        once = _events(machine["States"][asked], items, seconds, retried=False)
        once += _ENTERED_AND_EXITED + _events(machine["States"][choice], items, seconds)
        return ceil(seconds[asked] / state["Seconds"]) * once
    nexts = [state.get("Next"), state.get("Default"), *(choice["Next"] for choice in state.get("Choices", []))]
    nexts += [catch["Next"] for catch in state.get("Catch", [])]
    ways = {following: _longest(machine, following, items, seconds) for following in nexts if following}
    waits = sum(ways.pop(following) for following in list(ways) if machine["States"][following]["Type"] == "Wait")
    return _events(state, items, seconds) + waits + max(ways.values(), default=0)


def _events(
    state: Mapping[str, Any], items: Mapping[str, int], seconds: Mapping[str, int], *, retried: bool = True
) -> int:
    if state["Type"] == "Task":
        tries = 1 + sum(retry["MaxAttempts"] for retry in state["Retry"]) * retried
        return _ENTERED_AND_EXITED + tries * _TRY[state["Resource"].rpartition(":::")[2].removeprefix("glue:")]
    if state["Type"] == "Map":
        inner = state["ItemProcessor"]
        [count] = [items[name] for name in items if name in inner["States"]]
        return _ENTERED_AND_EXITED + 2 + count * (2 + _longest(inner, inner["StartAt"], items, seconds))
    return _ENTERED_AND_EXITED
