"""`make apply` carries out the plan that `make plan` has saved, on a small stack of resources without a provider."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.terraform.runner import Terraform

BACKEND = 'terraform {\n  backend "local" {}\n}\n'
THING = 'resource "terraform_data" "%s" {\n  input = "%s"\n}\n'


@pytest.fixture
def stack(tmp_path: Path) -> Terraform:
    """The repository's Makefile over a stack of one resource, initialised."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "terraform" / "backends").mkdir(parents=True)
    (tmp_path / "terraform" / "backends" / "dev.tfbackend").write_text(f'path = "{tmp_path / "dev.tfstate"}"\n')
    (tmp_path / "terraform" / "main.tf").write_text(BACKEND + THING % ("seen", "reviewed"))
    (tmp_path / "terraformrc").write_text("")
    settings = {"TF_CLI_CONFIG_FILE": str(tmp_path / "terraformrc")}
    terraform = Terraform(tmp_path / "terraform", tmp_path / "terraform" / ".terraform", settings)
    assert terraform("init", "-input=false", "-backend-config=backends/dev.tfbackend").returncode == 0
    return terraform


def apply(stack: Terraform) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "apply", "ENV=dev"],
        cwd=stack.folder.parent,
        env=stack.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def made(stack: Terraform) -> list[str]:
    return stack("state", "list").stdout.split()


def test_what_was_planned_is_applied_and_nothing_that_came_after(stack: Terraform) -> None:
    assert stack("plan", "-input=false", "-out=dev.tfplan").returncode == 0
    (stack.folder / "main.tf").write_text(BACKEND + THING % ("seen", "x") + THING % ("unseen", "slipped in"))
    done = apply(stack)
    assert done.returncode == 0, done.stdout + done.stderr
    assert made(stack) == ["terraform_data.seen"]
    assert not (stack.folder / "dev.tfplan").exists()


def test_nothing_is_applied_without_a_plan(stack: Terraform) -> None:
    done = apply(stack)
    assert done.returncode != 0
    assert "no plan of dev is saved. hint: make plan ENV=dev" in done.stdout
    assert made(stack) == []


def test_a_stale_plan_is_refused_with_the_way_out(stack: Terraform) -> None:
    assert stack("plan", "-input=false", "-out=dev.tfplan").returncode == 0
    (stack.folder / "main.tf").write_text(BACKEND + THING % ("other", "by somebody else"))
    assert stack("apply", "-input=false", "-auto-approve").returncode == 0
    done = apply(stack)
    assert done.returncode != 0
    assert "Saved plan is stale" in done.stderr
    assert "make plan ENV=dev makes another" in done.stdout
    assert made(stack) == ["terraform_data.other"]
