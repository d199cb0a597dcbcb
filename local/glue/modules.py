"""`--additional-python-modules` as Glue takes it: installed by pip beside what the worker has, once for each content."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import mkdtemp

from headwater.errors import HeadwaterError
from local.glue.installation import site_packages

_ZIP_OF_WHEELS = ".gluewheels.zip"
_REQUIREMENTS = Path("wheels") / "requirements.txt"


class InstallError(HeadwaterError):
    """pip could not install what a job asks for; the message carries its words."""


def installed(items: Sequence[str], options: Sequence[str], fetch: Callable[[str], Path]) -> Path:
    """Installs names, wheels and zips of wheels, and returns the folder that they are imported from.

    `fetch` brings an object of S3. InstallError when pip refuses, FileNotFoundError when an object is not there.
    """
    files = {item: fetch(item) for item in items if item.startswith("s3://")}
    content = hashlib.sha256(repr([*options]).encode())
    for item in items:
        content.update(files[item].read_bytes() if item in files else item.encode())
    kept = Path(sys.prefix) / "modules" / content.hexdigest()[:16]
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        unfinished = Path(mkdtemp(dir=kept.parent, prefix="unfinished-"))
        try:
            _install(unfinished, [files.get(item, item) for item in items], options)
            # Another worker may have been faster.
            if not kept.exists():
                unfinished.rename(kept)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return site_packages(kept)


def _install(environment: Path, items: Sequence[Path | str], options: Sequence[str]) -> None:
    venv.create(environment, symlinks=True)
    # So pip sees what the worker has: it counts as there, and where it is too old the newer version goes in front of it.
    (site_packages(environment) / "worker.pth").write_text(f"{site_packages(Path(sys.prefix))}\n")
    wanted: list[str] = []
    for item in items:
        wanted += _from_zip(item, environment / "unpacked") if _is_zip(item) else [str(item)]
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "install", "-q"]
    done = subprocess.run([*pip, *options, *wanted], env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallError(f"--additional-python-modules: {done.stderr.strip()[-1500:]}")
    shutil.rmtree(environment / "unpacked", ignore_errors=True)


def _is_zip(item: Path | str) -> bool:
    return isinstance(item, Path) and item.name.endswith(_ZIP_OF_WHEELS)


def _from_zip(archive: Path | str, folder: Path) -> list[str]:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    requirements = folder / _REQUIREMENTS
    if not requirements.exists():
        raise InstallError(
            f"{Path(archive).name} has no {_REQUIREMENTS}. hint: Glue wants the requirements beside the wheels, in wheels/"
        )
    return ["--find-links", str(requirements.parent), "-r", str(requirements)]


def _environment() -> dict[str, str]:
    # Settings of the machine's own pip, such as further places to look for wheels, are none of Glue's.
    return {name: value for name, value in os.environ.items() if not name.startswith("PIP_")} | {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
