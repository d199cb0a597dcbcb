"""Mutants of the project: each takes one defence away, in a copy of it, where the test that it names has to fail by an assertion."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

import yaml
from pydantic import Field

from headwater.config.strict import Strict
from tests.support.paths import ROOT

FOLDER = ROOT / "tests" / "mutants"
# What pytest says of an assertion that did not hold, of an error that was expected and did not come, and of a broken test.
_ASSERTED = ("AssertionError", "assert ", "Failed: DID NOT RAISE", "Failed: DID NOT WARN")
# What importing the library has set in this process, and what a mutant may leave out.
_SET_BY_US = {"AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS"}
_NOT_COPIED = shutil.ignore_patterns(
    *(
        ".git",
        ".venv",
        "build",
        ".*_cache",
        ".hypothesis",
        ".terraform",
        "*.tfstate*",
        "spark-warehouse",
        "metastore_db",
    ),
    # What Python is writing just now, of which another name remains.
    "*.pyc.*",
)


class Declared(Strict):
    """One entry of a file below tests/mutants: a text that stands once in a file, and what stands there in the mutant."""

    file: str
    before: str = Field(min_length=1)
    after: str = Field(description="Empty where what defends is taken out.")
    test: str = Field(
        description="The test that fails, as pytest names it; with its parameters where only some of them fail."
    )
    needs: Literal["terraform", "gateway", "warehouse", "spark", "stack"] | None = Field(
        None, description="What makes the test slow; one without is quick, and is among those that are drawn."
    )


@dataclass(frozen=True)
class Mutant:
    """A mutant of a project, by the sentence that says what has been taken away."""

    name: str
    kept_in: str
    declared: Declared

    def text(self, root: Path) -> str:
        """The mutated file's text; ValueError where the mutant no longer fits."""
        path = root / self.declared.file
        text = path.read_text() if path.exists() else ""
        if (found := text.count(self.declared.before)) != 1:
            raise ValueError(f"{self.name}: {self.declared.file} has {found} times what it changes")
        return text.replace(self.declared.before, self.declared.after)


@dataclass(frozen=True)
class Outcome:
    """What the test of a mutant said: `noticed` is right, and `said` its first failed assertion; all else is told with its reason."""

    how: Literal["noticed", "not noticed", "broken", "skipped"]
    said: str


def declared(folder: Path = FOLDER) -> list[Mutant]:
    """Reads every file of mutants, in the order of their names."""
    return [
        Mutant(name, path.name, Declared.model_validate(entry))
        for path in sorted(folder.glob("*.yaml"))
        for name, entry in (yaml.safe_load(path.read_text()) or {}).items()
    ]


def outcome(mutant: Mutant, root: Path = ROOT) -> Outcome:
    """Runs the test of a mutant in a mutated copy of the project."""
    with _copied(root) as copy:
        (copy / mutant.declared.file).write_text(mutant.text(root))
        return _run(copy, [mutant.declared.test])


def unmutated(mutants: Sequence[Mutant], root: Path = ROOT) -> Outcome:
    """Runs the tests of some mutants in a copy of the project as it is, where none may fail."""
    with _copied(root) as copy:
        return _run(copy, sorted({mutant.declared.test for mutant in mutants}))


@contextmanager
def _copied(root: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mutant-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / "project"
        # With what Python has compiled: it is compiled again where a source has changed.
        shutil.copytree(root, copy, ignore=_NOT_COPIED, symlinks=True)
        (copy / ".venv").symlink_to(ROOT / ".venv")
        yield copy


def _run(copy: Path, tests: Sequence[str]) -> Outcome:
    report = copy.parent / "report.xml"
    options = ["-q", "-x", "-p", "no:cacheprovider", f"--junitxml={report}", f"--basetemp={copy.parent / 'pytest'}"]
    own = {name: value for name, value in os.environ.items() if name not in _SET_BY_US}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=copy,
        # The copy goes before the checkout that is installed. To load plugins takes longer than most of these tests, which need none.
        env=own | {"PYTHONPATH": str(copy), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if not report.exists():
        return Outcome("broken", (done.stdout + done.stderr).strip()[-500:])
    return told(report.read_text())


def told(report: str) -> Outcome:
    """Reads pytest's report, JUnit's XML: its first failure tells."""
    cases = ET.fromstring(report).findall(".//testcase")
    for case in cases:
        for problem in (*case.findall("error"), *case.findall("failure")):
            said = problem.get("message", "")
            if problem.tag == "failure" and said.startswith(_ASSERTED):
                return Outcome("noticed", said)
            return Outcome("broken", f"{said}: {(problem.text or '').strip()[-300:]}")
    if not cases:
        return Outcome("broken", "pytest has found no such test")
    if all(case.find("skipped") is not None for case in cases):
        return Outcome("skipped", "; ".join(reason.get("message", "") for reason in cases[0].findall("skipped")))
    return Outcome("not noticed", f"{len(cases)} passed")
