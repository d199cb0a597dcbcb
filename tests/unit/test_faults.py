"""Every fault of tests/faults.yaml has tests that are there, and mutants that say which of them they fail."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.mutants.mutant import declared
from tests.support.paths import ROOT

FAULTS: dict[int, dict[str, Any]] = yaml.safe_load((ROOT / "tests" / "faults.yaml").read_text())
MUTANTS = {mutant.name: mutant.declared.test.partition("[")[0] for mutant in declared()}


def test_all_44_are_there() -> None:
    assert list(FAULTS) == [*range(1, 45)]


@pytest.mark.parametrize("number", FAULTS)
def test_a_fault_is_held_by_tests_and_these_by_mutants(number: int) -> None:
    told = FAULTS[number]
    assert {"fault", "holds", "tests", "mutants"} <= told.keys() <= {"fault", "holds", "tests", "mutants", "lacks"}
    assert set(told["holds"].split()) <= set("LDHAWNEB")
    assert [test for test in told["tests"] if not _is_there(test)] == []
    assert told["mutants"]
    assert [name for name in told["mutants"] if MUTANTS.get(name) not in told["tests"]] == []


def _is_there(test: str) -> bool:
    path, _, name = test.partition("::")
    file = ROOT / path
    return file.exists() and re.search(rf"^def {name}\(", file.read_text(), re.MULTILINE) is not None
