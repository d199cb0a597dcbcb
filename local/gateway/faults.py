"""Faults on demand, so that a test can kill a job at one exact request and the product needs no hooks.

A fault waits for an AWS request (by method and by path or `service.Action`) or for a named point inside the gateway,
fires a set number of times, or on a share of what it waits for, and remembers that it did.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

When = Literal["before", "after"]
Action = Literal["kill", "error", "throttle", "deny", "drop_reply"]
"""The worker dies, S3 has too much to do, the service throttles, the caller may not do it, or nobody hears the answer."""


class InjectedFault(Exception):  # noqa: N818 - the name that callers of `hit` know
    """A fault that was asked for through POST /_headwater/faults."""


class FaultRequestError(ValueError):
    """The description of a fault cannot be understood."""


@dataclass
class Fault:
    """One armed fault: what it waits for, what it does, and how often it has."""

    action: Action
    method: str | None = None
    path: str | None = None
    point: str | None = None
    when: When = "before"
    job: str | None = None
    times: int = 1
    skip: int = 0
    rate: float | None = None
    """Share of what it waits for that it fires on, as often as that comes."""
    fired: int = 0
    on: list[str] = field(default_factory=list)

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Fault:
        """Builds a fault from its JSON description; FaultRequestError says what is wrong with it."""
        known = {"action", "method", "path", "point", "when", "job", "times", "skip", "rate"}
        if unknown := set(document) - known:
            raise FaultRequestError(f"unknown keys {sorted(unknown)}. hint: the keys are {sorted(known)}")
        if document.get("action") not in get_args(Action):
            raise FaultRequestError(f"action {document.get('action')!r}. hint: one of {get_args(Action)}")
        if document.get("when", "before") not in get_args(When):
            raise FaultRequestError(f"when {document['when']!r}. hint: one of {get_args(When)}")
        if (document.get("path") is None) == (document.get("point") is None):
            raise FaultRequestError("a fault waits for either a path or a point")
        if document["action"] == "kill" and document.get("job") is None:
            raise FaultRequestError("kill needs the Glue job whose worker dies")
        if not 0 < document.get("rate", 1) <= 1:
            raise FaultRequestError(f"rate {document['rate']}. hint: a share above 0 and up to 1")
        if "rate" in document and "times" in document:
            raise FaultRequestError("a fault has either a rate or times")
        return cls(**document)

    def waits_for_request(self, method: str, targets: list[str]) -> bool:
        """True if a request with this method and these names (path, `service.Action`) is what this fault waits for."""
        if self.path is None or (self.method and self.method != method):
            return False
        return any(re.search(self.path, target) for target in targets)


class FaultTable:
    """Every armed fault, in the order in which they were armed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.kill_job: Callable[[str], bool] = lambda _job: False
        """Kills the worker that runs a job; False when none does."""
        self.is_running: Callable[[str], bool] = lambda _job: False

    @property
    def armed(self) -> bool:
        """False while there is nothing to look for: the usual case, which must cost nothing."""
        return bool(self._faults)

    def add(self, document: dict[str, Any]) -> None:
        """Arms a fault from its JSON description."""
        fault = Fault.parse(document)
        with self._lock:
            self._faults = [*self._faults, fault]

    def clear(self) -> None:
        """Disarms and forgets every fault."""
        with self._lock:
            self._faults = []

    def describe(self) -> list[dict[str, Any]]:
        """Lists every fault with how often it fired and on what."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def for_request(self, method: str, targets: list[str], caller: str) -> Fault | None:
        """Returns the fault that this request sets off, counted as fired; one that concerns a job, by the job's own requests."""
        return self._take(
            lambda fault: fault.waits_for_request(method, targets) and fault.job in {None, caller},
            f"{method} {targets[0]}",
        )

    def for_point(self, point: str) -> Fault | None:
        """Returns the fault that reaching a named point sets off, counted as fired; one that concerns a job, while that runs."""
        return self._take(
            lambda fault: fault.point == point and (fault.job is None or self.is_running(fault.job)), point
        )

    def _take(self, matches: Callable[[Fault], bool], what: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                is_over = fault.rate is None and fault.fired >= fault.times
                if is_over or not matches(fault) or random.random() >= (fault.rate or 1):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.fired += 1
                if fault.rate is None:
                    fault.on.append(what)
                return fault
        return None


TABLE = FaultTable()


def hit(point: str) -> None:
    """Marks a named point of the gateway; raises InjectedFault when a fault that is no kill waits for it."""
    fault = TABLE.for_point(point) if TABLE.armed else None
    if fault is None:
        return
    if fault.action == "kill" and fault.job is not None:
        TABLE.kill_job(fault.job)
        return
    raise InjectedFault(f"fault injected at {point}")
