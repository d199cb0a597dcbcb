"""What every stream of a database declares: a relation, the columns of it that travel, and the rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from headwater.config.stream import Disagreement, Order, StreamBase, unfed
from headwater.config.strict import Identifier
from headwater.config.table import Table

SourceColumn = Annotated[str, Field(min_length=1, max_length=127)]
# What neither Delta takes in the name of a column nor an expression between its backticks.
_UNNAMED = re.compile(r"[\s,;{}()=`.\"]")


def raw_name(column: str) -> str:
    """The name that a raw row has for a column of a database: with underscores for what no table takes."""
    return _UNNAMED.sub("_", column)


class RelationStream(StreamBase):
    """A stream read from one table or view of a database."""

    relation: Identifier
    raw: tuple[SourceColumn, ...] | Literal["all"] = Field(
        min_length=1,
        description="Columns of the relation that are read, named as the database does, Snowflake's in lower case. A raw row "
        "has an underscore for each space, comma, point, quote, bracket or semicolon in a name. What reading itself needs is "
        "added. `all` = whatever the relation has.",
    )
    where: str | None = Field(
        None,
        min_length=1,
        description="Condition in the database's own SQL, without WHERE, which every row that is read meets.",
    )

    @property
    def order(self) -> Order:
        """What makes one row of a key newer than another: a relation is read as it is now."""
        return "reading"

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that reading itself needs."""
        return ()

    @property
    def read_columns(self) -> tuple[str, ...] | None:
        """Columns that are read; None where whatever the relation has is read."""
        return None if self.raw == "all" else tuple(dict.fromkeys((*self.raw, *self.needed)))

    @property
    def raw_fields(self) -> tuple[str, ...] | None:
        """Fields that a raw row has; None where it has whatever the relation does."""
        return None if self.read_columns is None else tuple(map(raw_name, self.read_columns))

    def disagreements(self, table: Table) -> Iterator[Disagreement]:
        """Says where the stream contradicts the table that it feeds."""
        yield from super().disagreements(table)
        if self.raw_fields is not None:
            yield from unfed(table, "raw", self.raw_fields, self.columns)

    @model_validator(mode="after")
    def _names_stay_apart(self) -> RelationStream:
        folded = [name.casefold() for name in self.raw_fields or ()]
        twice = sorted({name for name in folded if folded.count(name) > 1})
        if twice:
            raise ValueError(f"raw: {', '.join(twice)} twice, in whatever case. hint: read a view that renames one")
        return self
