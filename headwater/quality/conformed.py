"""What a table's rules make of typed rows: values that cannot be are emptied, missing ones filled, and columns made of others.

All of this is column expressions over the row alone, so that a row is the same whenever and with whichever others it comes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config import Table
from headwater.config.rule import (
    NOTES_TYPE,
    Constant,
    Country,
    Email,
    Lookup,
    Made,
    Missing,
    Notes,
    PersonName,
    Phone,
    Possible,
    country_key,
)
from headwater.config.table import Column as Declared
from headwater.countries import COUNTRIES
from headwater.phone_plans import (
    CALLING_CODES,
    INTERNATIONAL_PREFIXES,
    NATIONAL_PREFIXES,
    NUMBERS,
    TRANSFORMS,
    ZERO_DROPPED,
)

BLANKS = r"[\p{Z}\p{Cc}]+"
# What mail servers take without quotes; the longest that they have to.
_ADDRESS = (
    r"^(?=.{3,254}\z)[a-z0-9!#$%&'*+/=?^_`{|}~\p{L}\p{N}-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~\p{L}\p{N}-]+)*"
    r"@([\p{L}\p{N}]([\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?\.)+[\p{L}][\p{L}\p{N}-]{0,61}[\p{L}\p{N}]\z"
)
_MOST_OF_A_LOCAL_PART = 64
# Digits and what people put between them; what has letters says more than a number, such as an extension.
_WRITTEN = r"^\(?\+?[0-9().\-/~ ]{3,60}\z"
_NUMBER = "^(?:" + "|".join(f"{code}{pattern}" for code, pattern in NUMBERS.items()) + r")\z"
_ZERO_DROPPED = rf"^(\(?\+ ?(?:{'|'.join(ZERO_DROPPED)})[)\-./ ]*)\(0\)"


def conformed(table: Table, rows: DataFrame) -> DataFrame:
    """Applies the rules of a table to rows that have its other columns, typed, and whatever else."""
    ruled = [name for name, column in table.columns.items() if column.made or column.possible or column.missing]
    if not ruled:
        return rows
    notes: list[Column] = []
    bounded = {name: column.possible for name, column in table.sourced.items() if column.possible}
    for name, possible in bounded.items():
        notes.append(_note(name, "possible", ~_within(name, possible, table.columns[name])))
    # In steps of their own, since what a note says of a value is the value before.
    step = _noted(rows, notes).withColumns(
        {name: F.when(_within(name, rule, table.columns[name]), _of(name)) for name, rule in bounded.items()}
    )
    filled = {
        name: (column.missing, _filled(column.missing, column.type))
        for name, column in table.sourced.items()
        if column.missing
    }
    notes = [
        _note(name, rule.by, _of(name).isNull() & value.isNotNull(), was=False)
        for name, (rule, value) in filled.items()
    ]
    step = _noted(step, notes).withColumns({name: F.coalesce(_of(name), value) for name, (_, value) in filled.items()})
    made = {name: column.made for name, column in table.columns.items() if column.made}
    values = {name: (rule, made_by(rule)) for name, rule in made.items() if not isinstance(rule, Notes)}
    step = step.withColumns({name: value.cast(table.columns[name].type) for name, (_, value) in values.items()})
    notes = [
        _note(name, rule.by, _of(rule.of).isNotNull() & _of(name).isNull(), of=rule.of)
        for name, (rule, _) in values.items()
    ]
    step = _noted(step, notes)
    told = F.col(_NOTES)
    step = step.withColumns(
        {name: F.when(F.size(told) > 0, told) for name, rule in made.items() if isinstance(rule, Notes)}
    )
    others = [name for name in rows.columns if name not in table.columns]
    return step.select(*[_of(name) for name in table.columns], *[_of(name) for name in others])


_NOTES = "_rule_notes"


def _noted(rows: DataFrame, notes: list[Column]) -> DataFrame:
    """Adds what is noted now to what has been."""
    before = F.col(_NOTES) if _NOTES in rows.columns else F.array().cast(NOTES_TYPE)
    return rows.withColumn(_NOTES, F.concat(before, F.array_compact(F.array(*notes)).cast(NOTES_TYPE)))


def _note(column: str, rule: str, when: Column, *, of: str | None = None, was: bool = True) -> Column:
    value = _of(of or column).cast("string") if was else F.lit(None).cast("string")
    return F.when(when, F.struct(F.lit(column).alias("column"), F.lit(rule).alias("rule"), value.alias("was")))


def _of(name: str) -> Column:
    return F.col(f"`{name}`")


def _within(name: str, possible: Possible, column: Declared) -> Column:
    """Whether a value is within its bounds; a missing one is."""
    least, most = (F.lit(bound).cast(column.type) for bound in (possible.least, possible.most))
    return F.coalesce(_of(name) >= least, F.lit(True)) & F.coalesce(_of(name) <= most, F.lit(True))


def _filled(missing: Missing, type_: str) -> Column:
    match missing:
        case Constant(value=value):
            return F.lit(value).cast(type_)
        case Lookup(of=of, values=values):
            return F.element_at(_map(values), _of(of)).cast(type_)


def made_by(made: Made) -> Column:
    """The column that a rule makes of another."""
    match made:
        case Email(of=of):
            return _email(_of(of))
        case PersonName(of=of):
            return _name(_of(of))
        case Phone(of=of, country=country):
            return _phone(_of(of), country)
        case Country(of=of, also=also):
            known = {**COUNTRIES, **{country_key(name): code for name, code in also.items()}}
            return F.element_at(_map(known), _spelled(_of(of)))
        case Notes():
            raise AssertionError


def _map(values: dict[str, str]) -> Column:
    # As one text: a literal for each of a thousand entries takes longer to plan than the rows to compute.
    return F.from_json(F.lit(json.dumps(values)), "map<string,string>")


def _email(text: Column) -> Column:
    address = F.lower(F.regexp_replace(text, rf"^{BLANKS}|{BLANKS}\z", ""))
    short = F.length(F.substring_index(address, "@", 1)) <= _MOST_OF_A_LOCAL_PART
    return F.when(address.rlike(_ADDRESS) & short, address)


def _name(text: Column) -> Column:
    name = F.trim(F.regexp_replace(text, BLANKS, " "))
    # A capital begins what follows a blank, a hyphen or an apostrophe.
    parts = F.split(F.lower(name), r"(?<=[ '\u2019-])")
    capitals = F.array_join(
        F.transform(parts, lambda part: F.concat(F.upper(F.substring(part, 1, 1)), part.substr(2, 999))), ""
    )
    of_one_case = (name == F.lower(name)) | (name == F.upper(name))
    return F.when(name != "", F.when(of_one_case, capitals).otherwise(name))


def _spelled(name: Column) -> Column:
    """A country's name as the table of them is looked up."""
    bare = F.regexp_replace(F.regexp_replace(name, "&", " and "), r"[.,'\u2019()]", "")
    return F.trim(F.upper(F.regexp_replace(bare, r"[\p{Z}\p{Cc}-]+", " ")))


def _phone(text: Column, country: str | None) -> Column:
    """A number in E.164, where it has as many digits as its country's numbers, and such as they have.

    Which of them are in use changes from month to month, and is not looked at.
    """
    written = F.trim(F.regexp_replace(F.regexp_replace(text, BLANKS, " "), "^ ?(?i:tel:)", ""))
    plus = written.rlike(r"^\(?\+")
    digits = F.regexp_replace(F.regexp_replace(written, _ZERO_DROPPED, "$1"), "[^0-9]", "")
    international = F.when(plus & digits.rlike(_NUMBER), F.concat(F.lit("+"), digits))
    told = F.coalesce(international, *_national(plus, digits, country)) if country else international
    return F.when(written.rlike(_WRITTEN), told)


def _national(plus: Column, digits: Column, country: str) -> Iterator[Column]:
    """What a number without a plus is to people in a country, the likeliest first."""
    code = CALLING_CODES[country]
    abroad = F.regexp_replace(digits, f"^(?:{INTERNATIONAL_PREFIXES[country]})(?=[1-9])", "")
    leaves = abroad != digits
    yield F.when(~plus & leaves & abroad.rlike(_NUMBER), F.concat(F.lit("+"), abroad))
    prefix = f"^(?:{NATIONAL_PREFIXES[country]})"
    bare = F.regexp_replace(digits, prefix, "")
    if country in TRANSFORMS:
        rule = TRANSFORMS[country].replace("\\", "$")
        group = NATIONAL_PREFIXES[country].count("(") - NATIONAL_PREFIXES[country].count("(?")
        carried = F.regexp_extract(digits, prefix, group) != ""
        bare = F.when(carried, F.regexp_replace(digits, prefix, rule)).otherwise(bare)
    for number in (bare, digits):
        whole = F.concat(F.lit(code), number)
        yield F.when(~plus & ~leaves & whole.rlike(_NUMBER), F.concat(F.lit("+"), whole))
