"""The declared pipeline of one environment, loaded from config/ and sql/, or from the deployed project file."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator

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
from headwater.errors import ConfigError

AnySource = HttpSource | JdbcSource | SnowflakeSource | RedshiftSource | KafkaSource | FilesSource | KinesisSource
Source = Annotated[AnySource, Field(discriminator="kind")]
Stream = HttpStream | JdbcStream | SnowflakeStream | RedshiftStream | KafkaStream | FilesStream | KinesisStream
# A tagged union names the kind in an error's path; what a person wrote has no such step.
_KINDS = {kind for model in get_args(AnySource) for kind in get_args(model.model_fields["kind"].annotation)}


class Project(Strict):
    """Everything that is declared for one environment; what `deploy` writes and every job and Lambda reads."""

    environment: Environment
    sources: dict[Name, Source]
    quality: dict[Name, Policy]
    gold: dict[Name, str] = Field({}, description="Text of sql/gold/<table>.sql by table.")

    @model_validator(mode="after")
    def _policies_have_columns(self) -> Project:
        columns: dict[str, set[str]] = {}
        for source in self.sources.values():
            for stream in source.streams.values():
                columns.setdefault(stream.table, set()).update(stream.columns)
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

    def tables(self, zone: str) -> list[str]:
        """Lists the table paths of a zone, relative to the zone's root."""
        if zone == "bronze":
            return [f"{source.name}/{name}" for source in self.sources.values() for name in source.streams]
        if zone == "gold":
            return list(self.gold)
        if zone in {"silver", "quarantine"}:
            return sorted({stream.table for source in self.sources.values() for stream in source.streams.values()})
        raise ConfigError(f"zone {zone!r} unknown; known: bronze, silver, gold, quarantine")


def _where(error: ValidationError) -> str:
    problems = []
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"] if part not in _KINDS)
        problems.append(f"{path}: {problem['msg']}" if path else problem["msg"])
    return "; ".join(problems)


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


def _environment_file(root: Path, environment: str) -> Path:
    folder = root / "config" / "environments"
    files = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if environment not in files:
        raise ConfigError(f"environment {environment!r} is not declared; known: {', '.join(files)}")
    return files[environment]


def load_environment(root: Path, environment: str) -> Environment:
    """Loads one environment alone; ConfigError names the file and the path."""
    path = _environment_file(root, environment)
    try:
        return Environment.model_validate(_read_yaml(path))
    except ValidationError as error:
        raise ConfigError(f"{path}: {_where(error)}") from None


def load_source(root: Path, name: str) -> AnySource:
    """Loads one source alone, whatever else is declared and however wrong that is; ConfigError names the file and the path."""
    folder = root / "config" / "sources"
    files = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if name not in files:
        raise ConfigError(
            f"source {name!r} is not declared; known: {', '.join(files)}. hint: headwater source new NAME --kind KIND"
        )
    try:
        source: AnySource = TypeAdapter(Source).validate_python(_read_yaml(files[name]))
    except ValidationError as error:
        raise ConfigError(f"{files[name]}: {_where(error)}") from None
    return source


def load_project(root: Path, environment: str) -> Project:
    """Loads config/ and sql/gold/ below `root` for one environment; ConfigError names the file and the path."""
    config = root / "config"
    environment_file = _environment_file(root, environment)
    documents = {
        "environment": _read_yaml(environment_file),
        "sources": _named(config / "sources"),
        "quality": _named(config / "quality"),
        "gold": {path.stem: path.read_text() for path in sorted((root / "sql" / "gold").glob("*.sql"))},
    }
    files = {"environment": environment_file, "sources": config / "sources", "quality": config / "quality"}
    try:
        return Project.model_validate(documents)
    except ValidationError as error:
        first = error.errors()[0]["loc"]
        where = files.get(str(first[0]), config) if first else config
        if first and first[0] in {"sources", "quality"} and len(first) > 1:
            where = where / f"{first[1]}.yaml"
        raise ConfigError(f"{where}: {_where(error)}") from None


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
        "quality": Policy.model_json_schema(),
        "environment": Environment.model_json_schema(),
    }


def parse_date(text: str) -> date:
    """Reads an ISO date; ConfigError says what it got."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise ConfigError(f"{text!r} is not a date; write YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a date: {error}; write YYYY-MM-DD") from None
