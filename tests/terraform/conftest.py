from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headwater.config import load_project
from headwater.deploy.deployment import Deployment
from headwater.deploy.roles import LATE_ARNS
from tests.support.paths import ROOT
from tests.terraform.every_kind import make

NAMES = ROOT / "tests" / "terraform" / "names"
ENVIRONMENTS = sorted(path.stem for path in (ROOT / "config" / "environments").glob("*.yaml"))
LATE = {name: f"arn:aws:test:eu-west-1:123456789012:{name}" for name in LATE_ARNS}


@dataclass(frozen=True)
class Place:
    """An environment of a declared project."""

    root: Path
    environment: str

    @property
    def deployment(self) -> Deployment:
        return Deployment(load_project(self.root, self.environment), self.root)


Derive = Callable[[Place], dict[str, Any]]


@pytest.fixture(scope="session")
def every_kind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("every_kind"))


@pytest.fixture(scope="session", params=[*ENVIRONMENTS, "prod, every kind of source"])
def place(request: pytest.FixtureRequest, every_kind: Path) -> Place:
    if request.param in ENVIRONMENTS:
        return Place(ROOT, request.param)
    return Place(every_kind, "prod")


@pytest.fixture(scope="session")
def derive(tmp_path_factory: pytest.TempPathFactory) -> Derive:
    """Evaluates what Terraform derives from config/ for an environment; needs Terraform itself, but no provider."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    data = tmp_path_factory.mktemp("terraform")
    # A command line configuration of the machine may name a mirror that is not there: no provider is needed here.
    settings = {
        "TF_DATA_DIR": str(data / "names"),
        "TF_IN_AUTOMATION": "1",
        "TF_CLI_CONFIG_FILE": str(data / "terraformrc"),
    }
    (data / "terraformrc").write_text("")
    terraform = ["terraform", f"-chdir={NAMES}"]

    def run(*arguments: str) -> str:
        command = [*terraform, *arguments]
        done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("init", "-backend=false", "-input=false")

    known: dict[Place, dict[str, Any]] = {}

    def derive(place: Place) -> dict[str, Any]:
        if place not in known:
            known[place] = evaluate(place)
        return known[place]

    def evaluate(place: Place) -> dict[str, Any]:
        plan = data / "names.tfplan"
        variables = {"root": str(place.root), "environment": place.environment, "arns": LATE}
        (data / "variables.tfvars.json").write_text(json.dumps(variables))
        run("plan", "-input=false", "-lock=false", f"-var-file={data / 'variables.tfvars.json'}", f"-out={plan}")
        outputs = json.loads(run("show", "-json", str(plan)))["planned_values"]["outputs"]
        return {name: output["value"] for name, output in outputs.items()}

    return derive
