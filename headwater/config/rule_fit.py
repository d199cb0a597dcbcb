"""Whether a silver table's rules fit its columns: what they are made of exists, and values read as their types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from headwater.config.rule import NOTES_TYPE, Constant, Country, Lookup, Made, Missing, Notes, Phone
from headwater.config.sql_type import family, read_value
from headwater.config.strict import Place, unknown
from headwater.countries import COUNTRIES
from headwater.phone_plans import CALLING_CODES

if TYPE_CHECKING:
    from headwater.config.table import Column

_RULES = ("made", "possible", "missing")


def misruled(columns: Mapping[str, Column], roles: Mapping[str, str]) -> Iterator[tuple[Place, str]]:
    """Which rules do not fit: the place within the columns, and what is wrong; `roles` says of columns what they are to the table."""
    noted = [name for name, column in columns.items() if isinstance(column.made, Notes)]
    for name in noted[1:]:
        yield (name, "made"), f"the table has its notes in {noted[0]}"
    for name, column in columns.items():
        rules = [rule for rule in _RULES if getattr(column, rule) is not None]
        if rules and name in roles:
            yield (name, rules[0]), f"no rule for the table's {roles[name]}"
        elif "made" in rules and len(rules) > 1:
            yield (name, rules[1]), "a column that is made of another has no further rule"
        elif rules and "made" not in rules and not noted:
            hint = f'hint: notes: {{ type: "{NOTES_TYPE}", made: {{ by: notes }} }}'
            yield (name, rules[0]), f"what the rule does needs a column that notes it. {hint}"
        if column.made:
            yield from (((name, *place), problem) for place, problem in _of_made(column.made, column.type, columns))
        if column.possible:
            bounds = [("least", column.possible.least), ("most", column.possible.most)]
            yield from (((name, "possible", *place), problem) for place, problem in _of_bounds(bounds, column.type))
        if column.missing:
            found = _of_missing(column.missing, column.type, columns)
            yield from (((name, "missing", *place), problem) for place, problem in found)


def _of_made(made: Made, type_: str, columns: Mapping[str, Column]) -> Iterator[tuple[Place, str]]:
    if isinstance(made, Notes):
        if type_.replace(" ", "") != NOTES_TYPE:
            yield ("type",), f"notes are {NOTES_TYPE}"
        return
    yield from ((("made", *place), problem) for place, problem in _of_texts(made.of, columns))
    if family(type_) != "text":
        yield ("type",), f"what is made by {made.by} is a text, and this a {type_}"
    if isinstance(made, Phone) and made.country not in {None, *CALLING_CODES}:
        yield ("made", "country"), unknown("country", str(made.country), CALLING_CODES)
    for name, code in made.also.items() if isinstance(made, Country) else ():
        if COUNTRIES.get(code) != code:
            yield ("made", "also", name), unknown("country", code, set(COUNTRIES.values()))


def _of_missing(missing: Missing, type_: str, columns: Mapping[str, Column]) -> Iterator[tuple[Place, str]]:
    match missing:
        case Constant(value=value):
            yield from _misread("value", value, type_)
        case Lookup(of=of, values=values):
            yield from _of_texts(of, columns)
            for name, value in values.items():
                yield from ((("values", *place), problem) for place, problem in _misread(name, value, type_))


def _of_texts(of: str, columns: Mapping[str, Column]) -> Iterator[tuple[Place, str]]:
    """What is wrong with the column of which another is made."""
    sourced = {name for name, column in columns.items() if column.made is None}
    if of not in sourced:
        yield ("of",), unknown("column that a stream tells", of, sourced)
    elif family(columns[of].type) != "text":
        yield ("of",), f"{of} is a {columns[of].type}, no text"


def _of_bounds(bounds: list[tuple[str, str | None]], type_: str) -> Iterator[tuple[Place, str]]:
    given = [(name, value) for name, value in bounds if value is not None]
    wrong = [problem for name, value in given for problem in _misread(name, value, type_)]
    yield from wrong
    if len(given) == 2 and not wrong and read_value(given[0][1], type_) > read_value(given[1][1], type_):
        yield ("most",), "is less than least"


def _misread(name: str, value: str, type_: str) -> Iterator[tuple[Place, str]]:
    try:
        read_value(value, type_)
    except ValueError as error:
        yield (name,), str(error)
