"""Mutants fit the project, a few of them are drawn and noticed, and one that nobody would notice is told."""

from __future__ import annotations

import re
from pathlib import Path
from random import SystemRandom

import pytest
from pydantic import ValidationError

from tests.mutants.mutant import FOLDER, Declared, Mutant, declared, outcome, told, unmutated
from tests.support.paths import ROOT

MUTANTS = declared()
DRAWN = 3


def test_every_mutant_changes_what_is_there() -> None:
    assert MUTANTS
    assert [mutant.name for mutant in MUTANTS if mutant.text(ROOT) == (ROOT / mutant.declared.file).read_text()] == []


def test_every_mutant_names_a_test_that_is_there() -> None:
    missing = []
    for mutant in MUTANTS:
        path, _, name = mutant.declared.test.partition("::")
        if not re.search(rf"^ *def {name.partition('[')[0]}\(", (ROOT / path).read_text(), re.MULTILINE):
            missing.append(mutant.name)
    assert missing == []


def test_every_mutant_has_a_name_of_its_own() -> None:
    # Within a file YAML would keep the last of two.
    lines = [line for path in FOLDER.glob("*.yaml") for line in path.read_text().splitlines()]
    names = [line for line in lines if re.match(r"[^\s#]", line)]
    assert len(names) == len({*names}) == len(MUTANTS)


def test_mutants_that_are_drawn_are_noticed() -> None:
    drawn = SystemRandom().sample([mutant for mutant in MUTANTS if mutant.declared.needs is None], DRAWN)
    assert unmutated(drawn).how == "not noticed", [mutant.name for mutant in drawn]
    found = {mutant.name: outcome(mutant) for mutant in drawn}
    assert {name: seen for name, seen in found.items() if seen.how != "noticed"} == {}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text("")
    (tmp_path / "thing.py").write_text("LEAST = 3\n")
    (tmp_path / "test_thing.py").write_text("import thing\ndef test_one():\n    assert 1 + thing.LEAST == 4\n")
    return tmp_path


@pytest.mark.parametrize(
    ("after", "how", "said"),
    [
        ("LEAST = 4", "noticed", "assert (1 + 4) == 4"),
        ("LEAST = 1 + 2", "not noticed", "1 passed"),
        ("LEAST = [", "broken", "SyntaxError"),
        ("LEAST = None", "broken", "TypeError"),
    ],
)
def test_only_an_assertion_that_fails_has_noticed(project: Path, after: str, how: str, said: str) -> None:
    entry = Declared(file="thing.py", before="LEAST = 3", after=after, test="test_thing.py::test_one")
    found = outcome(Mutant("less", "some.yaml", entry), project)
    assert (found.how, said in found.said) == (how, True), found.said
    assert (project / "thing.py").read_text() == "LEAST = 3\n"


@pytest.mark.parametrize(
    ("cases", "how"),
    [
        ("<testcase><failure message='AssertionError: assert 1 == 2'/></testcase>", "noticed"),
        ("<testcase><failure message='assert False'/></testcase>", "noticed"),
        ("<testcase/><testcase><failure message='Failed: DID NOT RAISE ValueError'/></testcase>", "noticed"),
        ("<testcase><failure message='KeyError: 1'/></testcase>", "broken"),
        ("<testcase><error message='failed on setup with &quot;assert False&quot;'/></testcase>", "broken"),
        ("<testcase><error message='collection failure'>SyntaxError</error></testcase>", "broken"),
        ("", "broken"),
        ("<testcase/><testcase><skipped message='no machine'/></testcase>", "not noticed"),
        ("<testcase><skipped message='no machine'/></testcase>", "skipped"),
    ],
)
def test_a_report_is_read_to_its_first_failure(cases: str, how: str) -> None:
    assert told(f"<testsuites><testsuite>{cases}</testsuite></testsuites>").how == how


@pytest.mark.parametrize("before", ["LEAST = 5", " "])
def test_a_mutant_that_no_longer_fits_is_told(project: Path, before: str) -> None:
    mutant = Mutant("less", "some.yaml", Declared(file="thing.py", before=before, after="", test="test_thing.py"))
    with pytest.raises(ValueError, match=r"less: thing\.py has [0-9] times what it changes"):
        outcome(mutant, project)


def test_an_entry_that_changes_nothing_or_says_more_is_refused() -> None:
    for entry in ({"before": ""}, {"needs": "luck"}, {"why": "so"}):
        with pytest.raises(ValidationError):
            Declared.model_validate({"file": "f", "before": "b", "after": "a", "test": "t", **entry})
