"""The sleep of Redshift Serverless: a workgroup of which nobody asked anything for an hour has to wake before it runs a statement."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from local.gateway.clock import CLOCK

# AWS names neither. An idle time that no run reaches keeps a sleep out of it, which a migration would sit out.
_IDLE_SECONDS = 3600.0
_WAKE_SECONDS = 40.0


@dataclass
class _Workgroup:
    used: float
    awake: float
    statements: int = 0


class Sleep:
    """Who sleeps, by the name of the workgroup; one that is met for the first time has just been made, and is awake."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workgroups: dict[str, _Workgroup] = {}

    @contextmanager
    def awake(self, name: str, wanted: Callable[[], bool]) -> Iterator[None]:
        """Waits until a workgroup is awake, or it is no longer wanted, and keeps it awake for the length of the block."""
        with self._lock:
            now = CLOCK.now()
            workgroup = self._workgroups.setdefault(name, _Workgroup(now, now))
            if not workgroup.statements and now - workgroup.used >= _IDLE_SECONDS:
                workgroup.awake = now + _WAKE_SECONDS
            workgroup.statements += 1
        try:
            CLOCK.sleep(workgroup.awake - now, wanted)
            yield
        finally:
            with self._lock:
                workgroup.used = CLOCK.now()
                workgroup.statements -= 1
