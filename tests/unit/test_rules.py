"""Rules of silver's columns: one that fits loads, and of one that does not it is told where it stands and what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from headwater.config import KinesisStream, Table
from headwater.config.documents import problems_of
from headwater.config.rule import NOTES_TYPE, country_key
from headwater.countries import COUNTRIES
from headwater.phone_plans import CALLING_CODES, NUMBERS

NOTES = {"type": NOTES_TYPE, "made": {"by": "notes"}}


def table(columns: dict[str, Any], **changes: Any) -> Table:
    told = {"id": {"type": "bigint"}, "city": {"type": "string"}, "seen": {"type": "timestamp"}}
    declared = {"table": "people", "owner": "Shop", "note": "A row.", "key": ["id"], "version": "seen"}
    return Table.model_validate(declared | {"columns": told | columns} | changes)


TEXT: dict[str, Any] = {"type": "string"}
INT: dict[str, Any] = {"type": "int"}
GOOD: dict[str, dict[str, Any]] = {
    "made of a text": {"normal": {"type": "varchar(40)", "made": {"by": "name", "of": "city"}}},
    "a country's national numbers": {"phone": TEXT | {"made": {"by": "phone", "of": "city", "country": "AT"}}},
    "a country of another name": {"code": TEXT | {"made": {"by": "country", "of": "city", "also": {"Vienna": "AT"}}}},
    "bounds": {"born": {"type": "date", "possible": {"least": "1900-01-01"}}, "notes": NOTES},
    "a constant": {"age": INT | {"missing": {"by": "constant", "value": 7}}, "notes": NOTES},
    "a lookup": {
        "code": INT | {"missing": {"by": "lookup", "of": "city", "values": {"Graz": 8010}}},
        "notes": NOTES,
    },
}


@pytest.mark.parametrize("columns", GOOD.values(), ids=GOOD)
def test_a_rule_that_fits_loads(columns: dict[str, Any]) -> None:
    assert table(columns).columns.keys() >= columns.keys()


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"x": TEXT | {"made": {"by": "email", "of": "town"}}}, "x.made.of", "no column that a stream tells town"),
    ({"x": TEXT | {"made": {"by": "email", "of": "id"}}}, "x.made.of", "id is a bigint, no text"),
    ({"x": INT | {"made": {"by": "phone", "of": "city"}}}, "x.type", "made by phone is a text, and this a int"),
    ({"x": TEXT | {"made": {"by": "phone", "of": "city", "country": "XX"}}}, "x.made.country", "no country XX"),
    (
        {"x": TEXT | {"made": {"by": "country", "of": "city", "also": {"Wien": "XX"}}}},
        "x.made.also.Wien",
        "no country XX",
    ),
    ({"x": TEXT | {"made": {"by": "magic", "of": "city"}}}, "x.made.by", "magic"),
    (
        {"x": TEXT | {"made": {"by": "email", "of": "city"}, "missing": {"by": "constant", "value": "a"}}},
        "x.missing",
        "has no further rule",
    ),
    (
        {"id": {"type": "bigint", "missing": {"by": "constant", "value": "1"}}, "notes": NOTES},
        "id.missing",
        "no rule for the table's key",
    ),
    (
        {"seen": {"type": "timestamp", "possible": {"least": "1970-01-01"}}, "notes": NOTES},
        "seen.possible",
        "no rule for the table's version",
    ),
    ({"x": INT | {"possible": {"least": "1"}}}, "x.possible", "hint: notes: {"),
    ({"x": INT | {"possible": {}}, "notes": NOTES}, "x.possible", "needs least or most"),
    ({"x": INT | {"possible": {"least": "one"}}, "notes": NOTES}, "x.possible.least", "'one' is no int"),
    ({"x": INT | {"possible": {"least": "2", "most": "1"}}, "notes": NOTES}, "x.possible.most", "is less than least"),
    (
        {"x": INT | {"missing": {"by": "constant", "value": "1.5"}}, "notes": NOTES},
        "x.missing.value",
        "'1.5' is no int",
    ),
    (
        {"x": INT | {"missing": {"by": "lookup", "of": "seen", "values": {"a": "1"}}}, "notes": NOTES},
        "x.missing.of",
        "seen is a timestamp, no text",
    ),
    (
        {"x": INT | {"missing": {"by": "lookup", "of": "city", "values": {"a": "b"}}}, "notes": NOTES},
        "x.missing.values.a",
        "'b' is no int",
    ),
    ({"notes": NOTES | {"type": "array<string>"}}, "notes.type", NOTES_TYPE),
    ({"notes": NOTES, "more": NOTES}, "more.made", "has its notes in notes"),
]


@pytest.mark.parametrize(("columns", "place", "said"), BAD, ids=[place for _, place, _ in BAD])
def test_a_rule_that_does_not_fit_is_told_with_its_place(columns: dict[str, Any], place: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        table(columns)
    [(found, problem)] = problems_of(caught.value)
    assert ".".join(map(str, found)).removeprefix("columns.") == place
    assert said in problem


def test_no_stream_tells_a_column_that_a_rule_makes_and_none_has_to() -> None:
    made = table({"normal": TEXT | {"made": {"by": "name", "of": "city"}}})
    told = {"table": "people", "raw": ["id", "city", "seen"]}
    assert not [*KinesisStream.model_validate(told).disagreements(made)]
    [(place, problem)] = KinesisStream.model_validate(told | {"columns": {"normal": "city"}}).disagreements(made)
    assert (place, problem) == ("columns.normal", "table people makes it by a rule of its own; no stream tells it")


def test_every_country_of_iso_3166_has_its_codes_and_the_names_that_it_has_alone() -> None:
    assert len({*COUNTRIES.values()}) == 249
    assert all(COUNTRIES[code] == code for code in COUNTRIES.values())
    assert all(name == country_key(name) for name in COUNTRIES)
    names = {
        "Côte d'Ivoire": "CI",
        "Cote d\u2019Ivoire": "CI",
        "Deutschland": "DE",
        "uk": "GB",
        "U.S.A.": "US",
        "Trinidad & Tobago": "TT",
    }
    assert {name: COUNTRIES.get(country_key(name)) for name in names} == names
    # A state of the USA, what two countries are called, and what is none.
    assert not COUNTRIES.keys() & {"CT", "MI", "CONGO", "ATLANTIS"}


def test_every_calling_code_has_its_numbers() -> None:
    assert {*CALLING_CODES.values()} <= NUMBERS.keys()
    assert len(CALLING_CODES) == 245
