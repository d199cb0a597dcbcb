"""Imports: there are no circles, and the library knows nothing of the local stack."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.paths import ROOT


def modules(package: str) -> dict[str, Path]:
    paths = sorted((ROOT / package).rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imported(tree: ast.AST, known: Mapping[str, Path]) -> Iterator[str]:
    """Names of what a module imports when it runs: what only type checkers read is left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            whole = {name.name: f"{node.module}.{name.name}" for name in node.names}
            yield from (module for module in whole.values() if module in known)
            if any(module not in known for module in whole.values()):
                yield node.module
        else:
            yield from imported(node, known)


def arrows(package: str) -> dict[str, set[str]]:
    known = modules(package)
    found = {name: set(imported(ast.parse(path.read_text()), known)) for name, path in known.items()}
    return {name: targets & known.keys() for name, targets in found.items()}


@pytest.mark.parametrize("package", ["headwater", "local"])
def test_no_module_is_in_a_circle(package: str) -> None:
    found = arrows(package)
    assert sum(map(len, found.values())) > 100
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' <- '.join(error.args[1])}")


def test_the_library_does_not_name_the_local_stack() -> None:
    known = modules("headwater")
    found = {
        f"{name} imports {module}"
        for name, path in known.items()
        for module in imported(ast.parse(path.read_text()), known)
        if module.partition(".")[0] == "local"
    }
    assert found == set()
