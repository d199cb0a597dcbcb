"""What a part of the world is, and the step of time in which it happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple, Protocol

from local.world.dice import dice
from local.world.journey import HOUSEHOLDS
from local.world.truth import Connection, Defect, Kind, now


class Step(NamedTuple):
    """One step of time: days from `since` to before `clock`; the first step is all of history."""

    number: int
    since: date
    clock: date
    seed: int
    """The seed of this step; step 0 has the world's."""
    world_seed: int
    households: int

    @property
    def size(self) -> float:
        """The shop's share of the whole one, by households."""
        return self.households / HOUSEHOLDS

    def span(self, history_days: int) -> tuple[datetime, datetime]:
        """From when to when the step lasts; the first reaches back so many days."""
        end = now(self.clock)
        return end - timedelta(days=history_days) if self.number == 0 else now(self.since), end


class Happened(NamedTuple):
    """What a part did in one step, for truth.defects and truth.changes; streams are named `<source>.<stream>`."""

    defects: Sequence[Defect]
    changes: Counter[tuple[str, Kind]]


class Part(Protocol):
    """One part of the world."""

    DDL: str
    """Creates the part's schema and tables; they are dropped with it."""
    SCHEMA: str

    def happen(self, connection: Connection, step: Step) -> Happened:
        """Writes what happened in one step; the shop's own rows of that step are there already."""
        ...


class StepWriter:
    """Writes a part's days of one step, history being the first, and counts what it did."""

    def __init__(self, connection: Connection, step: Step, name: str, history_days: int) -> None:
        self._connection = connection
        self._step = step
        self._rng = dice(step.seed, step.number, name)
        self._history = step.number == 0
        self._start, self._end = step.span(history_days)
        self._days = (self._end - self._start).days
        self._defects: list[Defect] = []
        self._changes: Counter[tuple[str, Kind]] = Counter()

    def _count(self, whole: int) -> int:
        """How many the whole shop's so many are in this one."""
        return round(whole * self._step.size)

    def _defect(self, stream: str, key: int, reason: str) -> None:
        self._defects.append(Defect(stream, str(key), reason))
