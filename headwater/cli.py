"""The command line: `headwater --help` lists what it can do; `--json` makes everything it prints readable by programs."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal, cast

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.live import Live
from rich.table import Table
from rich.text import Text

from headwater.client import Client, Engine, RunState, run_input
from headwater.config import json_schemas
from headwater.deploy.deployment import Deployment
from headwater.deploy.project import Declared
from headwater.deploy.sources_page import sources_page
from headwater.deploy.terraform import document
from headwater.desk import choices, frames
from headwater.desk.cost import cost
from headwater.desk.customer import customer_app
from headwater.desk.environments import ROOT, client_of, extra_environments, project_of, today_in
from headwater.desk.lineage import lineage
from headwater.desk.options import EnvOption, JsonOption
from headwater.desk.plan import plan
from headwater.desk.refusals import refusal
from headwater.desk.screen import err, note, out, plain, refuse, say, show, table_of, waiting
from headwater.errors import ConfigError, HeadwaterError
from headwater.explore.cli import source_app
from headwater.run.plan import backfilled
from headwater.validate.understanding import mistakes

# Plain help: Typer's other one shows flags as if they took a value, `--wait <bool>`.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
quarantine_app = typer.Typer(no_args_is_help=True, help="Rows that were refused.")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(source_app, name="source")
app.add_typer(customer_app, name="customer")
app.command()(cost)
app.command()(lineage)
app.command()(plan)

StreamArgument = Annotated[str, typer.Argument(help="source.stream", autocompletion=choices.complete_stream)]
BatchArgument = Annotated[int, typer.Argument(min=1)]


def _print_version(asked: bool) -> None:
    if asked:
        out.print(version("headwater"))
        raise typer.Exit


@app.callback()
def headwater(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run and watch the Headwater pipeline."""


def watch(client: Client, run_id: str) -> RunState:
    """Shows a run's stages until it has ended, and describes it."""
    with Live(console=err, refresh_per_second=4) as live:

        def draw() -> None:
            live.update(stage_table(client, run_id))

        found = client.wait(run_id, draw)
        draw()
    failed = {(stage.stage, stage.source): stage.error for stage in client.stages(run_id) if stage.error}
    for (stage, source), error in failed.items():
        note(f"{stage} {source}: {error}")
    return found


def stage_table(client: Client, run_id: str) -> Table:
    """Makes the table of a run's stages."""
    table = table_of(("stage", "source", "state", "seconds"), title=run_id)
    colours = {"SUCCEEDED": "green", "RUNNING": "yellow", "FAILED": "red", "TIMEOUT": "red", "STOPPED": "red"}
    for stage in client.stages(run_id):
        state = Text(plain(stage.state.lower()), colours.get(stage.state, "white"))
        table.add_row(stage.stage, plain(stage.source), state, "" if stage.seconds is None else f"{stage.seconds:.1f}")
    return table


@app.command()
def run(
    env: EnvOption = "local",
    source: Annotated[
        list[str] | None,
        typer.Option(help="Only this source; may be repeated.", autocompletion=choices.complete_source),
    ] = None,
    start_from: Annotated[
        str | None, typer.Option(help="Extract, Check, Silver, Gold or Load.", autocompletion=choices.complete_stage)
    ] = None,
    backfill: Annotated[str | None, typer.Option(metavar="FROM..TO", help="Read these days again.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="The day to run for; today if absent, the world's day locally."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Watch until it has ended; exit 1 unless it succeeded.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start a run of the pipeline."""
    project = project_of(env)
    sources = choices.sources(project, source or [])
    stage = None if start_from is None else choices.stage(start_from)
    days = None if backfill is None else choices.window(backfill)
    if days is not None:
        backfilled(project, sources)
    day = None if as_of is None else choices.day("--as-of", as_of)
    client = client_of(env)
    run_id = client.start(run_input(sources, stage, days, day or today_in(env)))
    _follow(client, run_id, wait, as_json)


def _follow(client: Client, run_id: str, wait: bool, as_json: bool) -> None:
    """Says that a run has started, or watches it until it has ended; exit 1 unless it succeeded."""
    if not wait:
        say(as_json, {"run_id": run_id}, f"started {run_id}; headwater history says how it goes")
        return
    found = watch(client, run_id)
    say(as_json, asdict(found), f"{run_id} {found.status.lower()} {found.cause or ''}")
    if found.status != "SUCCEEDED":
        raise typer.Exit(1)


@app.command()
def rebuild(
    tables: Annotated[list[str], typer.Argument(help="Silver and gold tables.", autocompletion=choices.complete_built)],
    env: EnvOption = "local",
    wait: Annotated[bool, typer.Option("--wait", help="Watch until it has ended; exit 1 unless it succeeded.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make tables anew of what the lake has, by what is declared today; no source is read."""
    names = choices.tables(project_of(env), tables)
    client = client_of(env)
    run_id = client.start(run_input([], None, None, today_in(env)) | {"rebuild": names})
    _follow(client, run_id, wait, as_json)


@app.command()
def maintain(
    env: EnvOption = "local",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended; exit 1 unless it succeeded.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compact the lake's small files and delete those that only old versions need."""
    client = client_of(env)
    note(_about_maintain(client))
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("maintain asks first, and there is nobody to answer. hint: --yes")
        typer.confirm("Start it?", abort=True, err=True)
    job_run_id = client.start_maintain()
    if not wait:
        say(as_json, {"job_run_id": job_run_id}, f"started {job_run_id}")
        return
    with waiting("maintaining"):
        found = client.wait_for_maintain(job_run_id)
    say(as_json, asdict(found), f"{job_run_id} {found.status.lower()} {found.cause or ''}")
    if found.status != "SUCCEEDED":
        raise typer.Exit(1)


def _about_maintain(client: Client) -> str:
    project, zones = client.project, ("bronze", "silver", "gold", "quarantine")
    tables = ", ".join(f"{len(project.table_paths(zone))} of {zone}" for zone in zones)
    environment = project.environment
    days = environment.retention.version_days
    return (
        f"Maintain goes through the tables of {environment.name} ({tables}). OPTIMIZE rewrites small files as large ones; VACUUM "
        f"deletes for good the files that only versions older than {days} days need: time travel and RESTORE then reach back "
        f"{days} days and no further. No row changes."
    )


@app.command()
def status(env: EnvOption = "local", as_json: JsonOption = False) -> None:
    """Show how far each stream is and what stands in its way, and which gold tables are stale."""
    client = client_of(env)
    columns = ["source", "stream", "batch", "in_silver", "halted", "held", "position"]
    show(as_json, map(asdict, client.streams()), columns)
    for table, why in client.stale().items():
        note(f"gold table {table} is stale: {why}")


@app.command()
def history(env: EnvOption = "local", as_json: JsonOption = False) -> None:
    """List the newest runs."""
    show(as_json, map(asdict, client_of(env).runs()), ["run_id", "status", "started", "ended", "rows", "undone"])


@app.command()
def query(
    sql: str,
    engine: Annotated[
        str, typer.Option(help="athena or redshift.", autocompletion=choices.complete_engine)
    ] = "redshift",
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File for the rows, .parquet (typed) or .csv; athena only.")
    ] = None,
    env: EnvOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Run one query."""
    asked = cast("Engine", choices.one_of("--engine", engine, choices.ENGINES))
    if out_file is not None:
        choices.rows_file("--out", out_file, asked)
        rows = frames.read(client_of(env), sql)
        frames.write(rows, out_file)
        say(as_json, {"file": str(out_file), "rows": len(rows)}, f"{len(rows)} rows in {out_file}")
        return
    answer = client_of(env).query(asked, sql)
    columns = _told_apart(answer.columns)
    show(as_json, [dict(zip(columns, row, strict=True)) for row in answer.rows], columns)


def _told_apart(columns: Sequence[str]) -> list[str]:
    """Numbers the columns that have the name of an earlier one, as both of `SELECT 1, 2` are called `?column?`."""
    return [name if name not in columns[:i] else f"{name}_{i + 1}" for i, name in enumerate(columns)]


@app.command()
def rewind(
    source: Annotated[str, typer.Argument(autocompletion=choices.complete_source)],
    to: Annotated[str | None, typer.Option(help="Job run to go back to; the beginning if absent.")] = None,
    env: EnvOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Take a source's job bookmark back; batches that are in bronze are not doubled."""
    name = choices.one_of("source", source, project_of(env).sources)
    if to is not None and not to.startswith("jr_"):
        raise ConfigError(
            f"--to {to!r} is no job run, whose id begins with jr_. hint: headwater history, or Glue's console"
        )
    entry = client_of(env).rewind(name, to)
    say(as_json, entry, f"bookmark of {entry['JobName']} rewound")


@app.command()
def release(
    stream: StreamArgument,
    batch: BatchArgument,
    reason: Annotated[str, typer.Option(help="Why; kept with the decision.")],
    discard: Annotated[bool, typer.Option("--discard", help="Leave the batch out instead of letting it pass.")] = False,
    env: EnvOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Decide about a halted batch."""
    named = ".".join(choices.stream(project_of(env), stream))
    client = client_of(env)
    halted = client.halted(named)
    if batch not in halted:
        known = ", ".join(map(str, halted)) or "none"
        raise ConfigError(f"{named}: batch {batch} is not halted; halted: {known}. hint: headwater status")
    decision: Literal["release", "discard"] = "discard" if discard else "release"
    client.decide(named, batch, decision, reason, getpass.getuser())
    say(as_json, {"stream": named, "batch": batch, "decision": decision}, f"{named} batch {batch}: {decision}d")


@quarantine_app.command("list")
def quarantine_list(
    table: Annotated[
        str | None, typer.Option(help="Only this silver table.", autocompletion=choices.complete_table)
    ] = None,
    env: EnvOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Count quarantined rows by batch and reason."""
    named = None if table is None else choices.one_of("--table", table, project_of(env).tables)
    rows = map(asdict, client_of(env).quarantined(named))
    show(as_json, rows, ["table", "source", "stream", "batch", "reason", "rows"])


@quarantine_app.command("replay")
def quarantine_replay(
    stream: StreamArgument,
    batch: BatchArgument,
    env: EnvOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Offer a batch's raw rows again, to be judged by today's policy in the next run."""
    named = ".".join(choices.stream(project_of(env), stream))
    manifest = client_of(env).replay(named, batch)
    say(as_json, {"batch": manifest.batch}, f"{named} batch {batch} comes again as batch {manifest.batch}")


@app.command()
def validate(as_json: JsonOption = False) -> None:
    """Check config/, crawlers/ and sql/ of every environment, what is derived from them, and that made files are up to date."""
    declared = Declared(ROOT)
    if wrong := mistakes(declared):
        raise ConfigError("\n".join(wrong))
    for name in declared.environments:
        document(Deployment(declared.project(name), ROOT))
    for name, schema in json_schemas().items():
        path = ROOT / "config" / "schema" / f"{name}.schema.json"
        if not path.exists() or json.loads(path.read_text()) != schema:
            raise ConfigError(f"{path}: not up to date. hint: make docs")
    page = ROOT / "docs" / "sources.md"
    if not page.exists() or page.read_text() != sources_page(declared):
        raise ConfigError(f"{page}: not up to date. hint: make docs")
    say(as_json, {"environments": declared.environments}, f"valid: {', '.join(declared.environments)}")


def _refuse_usage(error: typer.TyperException) -> None:
    said, ctx = error.format_message(), getattr(error, "ctx", None)
    if ctx is not None and said == ctx.get_help():
        # A group of commands that was called without one.
        err.print(said)
    else:
        refuse("Usage", f"{said.rstrip('.')}. hint: {ctx.command_path if ctx else 'headwater'} --help")


def command_line() -> typer.Typer:
    """All commands, with those of the environments that are made here."""
    there = [group.typer_instance for group in app.registered_groups]
    for environment in extra_environments().values():
        if environment.commands not in there:
            app.add_typer(environment.commands)
    return app


def main() -> None:
    """Runs the command line; what a person can act on is one line on stderr and exit code 2 (1 where they said no)."""
    sys.path.insert(0, str(ROOT))
    try:
        code = command_line()(prog_name="headwater", standalone_mode=False)
    except typer.Abort:
        note("nothing was done")
        sys.exit(1)
    except typer.TyperException as error:
        _refuse_usage(error)
        sys.exit(2)
    except HeadwaterError as error:
        refuse(type(error).__name__, str(error))
        sys.exit(2)
    except (BotoCoreError, ClientError) as error:
        if (expected := refusal(error)) is None:
            raise
        refuse("AWS", expected)
        sys.exit(2)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
