"""The local stack's part of the command line: `up`, `down`, `deploy`, `local advance|endpoints`, and environment local itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from headwater.client import Client
from headwater.config import Environment, Project
from headwater.desk import choices
from headwater.desk.environments import ROOT, environment_of
from headwater.desk.options import EnvOption, JsonOption
from headwater.desk.screen import plain, say, show, waiting
from headwater.errors import ConfigError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from local.stack import Stack

# A step's rows are in memory together.
_MOST_DAYS = 366

commands = typer.Typer()
_world = typer.Typer(no_args_is_help=True, help="The local stack's world and addresses.")
commands.add_typer(_world, name="local")


def environment() -> Environment:
    """What is declared of environment local, with the addresses that its sources have on this stack."""
    return _stack().environment()


def project() -> Project:
    """Everything that is declared for environment local, as this stack has it."""
    return _stack().project()


def reach() -> None:
    """Points this process's AWS session at the stack; HeadwaterError when it is down, or another checkout's."""
    stack = _stack()
    stack.require_own()
    stack.use()


def client() -> Client:
    """Opens environment local; HeadwaterError when the stack is down, or another checkout's."""
    reach()
    return Client(_stack().deployment())


def today() -> date:
    """Today's date in the world."""
    return _stack().clock()


def spark() -> SparkSession:
    """A Spark session of this machine with what a job's has."""
    from headwater.deploy.job_arguments import conf
    from headwater.lake.session import configure
    from local.glue.spark import build_session
    from local.jars import JOBS, class_path

    stack = _stack()
    session = build_session(stack.aws_endpoint, conf(stack.environment().region), ["delta"], class_path(JOBS), cores=1)
    configure(session)
    return session


def _stack() -> Stack:
    # It imports every counterpart, which most commands do without.
    from local.stack import Stack

    return Stack.default()


def _sources() -> list[str]:
    return sorted(path.stem for path in (ROOT / "config" / "sources").glob("*.yaml"))


@commands.command()
def up(
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="A source to hold, once for each; those of before if absent, at first all.", autocompletion=_sources
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start the local stack and seed its world."""
    stack = _stack()
    if source:
        held = frozenset(choices.one_of("--source", name, _sources()) for name in source)
        if held != stack.sources and stack.is_up():
            raise ConfigError("the local stack is up with other sources. hint: headwater down, then up")
        stack = replace(stack, sources=held)
    with waiting("starting") as status:
        stack.up(lambda name: status.update(Text(plain(f"starting: {name}"))))
    say(as_json, stack.endpoints(), f"up: AWS API at {stack.aws_endpoint}")


@commands.command()
def down(as_json: JsonOption = False) -> None:
    """Stop the local stack."""
    _stack().down()
    say(as_json, {"status": "down"}, "down")


@commands.command()
def deploy(env: EnvOption = "local", as_json: JsonOption = False) -> None:
    """Deploy to the local stack; other environments are deployed by Terraform."""
    if env != "local":
        declared = environment_of(env)
        raise ConfigError(f"environment {declared.name} is deployed by `terraform apply`; this command deploys local")
    stack = _stack()
    stack.require_own()
    with waiting("deploying"):
        stack.deploy()
    deployment = stack.deployment()
    names = {
        "state_machine": deployment.state_machine,
        "jobs": [job.name for job in deployment.jobs()],
        "lambdas": [function.name for function in deployment.lambdas()],
        "crawlers": [crawler.name for crawler in deployment.crawlers()],
    }
    say(as_json, names, f"deployed: {deployment.state_machine} with {len(names['jobs'])} jobs")


@_world.command("advance")
def local_advance(
    days: Annotated[int, typer.Option(min=1, max=_MOST_DAYS, help="Days to move on by.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the dice: the same calls in order give the same world.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Move the world on: new rows, updates, deletes, restated metrics, late events, counted defects."""
    stack = _stack()
    stack.require_own()
    with waiting(f"moving the world on by {days} days"):
        stack.advance(days, seed)
    say(as_json, {"clock": str(stack.clock())}, f"the world is at {stack.clock()}")


@_world.command("endpoints")
def local_endpoints(as_json: JsonOption = False) -> None:
    """List every address of the local stack."""
    endpoints = _stack().endpoints()
    if as_json:
        say(True, endpoints, "")
    else:
        show(False, [{"name": name, "address": address} for name, address in endpoints.items()], ["name", "address"])
