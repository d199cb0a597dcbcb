"""Scanners find what they are there for, see all that there is, and say so where they could not look."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from headwater.deploy.packages import jar
from headwater.errors import ConfigError
from tests.scanners import check
from tests.scanners.check import Accepted, Finding, NothingSeenError, bandit, differences, secrets
from tests.scanners.sbom import JARS, bom, written
from tests.support.paths import ROOT

REASON = "a reason that says why it is none"


def test_sql_out_of_a_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "bad.py").write_text('def f(c, name):\n    c.execute(f"SELECT {name} FROM t")\n')
    [found] = bandit(["code"], tmp_path)
    assert (found.kind, found.file) == ("B608", "code/bad.py")


def test_a_scanner_of_no_code_has_seen_nothing(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    with pytest.raises(NothingSeenError, match="it read 0 files"):
        list(bandit(["code"], tmp_path))


def test_a_secret_is_found(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("password: " + "hunter2-and-more\nkey: AKIA" + "Z7QK2P5W3M9X4B6N\n")
    assert {found.kind for found in secrets(["."], tmp_path)} >= {"Secret Keyword", "AWS Access Key"}


def test_what_is_not_accepted_fails_and_so_does_what_is_gone() -> None:
    accepted = [Accepted(scanner="s", kind="K", reason=REASON, files={"a.py": 1, "gone.py": 1})]
    one, other = Finding("s", "K", "a.py", "line 1"), Finding("s", "K", "b.py", "line 2")
    assert differences([one], accepted) == ["gone.py: K is accepted, and not there any more"]
    assert "b.py: K, line 2" in differences([one, other], accepted)
    assert differences([one, one], accepted)[:2] == ["a.py: K, line 1"] * 2
    assert "a.py: L, line 1" in differences([one, Finding("s", "L", "a.py", "line 1")], accepted)


def audited(monkeypatch: pytest.MonkeyPatch, canary: dict[str, object], others: dict[str, object]) -> list[Finding]:
    def answers(requirements: Path) -> list[dict[str, object]]:
        known = canary if requirements.name == "canary.txt" else others
        return [{"name": "urllib3", "version": "1.24.1", "vulns": []} | known]

    monkeypatch.setattr(check, "_audited", answers)
    return list(check.audit(["requirements.lock"]))


FLAW = {"vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}


def test_an_audit_without_an_index_is_skipped_and_passes_for_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for canary, others in (({}, {}), ({"skip_reason": "not found"}, {}), (FLAW, {"skip_reason": "not found"})):
        with pytest.raises(NothingSeenError):
            audited(monkeypatch, canary, others)
    assert audited(monkeypatch, FLAW, {}) == []
    assert [(found.kind, found.file) for found in audited(monkeypatch, FLAW, FLAW)] == [("PYSEC-1", "urllib3")]

    def blind() -> list[Finding]:
        raise NothingSeenError("there is no index")

    monkeypatch.setattr(check, "SCANNERS", {"audit": blind})
    assert check.main() == 0
    assert capsys.readouterr().out == "audit: skipped, there is no index\n"


def test_the_bill_of_materials_has_all_that_is_locked_with_its_hashes() -> None:
    listed = json.loads(written(bom()))["components"]
    names = {(component["name"], component["version"]) for component in listed}
    for lock in check.LOCKS:
        pinned = set(re.findall(r"^([^\s=]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))
        assert pinned <= names, lock
    hashes = {part["content"] for component in listed for part in component.get("hashes", ())}
    assert hashes == set(re.findall(r"^[0-9a-f]{64}", JARS.read_text(), re.MULTILINE))
    required = {component["name"] for component in listed if component["scope"] == "required"}
    assert {"pydantic", "deequ", "pydeequ"} <= required
    assert not {"pytest", "moto", "duckdb"} & required


def test_a_jar_that_is_not_the_locked_one_is_not_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_IVY", str(tmp_path))
    with pytest.raises(ConfigError, match="make setup"):
        jar("deequ-2.0.7-spark-3.5.jar")
    (tmp_path / "x_deequ-2.0.7-spark-3.5.jar").write_bytes(b"not deequ at all")
    with pytest.raises(ConfigError, match="is not the jar that jars"):
        jar("deequ-2.0.7-spark-3.5.jar")
    locked = tmp_path / "jars.lock"
    locked.write_text(
        f"{hashlib.sha256(b'not deequ at all').hexdigest()}  com.amazon.deequ_deequ-2.0.7-spark-3.5.jar\n"
    )
    monkeypatch.setattr("headwater.deploy.packages.JARS_LOCK", locked)
    assert jar("deequ-2.0.7-spark-3.5.jar") == b"not deequ at all"


def test_nothing_is_installed_that_is_not_held_against_a_hash() -> None:
    told = ("pip install", "pip download", '"install"', "uv pip sync", "npm install", "curl ", "wget ")
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    scripts = [name for name in files if name == "Makefile" or name.endswith(("/check", "/run", ".yml", ".sh"))]
    lines = [
        line for name in scripts for line in (ROOT / name).read_text().splitlines() if any(t in line for t in told)
    ]
    assert [line for line in lines if "--require-hashes" not in line] == []
    for lock in check.LOCKS:
        text = (ROOT / lock).read_text()
        assert len(re.findall(r"^\S+==", text, re.MULTILINE)) == len(
            re.findall(r"==\S+ \\\n    --hash=sha256:", text)
        ), lock


def test_every_action_is_pinned_by_its_commit() -> None:
    used = [
        line.partition("uses:")[2].split("#")[0].strip()
        for path in (ROOT / ".github" / "workflows").glob("*.yml")
        for line in path.read_text().splitlines()
        if "uses:" in line
    ]
    assert used
    assert [name for name in used if not name.startswith("./") and not re.fullmatch(r"\S+@[0-9a-f]{40}", name)] == []
