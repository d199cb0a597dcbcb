"""Quality policies: the checks of one silver table."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from headwater.config.strict import Name, Strict

Level = Literal["warn", "halt", "quarantine"]


class RowCheck(Strict):
    """A condition that each row meets or not; rows that fail are quarantined, or counted where the level says so."""

    id: Name
    that: Name = Field(description="Column the check is about.")
    is_: Literal["complete", "non_negative", "positive", "in_set", "matches", "at_most_column", "between"] = Field(
        alias="is"
    )
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
