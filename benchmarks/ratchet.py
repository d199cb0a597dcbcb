"""Results that are kept, and what has become slower since: a measure is a ratio to the same work on the same machine.

A line of the file is one result. Ratios are compared with the median of the last ones, so that one busy minute decides nothing.
"""

from __future__ import annotations

import json
import statistics
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

RESULTS = Path(__file__).parent / "results" / "quick.jsonl"
LAST = 5
KEPT = 50
SLOWER = 1.3
"""How many times the median a measure has to be to be called slower: a busy machine alone makes a fifth."""


class Result(BaseModel):
    """What one run has measured: each measure's CPU seconds, and the seconds of the calibration that all are divided by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: str
    commit: str
    unit_seconds: float
    cpu_seconds: Mapping[str, float]

    @property
    def ratios(self) -> dict[str, float]:
        """The measures in units of the calibration."""
        return {name: seconds / self.unit_seconds for name, seconds in self.cpu_seconds.items()}


def calibrate() -> float:
    """Does a fixed piece of work, of texts, maps and bytes as jobs do it; returns its CPU seconds."""
    began = time.thread_time()
    rows = [{"id": number, "name": f"row {number % 977}", "at": number * 1.5} for number in range(60_000)]
    text = "\n".join(json.dumps(row) for row in rows)
    read = sorted((json.loads(line) for line in text.splitlines()), key=lambda row: (row["name"], row["id"]))
    zlib.compress(text.encode(), 6)
    assert len(read) == len(rows)  # noqa: S101
    return time.thread_time() - began


def before(path: Path) -> list[Result]:
    """Reads the results that are kept, the oldest first."""
    if not path.exists():
        return []
    return [Result.model_validate_json(line) for line in path.read_text().splitlines()]


def keep(path: Path, result: Result) -> None:
    """Adds a result; the oldest go."""
    path.parent.mkdir(exist_ok=True)
    results = [*before(path), result][-KEPT:]
    path.write_text("".join(f"{kept.model_dump_json()}\n" for kept in results))


def usual(results: Sequence[Result]) -> dict[str, float]:
    """The median of each measure over the last results that have it."""
    told: dict[str, list[float]] = {}
    for result in results:
        for name, ratio in result.ratios.items():
            told.setdefault(name, []).append(ratio)
    return {name: statistics.median(ratios[-LAST:]) for name, ratios in told.items()}


def slower(result: Result, results: Sequence[Result]) -> dict[str, float]:
    """What takes so much longer than usual that it counts: how many times as long."""
    known = usual(results)
    times = {name: ratio / known[name] for name, ratio in result.ratios.items() if known.get(name)}
    return {name: more for name, more in times.items() if more > SLOWER}
