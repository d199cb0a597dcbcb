"""Packs what jobs and Lambdas run from, the same bytes from the same files: `python -m headwater.deploy.packages dev build/packages`.

    <out>/glue/headwater.zip               the library, for --extra-py-files
    <out>/glue/headwater.gluewheels.zip    wheels that Glue's workers lack, for --additional-python-modules
    <out>/glue/….jar                       for --extra-jars: Deequ's, and those that Kafka sources need
    <out>/lambdas/<folder>.zip             a handler, the library, and what both need that Lambda lacks
    <out>/<environment>/project.json       the declared project, which every job and Lambda reads
    <out>/<environment>/deployment.json    all that Terraform reads of the environment

Loading the project validates all of config/. deployment.json holds a digest of what it was derived from, so Terraform plans nothing
that was not validated, and nothing that has changed since.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from headwater.deploy.deployment import Deployment
from headwater.deploy.job_arguments import LIBRARY_KEY, WHEELS_KEY, jars
from headwater.deploy.project import Declared
from headwater.deploy.terraform import document
from headwater.errors import ConfigError
from headwater.validate.understanding import mistakes

_EPOCH = (1980, 1, 1, 0, 0, 0)
LAMBDA_NEEDS = ("fastjsonschema", "pydantic", "pyyaml", "simplejson")
LAMBDA_NEEDS_TOO = {"audit_run": ("openlineage-python",)}
"""What some Lambdas need besides, by their folder."""
_OF_LAMBDA = {"headwater/run/lineage_events.py": "audit_run"}
"""Modules of the library that one Lambda alone has, since it alone has what they import."""
GLUE_NEEDS = (*LAMBDA_NEEDS, "cryptography", "openpyxl", "pydeequ", "snowflake-connector-python")
GLUE_LOCK = Path(__file__).resolve().parents[2] / "glue.lock"
JARS_LOCK = GLUE_LOCK.with_name("jars.lock")
# Glue has them beside what it lists.
_GLUE_HAS_TOO = ("pyspark", "py4j")
# Where Glue 5 and Lambda run them: CPython 3.11 on Amazon Linux 2023 and 2.
_PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64", "manylinux_2_34_x86_64")
_TARGET = ("--python-version", "3.11", "--implementation", "cp", *(f"--platform={name}" for name in _PLATFORMS))
# The inputs of the packages and of deployment.json: Terraform takes the patterns from deployment.json and checks the files itself.
_PACKED = (
    *(
        f"config/{folder}/**/*.yaml"
        for folder in ("environments", "identities", "quality", "queries", "roles", "sources", "tables")
    ),
    "crawlers/*.yaml",
    "sql/gold/*.sql",
    "sql/redshift/**/*.sql",
    "sql/shared/*.sql",
    "step_functions/*.json",
    *(f"{folder}/**/*.py" for folder in ("headwater", "glue_jobs", "lambdas")),
    "requirements.lock",
    "glue.lock",
    "jars.lock",
)
# What only an operator needs, and no job or Lambda gets.
_AT_THE_DESK = (
    *("headwater/deploy/", "headwater/desk/", "headwater/explore/", "headwater/validate/"),
    *("headwater/cli.py", "headwater/client.py"),
)


def library_zip(root: Path) -> bytes:
    """Zips what jobs and Lambdas need of the headwater package."""
    return _zip(_library(root))


def lambda_zip(root: Path, folder: str, modules: Mapping[str, bytes] | None = None) -> bytes:
    """Zips one Lambda's handler with the library and other modules' files beside it."""
    handler = {"handler.py": (root / "lambdas" / folder / "handler.py").read_bytes()}
    return _zip({**(modules or {}), **_library(root, folder), **handler})


def digest(root: Path) -> str:
    """Computes the SHA-256 over everything that is packed, as terraform/modules/deployment does."""
    paths = {path.relative_to(root).as_posix() for pattern in _PACKED for path in root.glob(pattern)}
    lines = [f"{path} {hashlib.sha256((root / path).read_bytes()).hexdigest()}" for path in sorted(paths)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def deployment_json(deployment: Deployment) -> bytes:
    """Writes deployment.json: what Terraform reads, and what tells it whether that still fits the files it was derived from."""
    packed = {"patterns": _PACKED, "digest": digest(deployment.root)}
    return json.dumps({**document(deployment), "packed": packed}, indent=1, sort_keys=True, ensure_ascii=False).encode()


def package(root: Path, environment: str, out: Path) -> list[Path]:
    """Packs everything for one environment and lists the files; ConfigError when config/ or a role is wrong."""
    declared = Declared(root)
    if wrong := mistakes(declared):
        raise ConfigError("\n".join(wrong))
    deployment = Deployment(declared.project(environment), root)
    derived = deployment_json(deployment)
    lock = root / "requirements.lock"
    unpacked = _unpacked(list(_wheels(lock, lambda_modules()).values()))
    unpacked_of = {
        folder: _unpacked(list(_wheels(lock, lambda_modules(folder)).values())) for folder in LAMBDA_NEEDS_TOO
    }
    files = {
        f"glue/{Path(LIBRARY_KEY).name}": library_zip(root),
        f"glue/{Path(WHEELS_KEY).name}": wheels_zip(root),
        **{f"glue/{name}": jar(name) for name in jars(deployment.project)},
        f"{environment}/project.json": deployment.project_json,
        f"{environment}/deployment.json": derived,
    }
    for handler in sorted((root / "lambdas").glob("*/handler.py")):
        folder = handler.parent.name
        files[f"lambdas/{folder}.zip"] = lambda_zip(root, folder, unpacked_of.get(folder, unpacked))
    for name, content in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return [out / name for name in files]


def glue_modules() -> list[str]:
    """Lists the distributions that a Glue job needs and Glue does not bring."""
    brought = dict(line.split()[0].split("==") for line in GLUE_LOCK.read_text().splitlines() if "==" in line)
    return _modules(GLUE_NEEDS, {name: Version(version) for name, version in brought.items()})


def lambda_modules(folder: str | None = None) -> list[str]:
    """Lists the distributions that any Lambda needs beside the SDK, or that of a folder."""
    return _modules((*LAMBDA_NEEDS, *(LAMBDA_NEEDS_TOO.get(folder, ()) if folder else ())), {})


def wheels_zip(root: Path) -> bytes:
    """Zips the locked wheels of glue_modules() as Glue documents it: `wheels/requirements.txt` beside `wheels/*.whl`."""
    wheels = _wheels(root / "requirements.lock", glue_modules())
    requirements = pins(root / "requirements.lock", glue_modules()).encode()
    return _zip({f"wheels/{name}": content for name, content in {**wheels, "requirements.txt": requirements}.items()})


def _modules(needed: Sequence[str], brought: Mapping[str, Version]) -> list[str]:
    """Lists some distributions and all that they need in turn, less what is brought in a version that does."""
    found: set[str] = set()
    waiting = [Requirement(name) for name in needed]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        is_there = name in _GLUE_HAS_TOO or (name in brought and brought[name] in wanted.specifier)
        if name in found or is_there:
            continue
        found.add(name)
        requirements = [Requirement(text) for text in metadata.requires(name) or ()]
        waiting += [part for part in requirements if part.marker is None or part.marker.evaluate({"extra": ""})]
    return sorted(found)


def _library(root: Path, folder: str | None = None) -> dict[str, bytes]:
    paths = {path.relative_to(root).as_posix(): path for path in (root / "headwater").rglob("*.py")}
    return {
        name: path.read_bytes()
        for name, path in paths.items()
        if not name.startswith(_AT_THE_DESK) and _OF_LAMBDA.get(name, folder) == folder
    }


def _zip(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            # Lambda runs as another user than the one that unpacks.
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _locked(lock: Path, modules: Sequence[str]) -> list[str]:
    """Reads the blocks of requirements.lock that pin some modules, hashes included."""
    pinned = {}
    for block in re.split(r"\n(?=[a-z0-9])", lock.read_text()):
        pinned[block.partition("==")[0]] = block.rstrip()
    missing = [name for name in modules if name not in pinned]
    if missing:
        raise ConfigError(f"{lock}: {', '.join(missing)} not pinned. hint: make lock")
    return [pinned[name] for name in modules]


def pins(lock: Path, modules: Sequence[str]) -> str:
    """Reads the locked versions of some modules, one a line; ConfigError names those that are not locked."""
    return "".join(f"{block.split()[0]}\n" for block in _locked(lock, modules))


def _wheels(lock: Path, modules: Sequence[str]) -> dict[str, bytes]:
    """Reads the locked wheels for the target, downloaded once into the user's cache, each checked against its hash."""
    needed = "\n".join(_locked(lock, modules)) + "\n"
    kept = _cache() / "wheels" / hashlib.sha256("\n".join([needed, *_TARGET]).encode()).hexdigest()[:16]
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, ignore_cleanup_errors=True) as folder:
            _download(needed, Path(folder) / "wheels")
            # Another deployment may have been faster.
            if not kept.exists():
                (Path(folder) / "wheels").rename(kept)
    return {path.name: path.read_bytes() for path in sorted(kept.glob("*.whl"))}


def _download(needed: str, folder: Path) -> None:
    folder.mkdir()
    requirements = folder / "requirements.txt"
    requirements.write_text(needed)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    wanted = ["--only-binary", ":all:", *_TARGET, "--require-hashes", "-r", str(requirements), "-d", str(folder)]
    done = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigError(f"pip could not download the locked wheels: {done.stderr.strip()}")


def _unpacked(wheels: Sequence[bytes]) -> dict[str, bytes]:
    files = {}
    for wheel in wheels:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            files.update({name: archive.read(name) for name in archive.namelist() if not name.endswith("/")})
    return files


def jar(name: str) -> bytes:
    """Reads a jar that setup has fetched; ConfigError when it has not, or when it is not the one that is locked."""
    folder = Path(os.environ.get("HEADWATER_IVY") or _cache() / "ivy")
    locked = {digest for digest, file in map(str.split, JARS_LOCK.read_text().splitlines()) if file.endswith(name)}
    found = [path.read_bytes() for path in folder.rglob(f"*{name}")]
    if not found:
        raise ConfigError(f"{name} is not in {folder}. hint: make setup")
    for content in found:
        if hashlib.sha256(content).hexdigest() in locked:
            return content
    raise ConfigError(
        f"{name} in {folder} is not the jar that {JARS_LOCK.name} knows. hint: remove it there, then make setup"
    )


def _cache() -> Path:
    return Path.home() / ".cache" / "headwater"


if __name__ == "__main__":
    for packed in package(Path(__file__).resolve().parents[2], sys.argv[1], Path(sys.argv[2])):
        print(f"{hashlib.sha256(packed.read_bytes()).hexdigest()}  {packed}")  # noqa: T201 - what the command is for
