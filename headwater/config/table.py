"""Silver tables: what a table holds, who answers for it, what tells its rows apart, and how rows are written to it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from headwater.config.rule import Made, Missing, Possible
from headwater.config.rule_fit import misruled
from headwater.config.sql_type import SqlType
from headwater.config.strict import Name, Place, Strict, refusal, unknown


class Column(Strict):
    """One silver column: its Spark SQL type, what it means, and what rules make of it."""

    type: SqlType = Field(description="Spark SQL type, such as `decimal(18,2)`; money is decimal, never float.")
    unit: str | None = Field(None, description="In what it is counted, such as seconds; of money, its currency.")
    note: str | None = Field(None, description="What the column means, for the data dictionary.")
    made: Made | None = Field(None, description="How it is made of another column of the row; no stream tells it then.")
    possible: Possible | None = None
    missing: Missing | None = Field(None, description="What stands for a value that is missing, or is not possible.")


class MergeWrite(Strict):
    """Newest version by key replaces the older one."""

    kind: Literal["merge"] = "merge"


class Scd2Write(Strict):
    """Every version is kept with valid_from, valid_to and is_current."""

    kind: Literal["scd2"]
    ignore: tuple[Name, ...] = Field((), description="Columns whose change alone makes no new version.")


SCD2_COLUMNS = {"valid_from": "timestamp", "valid_to": "timestamp", "is_current": "boolean"}
"""What a table has beside its declared columns where every version is kept: types by name."""


class InsertWrite(Strict):
    """Rows with new keys are added; a row that is there never changes."""

    kind: Literal["insert"]


class ReplaceWrite(Strict):
    """All rows of the accounts' days a batch covers are replaced by the batch's rows, so restated rows may vanish."""

    kind: Literal["replace"]
    account: Name = Field(description="Silver column that holds a row's account.")
    day: Name = Field(description="Silver column that holds a row's day.")


Write = Annotated[MergeWrite | InsertWrite | Scd2Write | ReplaceWrite, Field(discriminator="kind")]


class Table(Strict):
    """One silver table; streams say where its columns come from, and nothing else about it."""

    table: Name
    owner: str = Field(min_length=1, description="Team that answers for the table.")
    note: str = Field(min_length=1, description="What a row is, for the data dictionary.")
    key: tuple[Name, ...] = Field(min_length=1, description="Columns that identify a row.")
    version: Name | None = Field(
        None,
        description="Column that orders the versions of a key; a row without a value is the oldest, and among such, as where "
        "no column is named, the order of arrival decides.",
    )
    write: Write = MergeWrite()
    columns: dict[Name, Column] = Field(min_length=1)

    @property
    def told(self) -> dict[Name, str]:
        """Columns that no feeding stream may leave NULL, by what they are for."""
        told = dict.fromkeys(self.key, "key")
        if isinstance(self.write, Scd2Write) and self.version is not None:
            told |= {self.version: "version, since scd2 says from when on a row is true"}
        if isinstance(self.write, ReplaceWrite):
            told |= {self.write.account: "write.account", self.write.day: "write.day"}
        return told

    @property
    def sourced(self) -> dict[Name, Column]:
        """The columns that streams tell, by name: all but those that are made of others."""
        return {name: column for name, column in self.columns.items() if column.made is None}

    @property
    def types(self) -> dict[str, str]:
        """The Spark SQL type of each column that the table has in silver."""
        added = SCD2_COLUMNS if isinstance(self.write, Scd2Write) else {}
        return {name: column.type for name, column in self.columns.items()} | added

    @model_validator(mode="after")
    def _names_are_columns(self) -> Table:
        named: dict[Place, tuple[str, ...]] = {
            ("key",): self.key,
            ("version",): (self.version,) if self.version else (),
        }
        match self.write:
            case Scd2Write() as write:
                named["write", "ignore"] = write.ignore
                if self.version is None:
                    raise refusal([(("write",), "scd2 needs a version, the column that says since when a row is true")])
            case ReplaceWrite() as write:
                named |= {("write", "account"): (write.account,), ("write", "day"): (write.day,)}
        problems = [
            (place, unknown("column", name, self.columns))
            for place, names in named.items()
            for name in names
            if name not in self.columns
        ]
        roles = {**({self.version: "version"} if self.version else {}), **self.told}
        problems += [(("columns", *place), problem) for place, problem in misruled(self.columns, roles)]
        if problems:
            raise refusal(problems)
        return self
