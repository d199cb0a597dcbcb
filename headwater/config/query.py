"""Queries that the query API may be asked: a text in Athena's SQL, and the parameters whose values are bound to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Generic, Literal, Self, TypeVar

from pydantic import Field, model_validator

from headwater.config.strict import Name, Place, Strict, refusal, unknown

# What every query takes besides its own parameters.
RESERVED = ("format", "page")
# Athena takes 1024 characters of a value, as a literal: an apostrophe is written twice there.
_LONGEST_TEXT = 500
ONE_LINE = r"^[^\u0000-\u001f\u007f-\u009f]*$"
"""A text without control characters, as a regular expression of Python and of JSON Schema."""
_MOST_DIGITS = 18

_Value = TypeVar("_Value", date, int, str)


class _Parameter(Strict, Generic[_Value]):
    """A parameter of a query. What it reads is a value; what it binds is that value as a literal of Athena's SQL."""

    note: str = Field(description="What it selects, for whoever asks.")
    default: _Value | None = Field(None, description="Its value where none is given; without, one must be given.")

    @property
    def placeholder(self) -> str:
        """What stands in the SQL for its value."""
        return "?"

    @model_validator(mode="after")
    def _default_is_one(self) -> Self:
        if self.default is not None and (problem := self._wrong(self.default)):
            raise refusal([(("default",), problem)])
        return self

    def bound(self, text: str | None) -> str:
        """The literal of a given value, or of the default; ValueError says what a value must be."""
        value = self.default if text is None else self._read(text)
        if value is None:
            raise ValueError("must be given")
        if problem := self._wrong(value):
            raise ValueError(problem)
        return self._literal(value)

    def _read(self, text: str) -> _Value:
        raise NotImplementedError

    def _wrong(self, value: _Value) -> str | None:
        """What a value must be and is not."""
        raise NotImplementedError

    def _literal(self, value: _Value) -> str:
        return str(value)


class TextParameter(_Parameter[str]):
    """A text: one of some words, or any that is not too long."""

    type: Literal["text"]
    longest: int = Field(100, ge=1, le=_LONGEST_TEXT, description="Characters that a value may have.")
    one_of: tuple[str, ...] = Field((), description="The values that there are; any if empty.")

    def _read(self, text: str) -> str:
        return text

    def _wrong(self, value: str) -> str | None:
        if self.one_of and value not in self.one_of:
            return f"must be one of {', '.join(self.one_of)}"
        if len(value) > self.longest or not re.fullmatch(ONE_LINE, value):
            return f"must be one line of at most {self.longest} characters"
        return None

    def _literal(self, value: str) -> str:
        return _quoted(value)


class _Bounded(_Parameter[_Value]):
    """A parameter whose values have an order, from the least to the most."""

    least: _Value
    most: _Value

    def _wrong(self, value: _Value) -> str | None:
        return None if self.least <= value <= self.most else f"must be from {self.least} to {self.most}"

    @model_validator(mode="after")
    def _bounds_hold_something(self) -> Self:
        if self.least > self.most:
            raise refusal([(("least",), f"{self.least} is above most, {self.most}")])
        return self


class IntegerParameter(_Bounded[int]):
    """A whole number."""

    type: Literal["integer"]

    def _read(self, text: str) -> int:
        return int(_formed(rf"-?[0-9]{{1,{_MOST_DIGITS}}}", text, "a whole number"))


class DateParameter(_Bounded[date]):
    """A day."""

    type: Literal["date"]

    @property
    def placeholder(self) -> str:
        """A date is bound as text."""
        return "CAST(? AS DATE)"

    def _read(self, text: str) -> date:
        try:
            return date.fromisoformat(_formed(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, "a date, YYYY-MM-DD"))
        except ValueError:
            raise ValueError("must be a date, YYYY-MM-DD") from None

    def _literal(self, value: date) -> str:
        return _quoted(value.isoformat())


Parameter = Annotated[TextParameter | IntegerParameter | DateParameter, Field(discriminator="type")]

# A name after a colon, where it stands in no text, no quoted name and no comment.
_PIECES = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|(?<![:\w]):(?P<name>[a-z][a-z0-9_]*)", re.DOTALL
)


class Query(Strict):
    """A query that the API may be asked, in the file that is named after it."""

    query: Name = Field(description="Its name, as the file and the path are named.")
    note: str = Field(description="One sentence: what it answers.")
    owner: str = Field(description="Who answers for what the numbers mean.")
    reads: tuple[Name, ...] = Field(
        min_length=1, description="Gold tables that it reads; an answer is kept until one of them changes."
    )
    parameters: dict[Name, Parameter] = Field({}, description="What whoever asks may choose, by name.")
    sql: str = Field(description="One SELECT in Athena's SQL over gold tables; `:name` in its WHERE is a parameter.")

    @model_validator(mode="after")
    def _parameters_are_used(self) -> Self:
        problems = list(self._unfit())
        if problems:
            raise refusal(problems)
        return self

    def _unfit(self) -> Iterator[tuple[Place, str]]:
        named = self.used
        for name in dict.fromkeys(named):
            if name not in self.parameters:
                yield ("sql",), unknown("parameter", name, self.parameters)
        for name in self.parameters:
            if name in RESERVED:
                yield ("parameters", name), f"every query takes {' and '.join(RESERVED)} for itself. hint: another name"
            elif name not in named:
                yield ("parameters", name), f"is nowhere in the SQL. hint: write :{name} there"

    @property
    def used(self) -> list[str]:
        """The parameters in the order in which the SQL has them, as often as it has them."""
        return [found["name"] for found in _PIECES.finditer(self.sql) if found["name"]]

    @property
    def text(self) -> str:
        """The SQL as Athena takes it: a question mark for each value, whatever the values are."""
        return _PIECES.sub(
            lambda found: self.parameters[found["name"]].placeholder if found["name"] else found[0], self.sql
        )

    def values(self, given: dict[str, str]) -> list[str]:
        """The literals for the question marks of `text`, in their order; ValueError names the parameter that is wrong."""
        bound = {}
        for name, parameter in self.parameters.items():
            try:
                bound[name] = parameter.bound(given.get(name))
            except ValueError as error:
                raise ValueError(f"{name} {error}") from None
        return [bound[name] for name in self.used]


def _formed(form: str, text: str, what: str) -> str:
    if not re.fullmatch(form, text):
        raise ValueError(f"must be {what}")
    return text


def _quoted(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
