"""Which unit tests `make test-fast` finds that a change concerns."""

from __future__ import annotations

from functools import cache
from pathlib import PurePosixPath

import grimp
import pytest

from tests.fast import PACKAGES, READERS, ROOT, concerned


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def concerned_by(*files: str) -> list[str]:
    return concerned(graph(), map(PurePosixPath, files))


def test_a_test_that_has_changed_is_run_alone() -> None:
    assert concerned_by("tests/unit/test_http_wire.py") == ["tests.unit.test_http_wire"]


def test_the_tests_that_import_a_module_come_before_those_that_do_so_through_others() -> None:
    found = concerned_by("headwater/sources/http/wire.py")
    assert found[0] == "tests.unit.test_http_wire"
    assert "tests.unit.test_http_connect" in found
    assert "tests.unit.test_ledger" in concerned_by("headwater/ledger/stream.py")
    assert "tests.unit.test_ledger" not in found


def test_what_a_package_itself_says_concerns_those_that_import_it() -> None:
    assert "tests.unit.test_config" in concerned_by("headwater/config/__init__.py")


@pytest.mark.parametrize("folder", READERS)
def test_a_change_of_what_is_not_python_concerns_those_that_read_it(folder: str) -> None:
    assert (ROOT / folder).is_dir()
    assert READERS[folder] in graph().modules
    assert concerned_by(f"{folder}/some/file.yaml")


def test_what_nothing_reads_concerns_nothing() -> None:
    assert concerned_by("README.md", "headwater/gone.py") == []
