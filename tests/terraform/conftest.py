from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from headwater.deploy.deployment import Deployment
from headwater.deploy.project import load_project
from headwater.deploy.roles import LATE_ARNS
from tests.support.paths import ROOT
from tests.terraform.every_kind import make

ENVIRONMENTS = sorted(path.stem for path in (ROOT / "config" / "environments").glob("*.yaml"))
LATE = {name: f"arn:aws:test:eu-west-1:123456789012:{name}" for name in LATE_ARNS}


@dataclass(frozen=True)
class Place:
    """An environment of a declared project."""

    root: Path
    environment: str

    @cached_property
    def deployment(self) -> Deployment:
        return Deployment(load_project(self.root, self.environment), self.root)


@pytest.fixture(scope="session")
def every_kind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("every_kind"))


@pytest.fixture(scope="session", params=[*ENVIRONMENTS, "prod, every kind of source"])
def place(request: pytest.FixtureRequest, every_kind: Path) -> Place:
    if request.param in ENVIRONMENTS:
        return Place(ROOT, request.param)
    return Place(every_kind, "prod")
