"""The local stack's part of the command line: `up`, `down`, `deploy`, `local advance|endpoints`, and environment local itself."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

import typer

from headwater.cli import EnvOption, JsonOption, err, out, say, show
from headwater.client import Client
from headwater.errors import ConfigError, HeadwaterError

if TYPE_CHECKING:
    from local.stack import Stack

commands = typer.Typer()
_world = typer.Typer(no_args_is_help=True, help="The local stack's world and addresses.")
commands.add_typer(_world, name="local")


def client() -> Client:
    """Opens environment local; HeadwaterError when the stack is down."""
    stack = _stack()
    if not stack.is_up():
        raise HeadwaterError("the local stack is down. hint: headwater up && headwater deploy")
    stack.use()
    return Client(stack.deployment())


def today() -> date:
    """Today's date in the world."""
    return _stack().clock()


def _stack() -> Stack:
    # It imports every counterpart, which most commands do without.
    from local.stack import Stack

    return Stack.default()


@commands.command()
def up(as_json: JsonOption = False) -> None:
    """Start the local stack and seed its world."""
    stack = _stack()
    with err.status("starting") as status:
        stack.up(lambda name: status.update(f"starting: {name}"))
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
        raise ConfigError(f"environment {env} is deployed by `terraform apply`; this command deploys local")
    stack = _stack()
    with err.status("deploying"):
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
def local_advance(days: int = 1, seed: int = 1, as_json: JsonOption = False) -> None:
    """Move the world on: new rows, updates, deletes, restated metrics, late events, counted defects."""
    stack = _stack()
    with err.status(f"moving the world on by {days} days"):
        stack.advance(days, seed)
    say(as_json, {"clock": str(stack.clock())}, f"the world is at {stack.clock()}")


@_world.command("endpoints")
def local_endpoints(as_json: JsonOption = False) -> None:
    """List every address of the local stack."""
    endpoints = _stack().endpoints()
    if as_json:
        out.print_json(json.dumps(endpoints))
    else:
        show(False, [{"name": name, "address": address} for name, address in endpoints.items()], ["name", "address"])
