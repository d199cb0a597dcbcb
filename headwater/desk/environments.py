"""The environments of this checkout: what each declares, and how it is reached."""

from __future__ import annotations

import os
from datetime import date
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from headwater.client import Client
from headwater.config import Environment, Project
from headwater.deploy.deployment import Deployment
from headwater.deploy.project import load_environment, load_project
from headwater.errors import HeadwaterError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parents[2]


class ExtraEnvironment(Protocol):
    """An environment that is made here rather than by Terraform, found by an entry point of its name."""

    commands: typer.Typer
    """What can be done with it alone."""

    def environment(self) -> Environment:
        """What is declared of it, with the addresses that its sources have there; nothing is reached."""
        ...

    def project(self) -> Project:
        """Everything that is declared for it; nothing is reached."""
        ...

    def reach(self) -> None:
        """Points this process's AWS session at it; HeadwaterError when it is down, or another checkout's."""
        ...

    def client(self) -> Client:
        """Opens it; HeadwaterError when it is down, or another checkout's."""
        ...

    def today(self) -> date:
        """Today's date in that environment."""
        ...

    def spark(self) -> SparkSession:
        """A Spark session of this machine with what a Glue worker's has."""
        ...


@cache
def extra_environments() -> dict[str, ExtraEnvironment]:
    """Finds the environments that are made here, by name."""
    found: dict[str, ExtraEnvironment] = {}
    for entry in entry_points(group="headwater.environments"):
        try:
            found[entry.name] = entry.load()
        except ModuleNotFoundError as error:
            # The library is installed without what only a checkout has.
            if error.name != entry.module.partition(".")[0]:
                raise
    return found


def extra_environment(env: str) -> ExtraEnvironment | None:
    """Finds an environment that is made here; HeadwaterError when it is `local` and nothing serves it."""
    extra = extra_environments().get(env)
    if extra is None and env == "local":
        raise HeadwaterError("the local stack is not installed, which only a checkout has. hint: make setup")
    return extra


def environment_of(env: str) -> Environment:
    """What is declared of an environment itself; nothing is reached."""
    extra = extra_environment(env)
    return load_environment(ROOT, env) if extra is None else extra.environment()


def project_of(env: str) -> Project:
    """Everything that is declared for an environment; nothing is reached."""
    extra = extra_environment(env)
    return load_project(ROOT, env) if extra is None else extra.project()


def reach(env: str) -> None:
    """Points this process's AWS session at an environment."""
    extra = extra_environment(env)
    if extra is None:
        # A profile may have another region, which is not where the environment is.
        os.environ["AWS_DEFAULT_REGION"] = load_environment(ROOT, env).region
    else:
        extra.reach()


def client_of(env: str) -> Client:
    """Opens an environment."""
    extra = extra_environment(env)
    if extra is not None:
        return extra.client()
    reach(env)
    return Client(Deployment(load_project(ROOT, env), ROOT))


def today_in(env: str) -> date | None:
    """Today's date in an environment that has its own; None elsewhere."""
    extra = extra_environment(env)
    return None if extra is None else extra.today()
