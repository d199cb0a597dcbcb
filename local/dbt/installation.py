"""The Python that dbt has: the packages of dbt/requirements.lock in an environment of its own, since dbt pins what we do not."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from headwater.errors import HeadwaterError

LOCK = Path(__file__).resolve().parents[2] / "dbt" / "requirements.lock"


def program() -> Path:
    """dbt's own program, installed first where what is locked now has not been; HeadwaterError carries what the installer said."""
    folder = Path.home() / ".cache" / "headwater" / f"dbt-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    mark = folder / ".installed"
    folder.mkdir(parents=True, exist_ok=True)
    # Whoever comes second waits for what the first one installs. Within the folder `.lock` is uv's own.
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists():
            _install(folder)
            mark.touch()
    return folder / "bin" / "dbt"


def _install(folder: Path) -> None:
    venv.create(folder, symlinks=True)
    # Wheels alone: what builds itself may fetch what no hash holds.
    uv = [
        str(Path(sys.prefix) / "bin" / "uv"),
        "pip",
        "sync",
        "-q",
        "--require-hashes",
        "--no-build",
        "--compile-bytecode",
    ]
    command = [*uv, "--python", str(folder / "bin" / "python"), str(LOCK)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HeadwaterError(f"dbt/{LOCK.name} could not be installed: {done.stderr.strip()[-2000:]}")
