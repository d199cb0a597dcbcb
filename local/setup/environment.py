"""The virtual environment: its Python, and every package of requirements.lock, each held against its hash."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile

_LOCKED_UV = re.compile(r"^uv==(?:.*\\\n)*.*\n", re.MULTILINE)


class InstallError(Exception):
    """A package could not be installed; the message carries what the installer said."""


class Environment:
    """One virtual environment of one checkout."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / ".venv"
        self._mark = self._folder / ".installed"

    @property
    def python(self) -> Path:
        """Its Python."""
        return self._folder / "bin" / "python"

    def exists(self) -> bool:
        """True when a setup has ever begun here."""
        return self._folder.exists()

    def is_current(self) -> bool:
        """True when all that is locked has been installed."""
        return self._is_whole() and self._mark.read_text() == self._wanted()

    def packages(self) -> int:
        """How many packages are locked."""
        return len(re.findall(r"^\S+==", self._lock.read_text(), re.MULTILINE))

    def install(self) -> None:
        """Installs what is locked, and the project itself.

        An environment that an earlier setup left half finished is rebuilt, since no installer can tell how far a file
        that it wrote goes; what was downloaded lies in the installer's cache.
        """
        if not self._is_whole():
            self._run(sys.executable, "-m", "venv", "--clear", str(self._folder))
        self._mark.unlink(missing_ok=True)
        with NamedTemporaryFile("w", suffix=".txt") as pinned:
            pinned.write(self._locked_uv())
            pinned.flush()
            pip = [str(self.python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            self._run(*pip, "--require-hashes", "--no-deps", "-r", pinned.name)
        uv, python = [str(self._folder / "bin" / "uv"), "pip"], ["--python", str(self.python)]
        self._run(*uv, "sync", "-q", "--require-hashes", "--compile-bytecode", *python, "requirements.lock")
        self._run(*uv, "install", "-q", "--no-deps", "--no-build-isolation", *python, "-e", ".")
        self._mark.write_text(self._wanted())

    @property
    def _lock(self) -> Path:
        return self._root / "requirements.lock"

    def _is_whole(self) -> bool:
        # The Python that it was made from may have gone since.
        return self._mark.exists() and self.python.exists()

    def _wanted(self) -> str:
        both = self._lock.read_bytes() + (self._root / "pyproject.toml").read_bytes()
        return hashlib.sha256(both).hexdigest()

    def _locked_uv(self) -> str:
        found = _LOCKED_UV.search(self._lock.read_text())
        if found is None:
            raise InstallError("requirements.lock knows no uv. hint: git checkout requirements.lock")
        return found[0]

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, cwd=self._root, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise InstallError(f"{' '.join(command[:4])} … failed:\n{done.stderr.strip()[-3000:]}")
