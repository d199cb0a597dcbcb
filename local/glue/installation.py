"""The Python that Glue's workers have: the packages of glue.lock at their versions, in an environment of its own.

Spark is the one of the checkout's own environment, which has Glue's version, and so is Delta's Python; awsglue is the
local one.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

from headwater.errors import HeadwaterError

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "glue.lock"
_SPARK = ("pyspark", "py4j")


def folder() -> Path:
    """Where the environment is: within the checkout's own."""
    return Path(sys.prefix) / "glue"


def python() -> Path:
    """Its Python; HeadwaterError when it is not what glue.lock says."""
    if not is_current():
        raise HeadwaterError(f"{folder()} is not what {LOCK.name} says. hint: make setup")
    return folder() / "bin" / "python"


def is_current() -> bool:
    """True when what is locked now has been installed."""
    try:
        return _mark().read_text() == _wanted() and (folder() / "bin" / "python").exists()
    except FileNotFoundError:
        return False


def install() -> None:
    """Installs what is locked, anew; HeadwaterError carries what the installer said."""
    shutil.rmtree(folder(), ignore_errors=True)
    venv.create(folder(), symlinks=True)
    python = folder() / "bin" / "python"
    uv = [str(Path(sys.prefix) / "bin" / "uv"), "pip", "sync", "-q", "--require-hashes", "--compile-bytecode"]
    done = subprocess.run([*uv, "--python", str(python), str(LOCK)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HeadwaterError(f"{LOCK.name} could not be installed: {done.stderr.strip()[-2000:]}")
    for link, source in _links().items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source)
    _mark().write_text(_wanted())


def site_packages(environment: Path) -> Path:
    """Where an environment keeps its packages."""
    return environment / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def format_packages(environment: Path, name: str) -> Path:
    """Where it keeps the Python of a table format, which only a job that names the format has."""
    return environment / "formats" / name


def _links() -> dict[Path, Path]:
    packages = site_packages(folder())
    return {
        **{packages / name: _installed(name) for name in _SPARK},
        packages / "awsglue": ROOT / "local" / "awsglue",
        format_packages(folder(), "delta") / "delta": _installed("delta"),
    }


def _installed(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise HeadwaterError(f"{name} is not installed. hint: make setup")
    return Path(spec.origin).parent


def _mark() -> Path:
    return folder() / ".installed"


def _wanted() -> str:
    # Not where awsglue is: a copy of the checkout that uses its environment has the same.
    packages = (str(_installed(name)) for name in (*_SPARK, "delta"))
    return "\n".join([hashlib.sha256(LOCK.read_bytes()).hexdigest(), *packages])
