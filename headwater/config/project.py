"""The declared pipeline of one environment, loaded from config/ and sql/, or from the deployed project file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from headwater.config.environment import Environment, SourceOverride
from headwater.config.files_source import FilesSource, FilesStream
from headwater.config.http_source import HttpSource, HttpStream, check_rollout
from headwater.config.jdbc_source import JdbcSource, JdbcStream
from headwater.config.kafka_source import KafkaSource, KafkaStream
from headwater.config.kinesis_source import KinesisSource, KinesisStream
from headwater.config.policy import KnownCheck, Policy
from headwater.config.redshift_source import RedshiftSource, RedshiftStream
from headwater.config.snowflake_source import SnowflakeSource, SnowflakeStream
from headwater.config.stream import Drift
from headwater.config.strict import Name, Strict
from headwater.config.table import Table
from headwater.errors import ConfigError

AnySource = HttpSource | JdbcSource | SnowflakeSource | RedshiftSource | KafkaSource | FilesSource | KinesisSource
Source = Annotated[AnySource, Field(discriminator="kind")]
Stream = HttpStream | JdbcStream | SnowflakeStream | RedshiftStream | KafkaStream | FilesStream | KinesisStream
# A tagged union names the kind in an error's path, after `sources` and the source; what a person wrote has no such step.
_KIND_AT = 2
_KINDS = {kind for model in get_args(AnySource) for kind in get_args(model.model_fields["kind"].annotation)}


class Project(Strict):
    """Everything that is declared for one environment; what `deploy` writes and every job and Lambda reads."""

    environment: Environment
    sources: dict[Name, Source]
    tables: dict[Name, Table] = Field(description="Silver tables.")
    quality: dict[Name, Policy]
    gold: dict[Name, str] = Field({}, description="Text of sql/gold/<table>.sql by table.")

    @model_validator(mode="after")
    def _streams_agree_with_their_tables(self) -> Project:
        problems = [
            InitErrorDetails(type=PydanticCustomError("disagreement", "{what}", {"what": what}), loc=path, input=None)
            for path, what in disagreements(self.sources.values(), self.tables)
        ]
        if problems:
            raise ValidationError.from_exception_data("Project", problems)
        return self

    @model_validator(mode="after")
    def _policies_have_columns(self) -> Project:
        columns = {name: set(table.columns) for name, table in self.tables.items()}
        for name, override in self.environment.sources.items():
            overridden = self.sources.get(name)
            if override.rollout and isinstance(overridden, HttpSource):
                check_rollout(overridden.model_copy(update={"rollout": override.rollout}))
        for table, policy in self.quality.items():
            if table not in columns:
                raise ValueError(f"quality.{table}: no stream feeds this table; known: {', '.join(sorted(columns))}")
            for check in (*policy.rows, *policy.batch):
                if check.that is not None and check.that not in columns[table]:
                    raise ValueError(
                        f"quality.{table}.{check.id}: column {check.that} not in table; "
                        f"known: {', '.join(sorted(columns[table]))}"
                    )
                if isinstance(check, KnownCheck) and check.column not in columns.get(check.table, set()):
                    raise ValueError(f"quality.{table}.{check.id}: {check.table}.{check.column} is not a silver column")
        return self

    def source(self, name: str) -> AnySource:
        """Finds a source by name, with the environment's differences applied."""
        try:
            source = self.sources[name]
        except KeyError:
            raise ConfigError(f"source {name!r} is not declared; known: {', '.join(sorted(self.sources))}") from None
        override = self.environment.sources.get(name, SourceOverride())
        return source.overridden({field: value for field, value in override if value is not None})

    def drift_of(self, source: str, stream: str) -> Drift:
        """The policy for a stream whose rows change their shape."""
        return self.source(source).streams[stream].drift or self.environment.drift

    def table_paths(self, zone: str) -> list[str]:
        """Lists the table paths of a zone, relative to the zone's root."""
        if zone == "bronze":
            return [f"{source.name}/{name}" for source in self.sources.values() for name in source.streams]
        if zone == "gold":
            return list(self.gold)
        if zone in {"silver", "quarantine"}:
            return sorted(self.tables)
        raise ConfigError(f"zone {zone!r} unknown; known: bronze, silver, gold, quarantine")


def disagreements(sources: Iterable[AnySource], tables: Mapping[str, Table]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Says which streams and tables do not fit together: the path within the project, and what is wrong there."""
    fed = set()
    for source in sources:
        for name, stream in source.streams.items():
            path = ("sources", source.name, "streams", name)
            fed.add(stream.table)
            table = tables.get(stream.table)
            if table is None:
                known = f"known: {', '.join(sorted(tables)) or 'none'}"
                hint = f"hint: declare it in config/tables/{stream.table}.yaml"
                yield (*path, "table"), f"no table {stream.table} is declared; {known}. {hint}"
                continue
            for place, what in stream.disagreements(table):
                yield (*path, place), what
    for name in tables.keys() - fed:
        yield ("tables", name), f"no stream feeds this table; fed: {', '.join(sorted(fed))}"


def _where(error: ValidationError, files: Mapping[str, Path] | None = None) -> str:
    problems = []
    for problem in error.errors():
        path = ".".join(str(part) for at, part in enumerate(problem["loc"]) if at != _KIND_AT or part not in _KINDS)
        said = f"{path}: {problem['msg']}" if path else problem["msg"]
        problems.append(f"{_file(problem['loc'], files)}: {said}" if files else said)
    return "; ".join(problems)


def _file(path: Sequence[str | int], files: Mapping[str, Path]) -> Path:
    """The file that a path within the project is about."""
    kind, name, *_ = *map(str, path), "", ""
    where = files.get(kind, files[""])
    return where / f"{name}.yaml" if name and kind in {"sources", "tables", "quality"} else where


def _read_yaml(path: Path) -> Any:
    try:
        # The loader in C: ten times as quick, and a project is some forty files.
        return yaml.load(path.read_text(), yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not readable as YAML: {error}") from None


def _named(folder: Path) -> dict[str, Any]:
    documents = {}
    for path in sorted(folder.glob("*.yaml")):
        document = _read_yaml(path)
        if not isinstance(document, dict):
            raise ConfigError(f"{path}: must hold a mapping")
        name = document.get("name", document.get("table"))
        if name != path.stem:
            raise ConfigError(f"{path}: is named {name!r} inside; file name and name must be the same")
        documents[path.stem] = document
    return documents


def load_project(root: Path, environment: str) -> Project:
    """Loads config/ and sql/gold/ below `root` for one environment; ConfigError names the file and the path."""
    config = root / "config"
    environment_file = config / "environments" / f"{environment}.yaml"
    if not environment_file.exists():
        known = sorted(path.stem for path in (config / "environments").glob("*.yaml"))
        raise ConfigError(f"environment {environment!r} is not declared; known: {', '.join(known)}")
    documents = {
        "environment": _read_yaml(environment_file),
        "sources": _named(config / "sources"),
        "tables": _named(config / "tables"),
        "quality": _named(config / "quality"),
        "gold": {path.stem: path.read_text() for path in sorted((root / "sql" / "gold").glob("*.sql"))},
    }
    files = {"": config, "environment": environment_file}
    files |= {kind: config / kind for kind in ("sources", "tables", "quality")}
    try:
        return Project.model_validate(documents)
    except ValidationError as error:
        raise ConfigError(_where(error, files)) from None


def load_deployed(text: str) -> Project:
    """Loads the project file that `deploy` wrote."""
    try:
        return Project.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(f"deployed project file: {_where(error)}") from None


def json_schemas() -> dict[str, dict[str, Any]]:
    """Makes the JSON Schema of each kind of config file, by schema name."""
    return {
        "source": TypeAdapter(Source).json_schema(),
        "table": Table.model_json_schema(),
        "quality": Policy.model_json_schema(),
        "environment": Environment.model_json_schema(),
    }


def parse_date(text: str) -> date:
    """Reads an ISO date; ConfigError says what it got."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise ConfigError(f"{text!r} is not a date; write YYYY-MM-DD")
    return date.fromisoformat(text)
