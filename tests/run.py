"""Every test this machine can run, in groups side by side, and how much of headwater/ they went through: `make test`.

`python -m tests.run --list` prints what each group takes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).resolve().parents[1]

# A group is one pytest process, and names what it takes: files in their order, then what else is in its folders. A file
# goes to the group that names it most exactly, so a new file is run wherever it lies; "tests" takes what no other does.
LONGEST = (
    # One stack tells its story to all of these; their order matters, see tests/e2e/story.py.
    "tests/e2e/test_every_source.py",
    "tests/e2e/test_databases.py",
    "tests/e2e/test_roles.py",
    "tests/e2e/test_incoming.py",
    "tests/e2e/test_pipeline.py",
    "tests/e2e/test_cli.py",
    "tests/e2e/test_explore.py",
    "tests/e2e/test_failures.py",
    "tests/e2e",
)
# What needs no stack comes first, to tell soon; then the longer ones, so that the lanes end at about the same time.
OTHERS = (
    ("tests/unit", "tests/terraform"),
    # One session for all: the longer it has run, the faster it is.
    ("tests/spark", "tests/world", "tests/simulators"),
    ("tests/e2e/test_kills.py", "tests/e2e/test_rollout.py"),
    ("tests/e2e/test_upgrade.py",),
    ("tests/local", "tests/glue"),
    ("tests/contract",),
    ("tests/e2e/test_report_page.py", "tests/e2e/test_a_day.py", "tests/e2e/test_overlap.py"),
    ("tests",),
)
GROUPS = (LONGEST, *OTHERS)
COVERAGE = ROOT / "build" / "coverage"
FLOOR = 85  # per cent of the lines of headwater/; jobs and Lambdas of the stack run in processes of their own and do not count

Names = tuple[str, ...]


def groups_of(root: Path) -> dict[Names, list[str]]:
    """Deals the test files below a folder's tests/ to the groups, in the order in which each group runs them."""
    patterns = ("test_*.py", "*_test.py")
    files = {path.relative_to(root) for pattern in patterns for path in (root / "tests").rglob(pattern)}
    groups: dict[Names, list[str]] = {group: [] for group in GROUPS}
    owners = {name: group for group in GROUPS for name in group}

    def named(file: Path) -> str:
        return next(str(place) for place in (file, *file.parents) if str(place) in owners)

    for file in sorted(files, key=lambda file: (owners[named(file)].index(named(file)), file)):
        groups[owners[named(file)]].append(str(file))
    return groups


def _run(names: Names, files: list[str], printing: Lock, *before: str) -> int:
    """Runs a group, which is printed when it has ended, whole; returns pytest's exit code."""
    out = COVERAGE / f"{GROUPS.index(names)}.json"
    measured = ["-m", "slipcover", "--source", "headwater", "--json", "--out", str(out)]
    done = subprocess.run(
        [*before, sys.executable, *measured, "-m", "pytest", "-q", "--durations=10", *files],
        env=os.environ | {"HEADWATER_WORKERS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    with printing:
        print(f"== {' '.join(names)}", done.stdout, sep="\n", flush=True)  # noqa: T201
    return done.returncode


def _covered() -> bool:
    """Prints how much of headwater/ all groups went through together; whether the floor held."""
    measured = [str(file) for file in COVERAGE.glob("*.json")]
    merged = ["--out", str(COVERAGE / "merged.json"), "--merge", *measured]
    settings = ["-m", "slipcover", "--skip-covered", "--fail-under", str(FLOOR)]
    return subprocess.run([sys.executable, *settings, *merged], check=False).returncode == 0


def main() -> int:
    """Runs all groups; returns 0 if every test passed and the floor of coverage held."""
    groups = {names: files for names, files in groups_of(ROOT).items() if files}
    if "--list" in sys.argv[1:]:
        for names, files in groups.items():
            print(f"== {' '.join(names)}", *files, sep="\n")  # noqa: T201
        return 0
    os.chdir(ROOT)
    shutil.rmtree(COVERAGE, ignore_errors=True)
    COVERAGE.mkdir(parents=True)
    printing = Lock()
    # The longest has a lane of its own. The others share two, at the lowest priority: they take what it leaves of two cores.
    with ThreadPoolExecutor(1) as longest, ThreadPoolExecutor(2) as others:
        running = [longest.submit(_run, LONGEST, groups.pop(LONGEST), printing)]
        running += [others.submit(_run, names, files, printing, "nice", "-n", "19") for names, files in groups.items()]
        try:
            failed = [code for code in (group.result() for group in running) if code]
        except KeyboardInterrupt:
            others.shutdown(wait=False, cancel_futures=True)
            raise
    return int(not _covered() or bool(failed))


if __name__ == "__main__":
    sys.exit(main())
