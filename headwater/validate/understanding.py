"""Everything that is wrong with what is declared, a line for each mistake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headwater.config import JsonStream, Project, Stream, Table
from headwater.config.fit import Types
from headwater.config.identities import Identities
from headwater.config.policy import Matches
from headwater.config.strict import Place
from headwater.deploy.gold_sql import silver_columns
from headwater.deploy.project import Declared, kept
from headwater.errors import ConfigError
from headwater.explore.relations import FILL_IN
from headwater.ledger.raw import ADDED
from headwater.validate import queries, references
from headwater.validate.expressions import of_expression, of_pattern


def mistakes(declared: Declared) -> list[str]:
    """Every mistake in config/ and sql/, once, whatever the environments that it shows in."""
    told: dict[str, None] = {}
    understood = False
    endpoints: dict[str, str] = {}
    for environment in declared.environments:
        try:
            project, wrong = declared.read(environment)
        except ConfigError as error:
            told |= dict.fromkeys(str(error).splitlines())
            continue
        # All but the environment's own file is the same in each.
        problems = [
            *references.of_environment(project, _tables(kept(project))),
            *references.of_endpoints(project.environment, endpoints),
            *queries.of_consumers(project),
            *(
                []
                if understood
                else [*_of_pipeline(project), *queries.of_queries(project, _gold(project), declared.unread_gold)]
            ),
        ]
        told |= dict.fromkeys([*declared.told(environment, problems), *wrong])
        if not understood:
            told |= dict.fromkeys(_of_saved_queries(declared, project))
        understood = True
    return list(told)


def _of_saved_queries(declared: Declared, project: Project) -> Iterator[str]:
    # What reads a table whose own file cannot be read is looked at once that is mended.
    for path, text in declared.saved_queries.items() if not declared.unread_gold else ():
        yield from (f"{path}:1: {problem}" for problem in queries.of_saved_query(text, _gold(project)))


def _of_pipeline(project: Project) -> Iterator[tuple[Place, str]]:
    for folder, models in (
        ("sources", project.sources),
        ("tables", project.tables),
        ("identities", project.identities),
    ):
        for name, model in models.items():
            yield from _unfilled((folder, name), model.model_dump(mode="json", exclude_unset=True))
    for name, source in project.sources.items():
        for stream_name, stream in source.streams.items():
            for place, problem in _of_stream(stream):
                yield ("sources", name, "streams", stream_name, *place), problem
    yield from _of_policies(project)
    for name, identities in project.identities.items():
        for place, problem in _of_identities(identities, project.tables):
            yield ("identities", name, *place), problem
    yield from references.of_sources(project)


def _of_policies(project: Project) -> Iterator[tuple[Place, str]]:
    for name, policy in project.quality.items():
        for number, check in enumerate(policy.rows):
            if isinstance(check, Matches):
                yield from ((("quality", name, "rows", number, "pattern"), said) for said in of_pattern(check.pattern))


def _unfilled(place: Place, value: Any) -> Iterator[tuple[Place, str]]:
    """Where something proposed was pasted and not filled in."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _unfilled((*place, name), inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _unfilled((*place, number), inner)
    elif isinstance(value, str) and FILL_IN in value:
        yield place, f"still says {FILL_IN}"


def _of_stream(stream: Stream) -> Iterator[tuple[Place, str]]:
    fields = stream.raw_fields
    known = fields if fields is None or not isinstance(stream, JsonStream) else (*fields, *ADDED)
    for column, expression in stream.columns.items():
        if expression is not None:
            yield from ((("columns", column), problem) for problem in of_expression(expression, known))
    for name, parser in stream.parsers.items() if isinstance(stream, JsonStream) else ():
        for column, expression in parser.columns.items():
            yield from ((("parsers", name, "columns", column), said) for said in of_expression(expression, known))


def _of_identities(identities: Identities, tables: Mapping[str, Table]) -> Iterator[tuple[Place, str]]:
    for name, member in identities.members.items():
        told = {("since",): member.since} | {("values", link): value for link, value in member.values.items()}
        for place, expression in (told | ({("where",): member.where} if member.where else {})).items():
            found = of_expression(expression, tables[member.table].types)
            yield from ((("members", name, *place), problem) for problem in found)


def _tables(project: Project) -> Mapping[str, Types]:
    """The columns of every silver table, with those that the write mode adds, and of every gold table."""
    return {**silver_columns(project), **_gold(project)}


def _gold(project: Project) -> Mapping[str, Types]:
    """The columns of every gold table."""
    return {
        name: {column: declared.spark_type for column, declared in table.columns.items()}
        for name, table in project.gold.items()
    }
