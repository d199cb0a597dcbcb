"""`headwater source new|check|discover|preview`: the way in for a source, before anything is deployed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError

from headwater.config import AnySource, Environment, Policy
from headwater.deploy.project import load_source, load_table
from headwater.desk import choices
from headwater.desk.environments import ROOT, client_of, environment_of, extra_environments, project_of, reach, today_in
from headwater.desk.options import EnvOption, JsonOption
from headwater.desk.refusals import refusal
from headwater.desk.screen import note, out, plain, print_json, refuse, say, show
from headwater.errors import ConfigError, HeadwaterError
from headwater.explore import starting
from headwater.explore.found import Explorer, Found, Sample
from headwater.explore.opening import open_explorer, plain_session, told_of_extras
from headwater.explore.proposal import stream_yaml, table_name, table_yaml
from headwater.explore.secret import Secret, secret_in, stored_secret
from headwater.log import get_logger

source_app = typer.Typer(no_args_is_help=True, help="A source before it is deployed: start, check, discover, preview.")

_CELL = 60
# The library's log goes to stdout, where a job's log is; here the answer is.
_QUIET = logging.ERROR
_MOST_ROWS = 1000


def _known_sources() -> list[str]:
    return sorted(path.stem for path in (ROOT / "config" / "sources").glob("*.yaml"))


SourceArgument = Annotated[str, typer.Argument(autocompletion=_known_sources)]
SecretOption = Annotated[
    Path | None,
    typer.Option("--secret-file", metavar="FILE.json", help="Its secret, where it is not stored yet; of mode 0600."),
]


@source_app.command("new")
def new(
    name: str,
    kind: Annotated[str, typer.Option(help="What it speaks.", autocompletion=starting.kinds)] = "http",
    as_json: JsonOption = False,
) -> None:
    """Write a commented file to start from, and say what comes next."""
    chosen = choices.one_of("--kind", kind, starting.kinds())
    path = starting.start(ROOT, name, chosen)
    steps = list(starting.next_steps(name, chosen, path.relative_to(ROOT)))
    if as_json:
        say(True, {"file": str(path), "next": steps}, "")
        return
    say(False, {}, f"wrote {path.relative_to(ROOT)}. Next:")
    for number, step in enumerate(steps, 1):
        say(False, {}, f"{number}. {step}")


@source_app.command("check")
def check(
    name: SourceArgument, env: EnvOption = "local", secret_file: SecretOption = None, as_json: JsonOption = False
) -> None:
    """Connect with your own secret and say of each stream what may be read; exit 1 if anything may not."""
    source, environment = _declared(env, name)
    starting.refuse_unfilled(_file(name), streams=True)
    with _opened(source, environment, env, secret_file) as (explorer, secret):
        rows = [_checked(explorer, secret, name) for name in source.streams]
    show(as_json, rows, ["stream", "ok", "found"])
    if not all(row["ok"] == "yes" for row in rows):
        raise typer.Exit(1)


@source_app.command("forget-fields")
def forget_fields(
    stream: Annotated[str, typer.Argument(help="source.stream", autocompletion=choices.complete_stream)],
    fields: Annotated[list[str] | None, typer.Argument(help="Fields; all that nobody has declared if absent.")] = None,
    env: EnvOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Forget fields of a stream's rows that nobody has declared, to make room for others; no row is touched."""
    named = ".".join(choices.stream(project_of(env), stream))
    manifest = client_of(env).forget_fields(named, fields or ())
    say(
        as_json,
        {"stream": named, "batch": manifest.batch},
        f"{named} has forgotten them from batch {manifest.batch} on",
    )


def _checked(explorer: Explorer, secret: Secret, stream: str) -> dict[str, str]:
    try:
        found, ok = explorer.check(stream), "yes"
    except HeadwaterError as error:
        found, ok = str(error), "no"
    except (BotoCoreError, ClientError) as error:
        found, ok = refusal(error) or str(error), "no"
    return {"stream": stream, "ok": ok, "found": secret.strike_out(found)}


@source_app.command("discover")
def discover(
    name: SourceArgument,
    path: Annotated[
        str | None,
        typer.Option(metavar="/PATH", help="Of an API: sample the answer at this path, which no stream has."),
    ] = None,
    env: EnvOption = "local",
    secret_file: SecretOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what there is to read, with fields and types, and propose streams as YAML to paste."""
    source, environment = _declared(env, name)
    starting.refuse_unfilled(_file(name), streams=source.kind == "http" and path is None)
    if path is not None and source.kind != "http":
        raise ConfigError(f"--path is for APIs; {name} is of kind {source.kind}")
    taken = _tables(env, name)
    with _opened(source, environment, env, secret_file) as (explorer, secret):
        found = list(_found(explorer, path))
        struck = secret.strike_out
        proposals = [_proposal(name, each, taken, struck) for each in found]
    if as_json:
        print_json(proposals)
        return
    for each in proposals:
        out.print(plain(f"# {each['place']}: {len(each['fields'])} fields"), soft_wrap=True)
        for title, key in ((f"config/sources/{name}.yaml, below streams:", "stream"), (each["file"], "table")):
            out.print(plain(f"# {title}"), soft_wrap=True)
            for line in each[key].split("\n"):
                out.print(plain(line), soft_wrap=True)
    if not proposals:
        note(f"{name} has nothing to read, or this user may see nothing")


def _found(explorer: Explorer, path: str | None) -> Iterator[Found]:
    if path is None:
        yield from explorer.find()
    else:
        sampled: Any = explorer
        yield sampled.find_at(path)


def _proposal(name: str, found: Found, taken: set[str], struck: Any) -> dict[str, Any]:
    table = table_name(name, found, taken)
    return {
        "place": struck(found.place),
        "fields": {struck(field.name): field.type for field in found.fields},
        "stream": struck(stream_yaml(found, table)),
        "file": f"config/tables/{table}.yaml",
        "table": struck(table_yaml(found, table)),
    }


@source_app.command("preview")
def preview(
    name: Annotated[str, typer.Argument(metavar="NAME[.STREAM]", autocompletion=_known_sources)],
    rows: Annotated[int, typer.Option(min=1, max=_MOST_ROWS, help="Rows of each stream.")] = 10,
    env: EnvOption = "local",
    secret_file: SecretOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show rows as they come and as they would be typed, with the reasons for which they would be quarantined."""
    source_name, dot, stream = name.partition(".")
    source, environment = _declared(env, source_name)
    streams = [choices.one_of(f"stream of {source_name}", stream, source.streams)] if dot else list(source.streams)
    starting.refuse_unfilled(_file(source_name), streams=True)
    with _opened(source, environment, env, secret_file) as (explorer, secret):
        samples = {each: explorer.sample(each, rows) for each in streams}
        answer = {each: _previewed(source, each, sample, secret, env) for each, sample in samples.items()}
    if as_json:
        print_json(answer)
        return
    for each, shown in answer.items():
        say(False, {}, f"{source_name}.{each} as it comes: {len(shown['raw'])} rows")
        show(False, _cut(shown["raw"]), _columns(shown["raw"]))
        say(False, {}, f"{source_name}.{each} as it would be typed")
        show(False, _cut(shown["typed"]), _columns(shown["typed"]))
        if shown["not_judged"]:
            note(f"not judged here, since they need another table: {', '.join(shown['not_judged'])}")


def _previewed(source: AnySource, stream: str, sample: Sample, secret: Secret, env: str) -> dict[str, Any]:
    raw = [secret.struck(row) for row in sample.rows]
    if not sample.rows:
        return {"raw": [], "typed": [], "not_judged": []}
    with told_of_extras():
        # They need Spark, which the other commands do without.
        from headwater.explore.frames import bronze, judged, left_out

        declared = source.streams[stream]
        table, policy = load_table(ROOT, declared.table), _policy(env, declared.table)
        local = extra_environments().get("local")
        session = local.spark() if local is not None else plain_session()
        typed = judged(declared, table, policy, bronze(session, declared, sample))
    return {"raw": raw, "typed": [secret.struck(row) for row in typed], "not_judged": left_out(policy)}


def _file(name: str) -> Path:
    return ROOT / "config" / "sources" / f"{name}.yaml"


def _declared(env: str, name: str) -> tuple[AnySource, Environment]:
    """The source alone, as the environment has it: what else is declared may be as unfinished as it likes."""
    environment = environment_of(env)
    source = load_source(ROOT, name)
    override = environment.sources.get(name)
    return source.overridden({k: v for k, v in override or () if v is not None}), environment


def _policy(env: str, table: str) -> Policy | None:
    try:
        return project_of(env).quality.get(table)
    except HeadwaterError as error:
        note(f"no policy is applied while config/ is not valid: {error}")
        return None


def _tables(env: str, name: str) -> set[str]:
    """The tables of other sources; none while config/ is not valid."""
    try:
        project = project_of(env)
    except HeadwaterError:
        return set()
    others = (source for source in project.sources.values() if source.name != name)
    return {stream.table for source in others for stream in source.streams.values()}


@contextmanager
def _opened(
    source: AnySource, environment: Environment, env: str, secret_file: Path | None
) -> Iterator[tuple[Explorer, Secret]]:
    """Opens a source with its secret, and strikes that out of whatever goes wrong."""
    # The first logger that is made sets the level.
    get_logger(__name__)
    log = logging.getLogger("headwater")
    level = log.level
    log.setLevel(_QUIET)
    try:
        # What a file says is looked at before anything is reached.
        told = None if secret_file is None else secret_in(secret_file)
        reach(env)
        secret = told or stored_secret(source, environment)
        today: date | None = today_in(env)
        with secret.kept(), open_explorer(source, secret, environment, today) as explorer:
            yield explorer, secret
    except HeadwaterError as error:
        refuse(type(error).__name__, str(error))
        raise typer.Exit(1) from None
    finally:
        log.setLevel(level)


def _columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _cut(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose values have the length of a cell."""
    return [{name: _cell(value) for name, value in row.items()} for row in rows]


def _cell(value: Any) -> Any:
    text = None if value is None else str(value)
    return text if text is None or len(text) <= _CELL else f"{text[: _CELL - 1]}…"
