"""Values arrive as they were or not at all: what Spark makes of drawn values is held against plain Python."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import pytest
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.quality.exact import exact
from tests.support.draws import drawn

SPACE = st.sampled_from(["", "", "", " ", "\t", "\n "])
DIGITS = st.text("0123456789", min_size=1, max_size=24)
BOUNDS = sorted(
    {sign * 2**bits + step for bits in (7, 8, 15, 31, 53, 63, 64) for sign in (1, -1) for step in (-1, 0, 1)}
)
EPOCH = date(1970, 1, 1).toordinal()
WHOLE = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
DECIMALS = [
    "decimal(3,0)",
    "decimal(10,1)",
    "decimal(10,2)",
    "decimal(18,6)",
    "decimal(20,0)",
    "decimal(38,0)",
    "decimal(38,18)",
]
EXACT = Context(prec=2000)


@st.composite
def numbers(draw: Any) -> str:
    sign = draw(st.sampled_from(["", "-", "+"]))
    whole = draw(DIGITS | st.sampled_from([str(abs(bound)) for bound in BOUNDS]) | st.just("0"))
    fraction = draw(st.just("") | st.builds("".join, st.tuples(st.just("."), DIGITS | st.just("0") | st.just("50"))))
    exponent = draw(st.just("") | st.builds("{}{}".format, st.sampled_from(["e", "E+", "e-"]), st.integers(0, 30)))
    return draw(SPACE) + sign + whole + fraction + exponent + draw(SPACE)


@st.composite
def moments(draw: Any) -> str:
    day = draw(st.dates() | st.sampled_from([date.min, date(1582, 10, 10), date(1969, 12, 31), date.max]))
    text = day.isoformat() if draw(st.booleans()) else f"{day.year:04}-{day.month}-{day.day}"
    if draw(st.booleans()):
        clock = draw(st.times())
        seconds = draw(st.sampled_from(["%H:%M", "%H:%M:%S"]))
        text += draw(st.sampled_from("T ")) + clock.strftime(seconds)
        if seconds.endswith("S"):
            text += draw(st.just("") | st.builds(".{}".format, st.text("0123456789", min_size=1, max_size=9)))
        text += draw(st.sampled_from(["", "", "Z", "+00:00", "+14:00", "-12:00", "+0530", " UTC", "-03"]))
    return draw(SPACE) + text + draw(SPACE | st.sampled_from(["garbage", "T", "Tgarbage", " 1"]))


NASTY = [
    *("", " ", "-", ".", ".5", "5.", "-.5", "1,5", "1_000", "12.7", "1.9", "10.005", "10.50", "007", "+5", "1e3", "1.50E+3", "-0"),
    *("0E-8", "0.000e5", "1000e-3", "1e400", "-1e400", "1e-400", "1e-999999999", "1E999999999", "9" * 5000, "0." + "1" * 5000),
    *("NaN", "Infinity", "-inf", "1.5d", "0x10", "1L", "٣", "12:30", "T12:30", "14:30:00", "2024", "202403", "2024-01", "45292"),
    *("2024-01-05Tgarbage", "2024-01-05 garbage", "24:00:00", "2024-02-30", "05/03/2024", "now", "today", "epoch", "0000-00-00"),
    *("0000-01-01", "12024-01-05", "-2024-01-05", "1704067200", "20240305", "2024-01-05T00:00:00Z", "2024-01-05T00:00:00+01:00"),
    *("2024-01-05T10:11:12.123456789Z", "2024-01-05T10:11:12.123456000Z", "2024-01-05T24:00:00", "2024-01-05T10", "2024-1-5"),
    *("2024-03-31 02:30:00 Europe/Vienna", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2024-01-05\u2028"),
    *("true", "T", "yes", "1", "0", "no", "F", "2", "tru", "null", "\0", "1\0", "\U0001f600", "\u202eabc", "שלום", "a" * 70000),
]  # fmt: skip


def ordinary(text: str) -> bool:
    """Whether a text is written as a source would: what is exact in such a one may not be refused."""
    return len(text) < 60 and not re.search(r"[eE][+-]?[0-9]{3}", text)


def number(text: str) -> Decimal | None:
    readable = re.fullmatch(FLOAT, text, re.ASCII) and ordinary(text)
    return EXACT.create_decimal(text.strip()) if readable else None


def fits(value: Decimal | None, type_: str) -> Decimal | int | None:
    """A number as a value of an exact type; None if it is another one there."""
    if value is None:
        return None
    if type_ in WHOLE:
        bound = 2 ** (WHOLE[type_] - 1)
        return int(value) if -bound <= value < bound and value == int(value) else None
    digits, scale = (int(part) for part in re.findall("[0-9]+", type_))
    scaled = value.scaleb(scale, EXACT)
    return value if abs(scaled) < 10**digits and scaled == scaled.to_integral_value(context=EXACT) else None


def moment(text: str) -> int | None:
    """Microseconds since 1970 of a text with year, month and day, in UTC where it says nothing else."""
    found = re.fullmatch(
        r"\s*([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
        r"(?:[ T]([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6})0*)?"
        r"(?: ?(?:Z|UTC|GMT|([+-])([0-9]{1,2})(?::?([0-9]{2}))?))?)?)?\s*",
        text,
        re.ASCII,
    )
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    try:
        days = datetime(year, month, day, hour, minute, second).toordinal() - EPOCH  # noqa: DTZ001 - never a moment of its own
    except ValueError:
        return None
    offset = (int(found[9] or 0) * 60 + int(found[10] or 0)) * (-1 if found[8] == "-" else 1)
    if abs(offset) > 18 * 60 or int(found[10] or 0) > 59:
        return None
    seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second
    return seconds * 1_000_000 + int((found[7] or "").ljust(6, "0"))


def day(text: str) -> int | None:
    """Days since 1970 of a text with a day alone, or its midnight in UTC."""
    found = re.fullmatch(r"(\s*[0-9-]{8,10})([ T]00:00(:00(\.0{1,9})?)?(Z|[+-]00:?00)?)?\s*", text, re.ASCII)
    at = moment(found[1]) if found else None
    return None if at is None else at // 86_400_000_000


def frame(spark: SparkSession, values: Iterable[Any], type_: str) -> DataFrame:
    return spark.createDataFrame(
        [(number, value) for number, value in enumerate(values)], f"n int, value {type_}"
    ).coalesce(1)


def comparable(made: Any, type_: str) -> Any:
    """A column that reaches Python as it is, whatever year it is in."""
    return {"date": F.unix_date, "timestamp": F.unix_micros}.get(type_, lambda column: column)(made)


TEXTS = ["boolean", *WHOLE, *DECIMALS, "double", "date", "timestamp", "varchar(4)", "string"]


def read(text: str, type_: str) -> Any:
    """What a text is as a value of a type, by Python; None if it is none."""
    match type_:
        case "string":
            return text
        case "varchar(4)":
            return text if len(text.encode()) <= 4 else None
        case "boolean":
            word = text.strip(" \t\n").lower()
            return (
                True
                if word in {"t", "true", "y", "yes", "1"}
                else False
                if word in {"f", "false", "n", "no", "0"}
                else None
            )
        case "date":
            return day(text)
        case "timestamp":
            return moment(text)
        case "double":
            if re.fullmatch(r"\s*(nan|[+-]?inf(inity)?)\s*", text, re.ASCII | re.IGNORECASE):
                return repr(float(text))
            value = re.fullmatch(FLOAT, text, re.ASCII)
            return repr(float(text)) if value is not None and float(text) not in {float("inf"), float("-inf")} else None
    return fits(number(text), type_)


def test_a_text_is_the_value_that_it_says_or_none(spark: SparkSession) -> None:
    texts = [
        *NASTY,
        *drawn(numbers(), 400),
        *drawn(moments(), 400),
        *drawn(st.text(st.characters(codec="utf-8"), max_size=8), 100),
    ]
    types = {type_: T._parse_datatype_string(type_) for type_ in TEXTS}
    rows = frame(spark, texts, "string")
    made = [comparable(exact(F.col("value"), T.StringType(), to), type_).alias(type_) for type_, to in types.items()]
    wrong = []
    for text, row in zip(texts, rows.select(*made).collect(), strict=True):
        for type_ in TEXTS:
            expected, got = read(text, type_), row[type_]
            got = repr(got) if type_ == "double" and got is not None else got
            if got != expected and (got is not None or ordinary(text)):
                wrong.append((text[:50], type_, got, expected))
    assert wrong == [], wrong


GIVEN: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    **{
        type_: st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        | st.integers(-100, 100)
        | st.sampled_from([bound for bound in BOUNDS if -(2 ** (bits - 1)) <= bound < 2 ** (bits - 1)])
        for type_, bits in WHOLE.items()
    },
    "float": st.floats(width=32) | st.integers(-(2**24), 2**24).map(float) | st.sampled_from([2.0**31, 2.0**63, -(2.0**63)]),
    "double": st.floats() | st.integers(-(2**53), 2**53).map(float) | st.sampled_from([2.0**31, 2.0**63, -(2.0**63), 0.1, 10.005]),
    "decimal(12,3)": st.decimals(-(10**9) + 1, 10**9 - 1, places=3) | st.integers(-300, 300).map(Decimal),
    "decimal(20,0)": st.integers(-(10**20) + 1, 10**20 - 1).map(Decimal) | st.sampled_from(BOUNDS).map(Decimal),
    "decimal(38,18)": st.integers(-(10**38) + 1, 10**38 - 1).map(lambda value: EXACT.scaleb(Decimal(value), -18)),
}  # fmt: skip
FLOATS = {"float", "double"}
FLOAT = r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*"
TAKEN = ["boolean", *WHOLE, "float", "double", *DECIMALS, "date", "timestamp", "string", "varchar(4)", "array<int>"]


def gives_back(value: Any, given: str, made: Any, wanted: str) -> bool:
    """Whether a number that was made of another says that one, all of it and nothing else."""
    if {given, wanted} <= FLOATS:
        return repr(value) == repr(made)
    if given in FLOATS and wanted.startswith("decimal"):
        return nearest(Decimal(made), given) == value
    if wanted in FLOATS and given.startswith("decimal"):
        # A float has digits of its own beyond those that a decimal of its type can have.
        places = int(re.findall("[0-9]+", given)[1])
        shown = Decimal(repr(made)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, EXACT)
        return value in {shown, Decimal(made)}
    return Decimal(value) == Decimal(made)


def nearest(value: Decimal, kind: str) -> float:
    """The float of a kind that is nearest to a number."""
    return struct.unpack("f", struct.pack("f", value))[0] if kind == "float" else float(value)


def simple(value: Any, wanted: str) -> bool:
    """Whether a number is small and whole, and so one of each type of numbers."""
    least = 0 if wanted == "boolean" else -100
    most = 1 if wanted == "boolean" else 100
    return bool(least <= value <= most and value == int(value))


@pytest.mark.parametrize("given", GIVEN)
def test_a_number_of_any_type_becomes_the_same_number_or_none(spark: SparkSession, given: str) -> None:
    values = [None, *drawn(GIVEN[given], 300)]
    source = T._parse_datatype_string(given)
    made = [
        comparable(exact(F.col("value"), source, T._parse_datatype_string(wanted)), wanted).alias(wanted)
        for wanted in TAKEN
    ]
    rows = frame(spark, values, given).select("value", *made).collect()
    for before, row in zip(values, rows, strict=True):
        for wanted in TAKEN:
            got = row[wanted]
            if before is None or wanted in {"date", "timestamp", "array<int>"}:
                assert got is None, (before, wanted)
            elif wanted == "string":
                assert got is not None
            elif wanted == "varchar(4)":
                assert got == (row["string"] if len(row["string"]) <= 4 else None)
            elif got is None:
                assert not simple(row["value"], wanted), (before, wanted)
            else:
                assert gives_back(row["value"], given, got, wanted), (row["value"], wanted, got)


def test_a_type_that_differs_in_where_null_may_be_is_the_same(spark: SparkSession) -> None:
    """A cast to a list that may hold no NULL is refused by Spark, and a struct in another order is another one."""
    rows = spark.sql("SELECT array(named_struct('a', 1, 'b', 'x')) AS lists, map('k', array('1')) AS maps")
    given = {field.name: field.dataType for field in rows.schema.fields}
    assert "false" in given["lists"].json()
    wanted = [
        ("lists", "array<struct<a: int, b: string>>", [(1, "x")]),
        ("lists", "array<struct<a: tinyint, b: string>>", [(1, "x")]),
        ("lists", "array<struct<a: tinyint, b: int>>", None),
        ("lists", "array<struct<b: string, a: int>>", None),
        ("lists", "array<string>", ['{"a":1,"b":"x"}']),
        ("maps", "map<string, array<string>>", {"k": ["1"]}),
        ("maps", "map<string, array<int>>", {"k": [1]}),
        ("maps", "map<int, array<string>>", None),
    ]
    made = [exact(F.col(name), given[name], T._parse_datatype_string(to)) for name, to, _ in wanted]
    [row] = rows.select(*made).collect()
    assert list(row) == [expected for *_, expected in wanted]
    alike = exact(F.col("lists"), given["lists"], T._parse_datatype_string("array<struct<a: int, b: string>>"))
    assert "transform" not in str(alike)
