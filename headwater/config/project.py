"""The declared pipeline of one environment, loaded from config/ and sql/, or from the deployed project file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from headwater.config.documents import Document, problems_of, read_document
from headwater.config.environment import Environment, SourceOverride
from headwater.config.files_source import FilesSource, FilesStream
from headwater.config.fit import misfits
from headwater.config.http_source import HttpSource, HttpStream, check_rollout
from headwater.config.jdbc_source import JdbcSource, JdbcStream
from headwater.config.kafka_source import KafkaSource, KafkaStream
from headwater.config.kinesis_source import KinesisSource, KinesisStream
from headwater.config.policy import Policy
from headwater.config.redshift_source import RedshiftSource, RedshiftStream
from headwater.config.snowflake_source import SnowflakeSource, SnowflakeStream
from headwater.config.stream import Drift
from headwater.config.strict import Name, Place, Strict, refusal, unknown
from headwater.config.table import Table
from headwater.errors import ConfigError

AnySource = HttpSource | JdbcSource | SnowflakeSource | RedshiftSource | KafkaSource | FilesSource | KinesisSource
Source = Annotated[AnySource, Field(discriminator="kind")]
Stream = HttpStream | JdbcStream | SnowflakeStream | RedshiftStream | KafkaStream | FilesStream | KinesisStream


class Project(Strict):
    """Everything that is declared for one environment; what `deploy` writes and every job and Lambda reads."""

    environment: Environment
    sources: dict[Name, Source]
    tables: dict[Name, Table] = Field(description="Silver tables.")
    quality: dict[Name, Policy]
    gold: dict[Name, str] = Field({}, description="Text of sql/gold/<table>.sql by table.")

    @model_validator(mode="after")
    def _parts_fit(self) -> Project:
        problems = [*disagreements(self.sources.values(), self.tables), *self._contradictions()]
        if problems:
            raise refusal(problems)
        return self

    def _contradictions(self) -> Iterator[tuple[Place, str]]:
        """Where and how policies and the environment contradict what is declared."""
        for name, override in self.environment.sources.items():
            overridden = self.sources.get(name)
            if override.rollout and isinstance(overridden, HttpSource):
                try:
                    check_rollout(overridden.model_copy(update={"rollout": override.rollout}))
                except ValueError as error:
                    yield ("environment", "sources", name, "rollout"), str(error)
        types = {
            name: {column: kind.type for column, kind in table.columns.items()} for name, table in self.tables.items()
        }
        for table, policy in self.quality.items():
            yield from ((("quality", table, *place), problem) for place, problem in misfits(policy, types))

    def source(self, name: str) -> AnySource:
        """Finds a source by name, with the environment's differences applied."""
        try:
            source = self.sources[name]
        except KeyError:
            raise ConfigError(unknown("source", name, self.sources)) from None
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


def disagreements(sources: Iterable[AnySource], tables: Mapping[str, Table]) -> Iterator[tuple[Place, str]]:
    """Says which streams and tables do not fit together: the place within the project, and what is wrong there."""
    fed = set()
    for source in sources:
        for name, stream in source.streams.items():
            place = ("sources", source.name, "streams", name)
            fed.add(stream.table)
            table = tables.get(stream.table)
            if table is None:
                hint = f"hint: declare it in config/tables/{stream.table}.yaml"
                yield (*place, "table"), f"{unknown('table', stream.table, tables)}. {hint}"
                continue
            for within, what in stream.disagreements(table):
                yield (*place, *within.split(".")), what
    # A misspelt name is one mistake: the table that it stands for is not told as one that nothing feeds.
    for name in tables.keys() - fed if fed <= tables.keys() else ():
        yield ("tables", name), f"no stream feeds this table; fed: {', '.join(sorted(fed))}"


def _named(root: Path, folder: Path) -> dict[str, Document]:
    documents = {}
    for path in sorted(folder.glob("*.yaml")):
        document = read_document(root, path)
        if not isinstance(document.value, dict):
            raise ConfigError(document.says((), "must hold a mapping"))
        key = "name" if "name" in document.value else "table"
        if document.value.get(key) != path.stem:
            raise ConfigError(document.says((key,), f"must be {path.stem}, as the file is named"))
        documents[path.stem] = document
    return documents


def load_project(root: Path, environment: str) -> Project:
    """Loads config/ and sql/gold/ below `root` for one environment.

    ConfigError has a line for each mistake, with file, line and path.
    """
    config = root / "config"
    environment_file = config / "environments" / f"{environment}.yaml"
    if not environment_file.exists():
        known = [path.stem for path in (config / "environments").glob("*.yaml")]
        raise ConfigError(unknown("environment", environment, known))
    own = read_document(root, environment_file)
    folders = {folder: _named(root, config / folder) for folder in ("sources", "tables", "quality")}
    gold = {path.stem: path.read_text() for path in sorted((root / "sql" / "gold").glob("*.sql"))}
    declared = {
        folder: {name: document.value for name, document in documents.items()} for folder, documents in folders.items()
    }
    try:
        return Project.model_validate({"environment": own.value, **declared, "gold": gold})
    except ValidationError as error:
        problems = problems_of(error)
    raise ConfigError("\n".join(_says(own, folders, place, problem) for place, problem in problems))


def _says(own: Document, folders: Mapping[str, Mapping[str, Document]], place: Place, problem: str) -> str:
    """A problem of the project as one line of the file that it is in."""
    match place:
        case (str(folder), str(name), *rest) if name in folders.get(folder, {}):
            return folders[folder][name].says(rest, problem)
        case ("environment", *rest):
            return own.says(rest, problem)
        case _:
            return f"{'.'.join(map(str, place))}: {problem}"


def load_deployed(text: str) -> Project:
    """Loads the project file that `deploy` wrote."""
    try:
        return Project.model_validate_json(text)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, place))}: {problem}" for place, problem in problems_of(error))
        raise ConfigError(f"deployed project file: {said}") from None


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
