"""The declared pipeline of one environment, read from config/, or from the deployed project file."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from typing import Annotated

from pydantic import Field, model_validator

from headwater.config.environment import Environment, SourceOverride, Zone
from headwater.config.files_source import FilesSource, FilesStream
from headwater.config.fit import misfits
from headwater.config.gold import GoldTable
from headwater.config.http_source import HttpSource, HttpStream, check_rollout
from headwater.config.identities import Identities
from headwater.config.jdbc_source import JdbcSource, JdbcStream
from headwater.config.kafka_source import KafkaSource, KafkaStream
from headwater.config.kinesis_source import KinesisSource, KinesisStream
from headwater.config.lineage import Lineage
from headwater.config.policy import Policy
from headwater.config.query import Query
from headwater.config.redshift_source import RedshiftSource, RedshiftStream
from headwater.config.rule import Notes
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
    identities: dict[Name, Identities] = Field({}, description="Silver tables of who is whom.")
    gold: dict[Name, GoldTable] = Field({})
    queries: dict[Name, Query] = Field({}, description="What the query API may be asked.")
    lineage: Lineage = Field(Lineage(), description="Of what each column is made, as it was found for the deployment.")

    @model_validator(mode="after")
    def _parts_fit(self) -> Project:
        problems = [*disagreements(self.sources.values(), self.tables), *self._contradictions()]
        problems += [
            (("identities", name, *place), problem)
            for name, identities in self.identities.items()
            for place, problem in identities.disagreements(self.tables)
        ]
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

    @property
    def silver(self) -> dict[Name, Table]:
        """Every silver table: those that streams feed, and those of who is whom."""
        return {**self.tables, **{name: identities.table for name, identities in self.identities.items()}}

    def identities_of(self, tables: Collection[str]) -> dict[Name, Identities]:
        """Who is whom where only some of the tables are fed: with the members and links that are left."""
        return {name: left for name, whole in self.identities.items() if (left := whole.of(tables)) is not None}

    def source(self, name: str) -> AnySource:
        """Finds a source by name, with the environment's differences applied."""
        try:
            source = self.sources[name]
        except KeyError:
            raise ConfigError(unknown("source", name, self.sources)) from None
        override = self.environment.sources.get(name, SourceOverride())
        return source.overridden({field: value for field, value in override if value is not None})

    def made_of_hidden(self, table: str) -> list[str]:
        """Lists the columns of a silver table that tell what is hidden from analysts: those made of hidden ones, and notes."""
        hidden = self.environment.analysts.hidden_columns.get(table, ())
        if not hidden or table not in self.tables:
            return []
        made = {name: column.made for name, column in self.tables[table].columns.items() if column.made}
        return [name for name, rule in made.items() if isinstance(rule, Notes) or rule.of in hidden]

    def drift_of(self, source: str, stream: str) -> Drift:
        """The policy for a stream whose rows change their shape."""
        return self.source(source).streams[stream].drift or self.environment.drift

    def table_paths(self, zone: str) -> list[str]:
        """Lists the table paths of a zone, relative to the zone's root."""
        if zone == "bronze":
            return [f"{source.name}/{name}" for source in self.sources.values() for name in source.streams]
        if zone == "gold":
            return list(self.gold)
        if zone == "silver":
            return sorted(self.silver)
        if zone == "quarantine":
            return sorted(self.tables)
        raise ConfigError(f"zone {zone!r} unknown; known: bronze, silver, gold, quarantine")

    def crawled(self, zone: Zone) -> dict[str, list[str]]:
        """Lists the table paths of a zone by the crawler that goes through them: one for each source in bronze, else one for all."""
        crawled: dict[str, list[str]] = {}
        for table in self.table_paths(zone):
            source = table.split("/")[0] if zone == "bronze" else None
            crawled.setdefault(self.environment.crawler(zone, source), []).append(table)
        return crawled


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


def parse_date(text: str) -> date:
    """Reads an ISO date; ConfigError says what it got."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise ConfigError(f"{text!r} is not a date; write YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a date: {error}; write YYYY-MM-DD") from None
