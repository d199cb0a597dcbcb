"""The unit tests that a change concerns, the nearest first, for as long as somebody waits: `make test-fast`.

What has changed is what differs from the commit before, or from the one that is named: `python -m tests.fast main`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import grimp

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("headwater", "local", "tests")
# Whoever reads a folder that is not of Python reads it through one of these.
READERS = {
    "config": "headwater.deploy.project",
    "sql": "headwater.deploy.project",
    "step_functions": "headwater.deploy.deployment",
    "lambdas": "headwater.deploy.packages",
    "glue_jobs": "headwater.deploy.packages",
    "docs": "headwater.deploy.pages",
    "terraform": "headwater.deploy.pages",
}
PATIENCE_SECONDS = 100


def changed(since: str) -> list[PurePosixPath]:
    """The files that differ from a commit, and those that git does not know yet."""
    git = ["git", "-C", str(ROOT)]
    differing = subprocess.run([*git, "diff", "--name-only", since], capture_output=True, text=True, check=True)
    unknown = [*git, "ls-files", "--others", "--exclude-standard"]
    new = subprocess.run(unknown, capture_output=True, text=True, check=True)
    return [PurePosixPath(line) for line in (differing.stdout + new.stdout).splitlines()]


def concerned(graph: grimp.ImportGraph, files: Iterable[PurePosixPath]) -> list[str]:
    """The modules of unit tests that import what is in the files, however indirectly, by how many steps it takes."""
    steps: dict[str, int] = {}
    reached = {name for file in files for name in _modules(graph, file)}
    number = 0
    while reached:
        steps |= dict.fromkeys(reached, number)
        nearer = {name for module in reached for name in graph.find_modules_that_directly_import(module)}
        reached, number = nearer - steps.keys(), number + 1
    tests = [name for name in steps if name.startswith("tests.unit.test_")]
    return sorted(tests, key=lambda name: (steps[name], name))


def _modules(graph: grimp.ImportGraph, file: PurePosixPath) -> set[str]:
    """The module that a file is, or the one by which it is read; none where nothing of Python does."""
    reader = READERS.get(file.parts[0])
    name = reader or ".".join(file.with_suffix("").parts).removesuffix(".__init__")
    return {name} & graph.modules if reader or file.suffix == ".py" else set()


def main() -> int:
    """Runs what is concerned; returns pytest's exit code, 0 where nothing is."""
    graph = grimp.build_graph(*PACKAGES, include_external_packages=False, cache_dir=None)
    tests = concerned(graph, changed(sys.argv[1] if len(sys.argv) > 1 else "HEAD"))
    print(f"{len(tests)} files of unit tests are concerned")  # noqa: T201
    if not tests:
        return 0
    paths = [f"{name.replace('.', '/')}.py" for name in tests]
    # The first failure ends it, so that what was stopped has none.
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "2", "--dist", "loadfile", *paths]
    with subprocess.Popen(command, cwd=ROOT) as pytest:
        try:
            return pytest.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            pytest.send_signal(signal.SIGINT)
    print(f"stopped after {PATIENCE_SECONDS} s, without a failure so far; `make test-unit` runs them all")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
