"""What a silver table makes of its values by rule: columns made of others, values that cannot be, and what stands for missing ones."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from headwater.config.policy import Value
from headwater.config.strict import Name, Strict
from headwater.countries import COUNTRIES
from headwater.phone_plans import INTERNATIONAL_PREFIXES, NATIONAL_PREFIXES, NUMBERS, TRANSFORMS, ZERO_DROPPED

NOTES_TYPE = "array<struct<column:string,rule:string,was:string>>"
"""What a column of notes holds: for each value that a rule has emptied or filled, its column, the rule, and what was there."""


class Possible(Strict):
    """Between which bounds a column's values can be; any other is NULL, and stands in the table's notes as it was."""

    least: Value | None = Field(None, description="Written as the column's type reads it; itself possible.")
    most: Value | None = Field(None, description="Written as the column's type reads it; itself possible.")

    @model_validator(mode="after")
    def _bounds_something(self) -> Possible:
        if self.least is None and self.most is None:
            raise ValueError("needs least or most")
        return self


class Constant(Strict):
    """One value stands for every missing one."""

    by: Literal["constant"]
    value: Value = Field(description="Written as the column's type reads it.")


class Lookup(Strict):
    """The value of another column of the row says what stands for a missing one; what is not listed leaves it missing."""

    by: Literal["lookup"]
    of: Name = Field(description="The column of texts that is looked up.")
    values: dict[str, Value] = Field(
        min_length=1, description="What stands for a missing value, by the other column's."
    )


Missing = Annotated[Constant | Lookup, Field(discriminator="by")]


class _MadeBase(Strict):
    @property
    def edition(self) -> str:
        """What the same rule makes of the same value only while this is the same: a table whose edition was another is made anew."""
        return "1"


class Email(_MadeBase):
    """An address as mail servers compare it: no blanks around it, lower case; NULL where it is none."""

    by: Literal["email"]
    of: Name


class PersonName(_MadeBase):
    """A name with single blanks, and capitals where it was written in one case; NULL where there is none."""

    by: Literal["name"]
    of: Name


class Phone(_MadeBase):
    """A number in E.164, such as +15135550123; NULL where it is none by its country's plan."""

    by: Literal["phone"]
    of: Name
    country: str | None = Field(
        None,
        pattern="^[A-Z]{2}$",
        description="ISO 3166 code of the country whose national numbers are read; without it, those with a plus alone.",
    )

    @property
    def edition(self) -> str:
        """Changes with what is known of the world's phone numbers."""
        return _digest("1", NUMBERS, INTERNATIONAL_PREFIXES, NATIONAL_PREFIXES, TRANSFORMS, ZERO_DROPPED)


class Country(_MadeBase):
    """The ISO 3166 code of two letters, of a code or of a name in English or in the country's own languages; NULL where it is none."""

    by: Literal["country"]
    of: Name
    also: dict[str, Annotated[str, Field(pattern="^[A-Z]{2}$")]] = Field({}, description="Codes of further names.")

    @property
    def edition(self) -> str:
        """Changes with what countries are called."""
        return _digest("1", COUNTRIES)


class Notes(_MadeBase):
    """What the table's rules have emptied or filled in the row; NULL where nothing."""

    by: Literal["notes"]


Made = Annotated[Email | PersonName | Phone | Country | Notes, Field(discriminator="by")]


def country_key(name: str) -> str:
    """A country's name as it is looked up: capitals, single blanks, no stops, commas, apostrophes or brackets."""
    return " ".join(re.sub("[.,'\u2019()]", "", name.replace("&", " and ").replace("-", " ")).upper().split())


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
