"""Quality policies: the checks of one silver table, each a class of its own with its arguments by name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from headwater.config.strict import Name, Strict

Level = Literal["warn", "halt", "quarantine"]
Share = Annotated[float, Field(ge=0, le=1)]


def _as_written(value: Any) -> Any:
    """A number, date or time of YAML as text; what is none of these stays, to be refused as no text."""
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and isfinite(value):
        return f"{Decimal(repr(value)):f}"  # never 1e-05, which is how Python writes 0.00001
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _exactly_as_written(value: Any) -> Any:
    """As `_as_written`, but a number with a point must be quoted: of 1.10 only 1.1 would be left, which is another text."""
    if isinstance(value, float):
        said = "is a number with a point: put it in quotes, so that it is what is written"
        raise ValueError(said)  # noqa: TRY004 - pydantic takes no TypeError for a refusal
    return _as_written(value)


Value = Annotated[str, BeforeValidator(_as_written, json_schema_input_type=str | int | float)]
Word = Annotated[str, BeforeValidator(_exactly_as_written, json_schema_input_type=str | int)]


_BOUNDS = {"at_least": "is called least now", "at_most": "is called most now"}


class CheckBase(Strict):
    """What every check says: its id, which is the reason in quarantine, and its column."""

    id: Name
    that: Name = Field(description="Column the check is about.")


class RowCheckBase(CheckBase):
    """A condition that each row meets or not; rows that fail are quarantined, or counted where the level says so."""

    moved: ClassVar[Mapping[str, str]] = {
        "at_most": "is called may_fail now",
        "values": "have names now: `column`, `pattern`, or `least` and `most`",
    }

    level: Level = "quarantine"
    may_fail: Share | None = Field(
        None,
        description="Share of a batch's rows that may fail: beyond it a quarantine check halts the batch, and a warn or "
        "halt check fails. Absent: all may be quarantined; none may fail a warn or halt check.",
    )
    least_rows: int = Field(
        20, ge=1, description="Rows that a batch has at least before `may_fail` counts: one of three is no share."
    )

    def may_fail_of(self, rows: int) -> float:
        """The share that may fail in a batch of so many rows."""
        if self.may_fail is None:
            return 1.0 if self.level == "quarantine" else 0.0
        return self.may_fail if rows >= self.least_rows else 1.0


class Complete(RowCheckBase):
    """The value is there."""

    is_: Literal["complete"] = Field(alias="is")


class NonNegative(RowCheckBase):
    """The number is 0 or more."""

    is_: Literal["non_negative"] = Field(alias="is")


class Positive(RowCheckBase):
    """The number is more than 0."""

    is_: Literal["positive"] = Field(alias="is")


class InSet(RowCheckBase):
    """The value is one of those listed."""

    is_: Literal["in_set"] = Field(alias="is")
    values: tuple[Word, ...] = Field(min_length=1)


class Matches(RowCheckBase):
    """The text has a match of a regular expression, by Java's rules."""

    is_: Literal["matches"] = Field(alias="is")
    pattern: str = Field(min_length=1)


class Between(RowCheckBase):
    """The value is neither below `least` nor above `most`."""

    is_: Literal["between"] = Field(alias="is")
    least: Value
    most: Value


class AtMostColumn(RowCheckBase):
    """The value is not above that of another column of the row."""

    is_: Literal["at_most_column"] = Field(alias="is")
    column: Name


class Known(CheckBase):
    """The value exists in a column of another silver table."""

    is_: Literal["known"] = Field(alias="is")
    table: Name
    column: Name
    level: Literal["quarantine"] = "quarantine"
    pending_days: int = Field(
        7,
        ge=0,
        description="Days for which a row that is in quarantine for this alone is judged again with each batch of its stream, since "
        "what it names may have come; where every version is kept, never.",
    )


RowPredicateCheck = Complete | NonNegative | Positive | InSet | Matches | Between | AtMostColumn
"""A check that a row's own values decide."""
RowCheck = Annotated[RowPredicateCheck | Known, Field(discriminator="is_")]


class Unique(CheckBase):
    """No value of the column comes twice in a batch."""

    is_: Literal["unique"] = Field(alias="is")
    level: Literal["warn", "halt"]

    def holds(self, share: float) -> bool:
        """True when all of a batch's values come once."""
        return share == 1.0


class CompleteShare(CheckBase):
    """At least such a share of a batch's rows has a value."""

    moved: ClassVar[Mapping[str, str]] = _BOUNDS

    is_: Literal["complete_share"] = Field(alias="is")
    least: Share
    level: Literal["warn", "halt"]

    def holds(self, share: float) -> bool:
        """True when such a share of a batch's rows is enough."""
        return share >= self.least


class DistinctAtLeast(CheckBase):
    """A batch has about so many different values, or more."""

    moved: ClassVar[Mapping[str, str]] = _BOUNDS

    is_: Literal["distinct_at_least"] = Field(alias="is")
    least: int = Field(ge=1)
    level: Literal["warn", "halt"]

    def holds(self, number: float) -> bool:
        """True when so many different values are enough."""
        return number >= self.least


class _Bounds(Strict):
    """Bounds of a number of the batch, of which one may be absent."""

    moved: ClassVar[Mapping[str, str]] = _BOUNDS

    least: float | None = None
    most: float | None = None
    level: Literal["warn", "halt"]

    @model_validator(mode="after")
    def _bounds_fit(self) -> _Bounds:
        if self.least is None and self.most is None:
            raise ValueError("least, most or both are needed")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least, {self.least:g}, is above most, {self.most:g}: no batch would hold")
        return self

    def holds(self, value: float) -> bool:
        """True when a number lies within the bounds."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


class MeanBetween(_Bounds, CheckBase):
    """The mean of a batch's values lies within bounds."""

    is_: Literal["mean_between"] = Field(alias="is")


class Size(_Bounds):
    """The number of a batch's rows lies within bounds."""

    id: Name
    is_: Literal["size"] = Field(alias="is")


AnyBatchCheck = Unique | CompleteShare | DistinctAtLeast | MeanBetween | Size
BatchCheck = Annotated[AnyBatchCheck, Field(discriminator="is_")]


class Policy(Strict):
    """The checks of one silver table: of each row, and of a batch as a whole, which Deequ computes."""

    table: Name
    rows: tuple[RowCheck, ...] = ()
    batch: tuple[BatchCheck, ...] = ()

    @property
    def predicates(self) -> tuple[RowPredicateCheck, ...]:
        """The checks that a row's own values decide."""
        return tuple(check for check in self.rows if not isinstance(check, Known))

    @property
    def known(self) -> tuple[Known, ...]:
        """The checks against other tables."""
        return tuple(check for check in self.rows if isinstance(check, Known))

    def of_batch(self, readable: int) -> tuple[AnyBatchCheck, ...]:
        """The checks of a batch in which so many rows can be read: of none, nothing can be said but how many rows there are."""
        return tuple(check for check in self.batch if readable or isinstance(check, Size))

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Policy:
        ids = [check.id for check in (*self.rows, *self.batch)]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"check ids must be unique; twice: {', '.join(twice)}")
        return self
