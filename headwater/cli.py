"""The command line: `headwater --help` lists what it can do; `--json` makes everything it prints readable by programs."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date, datetime
from functools import cache
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from headwater.client import Client, Engine, RunState, run_input
from headwater.config import json_schemas, parse_date
from headwater.deploy.deployment import Deployment
from headwater.deploy.project import Declared, load_project
from headwater.deploy.sources_page import sources_page
from headwater.deploy.terraform import document
from headwater.errors import ConfigError, HeadwaterError
from headwater.validate import mistakes

ROOT = Path(__file__).resolve().parent.parent

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
quarantine_app = typer.Typer(no_args_is_help=True, help="Rows that were refused.")
app.add_typer(quarantine_app, name="quarantine")

out = Console()
err = Console(stderr=True)

EnvOption = Annotated[str, typer.Option("--env", help="local, dev, staging or prod.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _print_version(asked: bool) -> None:
    if asked:
        out.print(version("headwater"), highlight=False)
        raise typer.Exit


@app.callback()
def headwater(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run and watch the Headwater pipeline."""


class ExtraEnvironment(Protocol):
    """An environment that is made here rather than by Terraform, found by an entry point of its name."""

    commands: typer.Typer
    """What can be done with it alone."""

    def client(self) -> Client:
        """Opens it; HeadwaterError when it is down."""
        ...

    def today(self) -> date:
        """Today's date in that environment."""
        ...


@cache
def _extra_environments() -> dict[str, ExtraEnvironment]:
    found: dict[str, ExtraEnvironment] = {}
    for entry in entry_points(group="headwater.environments"):
        try:
            found[entry.name] = entry.load()
        except ModuleNotFoundError as error:
            # The library is installed without what only a checkout has.
            if error.name != entry.module.partition(".")[0]:
                raise
    return found


def _extra_environment(env: str) -> ExtraEnvironment | None:
    extra = _extra_environments().get(env)
    if extra is None and env == "local":
        raise HeadwaterError("the local stack is not installed, which only a checkout has. hint: make setup")
    return extra


def _client(env: str) -> Client:
    extra = _extra_environment(env)
    return Client(Deployment(load_project(ROOT, env), ROOT)) if extra is None else extra.client()


def _plain(value: object) -> object:
    return value.isoformat(sep=" ", timespec="seconds") if isinstance(value, datetime) else str(value)


def show(as_json: bool, rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> None:
    """Prints rows as a table, or as JSON."""
    if as_json:
        out.print_json(json.dumps(list(rows), default=_plain))
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*["" if row.get(name) is None else str(_plain(row[name])) for name in columns])
    out.print(table)


def say(as_json: bool, answer: dict[str, Any], sentence: str) -> None:
    """Prints a sentence, or with --json the answer behind it."""
    if as_json:
        out.print_json(json.dumps(answer, default=_plain))
    else:
        out.print(sentence)


def watch(client: Client, run_id: str) -> RunState:
    """Shows a run's stages until it has ended, and describes it."""
    with Live(console=err, refresh_per_second=4) as live:

        def draw() -> None:
            live.update(stage_table(client, run_id))

        found = client.wait(run_id, draw)
        draw()
    return found


def stage_table(client: Client, run_id: str) -> Table:
    """Makes the table of a run's stages."""
    table = Table("stage", "source", "state", "seconds", box=None, header_style="bold", pad_edge=False, title=run_id)
    colours = {"SUCCEEDED": "green", "RUNNING": "yellow", "FAILED": "red", "TIMEOUT": "red", "STOPPED": "red"}
    for stage in client.stages(run_id):
        state = f"[{colours.get(stage.state, 'white')}]{stage.state.lower()}[/]"
        table.add_row(stage.stage, stage.source, state, "" if stage.seconds is None else f"{stage.seconds:.1f}")
    return table


def _backfill(text: str | None) -> tuple[date, date] | None:
    if text is None:
        return None
    since, dots, until = text.partition("..")
    if not dots:
        raise ConfigError(f"--backfill {text!r}: write FROM..TO as dates")
    return parse_date(since), parse_date(until)


@app.command()
def run(
    env: EnvOption = "local",
    source: Annotated[list[str] | None, typer.Option(help="Only this source; may be repeated.")] = None,
    start_from: Annotated[str | None, typer.Option(help="Extract, Check, Silver, Gold or Load.")] = None,
    backfill: Annotated[str | None, typer.Option(metavar="FROM..TO", help="Read these days again.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="The day to run for; today if absent, the world's day locally.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Watch until it has ended; exit 1 unless it succeeded.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start a run of the pipeline."""
    client = _client(env)
    extra = _extra_environment(env)
    day = parse_date(as_of) if as_of else extra.today() if extra else None
    run_id = client.start(run_input(source or [], start_from, _backfill(backfill), day))
    if not wait:
        say(as_json, {"run_id": run_id}, f"started {run_id}")
        return
    found = watch(client, run_id)
    say(as_json, asdict(found), f"{run_id} {found.status.lower()} {found.cause or ''}")
    if found.status != "SUCCEEDED":
        raise typer.Exit(1)


@app.command()
def maintain(
    env: EnvOption = "local",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended; exit 1 unless it succeeded.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compact the lake's small files and delete those that only old versions need."""
    client = _client(env)
    job_run_id = client.start_maintain()
    if not wait:
        say(as_json, {"job_run_id": job_run_id}, f"started {job_run_id}")
        return
    with err.status("maintaining"):
        found = client.wait_for_maintain(job_run_id)
    say(as_json, asdict(found), f"{job_run_id} {found.status.lower()} {found.cause or ''}")
    if found.status != "SUCCEEDED":
        raise typer.Exit(1)


@app.command()
def status(env: EnvOption = "local", as_json: JsonOption = False) -> None:
    """Show how far each stream is and what stands in its way."""
    show(as_json, map(asdict, _client(env).streams()), ["source", "stream", "batch", "in_silver", "halted", "position"])


@app.command()
def history(env: EnvOption = "local", as_json: JsonOption = False) -> None:
    """List the newest runs."""
    show(as_json, map(asdict, _client(env).runs()), ["run_id", "status", "started", "ended", "rows"])


@app.command()
def query(
    sql: str,
    engine: Annotated[str, typer.Option(help="athena or redshift.")] = "redshift",
    env: EnvOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Run one query."""
    engines: dict[str, Engine] = {"athena": "athena", "redshift": "redshift"}
    if engine not in engines:
        raise ConfigError(f"--engine {engine!r} unknown; known: athena, redshift")
    answer = _client(env).query(engines[engine], sql)
    show(as_json, [dict(zip(answer.columns, row, strict=True)) for row in answer.rows], answer.columns)


@app.command()
def rewind(
    source: str,
    to: Annotated[str | None, typer.Option(help="Job run to go back to; the beginning if absent.")] = None,
    env: EnvOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Take a source's job bookmark back; batches that are in bronze are not doubled."""
    entry = _client(env).rewind(source, to)
    say(as_json, entry, f"bookmark of {entry['JobName']} rewound")


@app.command()
def release(
    stream: Annotated[str, typer.Argument(help="source.stream")],
    batch: int,
    reason: Annotated[str, typer.Option(help="Why; kept with the decision.")],
    discard: Annotated[bool, typer.Option("--discard", help="Leave the batch out instead of letting it pass.")] = False,
    env: EnvOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Decide about a halted batch."""
    decision: Literal["release", "discard"] = "discard" if discard else "release"
    _client(env).decide(stream, batch, decision, reason, getpass.getuser())
    say(as_json, {"stream": stream, "batch": batch, "decision": decision}, f"{stream} batch {batch}: {decision}d")


@quarantine_app.command("list")
def quarantine_list(
    table: Annotated[str | None, typer.Option(help="Only this silver table.")] = None,
    env: EnvOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Count quarantined rows by batch and reason."""
    show(
        as_json, map(asdict, _client(env).quarantined(table)), ["table", "source", "stream", "batch", "reason", "rows"]
    )


@quarantine_app.command("replay")
def quarantine_replay(
    stream: Annotated[str, typer.Argument(help="source.stream")],
    batch: int,
    env: EnvOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Offer a batch's raw rows again, to be judged by today's policy in the next run."""
    manifest = _client(env).replay(stream, batch)
    say(as_json, {"batch": manifest.batch}, f"{stream} batch {batch} comes again as batch {manifest.batch}")


@app.command()
def validate(as_json: JsonOption = False) -> None:
    """Check config/, crawlers/ and sql/ of every environment, what is derived from them, and that made files are up to date."""
    wrong = mistakes(ROOT)
    if wrong:
        raise ConfigError("\n".join(wrong))
    declared = Declared(ROOT)
    for name in declared.environments:
        document(Deployment(declared.project(name), ROOT))
    for name, schema in json_schemas().items():
        path = ROOT / "config" / "schema" / f"{name}.schema.json"
        if not path.exists() or json.loads(path.read_text()) != schema:
            raise ConfigError(f"{path}: not up to date. hint: make docs")
    page = ROOT / "docs" / "sources.md"
    if not page.exists() or page.read_text() != sources_page(ROOT):
        raise ConfigError(f"{page}: not up to date. hint: make docs")
    say(as_json, {"environments": declared.environments}, f"valid: {', '.join(declared.environments)}")


def main() -> None:
    """Runs the command line; an error of ours is one line on stderr and exit code 2."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")
    sys.path.insert(0, str(ROOT))
    for environment in _extra_environments().values():
        app.add_typer(environment.commands)
    try:
        app()
    except HeadwaterError as error:
        err.print(f"[red]{type(error).__name__}[/]: {error}", soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
