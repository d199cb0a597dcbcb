"""Terraform in the tests: where its provider can be had, or with a stand-in for it, on a project that was packed."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headwater.deploy.deployment import Deployment
from headwater.deploy.job_arguments import DEEQU_JAR
from headwater.deploy.packages import deployment_json, lambda_zip, library_zip
from headwater.deploy.project import load_project
from tests.support.paths import ROOT

HERE = ROOT / "tests" / "terraform"
SCHEMAS = (HERE / "provider" / "aws.schema.json.gz", HERE / "provider" / "further.schema.json")
VERSION = "6.25.0"


class Terraform:
    """Terraform in one folder, with its data elsewhere."""

    def __init__(self, folder: Path, data: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.environment = {**os.environ, "TF_DATA_DIR": str(data), "TF_IN_AUTOMATION": "1", **settings}

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["terraform", f"-chdir={self.folder}", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)

    @property
    def packages(self) -> Path:
        return self.folder.parent / "build" / "packages"


def stand_in(folder: Path) -> dict[str, str] | str:
    """Builds the stand-in into a mirror; returns the settings that make Terraform use it, or why there is none."""
    if shutil.which("go") is None:
        return "go is not installed, so there is no stand-in either"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    home = folder / "mirror" / "registry.terraform.io" / "hashicorp" / "aws" / VERSION / f"linux_{machine}"
    home.mkdir(parents=True)
    build = ["go", "build", "-o", str(home / f"terraform-provider-aws_v{VERSION}"), "."]
    done = subprocess.run(build, cwd=HERE / "provider", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"the stand-in cannot be built: {done.stderr.strip()[-300:]}"
    settings = folder / "terraformrc"
    settings.write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{folder / "mirror"}"\n  }}\n}}\n'
    )
    return {"TF_CLI_CONFIG_FILE": str(settings), "SCHEMAS": ":".join(str(path) for path in SCHEMAS)}


def pack(root: Path) -> None:
    """Writes what make package writes, less the wheels and the jars, which no plan looks into."""
    out = root / "build" / "packages"
    for handler in (root / "lambdas").glob("*/handler.py"):
        path = out / "lambdas" / f"{handler.parent.name}.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lambda_zip(root, handler.parent.name))
    glue = {"headwater.zip": library_zip(root), "headwater.gluewheels.zip": b"", DEEQU_JAR: b""}
    (out / "glue").mkdir()
    for name, content in glue.items():
        (out / "glue" / name).write_bytes(content)
    for environment in ("dev", "local", "prod"):
        deployment = Deployment(load_project(root, environment), root)
        (out / environment).mkdir()
        (out / environment / "project.json").write_bytes(deployment.project_json)
        (out / environment / "deployment.json").write_bytes(deployment_json(deployment))


@contextmanager
def changed(path: Path, text: str | None) -> Iterator[None]:
    """Writes or removes a file for a while."""
    before = path.read_text() if path.exists() else None
    path.unlink() if text is None else path.write_text(text)
    try:
        yield
    finally:
        path.unlink() if before is None else path.write_text(before)


def words(done: subprocess.CompletedProcess[str]) -> str:
    """Reads what Terraform said, whatever its lines and frames are."""
    return " ".join((done.stdout + done.stderr).replace("│", " ").split())
