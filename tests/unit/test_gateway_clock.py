"""The gateway's clock keeps its laws, whoever sleeps, works and moves it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.gateway.clock import Clock, ClockRequestError
from tests.support.waiting import wait_for

DAY = 86_400.0


@dataclass
class Still:
    """A machine's clock that moves only when a test says so, so that whatever passes was skipped."""

    at: float = 1_000_000.0

    def __call__(self) -> float:
        return self.at


def _clock(pace: str = "skip") -> Clock:
    clock = Clock(Still())
    clock.keep(pace)
    return clock


@dataclass
class Sleepers:
    """Threads that sleep on a clock and note when they woke."""

    clock: Clock
    woke: list[tuple[float, float]] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, *naps: float) -> Sleepers:
        """Starts a thread that takes naps one after the other."""
        self.clock.enter()

        def run() -> None:
            try:
                for nap in naps:
                    until = self.clock.now() + nap
                    self.clock.sleep(nap)
                    self.woke.append((until, self.clock.now()))
            finally:
                self.clock.leave()

        thread = threading.Thread(target=run, daemon=True)
        self.threads.append(thread)
        thread.start()
        return self

    def join(self) -> None:
        """Waits until every thread has ended."""
        for thread in self.threads:
            thread.join(timeout=20)
            assert not thread.is_alive(), self.clock.describe()


def _moved(clock: Clock, seconds: float, **how: bool) -> None:
    clock.move(seconds, **how)
    wait_for(lambda: clock.describe()["moves_to"] is None, 20)


naps = st.lists(st.floats(0.001, 3 * DAY, allow_nan=False), max_size=4)


@settings(deadline=None, max_examples=50)
@given(st.lists(naps, min_size=1, max_size=5))
def test_waits_end_at_their_time_in_order_and_cost_nothing(everyone: list[list[float]]) -> None:
    clock = _clock()
    start, began = clock.now(), time.monotonic()
    sleepers = Sleepers(clock)
    with clock.working():
        for each in everyone:
            sleepers.start(*each)
    sleepers.join()
    assert all(woke == pytest.approx(until, abs=1e-3) for until, woke in sleepers.woke)
    assert clock.now() - start == pytest.approx(max(sum(each) for each in everyone), abs=1e-3)
    assert time.monotonic() - began < 10


@settings(deadline=None, max_examples=50)
@given(naps, st.lists(st.floats(0.001, 3 * DAY, allow_nan=False), min_size=1, max_size=6))
def test_a_move_ends_where_it_should_and_rings_all_on_its_way_in_order(taken: list[float], alarms: list[float]) -> None:
    clock = _clock("held")
    start = clock.now()
    rang: list[tuple[float, float]] = []

    def alarm(after: float) -> Callable[[], None]:
        return lambda: rang.append((start + after, clock.now()))

    for after in alarms:
        clock.alarm(start + after, alarm(after))
    sleepers = Sleepers(clock).start(*taken)
    _moved(clock, 2 * DAY)
    assert all(woke == pytest.approx(until, abs=1e-3) for until, woke in sleepers.woke)
    assert clock.now() == pytest.approx(start + 2 * DAY, abs=1e-3)
    passed = sorted(start + after for after in alarms if after <= 2 * DAY - 1)
    wait_for(lambda: len(rang) >= len(passed), 20)
    times = [when for when, _ in rang]
    assert times[: len(passed)] == pytest.approx(passed)
    assert all(at == pytest.approx(when, abs=1e-3) for when, at in rang)


def test_nothing_is_skipped_while_something_works() -> None:
    clock = _clock()
    start = clock.now()
    work = clock.begin()
    sleepers = Sleepers(clock).start(60)
    wait_for(lambda: clock.describe()["waiting"] == 1)
    time.sleep(0.1)
    assert (clock.now(), sleepers.woke) == (start, [])
    work.end()
    work.end()
    sleepers.join()
    assert clock.now() == pytest.approx(start + 60)
    assert clock.describe()["working"] == 0


def test_what_is_woken_works_before_the_clock_goes_on() -> None:
    clock = _clock()
    seen: list[float] = []
    busy = threading.Event()

    def first() -> None:
        clock.sleep(10)
        busy.wait(10)
        seen.append(clock.now())
        clock.leave()

    clock.enter()
    start = clock.now()
    threading.Thread(target=first, daemon=True).start()
    second = Sleepers(clock).start(20)
    wait_for(lambda: clock.now() > start)
    time.sleep(0.1)
    assert second.woke == []
    busy.set()
    second.join()
    assert seen == [pytest.approx(start + 10)]


def test_only_waits_are_skipped_not_alarms_and_limits() -> None:
    clock = _clock()
    start = clock.now()
    clock.alarm(start + 5, lambda: pytest.fail("nobody moved the clock"))
    clock.limit(6, lambda: pytest.fail("nobody moved the clock"))
    time.sleep(0.1)
    assert clock.now() == start


def test_a_wait_stops_at_the_alarms_on_its_way() -> None:
    clock = _clock()
    start = clock.now()
    rang: list[float] = []
    clock.alarm(start + 5, lambda: rang.append(clock.now()))
    Sleepers(clock).start(10).join()
    assert rang == [pytest.approx(start + 5)]


def test_a_held_clock_stands_until_it_is_moved_and_goes_on_from_there() -> None:
    real = Still()
    clock = Clock(real)
    clock.keep("held")
    start = clock.now()
    real.at += 100
    assert clock.now() == start
    _moved(clock, 7)
    assert clock.now() == start + 7
    clock.keep("real")
    real.at += 1
    assert clock.now() == pytest.approx(start + 8)


def test_a_move_waits_for_what_works_unless_it_is_at_once() -> None:
    clock = _clock("held")
    start = clock.now()
    clock.enter()
    clock.move(60)
    time.sleep(0.05)
    assert (clock.now(), clock.describe()["moves_to"] is None) == (start, False)
    clock.move(5, at_once=True)
    assert clock.now() == start + 5
    clock.leave()
    wait_for(lambda: clock.describe()["moves_to"] is None)
    assert clock.now() == start + 60


def test_a_wait_that_is_no_longer_wanted_ends_and_its_thread_works_again() -> None:
    clock = _clock("held")
    wanted = [True]
    clock.enter()
    thread = threading.Thread(target=lambda: clock.sleep(60, lambda: wanted[0]), daemon=True)
    thread.start()
    wait_for(lambda: clock.describe()["waiting"] == 1)
    wanted.clear()
    wanted.append(False)
    clock.wake()
    thread.join(timeout=10)
    assert {name: clock.describe()[name] for name in ("working", "waiting")} == {"working": 1, "waiting": 0}


@pytest.mark.parametrize("ask", [lambda clock: clock.keep("fast"), lambda clock: clock.move(-1)])
def test_what_the_clock_cannot_do_is_refused_with_a_hint(ask: Callable[[Clock], None]) -> None:
    with pytest.raises(ClockRequestError, match="hint:"):
        ask(_clock())
