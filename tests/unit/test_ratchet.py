"""What `make bench-quick` keeps, and what it calls slower."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import ratchet
from benchmarks.ratchet import Result, before, keep, slower, usual


def result(append: float, unit: float = 1.0, at: str = "2026-01-01T00:00") -> Result:
    return Result(at=at, commit="abc", unit_seconds=unit, cpu_seconds={"append": append})


def test_a_measure_that_takes_much_longer_than_usual_is_slower() -> None:
    earlier = [result(1.0), result(1.1), result(0.9)]
    assert slower(result(1.2), earlier) == {}
    assert slower(result(2.0), earlier) == pytest.approx({"append": 2.0})


def test_a_machine_that_is_slower_as_a_whole_makes_nothing_slower() -> None:
    assert slower(result(2.0, unit=2.0), [result(1.0)]) == {}


def test_one_bad_minute_does_not_become_what_is_usual() -> None:
    assert usual([result(1.0), result(9.0), result(1.0)]) == {"append": 1.0}


def test_what_was_never_measured_is_not_slower() -> None:
    assert slower(result(5.0), []) == {}


def test_the_last_results_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratchet, "KEPT", 2)
    path = tmp_path / "results" / "quick.jsonl"
    for number in range(3):
        keep(path, result(1.0, at=f"2026-01-0{number + 1}T00:00"))
    assert [kept.at for kept in before(path)] == ["2026-01-02T00:00", "2026-01-03T00:00"]


def test_the_calibration_takes_time() -> None:
    assert ratchet.calibrate() > 0
