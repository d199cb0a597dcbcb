"""Stacks that were applied before some address changed: terraform/moved.tf sees to it that nothing is destroyed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.terraform.runner import Terraform

THING = 'resource "terraform_data" "this" {\n  input = "kept"\n}\n'
BEFORE = 'module "ingress" {\n  source = "./thing"\n}\n\nresource "terraform_data" "packed" {\n  input = "digest"\n}\n'
AFTER = 'module "entrances" {\n  source = "./thing"\n}\n'


@pytest.fixture
def applied(tmp_path: Path) -> Terraform:
    """A small stack with the old addresses; needs Terraform itself, but no provider."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    folder = tmp_path / "stack"
    (folder / "thing").mkdir(parents=True)
    (folder / "thing" / "main.tf").write_text(THING)
    (folder / "main.tf").write_text(BEFORE)
    (tmp_path / "terraformrc").write_text("")
    terraform = Terraform(folder, tmp_path / "data", {"TF_CLI_CONFIG_FILE": str(tmp_path / "terraformrc")})
    for command in ("init", "apply"):
        done = terraform(command, "-input=false", *(["-auto-approve"] if command == "apply" else []))
        assert done.returncode == 0, done.stdout + done.stderr
    return terraform


def changes(terraform: Terraform) -> dict[str, list[str]]:
    """Plans with the new addresses and lists what would be done to each resource."""
    (terraform.folder / "main.tf").write_text(AFTER)
    for command in (("init", "-input=false"), ("plan", "-input=false", "-out=planned")):
        done = terraform(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    planned = json.loads(terraform("show", "-json", "planned").stdout)["resource_changes"]
    return {change["address"]: change["change"]["actions"] for change in planned}


def test_what_moved_is_kept(applied: Terraform) -> None:
    shutil.copy(ROOT / "terraform" / "moved.tf", applied.folder)
    assert changes(applied) == {"module.entrances.terraform_data.this": ["no-op"], "terraform_data.packed": ["forget"]}


def test_it_would_be_destroyed_otherwise(applied: Terraform) -> None:
    found = changes(applied)
    assert found["module.ingress.terraform_data.this"] == ["delete"]
    assert found["terraform_data.packed"] == ["delete"]
