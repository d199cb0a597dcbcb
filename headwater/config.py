"""The declared pipeline: strict, frozen models of config/, loaded from YAML or from the deployed project file.

Unknown keys are refused with file and path. Terraform reads the same YAML, and drops unknown keys silently, so
`headwater validate` runs before every plan.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from headwater.errors import ConfigError

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$")]


class Strict(BaseModel):
    """A frozen model that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


# --- silver ------------------------------------------------------------------------------------------------------


class Column(Strict):
    """One silver column: its Spark SQL type and the expression over raw columns that fills it."""

    type: str = Field(description="Spark SQL type, such as `decimal(18,2)`; money is decimal, never float.")
    source: str | None = Field(
        None, alias="from", description="Spark SQL expression over the raw columns; the column's own name if absent."
    )
    note: str | None = Field(None, description="What the column means, for the data dictionary.")


class MergeWrite(Strict):
    """Newest version by key replaces the older one."""

    kind: Literal["merge"] = "merge"


class Scd2Write(Strict):
    """Every version is kept with valid_from, valid_to and is_current."""

    kind: Literal["scd2"]
    ignore: tuple[Name, ...] = Field((), description="Columns whose change alone makes no new version.")


class InsertWrite(Strict):
    """Rows with new keys are added; a row that is there never changes."""

    kind: Literal["insert"]


class ReplaceWrite(Strict):
    """All rows of the slices a batch covers are replaced by the batch's rows, so restated rows may vanish."""

    kind: Literal["replace"]
    account: Name = Field(description="Silver column that holds a slice's account.")
    day: Name = Field(description="Silver column that holds a slice's day.")


Write = Annotated[MergeWrite | InsertWrite | Scd2Write | ReplaceWrite, Field(discriminator="kind")]


class StreamBase(Strict):
    """What every stream declares, whatever its source speaks."""

    table: Name = Field(description="Silver table that the stream feeds.")
    key: tuple[Name, ...] = Field(min_length=1, description="Silver columns that identify a row.")
    position: Name | None = Field(
        None, description="Silver column that orders versions of a key; the order of arrival if absent."
    )
    write: Write = MergeWrite()
    columns: dict[Name, Column] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_columns(self) -> StreamBase:
        unknown = [name for name in (*self.key, *filter(None, [self.position])) if name not in self.columns]
        if isinstance(self.write, Scd2Write):
            unknown += [name for name in self.write.ignore if name not in self.columns]
            if self.position is None:
                raise ValueError("write: scd2 needs a position, the column that says since when a version is true")
        if unknown:
            raise ValueError(f"{', '.join(unknown)} not among columns; known: {', '.join(self.columns)}")
        return self


# --- HTTP sources ------------------------------------------------------------------------------------------------


class NoAuth(Strict):
    """The API is open."""

    kind: Literal["none"] = "none"


class BearerAuth(Strict):
    """A token from the source's secret goes into the Authorization header."""

    kind: Literal["bearer"]
    token: str = Field("access_token", description="Key of the token within the secret.")


Auth = Annotated[NoAuth | BearerAuth, Field(discriminator="kind")]


class OnePage(Strict):
    """The answer is complete."""

    kind: Literal["none"] = "none"


class CursorPaging(Strict):
    """The answer carries a cursor; paging ends when `more` is absent."""

    kind: Literal["cursor"]
    cursor: str = Field(description="Dotted path of the cursor within the answer, such as `paging.cursors.after`.")
    more: str = Field(description="Dotted path that is present as long as there are more pages.")
    param: str = Field("after", description="Query parameter that takes the cursor.")


Paging = Annotated[OnePage | CursorPaging, Field(discriminator="kind")]


class Rate(Strict):
    """At most `calls` requests in any `per_seconds`, `concurrent` at a time."""

    calls: int = Field(gt=0)
    per_seconds: float = Field(1.0, gt=0)
    concurrent: int = Field(1, gt=0)


class Retry(Strict):
    """How long a request that time may mend is tried again."""

    attempts: int = Field(8, ge=1, description="Tries of one request, the first included.")
    longest_wait_seconds: float = Field(300, gt=0, description="Bound of one wait, whatever the source asks for.")
    total_wait_seconds: float = Field(900, gt=0, description="Bound of all waits of one request together.")


class Window(Strict):
    """How a stream moves through time: from its history's start to today, re-reading what the source restates."""

    field: str = Field(description="Raw field that holds a row's date or time; its day, with the account, is its slice.")
    history_days: int = Field(description="How far the first load reaches back from the run's date.", gt=0)
    reread_days: int = Field(1, ge=1, description="Days before the position that every run reads again.")
    chunk_days: int | None = Field(None, gt=0, description="Days asked for at once; all at once if absent.")


class HttpStream(StreamBase):
    """A stream read page by page over HTTP."""

    path: str = Field(description="Path under base_url; may hold what `params` may.")
    params: dict[str, str] = Field(
        {},
        description="Query parameters; values may hold {account}, {since}, {until}, {api_version}, {raw} (the raw "
        "fields, comma-separated) and {since_epoch} (the last second before `since` in UTC, for 'greater than' filters).",
    )
    records: str | None = Field(
        None, description="Dotted path of the row array within the answer; None = the source's Python reads it."
    )
    paging: Paging | None = Field(None, description="Overrides the source's paging.")
    window: Window
    raw: tuple[str, ...] = Field(min_length=1, description="Fields of a raw row; each becomes a bronze text column.")


class HttpSource(Strict):
    """A source that speaks HTTP and JSON."""

    kind: Literal["http"]
    name: Name
    base_url: str = Field(pattern=r"^https?://[^/@]+(/.*)?$")
    api_version: str = Field("", description="The API's version, for paths that hold {api_version}.")
    secret: str | None = Field(None, description="Secrets Manager name under the environment's prefix, never the value.")
    optional: bool = Field(False, description="A failure of this source leaves the others running.")
    auth: Auth = NoAuth()
    paging: Paging = OnePage()
    rate: Rate
    retry: Retry = Retry()
    timeout_seconds: float = Field(60, gt=0, description="Bound of one request, from connecting to the last byte.")
    accounts: tuple[str, ...] = Field((), description="Accounts to read, one after another; empty = the source has none.")
    streams: dict[Name, HttpStream] = Field(min_length=1)
    job: JobSize = Field(default_factory=lambda: JobSize())


# --- JDBC sources ------------------------------------------------------------------------------------------------


class WatermarkRead(Strict):
    """Reads rows whose `column` moved past the position, less an overlap for late commits."""

    kind: Literal["watermark"]
    column: Name
    overlap_minutes: int = Field(10, ge=0)


class BookmarkRead(Strict):
    """Reads rows beyond the Glue job bookmark's keys: for append-only relations with a strictly growing key."""

    kind: Literal["bookmark"]
    keys: tuple[Name, ...] = Field(min_length=1, max_length=1)


Read = Annotated[WatermarkRead | BookmarkRead, Field(discriminator="kind")]


class JdbcStream(StreamBase):
    """A stream read from one relation of a database."""

    relation: Identifier
    read: Read
    partition_column: Name = Field(description="Numeric, indexed column that parallel reads are split by.")
    partitions: int = Field(2, ge=1, le=16, description="Parallel connections.")


class JdbcSource(Strict):
    """A relational database read over JDBC; its secret holds host, port, dbname, username and password."""

    kind: Literal["jdbc"]
    name: Name
    engine: Literal["postgresql"]
    secret: str
    optional: bool = Field(False, description="A failure of this source leaves the others running.")
    fetch_size: int = Field(10_000, gt=0)
    streams: dict[Name, JdbcStream] = Field(min_length=1)
    job: JobSize = Field(default_factory=lambda: JobSize())


class JobSize(Strict):
    """Size and limits of the source's Extract job."""

    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X"] = "G.1X"
    workers: int = Field(2, ge=2)
    timeout_minutes: int = Field(60, gt=0)


Source = Annotated[HttpSource | JdbcSource, Field(discriminator="kind")]
Stream = HttpStream | JdbcStream


# --- quality -----------------------------------------------------------------------------------------------------

Level = Literal["warn", "halt", "quarantine"]


class RowCheck(Strict):
    """A condition that each row meets or not; rows that fail are quarantined, or counted where the level says so."""

    id: Name
    that: Name = Field(description="Column the check is about.")
    is_: Literal["complete", "non_negative", "positive", "in_set", "matches", "at_most_column", "between"] = Field(alias="is")
    values: tuple[str, ...] = Field((), description="The set, pattern, column or bounds that `is` needs.")
    level: Level = "quarantine"
    at_most: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of a batch's rows that may fail: beyond it a quarantine check halts the batch, and a warn or "
        "halt check fails. Absent: all may be quarantined; none may fail a warn or halt check.",
    )

    @model_validator(mode="after")
    def _values_fit(self) -> RowCheck:
        wanted = {"matches": 1, "at_most_column": 1, "between": 2}.get(self.is_, 0)
        if self.is_ == "in_set":
            if not self.values:
                raise ValueError("is: in_set needs values")
        elif len(self.values) != wanted:
            raise ValueError(f"is: {self.is_} takes {wanted} values, not {len(self.values)}")
        return self


class KnownCheck(Strict):
    """A row's value must exist in a column of another silver table."""

    id: Name
    that: Name
    is_: Literal["known"] = Field(alias="is")
    table: Name
    column: Name
    level: Literal["quarantine"] = "quarantine"


class BatchCheck(Strict):
    """A statement about a batch as a whole, computed by Deequ."""

    id: Name
    that: Name | None = Field(None, description="Column the check is about; none for size.")
    is_: Literal["unique", "complete_share", "size", "distinct_at_least", "mean_between"] = Field(alias="is")
    at_least: float | None = None
    at_most: float | None = None
    level: Literal["warn", "halt"]

    @model_validator(mode="after")
    def _bounds_fit(self) -> BatchCheck:
        if self.is_ != "size" and self.that is None:
            raise ValueError(f"is: {self.is_} needs `that`, the column")
        if self.is_ != "unique" and self.at_least is None and self.at_most is None:
            raise ValueError(f"is: {self.is_} needs at_least or at_most")
        return self


class Policy(Strict):
    """The checks of one silver table."""

    table: Name
    rows: tuple[RowCheck | KnownCheck, ...] = ()
    batch: tuple[BatchCheck, ...] = ()

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Policy:
        ids = [check.id for check in (*self.rows, *self.batch)]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"check ids must be unique; twice: {', '.join(twice)}")
        return self


# --- environments ------------------------------------------------------------------------------------------------


class Warehouse(Strict):
    """Where Load goes: a Redshift Serverless workgroup."""

    workgroup: str
    database: str
    copy_role: str = Field(description="ARN of the role that COPY assumes.")


class SourceOverride(Strict):
    """What differs for a source in one environment."""

    base_url: str | None = None
    accounts: tuple[str, ...] | None = None
    retry: Retry | None = None


class Environment(Strict):
    """One place the pipeline runs in."""

    name: Name
    prefix: str = Field(pattern=r"^[a-z][a-z0-9-]{1,40}$", description="Starts the name of everything in AWS.")
    region: str
    account: str = Field(pattern=r"^\d{12}$")
    reporting_currency: str = Field("USD", pattern=r"^[A-Z]{3}$")
    warehouse: Warehouse
    sources: dict[Name, SourceOverride] = Field({}, description="Per-source differences.")

    def bucket(self, zone: Literal["raw", "lake", "artifacts", "logs"]) -> str:
        """Names the bucket of one purpose."""
        return f"{self.prefix}-{zone}"

    def database(self, zone: Literal["bronze", "silver", "gold", "quarantine"]) -> str:
        """Names the catalog database of one zone."""
        return f"{self.prefix.replace('-', '_')}_{zone}"

    def crawler(self, zone: str, source: str | None = None) -> str:
        """Names the crawler of one zone; bronze has one for each source."""
        return f"{self.prefix}-{zone}-{source}" if source else f"{self.prefix}-{zone}"


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

    def source(self, name: str) -> HttpSource | JdbcSource:
        """Finds a source by name, with the environment's differences applied."""
        try:
            source = self.sources[name]
        except KeyError:
            raise ConfigError(f"source {name!r} is not declared; known: {', '.join(sorted(self.sources))}") from None
        override = self.environment.sources.get(name)
        if override is None or not isinstance(source, HttpSource):
            return source
        changed = {name: getattr(override, name) for name in SourceOverride.model_fields}
        changed = {name: value for name, value in changed.items() if value is not None}
        return source.model_copy(update=changed)

    def streams_of(self, table: str) -> list[tuple[str, str]]:
        """Lists (source, stream) of every stream that feeds a silver table."""
        return [
            (source.name, name)
            for source in self.sources.values()
            for name, stream in source.streams.items()
            if stream.table == table
        ]


def _where(error: ValidationError) -> str:
    problems = []
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"] if part not in {"http", "jdbc"})
        problems.append(f"{path}: {problem['msg']}" if path else problem["msg"])
    return "; ".join(problems)


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
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
    from pydantic import TypeAdapter

    return {
        "source": TypeAdapter(Source).json_schema(),
        "quality": Policy.model_json_schema(),
        "environment": Environment.model_json_schema(),
    }


def parse_date(text: str) -> date:
    """Reads an ISO date; ConfigError says what it got."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise ConfigError(f"{text!r} is not a date; write YYYY-MM-DD")
    return date.fromisoformat(text)


for _model in (HttpSource, JdbcSource):
    _model.model_rebuild()
