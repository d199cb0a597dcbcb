"""The declared project, read from the files of a checkout: config/, sql/gold/ and sql/shared/."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from headwater.config import AnySource, Environment, Project, Source, Table
from headwater.config.documents import Document, problems_of, read_document, read_text
from headwater.config.gold import GoldTable
from headwater.config.strict import Place, unknown
from headwater.deploy.gold_sql import gold_table, problems, silver_columns
from headwater.deploy.shared_sql import shared_columns, shared_queries
from headwater.errors import ConfigError

_Model = TypeVar("_Model")


class Declared:
    """The files below a root as they were written, read once for all environments; ConfigError where one is no document."""

    def __init__(self, root: Path) -> None:
        self.root = root
        """Where the checkout is."""
        self._config = root / "config"
        self._folders = {
            folder: self._named(folder) for folder in ("sources", "tables", "quality", "identities", "queries")
        }
        self._environments = {
            path.stem: read_document(root, path) for path in sorted((self._config / "environments").glob("*.yaml"))
        }
        self._gold = {path.stem: read_text(root, path) for path in sorted((root / "sql" / "gold").glob("*.sql"))}
        self.saved_queries = {
            path.relative_to(root): read_text(root, path) for path in sorted((root / "sql" / "athena").glob("*.sql"))
        }
        """What Athena's workgroup offers, by its file."""
        self._shared = {path.stem: read_text(root, path) for path in sorted((root / "sql" / "shared").glob("*.sql"))}
        self._gold_tables: dict[str, GoldTable] = {}
        self._shared_queries = shared_queries(self._shared)
        for table, text in self._gold.items():
            with suppress(ConfigError):
                self._gold_tables[table] = gold_table(table, text, self._shared_queries)
        self._gold_problems: list[str] | None = None

    @property
    def environments(self) -> tuple[str, ...]:
        """The declared environments."""
        return tuple(self._environments)

    def project(self, environment: str) -> Project:
        """The project of an environment with the sources that it has; ConfigError has a line for each mistake, with file and path."""
        project, wrong = self.read(environment)
        if wrong:
            raise ConfigError("\n".join(wrong))
        return kept(project)

    def read(self, environment: str) -> tuple[Project, list[str]]:
        """The project of an environment with every source and such gold tables as can be read, and what is wrong with gold, a line for
        each mistake.

        ConfigError has a line for each mistake in config/.
        """
        if environment not in self._environments:
            raise ConfigError(unknown("environment", environment, self._environments))
        declared = {
            folder: {name: document.value for name, document in documents.items()}
            for folder, documents in self._folders.items()
        }
        try:
            project = Project.model_validate(
                {"environment": self._environments[environment].value, **declared, "gold": self._gold_tables}
            )
        except ValidationError as error:
            wrong = problems_of(error)
        else:
            return project, self._wrong_in_gold(project)
        raise ConfigError("\n".join(self.told(environment, wrong)))

    @property
    def unread_gold(self) -> set[str]:
        """The gold tables whose files cannot be read."""
        return {*self._gold} - self._gold_tables.keys()

    def _wrong_in_gold(self, project: Project) -> list[str]:
        if self._gold_problems is None:
            # Silver is the same in every environment.
            silver = silver_columns(project)
            shared, wrong = shared_columns(self._shared, self._shared_queries, silver)
            told = [said for table, text in self._gold.items() for said in problems(table, text, silver, shared)]
            self._gold_problems = [str(said) for said in (*wrong, *told)]
        return self._gold_problems

    def told(self, environment: str, problems: Iterable[tuple[Place, str]]) -> list[str]:
        """Problems within the project of an environment, a line for each mistake: of what YAML repeats by an alias, the first."""
        lines: dict[tuple[str, str], str] = {}
        for place, problem in problems:
            line = self._says(environment, place, problem)
            lines.setdefault((line.partition(": ")[0], problem), line)
        return list(lines.values())

    def _says(self, environment: str, place: Place, problem: str) -> str:
        """A problem at a place within the project of an environment, as one line of the file that it is in."""
        match place:
            case (str(folder), str(name), *rest) if name in self._folders.get(folder, {}):
                return self._folders[folder][name].says(rest, problem)
            case ("environment", *rest):
                return self._environments[environment].says(rest, problem)
            case _:
                return f"{'.'.join(map(str, place))}: {problem}"

    def _named(self, folder: str) -> dict[str, Document]:
        """The documents of a folder by name, which is that of the file."""
        documents = {}
        for path in sorted((self._config / folder).glob("*.yaml")):
            document = read_document(self.root, path)
            if not isinstance(document.value, dict):
                raise ConfigError(document.says((), "must be a mapping"))
            key = {"sources": "name", "queries": "query", "identities": "identities"}.get(folder, "table")
            if document.value.get(key) != path.stem:
                raise ConfigError(document.says((key,), f"must be {path.stem}, as the file is named"))
            documents[path.stem] = document
        return documents


def restricted(project: Project, sources: frozenset[str]) -> Project:
    """The project with some of its sources, their policies, the gold tables that can be made from them, what is hidden of these,
    and the queries that read them.

    ConfigError names the sources that are not declared.
    """
    unknown = sorted(sources - project.sources.keys())
    if unknown:
        raise ConfigError(f"no such source: {', '.join(unknown)}; known: {', '.join(sorted(project.sources))}")
    sources_kept = {name: source for name, source in project.sources.items() if name in sources}
    tables = {stream.table for source in sources_kept.values() for stream in source.streams.values()}
    identities = project.identities_of(tables)
    silver = tables | identities.keys()
    gold = {name: made for name, table in project.gold.items() if (made := table.fed_by(silver)) is not None}
    there = silver | gold.keys()
    queries = {name: query for name, query in project.queries.items() if gold.keys() >= {*query.reads}}
    analysts = project.environment.analysts
    hidden = {
        "hidden_columns": {name: columns for name, columns in analysts.hidden_columns.items() if name in there},
        "row_filters": {name: condition for name, condition in analysts.row_filters.items() if name in there},
    }
    return project.model_copy(
        update={
            "environment": project.environment.model_copy(update={"analysts": analysts.model_copy(update=hidden)}),
            "sources": sources_kept,
            "tables": {name: table for name, table in project.tables.items() if name in tables},
            "quality": {table: policy for table, policy in project.quality.items() if table in tables},
            "identities": identities,
            "gold": gold,
            "queries": queries,
        }
    )


def kept(project: Project) -> Project:
    """The project less the sources that its environment leaves out."""
    left_out = project.environment.without
    return restricted(project, frozenset(project.sources.keys() - left_out)) if left_out else project


def load_environment(root: Path, environment: str) -> Environment:
    """Loads one environment alone; ConfigError has a line for each mistake."""
    return load_declared(TypeAdapter(Environment), root, "environments", environment)


def load_source(root: Path, name: str) -> AnySource:
    """Loads one source alone, whatever else is declared and however wrong that is; ConfigError has a line for each mistake."""
    return load_declared(TypeAdapter(Source), root, "sources", name)


def load_table(root: Path, name: str) -> Table:
    """Loads one silver table alone, whatever else is declared; ConfigError has a line for each mistake."""
    return load_declared(TypeAdapter(Table), root, "tables", name)


def load_declared(model: TypeAdapter[_Model], root: Path, folder: str, name: str) -> _Model:
    """Loads one file of a folder of config/ alone; ConfigError has a line for each mistake."""
    files = {path.stem: path for path in (root / "config" / folder).glob("*.yaml")}
    if name not in files:
        what = folder.removesuffix("s")
        raise ConfigError(f"{unknown(what, name, files)}. hint: config/{folder}/{name}.yaml declares it")
    document = read_document(root, files[name])
    try:
        return model.validate_python(document.value)
    except ValidationError as error:
        said = dict.fromkeys(document.says(place, problem) for place, problem in problems_of(error))
        raise ConfigError("\n".join(said)) from None


def load_project(root: Path, environment: str) -> Project:
    """Loads config/ and sql/gold/ below `root` for one environment.

    ConfigError has a line for each mistake, with file, line and path.
    """
    return Declared(root).project(environment)
