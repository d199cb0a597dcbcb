"""Runs that go on side by side, one step at a time, as a seed draws: at each call one may die, or another go first."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.support.faulty_s3 import Fault

_FAULT_RATE = 0.04
_SWITCH_RATE = 0.15


class Killed(BaseException):
    """kill -9: whatever the process does from here on comes to nothing, its clean-up as well."""


@dataclass
class Process:
    """A job run, or a call of a function: `ended` is what is known of it, which may be before it has."""

    name: str
    dead: bool = False
    ended: bool = False


@dataclass
class _Actor:
    process: Process
    waits_for: Process | None = None
    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class World:
    """What happens at each call of whoever is running: nothing, a fault out of those that are left, or somebody else's turn."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.left = 0
        """How many faults may still strike."""
        self.struck: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        """What else may happen at any moment, such as a statement that ends."""
        self._actors: list[_Actor] = []
        self._own = threading.local()
        self._done = threading.Semaphore(0)
        self._broken: list[BaseException] = []

    def go(self, *runs: Callable[[], None]) -> None:
        """Lets runs go on until all that they have begun has ended, one of them at a time."""
        for run in runs:
            self._start(Process("run"), run)
        self._pass_on()
        self._done.acquire()
        if self._broken:
            raise self._broken[0]

    def _start(self, process: Process, work: Callable[[], None]) -> None:
        actor = _Actor(process)
        thread = threading.Thread(target=self._work, args=(actor, work), daemon=True)
        thread.start()
        # It waits at its gate before it begins; who begins first is not for the machine to say.
        self._actors.append(actor)

    def _work(self, actor: _Actor, work: Callable[[], None]) -> None:
        self._own.actor = actor
        actor.gate.acquire()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised where the runs were started
            self._broken.append(error)
        self._actors.remove(actor)
        actor.process.ended = True
        self._pass_on()

    def _pass_on(self) -> None:
        if self._actors:
            self._one_of(self._actors).gate.release()
        else:
            self._done.release()

    def _one_of(self, actors: Sequence[_Actor]) -> _Actor:
        ready = [actor for actor in actors if actor.waits_for is None or actor.waits_for.ended]
        return ready[self.random.randrange(len(ready))]

    @property
    def _me(self) -> _Actor | None:
        return getattr(self._own, "actor", None)

    def wait_for(self, process: Process, work: Callable[[], None]) -> None:
        """Has another process do something, until that has ended, or is said to have."""
        me = self._me
        assert me is not None
        self._start(process, work)
        me.waits_for = process
        self.rest()
        me.waits_for = None

    def begin(self, name: str) -> None:
        """Makes what is done from here on the work of another process."""
        me = self._me
        assert me is not None
        me.process = Process(name)

    def call(self) -> None:
        """Is a moment in which this process may die and others may go on."""
        me = self._me
        if me is None:
            return
        if me.process.dead:
            raise Killed
        self.meanwhile()
        if self.strikes("kill"):
            me.process.dead = me.process.ended = True
            raise Killed
        # Whoever asks after the process is told that it has ended, while it goes on.
        if self.strikes("presumed dead", 0.6):
            me.process.ended = True
        if self.random.random() < _SWITCH_RATE:
            self.rest()

    def rest(self, _seconds: float = 0) -> None:
        """Lets another run go on, if there is one."""
        me = self._me
        others = [actor for actor in self._actors if actor is not me]
        if me is not None and any(actor.waits_for is None or actor.waits_for.ended for actor in others):
            self._one_of(others).gate.release()
            me.gate.acquire()

    def strikes(self, fault: str, share: float = 0.2) -> bool:
        """Draws whether a fault strikes here; `share` is its part of all that strike at this kind of place."""
        if not self.left or self.random.random() >= _FAULT_RATE * share:
            return False
        self.left -= 1
        self.struck.append(fault)
        return True

    def __iter__(self) -> World:
        return self

    def __next__(self) -> Fault | None:
        """What befalls the next call to S3."""
        self.call()
        faults: tuple[Fault, ...] = ("lost_reply", "late", "conflict", "refused", "broken_off")
        return next((fault for fault in faults if self._me and self.strikes(fault)), None)
