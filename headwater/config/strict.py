"""The strictness that all declared models share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$")]
Place = tuple[str | int, ...]
"""Keys and numbers that lead to a value within what is declared."""


def refusal(problems: Iterable[tuple[Place, str]]) -> PydanticCustomError:
    """The error of a model in which something is wrong at each of these places."""
    told = list(problems)
    said = "; ".join(f"{'.'.join(map(str, place))}: {problem}" for place, problem in told)
    return PydanticCustomError("refused", "{said}", {"said": said, "problems": told})


def meant(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that is not known: which one may be meant; empty where none is near."""
    close = get_close_matches(name, list(known), 1)
    return f", did you mean {close[0]}?" if close else ""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Says that there is no such thing, what may be meant, and what there is."""
    names = sorted(known)
    return f"no {what} {name}{meant(name, names) or ';'} known: {', '.join(names) or 'none'}"


class Strict(BaseModel):
    """A frozen model that refuses keys it does not know, and says which it knows."""

    # As JSON, in which a project is deployed, infinity and NaN would be null: a bound that is none.
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    moved: ClassVar[Mapping[str, str]] = {}
    """What became of keys that an earlier version knew, by key."""

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            strange = [key for key in data if key not in known and key not in cls.model_fields]
            if strange:
                raise refusal(
                    ((str(key),), cls.moved.get(str(key), unknown("such key", str(key), known))) for key in strange
                )
        return data
