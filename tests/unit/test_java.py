"""Java is found once for all: version 17 of the machine's where there is one, else the wheel's; never another version."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local import java
from local.java import JavaError


def fake_home(folder: Path, version: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "java"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    (folder / "release").write_text(f'IMPLEMENTOR="Nobody"\nJAVA_VERSION="{version}"\nOS_NAME="Linux"\n')
    return folder


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH; there is no JAVA_HOME, and a wheel whose home is `wheel`."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("JAVA_HOME", "")
    monkeypatch.setattr(java, "wheel", lambda: tmp_path / "wheel")
    return folder


def on_path(path: Path, home: Path) -> None:
    (path / "java").symlink_to(home / "bin" / "java")


def test_java_home_comes_before_the_path_and_the_path_before_the_wheel(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = fake_home(tmp_path / "wheel", "17.0.9")
    assert java.home() == wheel
    linked = fake_home(tmp_path / "linked", "17.0.15")
    on_path(path, linked)
    assert java.home() == linked
    named = fake_home(tmp_path / "named", "17")
    monkeypatch.setenv("JAVA_HOME", str(named))
    assert java.home() == named


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.22", "21.0.2", "170.1"])
def test_another_version_is_passed_over_wherever_it_is(
    version: str, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = fake_home(tmp_path / "other", version)
    on_path(path, other)
    monkeypatch.setenv("JAVA_HOME", str(other))
    with pytest.raises(JavaError, match=r"Java 17 is missing. hint: make setup"):
        java.home()
    assert fake_home(tmp_path / "wheel", "17.0.9") == java.home()


def test_a_home_without_a_program_is_none(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied = fake_home(tmp_path / "emptied", "17.0.9")
    (emptied / "bin" / "java").unlink()
    monkeypatch.setenv("JAVA_HOME", str(emptied))
    wheel = fake_home(tmp_path / "wheel", "17.0.9")
    assert java.home() == wheel


def test_whatever_is_started_next_finds_the_same_java(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_home(tmp_path / "old", "11.0.22")))
    wheel = fake_home(tmp_path / "wheel", "17.0.9")
    assert java.use() == wheel
    assert os.environ["JAVA_HOME"] == str(wheel)
    assert java.program() == wheel / "bin" / "java"


def test_the_wheel_that_is_locked_holds_version_17() -> None:
    wheel = java.wheel()
    assert wheel is not None
    assert (java.version(wheel) or "").startswith("17.")
