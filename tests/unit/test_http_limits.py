"""Waits between tries, and the rate of requests."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from headwater.config import Rate, Retry
from headwater.sources.http.limits import Backoff, RateLimit
from tests.support.http_fakes import FakeClock


@given(st.integers(1, 20), st.floats(0.1, 1e4), st.floats(0.1, 1e4), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_waits_are_bounded_whatever_the_source_asks_for(attempts, longest, total, drawn, asked):
    retry = Retry(attempts=attempts, longest_wait_seconds=longest, total_wait_seconds=total)
    backoff = Backoff(retry, draw=lambda: drawn)
    waits: list[float] = []
    while (wait := backoff.wait(len(waits) + 1, sum(waits), asked)) is not None:
        waits.append(wait)
    assert len(waits) < attempts
    assert all(0 <= wait <= longest for wait in waits)
    assert sum(waits) <= total * 1.000001


@given(
    st.integers(1, 5),
    st.floats(0.1, 60),
    st.lists(st.tuples(st.floats(0, 5), st.none() | st.floats(0, 20)), max_size=40),
)
def test_no_stretch_of_time_sees_more_calls_than_allowed(calls, per_seconds, steps):
    clock = FakeClock()
    limit = RateLimit(Rate(calls=calls, per_seconds=per_seconds), 10.0, clock.sleep, clock)
    begun: list[float] = []
    quiet_until = 0.0
    for idle, pause in steps:
        clock.now += idle
        with limit:
            begun.append(clock.now)
            assert clock.now >= quiet_until - 1e-6
        if pause is not None:
            limit.pause(pause)
            quiet_until = max(quiet_until, clock.now + min(pause, 10.0))
    for first, last in zip(begun, begun[calls:], strict=False):
        assert last - first >= per_seconds - 1e-6


def test_at_most_the_allowed_number_of_requests_is_under_way():
    limit = RateLimit(Rate(calls=100, concurrent=2), 1.0)
    under_way, most = 0, 0
    lock = threading.Lock()
    both_in = threading.Barrier(2, timeout=5)

    def request() -> None:
        nonlocal under_way, most
        with limit:
            with lock:
                under_way += 1
                most = max(most, under_way)
            both_in.wait()
            with lock:
                under_way -= 1

    threads = [threading.Thread(target=request) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == 2
