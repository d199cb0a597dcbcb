"""What rules make of values: held to what the libraries say that know of phone numbers, and to rows worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import phonenumbers
import pytest
from hypothesis import strategies as st
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType
from pyspark.sql import SparkSession

from headwater.config import HttpStream, Table
from headwater.config.rule import NOTES_TYPE, Country, Email, Made, PersonName, Phone
from headwater.phone_plans import CALLING_CODES
from headwater.quality.conformed import made_by
from headwater.quality.predicates import judge_rows, row_predicates
from headwater.quality.typed import typed
from tests.support.draws import drawn

from .shop import placed

# Countries that drop a zero, that keep it, that carry a carrier's code along, and whose trunk prefix is no zero.
HOMES = [None, "US", "GB", "IT", "AR", "RU"]


@st.composite
def written(draw: st.DrawFn) -> str:
    """A number as somebody may write it, most often one that is none."""
    code = draw(st.sampled_from([*CALLING_CODES.values()]))
    before = draw(
        st.sampled_from([f"+{code}", f"+{code} (0) ", f"00{code}", f"(+{code}) ", "0", "", "1", "8", "011", "tel:+"])
    )
    number = draw(st.text("0123456789", min_size=3, max_size=13))
    return before + draw(st.sampled_from(["", " ", "-"])).join((number[:3], number[3:]))


def examples(home: str | None) -> Iterator[str]:
    """A number of each country, as one writes it abroad, and as one writes it or dials it from a home."""
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE):
            if number := phonenumbers.example_number_for_type(region, kind):
                yield phonenumbers.format_number(number, PhoneNumberFormat.E164)
                yield phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
                if region == home:
                    yield phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
                if home:
                    yield phonenumbers.format_out_of_country_calling_number(number, home)


def told(spark: SparkSession, texts: list[str], *rules: Made) -> list[list[str | None]]:
    rows = spark.createDataFrame([(text,) for text in texts], "text string").coalesce(1)
    return [list(row) for row in rows.select(*[made_by(rule) for rule in rules]).collect()]


def by_library(text: str, home: str | None) -> str | None:
    try:
        return str(phonenumbers.format_number(phonenumbers.parse(text, home), PhoneNumberFormat.E164))
    except NumberParseException:
        return None


def test_a_phone_number_is_what_libphonenumber_reads_or_none_and_no_countrys_own_numbers_are_lost(
    spark: SparkSession,
) -> None:
    rules = [Phone(by="phone", of="text", country=home) for home in HOMES]
    own = {home: {*examples(home)} for home in HOMES}
    texts = [*sorted(set().union(*own.values())), *drawn(written(), 2000)]
    found = told(spark, texts, *rules)
    for number, home in enumerate(HOMES):
        made = {text: row[number] for text, row in zip(texts, found, strict=True)}
        wrong = {
            text: (one, by_library(text, home)) for text, one in made.items() if one and one != by_library(text, home)
        }
        assert wrong == {}
        assert [text for text in own[home] if made[text] is None] == []
    # Without a home a number has a plus.
    assert all(row[0] is None for text, row in zip(texts, found, strict=True) if "+" not in text)
    assert sum(row[1] is None for row in found) > 500


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        (
            Email(by="email", of="text"),
            {
                " A.B@Example.COM\u00a0\n": "a.b@example.com",
                "o'neil+news@mail.example.co.uk": "o'neil+news@mail.example.co.uk",
                "ü@exämple.de": "ü@exämple.de",
                **dict.fromkeys(
                    ("not-an-email", "someone@", "@example.com", "two@@example.com", "spaces in@example.com", "a..b@x.org", ".a@x.org")
                ),
                **dict.fromkeys(("x@localhost", "a@-x.org", "a@x.1", "a@x.org\n b", "", f"{'a' * 65}@x.org", f"a@{'x.' * 130}org")),
            },
        ),
        (
            PersonName(by="name", of="text"),
            {
                "  ANNA\u00a0 MÜLLER\t": "Anna Müller",
                "jean-luc o'brien": "Jean-Luc O'Brien",
                "McDonald": "McDonald",
                "van der Berg": "van der Berg",
                "李": "李",
                **dict.fromkeys(("", " \u00a0\n")),
            },
        ),
        (
            Country(by="country", of="text", also={"Bella Italia": "IT"}),
            {
                **dict.fromkeys(("Germany", " deutschland ", "DE", "deu", "276"), "DE"),
                **dict.fromkeys(("U.S.A.", "united  states of america"), "US"),
                "Cote d\u2019Ivoire": "CI",
                "bella-italia": "IT",
                **dict.fromkeys(("nowhere", "", "CT", "12")),
            },
        ),
    ],
    ids=["email", "name", "country"],
)  # fmt: skip
def test_what_is_written_in_many_ways_is_one_value_and_what_is_none_is_null(
    spark: SparkSession, rule: Made, values: dict[str, str | None]
) -> None:
    assert dict(zip(values, (row[0] for row in told(spark, [*values], rule)), strict=True)) == values


PEOPLE = Table.model_validate(
    {
        "table": "people",
        "owner": "Shop",
        "note": "One row for each person.",
        "key": ["id"],
        "columns": {
            "id": {"type": "bigint"},
            "phone_e164": {"type": "string", "made": {"by": "phone", "of": "phone", "country": "US"}},
            "phone": {"type": "string"},
            "born": {"type": "date", "possible": {"least": "1900-01-01", "most": "2030-12-31"}},
            "city": {"type": "string"},
            "state": {"type": "string", "missing": {"by": "lookup", "of": "city", "values": {"Dayton": "OH"}}},
            "kids": {"type": "int", "possible": {"least": 0}, "missing": {"by": "constant", "value": 2}},
            "notes": {"type": NOTES_TYPE, "made": {"by": "notes"}},
        },
    }
)


def test_what_a_rule_empties_or_fills_is_noted_with_what_was_there(spark: SparkSession) -> None:
    raw = ["id", "phone", "born", "city", "state", "kids"]
    window = {"kind": "window", "field": "born", "history_days": 1}
    stream = HttpStream.model_validate({"table": "people", "path": "/people", "read": window, "raw": raw})
    given: list[tuple[Any, ...]] = [
        ("1", "(513) 555-0123", "1969-12-31", "Dayton", "IN", "0"),
        ("2", "call me", "1899-12-31", "Dayton", None, "-1"),
        ("3", None, None, "Oxford", None, None),
        # What does not read is a reason to refuse the row, whatever stands for what is missing.
        ("4", None, "2031-01-01", None, "x", "many"),
    ]
    named = [*raw, "_parser", "_problem"]
    rows = spark.createDataFrame([(*row, None, None) for row in given], ", ".join(f"{name} string" for name in named))
    judged = judge_rows(typed(stream, PEOPLE, placed(rows)), row_predicates(stream, PEOPLE, None), {})
    assert dict(judged.dtypes)["notes"] == NOTES_TYPE
    made = {
        row.id: (
            row.phone_e164,
            row.born and row.born.isoformat(),
            row.state,
            row.kids,
            row.notes and [(n.column, n.rule, n.was) for n in row.notes],
            row._reasons,
        )
        for row in judged.collect()
    }
    constant = ("kids", "constant", None)
    assert made == {
        1: ("+15135550123", "1969-12-31", "IN", 0, None, []),
        2: (
            None,
            None,
            "OH",
            2,
            [
                ("born", "possible", "1899-12-31"),
                ("kids", "possible", "-1"),
                ("state", "lookup", None),
                constant,
                ("phone_e164", "phone", "call me"),
            ],
            [],
        ),
        3: (None, None, None, 2, [constant], []),
        4: (None, None, "x", 2, [("born", "possible", "2031-01-01"), constant], ["kids_readable"]),
    }
