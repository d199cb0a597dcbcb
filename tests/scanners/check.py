"""Runs the scanners of code, secrets and dependencies, and holds what they find to accepted.yaml: `python -m tests.scanners.check`.

What is found and not accepted there fails the check, and so does what is accepted and not found any more. A scanner that could not
look is skipped, and says so: that it found nothing would mean nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from pydantic import Field, TypeAdapter

from headwater.config.strict import Strict
from tests.support.paths import ROOT

ACCEPTED = Path(__file__).with_name("accepted.yaml")
CODE = ("headwater", "lambdas", "glue_jobs", "local")
TEXTS = (*CODE, "config", "terraform", "sql", "docs", "step_functions", "dbt", ".github", "Makefile", "README.md")
LOCKS = ("requirements.lock", "glue.lock", "tests/terraform/checkov.lock", "dbt/requirements.lock")
# A version with flaws that everybody knows: who finds none there has no index of flaws.
_CANARY = "urllib3==1.24.1"
_ITS_NAME_TELLS = ("KeywordDetector", "HexHighEntropyString", "Base64HighEntropyString")


class NothingSeenError(Exception):
    """A scanner could not look, for the reason that the message tells."""


@dataclass(frozen=True)
class Finding:
    """What a scanner calls a fault, and where."""

    scanner: str
    kind: str
    file: str
    said: str


class Accepted(Strict):
    """Findings that a person has looked at: how many of a kind in which files, and why they are none."""

    scanner: str
    kind: str
    reason: str = Field(min_length=20)
    files: dict[str, int]


def bandit(paths: Sequence[str] = CODE, root: Path = ROOT) -> Iterator[Finding]:
    """Finds what bandit calls of medium severity or more; ruff's own rules look for the rest."""
    found = _json(root, "bandit", "-q", "-ll", "-r", *paths, "-f", "json")
    if len(found["metrics"]) < 2 or found["errors"]:
        raise NothingSeenError(f"it read {len(found['metrics']) - 1} files; {found['errors']}")
    for result in found["results"]:
        file, said = str(Path(result["filename"])), f"line {result['line_number']}: {result['issue_text']}"
        yield Finding("bandit", result["test_id"], file, said)


def secrets(paths: Sequence[str] = TEXTS, root: Path = ROOT) -> Iterator[Finding]:
    """Finds what looks like a secret; in tests, whose secrets are made up, what has the form of a real one alone."""
    form_alone = [part for name in _ITS_NAME_TELLS for part in ("--disable-plugin", name)]
    # Here git knows what is ours; a folder elsewhere is looked at whole.
    scans = [("--all-files", *paths)] if root != ROOT else [(*paths,), ("tests", *form_alone)]
    for scan in scans:
        for file, results in _json(root, "detect-secrets", "scan", *scan)["results"].items():
            for result in results:
                yield Finding("secrets", result["type"], file, f"line {result['line_number']}")


def audit(locks: Sequence[str] = LOCKS, root: Path = ROOT) -> Iterator[Finding]:
    """Finds the flaws that are known of the locked packages."""
    with TemporaryDirectory() as folder:
        canary = Path(folder) / "canary.txt"
        canary.write_text(_CANARY)
        if not any(dependency.get("vulns") for dependency in _audited(canary)):
            raise NothingSeenError(f"of {_CANARY} it knows no flaw, so it has no index to ask")
    for lock in locks:
        for dependency in _audited(root / lock):
            if "skip_reason" in dependency:
                raise NothingSeenError(dependency["skip_reason"])
            for flaw in dependency["vulns"]:
                mended = ", ".join(flaw["fix_versions"]) or "no version"
                yield Finding(
                    "audit", flaw["id"], dependency["name"], f"{lock}: {dependency['version']}; mended in {mended}"
                )


SCANNERS = {"bandit": bandit, "secrets": secrets, "audit": audit}


def differences(found: Sequence[Finding], accepted: Sequence[Accepted]) -> list[str]:
    """What was found beyond what is accepted, and what is accepted without being found."""
    allowed = Counter({(entry.kind, file): count for entry in accepted for file, count in entry.files.items()})
    counted = Counter((finding.kind, finding.file) for finding in found)
    new = [
        f"{one.file}: {one.kind}, {one.said}"
        for one in found
        if counted[one.kind, one.file] > allowed[one.kind, one.file]
    ]
    gone = [f"{file}: {kind} is accepted, and not there any more" for kind, file in allowed if not counted[kind, file]]
    return new + gone


def accepted_by(scanner: str) -> list[Accepted]:
    """What is accepted of one scanner."""
    every = TypeAdapter(list[Accepted]).validate_python(yaml.safe_load(ACCEPTED.read_text()))
    return [entry for entry in every if entry.scanner == scanner]


def main() -> int:
    """Runs all of them; 1 where one has found what is not accepted."""
    wrong = 0
    for name, scan in SCANNERS.items():
        try:
            found = list(scan())
        except NothingSeenError as why:
            print(f"{name}: skipped, {why}")  # noqa: T201
            continue
        differing = differences(found, accepted_by(name))
        wrong += len(differing)
        for line in differing:
            print(f"{name}: {line}. hint: mend it, or say in {ACCEPTED.relative_to(ROOT)} why it is none")  # noqa: T201
        print(f"{name}: {len(found)} findings, {len(differing)} of them not as accepted")  # noqa: T201
    return int(wrong > 0)


def _audited(requirements: Path) -> list[dict[str, Any]]:
    how = ("--no-deps", "--disable-pip", "-f", "json", "--progress-spinner", "off")
    dependencies: list[dict[str, Any]] = _json(ROOT, "pip-audit", "-r", str(requirements), *how)["dependencies"]
    return dependencies


def _json(root: Path, program: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [Path(sys.executable).parent / program, *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise NothingSeenError(f"it said no JSON: {' '.join(done.stderr.split())[-300:]}") from None
    return document


if __name__ == "__main__":
    sys.exit(main())
