"""Terraform against the local stack: the very modules that provision AWS, applied to the gateway instead."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from headwater.deploy.deployment import Deployment
from headwater.deploy.packages import package
from headwater.errors import HeadwaterError

# What Terraform and `make package` read, from the repository's root.
_READ = ("config", "crawlers", "glue_jobs", "headwater", "lambdas", "sql", "step_functions", "terraform")
_FILES = ("requirements.lock", "glue.lock")
_OVERRIDE = {
    "terraform": {"backend": {"local": {}}},
    "provider": {"aws": {"s3_use_path_style": True, "max_retries": 2}},
}
# The pins ask for 6.x. A machine that can have no provider of that age takes what it has; the gateway is the same to both.
_PROVIDER = {"terraform": {"required_providers": {"aws": {"source": "hashicorp/aws", "version": ">= 5.46, < 7.0"}}}}
# Most of the time goes into the provider's own waits.
_AT_ONCE = 32
_CHANGES = 2


class NoProviderError(HeadwaterError):
    """`terraform init` did not succeed: Terraform or its AWS provider cannot be had on this machine."""


def take_any_provider(terraform: Path) -> None:
    """Widens the pin of a copy of terraform/ and of each of its modules to the AWS providers that the modules can work with."""
    for path in terraform.rglob("versions.tf"):
        (path.parent / "provider_override.tf.json").write_text(json.dumps(_PROVIDER))


class Terraform:
    """terraform/ in a copy of its own, with a state of its own, whose provider speaks to one gateway.

    The copy's config/ holds what the deployment's project does: some of the sources, at the stack's own addresses.
    """

    def __init__(self, folder: Path, endpoint: str) -> None:
        self._root = folder / "root"
        self._log = folder / "terraform.log"
        self._environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "TF_IN_AUTOMATION": "1",
        }

    def sign_as(self, access_key: str) -> None:
        """Lets somebody else apply and plan from now on."""
        self._environment["AWS_ACCESS_KEY_ID"] = access_key

    def init(self, deployment: Deployment) -> None:
        """Copies what Terraform reads and initialises it; NoProviderError when that cannot be done here."""
        self._copy(deployment)
        try:
            self._run("init", "-input=false")
        except (FileNotFoundError, HeadwaterError) as error:
            raise NoProviderError(f"no Terraform with the AWS provider on this machine: {error}") from error

    def apply(self, deployment: Deployment) -> None:
        """Packs what jobs and Lambdas run from and makes everything that the environment consists of; safe to repeat."""
        packages = self._root / "build" / "packages"
        environment = deployment.project.environment.name
        package(self._root, environment, packages)
        self._run("apply", "-input=false", "-auto-approve", f"-parallelism={_AT_ONCE}", *_variables(deployment))

    def changes(self, deployment: Deployment) -> list[str]:
        """Plans again and lists the resources that would change."""
        plan = self._root / "again.tfplan"
        variables = _variables(deployment)
        ended = self._run(
            "plan", "-input=false", "-detailed-exitcode", f"-parallelism={_AT_ONCE}", f"-out={plan}", *variables
        )
        if ended != _CHANGES:
            return []
        shown = subprocess.run(
            self._command("show", "-json", str(plan)), env=self._environment, capture_output=True, text=True, check=True
        )
        planned = json.loads(shown.stdout)["resource_changes"]
        return sorted(change["address"] for change in planned if change["change"]["actions"] != ["no-op"])

    def destroy(self, deployment: Deployment) -> None:
        """Removes everything again."""
        self._run("destroy", "-input=false", "-auto-approve", f"-parallelism={_AT_ONCE}", *_variables(deployment))

    def _copy(self, deployment: Deployment) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
        for name in _READ:
            ignored = shutil.ignore_patterns("__pycache__", ".terraform*", "*.tfplan")
            shutil.copytree(deployment.root / name, self._root / name, ignore=ignored)
        for name in _FILES:
            shutil.copy(deployment.root / name, self._root / name)
        project = deployment.project
        declared: dict[str, Mapping[str, object]] = {
            "config/sources": project.sources,
            "config/tables": project.tables,
            "config/quality": project.quality,
            "config/identities": project.identities,
            "sql/gold": project.gold,
        }
        for folder, kept in declared.items():
            for path in (self._root / folder).iterdir():
                if path.stem not in kept:
                    path.unlink()
        # The addresses of the stack's own sources are known to its project alone.
        overrides = {
            name: override for name, override in project.environment.sources.items() if name in project.sources
        }
        environment = project.environment.model_copy(update={"sources": overrides})
        declaration = yaml.safe_dump(environment.model_dump(mode="json", by_alias=True, exclude_none=True))
        environments = self._root / "config" / "environments"
        shutil.rmtree(environments)
        environments.mkdir()
        (environments / f"{environment.name}.yaml").write_text(declaration)
        (self._root / "terraform" / "local_override.tf.json").write_text(json.dumps(_OVERRIDE))
        take_any_provider(self._root / "terraform")

    def _command(self, *arguments: str) -> list[str]:
        return ["terraform", f"-chdir={self._root / 'terraform'}", *arguments]

    def _run(self, *arguments: str) -> int:
        with self._log.open("a") as log:
            start = log.tell()
            done = subprocess.run(
                [*self._command(*arguments), "-no-color"], env=self._environment, stdout=log, stderr=log, check=False
            )
        if done.returncode not in {0, _CHANGES if arguments[0] == "plan" else 0}:
            said = self._log.read_text()[start:].strip()
            raise HeadwaterError(f"terraform {arguments[0]}: {said[-2000:]}\nhint: all of it is in {self._log}")
        return done.returncode


def _variables(deployment: Deployment) -> tuple[str, ...]:
    return (f"-var=environment={deployment.project.environment.name}",)
