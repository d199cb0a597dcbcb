"""Rate limit, backoff and retries of a source."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from headwater.config import Rate, Retry
from headwater.errors import FatalSourceError, QuotaUsedUpError, RetriableSourceError, ThrottledError
from headwater.sources.http.messages import MalformedAnswerError

MALFORMED_TRIES = 3
_FIRST_BACKOFF_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 60.0
# A window is a little longer here than at the source: two requests do not take equally long to arrive.
_MARGIN = 1.02

Monotonic = Callable[[], float]
"""Seconds since any moment; they never go back."""
Sleep = Callable[[float], None]


class RateLimit:
    """Lets at most `calls` requests begin in any `per_seconds`, `concurrent` at a time; a block is one request.

    A log of the last `calls` beginnings, rather than a bucket that refills: a full bucket would allow nearly twice the
    calls around the moment it refills, which sources with strict windows punish.
    """

    def __init__(
        self, rate: Rate, longest_pause: float, sleep: Sleep = time.sleep, clock: Monotonic = time.monotonic
    ) -> None:
        self._rate = rate
        self._longest_pause = longest_pause
        self._sleep = sleep
        self._clock = clock
        self._begun: deque[float] = deque(maxlen=rate.calls)
        self._quiet_until = 0.0
        self._slots = threading.BoundedSemaphore(rate.concurrent)
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._slots.acquire()
        with self._lock:
            now = self._clock()
            begin = max(now, self._quiet_until)
            if len(self._begun) == self._rate.calls:
                begin = max(begin, self._begun[0] + self._rate.per_seconds * _MARGIN)
            self._begun.append(begin)
        if begin > now:
            self._sleep(begin - now)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._slots.release()

    def pause(self, seconds: float) -> None:
        """Pauses all requests for some seconds, at most the longest pause."""
        with self._lock:
            self._quiet_until = max(self._quiet_until, self._clock() + min(seconds, self._longest_pause))


@dataclass(frozen=True)
class Backoff:
    """Waits that double, drawn from their whole range (full jitter) and bounded in number, length and sum."""

    retry: Retry
    draw: Callable[[], float] = random.random

    def wait(self, tries: int, waited: float, asked: float | None) -> float | None:
        """Seconds to wait after so many failed tries, at least what the source asked for; None = give up."""
        left = self.retry.total_wait_seconds - waited
        if tries >= self.retry.attempts or left <= 0:
            return None
        bound = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0 ** (tries - 1))
        return min(max(self.draw() * bound, asked or 0.0), self.retry.longest_wait_seconds, left)


@dataclass
class Tries:
    """The tries of one request: how many have begun, and whether another is worth its wait."""

    backoff: Backoff
    begun: int = 0
    _malformed: int = 0
    _waited: float = 0.0

    def wait_after(self, error: RetriableSourceError) -> float:
        """Seconds to wait before the next try; raises the error, or what it has become, when it was the last."""
        if isinstance(error, QuotaUsedUpError):
            raise error
        if isinstance(error, MalformedAnswerError):
            self._malformed += 1
            if self._malformed == MALFORMED_TRIES:
                raise FatalSourceError(f"{error}; {self._malformed} times. Nothing of it was kept") from None
        asked = error.retry_after if isinstance(error, ThrottledError) else None
        wait = self.backoff.wait(self.begun, self._waited, asked)
        if wait is None:
            # In place, so that an error keeps its class and whatever its source's module hung on it.
            error.args = (f"{error} (gave up after {self.begun} tries and {self._waited:.0f} s of waiting)",)
            raise error
        self._waited += wait
        return wait
