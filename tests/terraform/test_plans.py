"""terraform validate and terraform test, with the provider where it can be had, else with a stand-in that knows its schema."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from headwater.config import load_project
from headwater.deploy.deployment import DEEQU_JAR
from headwater.deploy.packages import digest, lambda_zip, library_zip
from tests.support.paths import ROOT
from tests.terraform.every_kind import make

HERE = ROOT / "tests" / "terraform"
SCHEMA = ROOT.parent / "shared" / "terraform" / "aws-schema.json.gz"
VERSION = "5.46.0"


class Terraform:
    """Terraform in one folder, with its data elsewhere."""

    def __init__(self, folder: Path, data: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self._environment = {**os.environ, "TF_DATA_DIR": str(data), "TF_IN_AUTOMATION": "1", **settings}

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["terraform", f"-chdir={self.folder}", *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)


def stand_in(folder: Path) -> dict[str, str] | str:
    """Builds the stand-in into a mirror; returns the settings that make Terraform use it, or why there is none."""
    if shutil.which("go") is None:
        return "go is not installed, so there is no stand-in either"
    if not SCHEMA.exists():
        return "there is no stored schema for a stand-in"
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
    schemas = f"{SCHEMA}:{HERE / 'provider' / 'further.schema.json'}"
    return {"TF_CLI_CONFIG_FILE": str(settings), "SCHEMAS": schemas}


def pack(root: Path) -> None:
    """Writes what make package writes, less the wheels and the jar, which no plan looks into."""
    out = root / "build" / "packages"
    for handler in (root / "lambdas").glob("*/handler.py"):
        path = out / "lambdas" / f"{handler.parent.name}.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lambda_zip(root, handler.parent.name))
    glue = {"headwater.zip": library_zip(root), "headwater.gluewheels.zip": b"", DEEQU_JAR: b""}
    (out / "glue").mkdir()
    for name, content in glue.items():
        (out / "glue" / name).write_bytes(content)
    for environment in ("dev", "prod"):
        (out / environment).mkdir()
        (out / environment / "project.json").write_text(load_project(root, environment).model_dump_json(by_alias=True))
        (out / environment / "packed.json").write_text(json.dumps({"digest": digest(root)}))


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """A copy of the project with a source of every kind, initialised without its backend."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    folder = tmp_path_factory.mktemp("plans")
    root = make(folder / "project")
    shutil.copytree(ROOT / "terraform", root / "terraform", ignore=shutil.ignore_patterns(".terraform", "*.tfplan"))
    (root / "terraform" / "tests").mkdir()
    for path in HERE.glob("*.tftest.hcl"):
        shutil.copy(path, root / "terraform" / "tests")
    pack(root)
    real = Terraform(root / "terraform", folder / "data", {})
    if real("init", "-backend=false", "-input=false").returncode == 0:
        return real
    settings = stand_in(folder)
    if isinstance(settings, str):
        pytest.skip(f"terraform init finds no provider, and {settings}")
    ours = Terraform(root / "terraform", folder / "data", settings)
    done = ours("init", "-backend=false", "-input=false")
    assert done.returncode == 0, done.stdout + done.stderr
    return ours


def test_the_configuration_is_valid(terraform: Terraform) -> None:
    done = terraform("validate", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr


def test_good_plans_are_made_and_bad_ones_refused(terraform: Terraform) -> None:
    done = terraform("test", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Success!" in done.stdout


def test_what_was_changed_after_packing_is_not_planned(terraform: Terraform) -> None:
    declared = terraform.folder.parent / "config" / "sources" / "fx_rates.yaml"
    text = declared.read_text()
    declared.write_text(text + "wrkers: 9\n")
    try:
        done = terraform("test", "-no-color", "-filter=tests/good.tftest.hcl")
    finally:
        declared.write_text(text)
    assert done.returncode != 0
    assert "make package" in " ".join((done.stdout + done.stderr).split())


def test_declarations_are_refused_without_any_provider(tmp_path: Path) -> None:
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "terraform" / "modules" / "project", folder)
    shutil.copytree(HERE / "project", folder / "tests")
    (tmp_path / "terraformrc").write_text("")
    run = Terraform(folder, tmp_path / "data", {"TF_CLI_CONFIG_FILE": str(tmp_path / "terraformrc")})
    done = run("init", "-backend=false", "-input=false")
    assert done.returncode == 0, done.stdout + done.stderr
    done = run("test", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr
