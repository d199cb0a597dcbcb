"""What every stream declares: the silver table that it feeds, and where the table's columns come from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator

from headwater.config.address import UrlPath
from headwater.config.expression import JmesPath
from headwater.config.secret_name import SecretName
from headwater.config.strict import Name, Strict, refusal
from headwater.config.table import ReplaceWrite, Table

Disagreement = tuple[str, str]
"""A place within a stream, and what there contradicts the silver table that the stream feeds."""


Order = Literal["reading", "version"]
"""Of what is read as it is now, what was read later is newer; of events, what has the greater version, and then what came later."""

Drift = Annotated[
    Literal["evolve", "strict", "quarantine"],
    Field(
        description="evolve: a new field becomes a bronze column, and the change is reported; strict: the batch is halted; "
        "quarantine: rows of another shape go to quarantine."
    ),
]


_MOVED = "belongs to the silver table: config/tables/<table>.yaml says it now"


class StreamBase(Strict):
    """What every stream declares, whatever its source speaks."""

    moved: ClassVar[Mapping[str, str]] = dict.fromkeys(("key", "version", "write"), _MOVED)

    table: Name = Field(description="Silver table that the stream feeds, declared in config/tables/<table>.yaml.")
    columns: dict[Name, Annotated[str, Field(min_length=1)] | None] = Field(
        {},
        description="Spark SQL expressions over the raw fields, by the table's column; null = this source does not tell it. A "
        "column that is not named is read from the raw field of its own name.",
    )
    drift: Drift | None = Field(
        None, description="What happens when the rows' shape changes; the environment's if absent."
    )
    backfill_days: int = Field(31, ge=1, description="Days in one batch of a backfill.")

    @property
    def backfill_note(self) -> str:
        """How the stream is read again, in words."""
        return f"{self.backfill_days} days a batch"

    @property
    def raw_fields(self) -> tuple[str, ...] | None:
        """Fields that a raw row may have; None where it has whatever the source does."""
        return None

    @property
    def order(self) -> Order:
        """What makes one row of a key newer than another."""
        return "version"

    @property
    def tells_days(self) -> bool:
        """True when a batch has the rows of whole days of an account, so that they can be replaced."""
        return False

    def disagreements(self, table: Table) -> Iterator[Disagreement]:
        """Says where the stream contradicts the table that it feeds."""
        yield from _unknown(table, "columns", self.columns)
        for name, role in table.told.items():
            if self.columns.get(name, name) is None:
                yield f"columns.{name}", f"null, but it is table {table.table}'s {role}"
        if isinstance(table.write, ReplaceWrite) and not self.tells_days:
            yield (
                "table",
                f"{table.table} has write: replace, which needs rows of whole days: only an http stream of read: window "
                "has them",
            )

    @field_validator("columns", mode="before")
    @classmethod
    def _types_are_the_tables(cls, columns: Any) -> Any:
        if isinstance(columns, Mapping):
            typed = [
                ((str(name),), f"{_MOVED}; here is just an expression")
                for name, column in columns.items()
                if isinstance(column, Mapping)
            ]
            if typed:
                raise refusal(typed)
        return columns


def unfed(table: Table, place: str, fields: Iterable[str], filled: Collection[str]) -> Iterator[Disagreement]:
    """Says which columns neither an expression fills nor, in whatever case, a field of their own name."""
    fields = tuple(fields)
    names = {field.casefold() for field in fields}
    lacking = [name for name in table.sourced if name not in filled and name not in names]
    if lacking:
        yield (
            place,
            f"no field for {', '.join(lacking)} of table {table.table}; known: {', '.join(fields)}. hint: name the field here, "
            "or under columns an expression, or null where the source does not tell it",
        )


def _unknown(table: Table, place: str, columns: Iterable[str]) -> Iterator[Disagreement]:
    for name in columns:
        if name not in table.columns:
            yield f"{place}.{name}", f"not a column of table {table.table}; known: {', '.join(table.sourced)}"
        elif name not in table.sourced:
            yield f"{place}.{name}", f"table {table.table} makes it by a rule of its own; no stream tells it"


WorkerType = Literal["G.1X", "G.2X", "G.4X", "G.8X"]


class Parser(Strict):
    """Another shape of a stream's answers: what differs from the stream as declared, while a provider changes its API."""

    api_version: str | None = None
    path: UrlPath | None = None
    params: dict[str, str] | None = None
    body: dict[str, Any] | None = None
    records: JmesPath | None = None
    raw: tuple[str, ...] | None = None
    columns: dict[Name, str] = Field({}, description="Expressions that replace the columns' own, by column.")


class JsonStream(StreamBase):
    """A stream whose raw rows are JSON lines."""

    raw: tuple[str, ...] = Field(min_length=1, description="Fields of a raw row; each becomes a bronze text column.")
    parsers: dict[Name, Parser] = Field({}, description="Other shapes of the rows, rolled out by environment.")

    def disagreements(self, table: Table) -> Iterator[Disagreement]:
        """Says where the stream, or another shape of its rows, contradicts the table that it feeds."""
        yield from super().disagreements(table)
        yield from unfed(table, "raw", self.raw, self.columns)
        for name, parser in self.parsers.items():
            place = f"parsers.{name}"
            yield from _unknown(table, f"{place}.columns", parser.columns)
            if parser.raw is not None:
                yield from unfed(table, f"{place}.raw", parser.raw, {*self.columns, *parser.columns})

    @property
    def raw_fields(self) -> tuple[str, ...]:
        """Fields of every shape that a raw row may have."""
        others = [name for parser in self.parsers.values() for name in parser.raw or ()]
        return tuple(dict.fromkeys((*self.raw, *others)))


class Rollout(Strict):
    """Which parser reads a share of the accounts."""

    parser: Name
    share: float = Field(1.0, ge=0, le=1, description="Share of the accounts, by a fixed order; rounded up.")


class JobSize(Strict):
    """Size and limits of the source's Extract job."""

    worker_type: WorkerType = "G.1X"
    workers: int = Field(2, ge=2)
    timeout_minutes: int = Field(60, gt=0)


class SourceBase(Strict):
    """What every source declares, whatever it speaks."""

    name: Name
    secret: SecretName | None = Field(
        None, description="Secrets Manager name under the environment's prefix, never the value."
    )
    optional: bool = Field(
        False,
        description="Gold does not wait for this source: while a stream of it is held back, the tables that read it go on without.",
    )
    job: JobSize = JobSize()

    @property
    def overridable(self) -> frozenset[str]:
        """What an environment may say of it otherwise."""
        return frozenset(type(self).model_fields)

    def overridden(self, changes: Mapping[str, Any]) -> Self:
        """The same source with the values that an environment gives to fields of it; others are not its own."""
        return self.model_copy(
            update={name: value for name, value in changes.items() if name in type(self).model_fields}
        )
