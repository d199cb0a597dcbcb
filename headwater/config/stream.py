"""What every stream declares: the silver table it feeds, its key, its columns and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from headwater.config.expression import JmesPath
from headwater.config.strict import Name, Strict


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
    """All rows of the accounts' days a batch covers are replaced by the batch's rows, so restated rows may vanish."""

    kind: Literal["replace"]
    account: Name = Field(description="Silver column that holds a row's account.")
    day: Name = Field(description="Silver column that holds a row's day.")


Write = Annotated[MergeWrite | InsertWrite | Scd2Write | ReplaceWrite, Field(discriminator="kind")]


Drift = Annotated[
    Literal["evolve", "strict", "quarantine"],
    Field(
        description="evolve: a new field becomes a bronze column, and the change is reported; strict: the batch is halted; "
        "quarantine: rows of another shape go to quarantine."
    ),
]


class StreamBase(Strict):
    """What every stream declares, whatever its source speaks."""

    table: Name = Field(description="Silver table that the stream feeds.")
    key: tuple[Name, ...] = Field(min_length=1, description="Silver columns that identify a row.")
    version: Name | None = Field(
        None, description="Silver column that orders versions of a key; the order of arrival if absent."
    )
    write: Write = MergeWrite()
    columns: dict[Name, Column] = Field(min_length=1)
    drift: Drift | None = Field(
        None, description="What happens when the rows' shape changes; the environment's if absent."
    )
    backfill_days: int = Field(31, ge=1, description="Days in one batch of a backfill.")

    @property
    def backfill_note(self) -> str:
        """How the stream is read again, in words."""
        return f"{self.backfill_days} days a batch"

    @model_validator(mode="after")
    def _names_are_columns(self) -> StreamBase:
        unknown = [name for name in (*self.key, *filter(None, [self.version])) if name not in self.columns]
        if isinstance(self.write, Scd2Write):
            unknown += [name for name in self.write.ignore if name not in self.columns]
            if self.version is None:
                raise ValueError("write: scd2 needs a version, the column that says since when a row is true")
        if unknown:
            raise ValueError(f"{', '.join(unknown)} not among columns; known: {', '.join(self.columns)}")
        return self


WorkerType = Literal["G.1X", "G.2X", "G.4X", "G.8X"]


class Parser(Strict):
    """Another shape of a stream's answers: what differs from the stream as declared, while a provider changes its API."""

    api_version: str | None = None
    path: str | None = None
    params: dict[str, str] | None = None
    body: dict[str, Any] | None = None
    records: JmesPath | None = None
    raw: tuple[str, ...] | None = None
    columns: dict[Name, str] = Field({}, description="Expressions that replace the columns' own, by column.")


class JsonStream(StreamBase):
    """A stream whose raw rows are JSON lines."""

    raw: tuple[str, ...] = Field(min_length=1, description="Fields of a raw row; each becomes a bronze text column.")
    parsers: dict[Name, Parser] = Field({}, description="Other shapes of the rows, rolled out by environment.")

    @model_validator(mode="after")
    def _parsers_fill_columns(self) -> JsonStream:
        for name, parser in self.parsers.items():
            unknown = sorted(parser.columns.keys() - self.columns.keys())
            if unknown:
                raise ValueError(
                    f"parsers.{name}: {', '.join(unknown)} not among columns; known: {', '.join(self.columns)}"
                )
        return self

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
    secret: str | None = Field(
        None, description="Secrets Manager name under the environment's prefix, never the value."
    )
    optional: bool = Field(False, description="A failure of this source leaves the others running.")
    job: JobSize = JobSize()

    def overridden(self, changes: Mapping[str, Any]) -> Self:
        """The same source with the values that an environment gives to fields of it; others are not its own."""
        return self.model_copy(
            update={name: value for name, value in changes.items() if name in type(self).model_fields}
        )
