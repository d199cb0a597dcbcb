"""`make test` runs every test file that exists, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.run import GROUPS, LONGEST, groups_of
from tests.support.paths import ROOT


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the names of all test files."""
    for path in (ROOT / "tests").rglob("*test*.py"):
        copied = tmp_path / path.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.touch()
    return tmp_path


def dealt(root: Path) -> list[str]:
    return sorted(file for files in groups_of(root).values() for file in files)


def test_every_test_file_is_in_just_one_group() -> None:
    assert dealt(ROOT) == sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize(
    ("new", "group"),
    [
        ("tests/e2e/test_new.py", LONGEST),
        ("tests/unit/test_new.py", ("tests/unit", "tests/terraform")),
        ("tests/unit/deeper/test_new.py", ("tests/unit", "tests/terraform")),
        ("tests/local/new_test.py", ("tests/local", "tests/glue")),
        ("tests/a_new_folder/test_new.py", ("tests",)),
        ("tests/test_new.py", ("tests",)),
    ],
)
def test_a_new_file_is_run_wherever_it_lies(copy: Path, new: str, group: tuple[str, ...]) -> None:
    before = dealt(copy)
    (copy / new).parent.mkdir(parents=True, exist_ok=True)
    (copy / new).touch()
    assert groups_of(copy)[group].count(new) == 1
    assert dealt(copy) == sorted([*before, new])


def test_a_group_runs_what_it_names_in_the_order_of_the_names() -> None:
    named = [name for name in LONGEST if name.endswith(".py")]
    assert groups_of(ROOT)[LONGEST][: len(named)] == named


def test_groups_name_what_is_there_and_nothing_twice() -> None:
    names = [name for group in GROUPS for name in group]
    assert [name for name in names if not (ROOT / name).exists()] == []
    assert len(set(names)) == len(names)
