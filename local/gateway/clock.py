"""The gateway's clock: real time plus what was skipped. Whatever stands for a service's behaviour in time asks it.

Its laws, whatever its pace:

1. It never goes back.
2. Appointments (the end of a wait, a limit, an alarm) ring in the order of their times, and none before its time.
3. It skips only while nothing works, and never past an appointment: what is woken does its work before the next one rings.

A pace says what it may skip. On `skip`, the pace of the demo, a wait costs nobody's time: when nothing works and somebody waits, the
clock is at the next appointment. `real` skips nothing, `held` stands still. On each of them a test may move it: a move skips to its
end from appointment to appointment, also where nobody waits. While something works, time passes as it really does.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Literal, get_args

Pace = Literal["skip", "real", "held"]
_number = count()
# What a sum of two floats may lack.
_TICK = 1e-5


class ClockRequestError(ValueError):
    """What is asked of the clock cannot be understood."""


@dataclass(order=True)
class Appointment:
    """A time at which the clock rings."""

    when: float
    number: int = field(init=False, default_factory=lambda: next(_number))
    ring: Callable[[], None] = field(compare=False)


class Work:
    """Something that works, from the clock's `begin` to `end`; to end it again changes nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ended = threading.Event()

    def end(self) -> None:
        """Says that it works no longer."""
        if not self._ended.is_set():
            self._ended.set()
            self._clock.leave()


class Clock:
    """One clock for all threads of the gateway; times are seconds since the epoch."""

    def __init__(self, real: Callable[[], float] | None = None) -> None:
        start, began = time.time(), time.monotonic()
        # The machine's clock may be set back.
        self._real = real or (lambda: start + time.monotonic() - began)
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._woken = threading.Condition(self._lock)
        self._pace: Pace = "skip"
        self._skipped = 0.0
        self._held_at = 0.0
        self._target: float | None = None
        self._working = 0
        self._waits: dict[int, tuple[Appointment, Callable[[], bool]]] = {}
        self._appointments: list[Appointment] = []
        self._thread: threading.Thread | None = None

    def now(self) -> float:
        """Tells the time."""
        with self._lock:
            return self._held_at if self._pace == "held" else self._real() + self._skipped

    def moment(self) -> datetime:
        """Tells the time as a datetime in UTC."""
        return datetime.fromtimestamp(self.now(), UTC)

    def enter(self) -> None:
        """Counts one more that works."""
        with self._lock:
            self._working += 1

    def leave(self) -> None:
        """Counts one fewer that works."""
        with self._lock:
            self._working -= 1
            if self._working == 0 and (self._waits or self._target is not None):
                self._changed.notify()

    def begin(self) -> Work:
        """Counts one more that works until the returned Work ends, in whatever thread."""
        self.enter()
        return Work(self)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Counts the caller among those that work for the length of the block."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def sleep(self, seconds: float, wanted: Callable[[], bool] = lambda: True) -> None:
        """Waits, as one that works and for so long does not; ends early when `wake` finds it no longer wanted."""
        with self._lock:
            if seconds <= 0 or not wanted():
                return

            def ring() -> None:
                # Whoever is woken works from now on, not only once its thread runs.
                del self._waits[appointment.number]
                self.enter()
                self._woken.notify_all()

            appointment = self._make(seconds, ring)
            self._waits[appointment.number] = (appointment, wanted)
            self.leave()
            while appointment.number in self._waits:
                self._woken.wait()

    def wake(self) -> None:
        """Wakes everyone whose wait is no longer wanted."""
        with self._lock:
            for appointment, wanted in list(self._waits.values()):
                if not wanted():
                    self.cancel(appointment)
                    appointment.ring()

    def limit(self, seconds: float, ring: Callable[[], None]) -> Appointment:
        """Rings when so many seconds are over, unless it is cancelled before; nothing is skipped to get there."""
        with self._lock:
            return self._make(seconds, ring)

    def alarm(self, when: float, call: Callable[[], None]) -> Appointment:
        """Calls in a thread of its own, which works, once it is that time; nothing but a move skips to get there."""

        def run() -> None:
            try:
                call()
            finally:
                self.leave()

        def ring() -> None:
            self._working += 1
            threading.Thread(target=run, name="alarm", daemon=True).start()

        with self._lock:
            return self._make(when - self.now(), ring)

    def cancel(self, appointment: Appointment) -> None:
        """Lets an appointment go; one that has rung is gone."""
        with self._lock:
            if appointment in self._appointments:
                self._appointments.remove(appointment)
                heapq.heapify(self._appointments)

    def keep(self, pace: str) -> None:
        """Changes the pace; ClockRequestError when there is no such pace."""
        if pace not in get_args(Pace):
            raise ClockRequestError(f"pace {pace!r}. hint: one of {get_args(Pace)}")
        with self._lock:
            now = self.now()
            self._pace = pace  # type: ignore[assignment]
            self._set(now)
            self._notice()

    def move(self, seconds: float, *, at_once: bool = False) -> None:
        """Moves the clock on, from one appointment to the next and only while nothing works; `at_once`, also past what works."""
        if seconds < 0:
            raise ClockRequestError(f"seconds {seconds}. hint: the clock never goes back")
        with self._lock:
            if at_once:
                self._set(self.now() + seconds)
            else:
                self._target = (self._target or self.now()) + seconds
            self._notice()

    def describe(self) -> dict[str, Any]:
        """Tells the time and what becomes of it; `moves_to` is where a move is still to end."""
        with self._lock:
            moves_to = None if self._target is None else datetime.fromtimestamp(self._target, UTC).isoformat()
            return {
                "now": self.moment().isoformat(),
                "pace": self._pace,
                "moves_to": moves_to,
                "working": self._working,
                "waiting": len(self._waits),
            }

    def _make(self, seconds: float, ring: Callable[[], None]) -> Appointment:
        appointment = Appointment(self.now() + seconds, ring)
        heapq.heappush(self._appointments, appointment)
        self._notice()
        return appointment

    def _notice(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="clock", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _set(self, when: float) -> None:
        self._held_at = when
        self._skipped = when - self._real()

    def _run(self) -> None:
        with self._lock:
            while True:
                if not (self._ring() or self._skip()):
                    self._changed.wait(self._pause())

    @property
    def _first(self) -> Appointment | None:
        return self._appointments[0] if self._appointments else None

    def _ring(self) -> bool:
        if self._first is None or self._first.when > self.now() + _TICK:
            return False
        heapq.heappop(self._appointments).ring()
        return True

    def _skip(self) -> bool:
        if self._working > 0:
            return False
        first = self._first
        if self._target is not None:
            if self._target <= self.now() + _TICK:
                self._target = None
                return True
            self._set(min(self._target, first.when) if first else self._target)
            return True
        if self._pace != "skip" or not self._waits or first is None:
            return False
        self._set(first.when)
        return True

    def _pause(self) -> float | None:
        first = self._first
        return None if first is None or self._pace == "held" else max(0.0, first.when - self.now())


class Event:
    """Like threading.Event, but `wait` is as long on the gateway's clock as it is told to be."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_set = False

    def set(self) -> None:
        """Ends every wait."""
        with self._changed:
            self._is_set = True
            self._changed.notify_all()

    def is_set(self) -> bool:
        """True once it was set."""
        with self._changed:
            return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it is set; False after so many seconds that it is not."""
        past: list[bool] = []

        def ring() -> None:
            with self._changed:
                past.append(True)
                self._changed.notify_all()

        limit = None if timeout is None else CLOCK.limit(timeout, ring)
        with self._changed:
            self._changed.wait_for(lambda: self._is_set or bool(past))
            is_set = self._is_set
        if limit is not None:
            CLOCK.cancel(limit)
        return is_set


CLOCK = Clock()
