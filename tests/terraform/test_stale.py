"""A deployment.json that does not fit the files, or is of another environment, is refused before anything is planned."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.terraform.every_kind import make
from tests.terraform.runner import HERE, Terraform, changed, pack, words


@dataclass(frozen=True)
class Packed:
    """A packed project, and modules/deployment to read it with."""

    root: Path
    terraform: Terraform

    @property
    def file(self) -> Path:
        return self.root / "build" / "packages" / "dev" / "deployment.json"

    def read(self) -> subprocess.CompletedProcess[str]:
        packages = self.root / "build" / "packages"
        return self.terraform(
            *("test", "-no-color", f"-var=root={self.root}", f"-var=packages={packages}", "-var=environment=dev")
        )


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """Needs Terraform itself, but no provider."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    folder = tmp_path_factory.mktemp("deployment")
    root = make(folder / "project")
    pack(root)
    shutil.copytree(ROOT / "terraform" / "modules" / "deployment", folder / "module")
    shutil.copytree(HERE / "deployment", folder / "module" / "tests")
    # A command line configuration of the machine may name a mirror that is not there.
    (folder / "terraformrc").write_text("")
    terraform = Terraform(folder / "module", folder / "data", {"TF_CLI_CONFIG_FILE": str(folder / "terraformrc")})
    done = terraform("init", "-backend=false", "-input=false")
    assert done.returncode == 0, done.stdout + done.stderr
    return Packed(root, terraform)


def test_what_was_just_packed_is_read(packed: Packed) -> None:
    done = packed.read()
    assert done.returncode == 0, words(done)


@pytest.mark.parametrize(
    "name",
    [
        "config/environments/dev.yaml",
        "config/roles/shared/glue_job.yaml",
        "config/sources/fx_rates.yaml",
        "config/tables/fx_rates.yaml",
        "crawlers/gold.yaml",
        "headwater/deploy/roles.py",
        "requirements.lock",
        "sql/gold/business_metrics.sql",
        "step_functions/pipeline.asl.json",
    ],
)
def test_what_was_changed_after_packing_is_refused(name: str, packed: Packed) -> None:
    path = packed.root / name
    with changed(path, path.read_text() + "\n"):
        done = packed.read()
    assert done.returncode != 0
    assert "has changed since it was packed: run `make package ENV=dev` first" in words(done)


def test_what_was_added_or_removed_after_packing_is_refused(packed: Packed) -> None:
    for name, text in {"another.yaml": "name: another\n", "fx_rates.yaml": None}.items():
        with changed(packed.root / "config" / "sources" / name, text):
            done = packed.read()
        assert done.returncode != 0
        assert "has changed since it was packed: run `make package ENV=dev` first" in words(done)


def test_what_was_never_packed_is_refused(packed: Packed) -> None:
    with changed(packed.file, None):
        done = packed.read()
    assert done.returncode != 0
    assert "There is no build/packages/dev/deployment.json: run `make package ENV=dev` first" in words(done)


def test_the_deployment_of_another_environment_is_refused(packed: Packed) -> None:
    with changed(packed.file, (packed.file.parents[1] / "prod" / "deployment.json").read_text()):
        done = packed.read()
    assert done.returncode != 0
    assert "is of environment 'prod': run `make package ENV=dev` first" in words(done)


@pytest.mark.parametrize("older", ["{}", '{"environment": {"name": "dev"}}'])
def test_what_an_older_version_has_packed_is_refused(older: str, packed: Packed) -> None:
    with changed(packed.file, older):
        done = packed.read()
    assert done.returncode != 0
    assert "has changed since it was packed: run `make package ENV=dev` first" in words(done)
