"""What config reads as a value of a type, Spark reads as the same value: a bound is never NULL, which would switch its check off."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from headwater.config.sql_type import check_type, family, read_value

TYPES = ["tinyint", "smallint", "int", "bigint", "decimal(10,2)", "decimal", "double", "date", "timestamp", "string"]
NEARLY = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.decimals(allow_nan=True, allow_infinity=True, places=3).map(str),
    st.dates().map(str),
    st.datetimes().map(str),
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    st.from_regex(r"[-+]?[0-9_ ]{1,4}[.e/:T-]?[0-9]{0,3}", fullmatch=True),
    st.sampled_from(
        ["20100101", "2010-W01-1", "1_000", " 1", "NaN", "inf", "٣", "1e3", "0x1", "2010-1-1", "24:00", "", "--1"]
    ),
)


def readable(text: str, type_: str) -> bool:
    try:
        read_value(text, type_)
    except ValueError:
        return False
    return True


@settings(max_examples=5, deadline=None)
@given(st.lists(st.tuples(NEARLY, st.sampled_from(TYPES)), min_size=150, max_size=150))
def test_a_value_that_config_reads_is_cast_to_the_same_by_spark(
    spark: SparkSession, drawn: list[tuple[str, str]]
) -> None:
    read = [(text, type_) for text, type_ in dict.fromkeys(drawn) if readable(text, type_)]
    frame = spark.range(1).select(
        *[F.lit(text).cast(type_).alias(f"v{number}") for number, (text, type_) in enumerate(read)]
    )
    [row] = frame.collect()
    for (text, type_), value in zip(read, row, strict=True):
        expected: Any = read_value(text, type_)
        assert value is not None, (text, type_)
        match family(type_):
            case "timestamp":
                assert value.replace(tzinfo=UTC) == expected
            case "float":
                assert value == float(expected)
            case _:
                assert value == expected


@pytest.mark.parametrize(
    "text",
    [
        "bigint",
        "DECIMAL(38, 10)",
        "dec",
        "array<map<string,struct<a: int, b: date>>>",
        "varchar(3)",
        "timestamp_ntz",
        "real",
    ],
)
def test_a_type_that_config_knows_is_one_of_sparks(spark: SparkSession, text: str) -> None:
    check_type(text)
    assert spark.range(1).select(F.expr(f"CAST(NULL AS {text})")).collect()


@pytest.mark.parametrize(
    "text", ["bigintt", "decimal(39)", "array<string", "struct<a>", "varchar", "decimal(2,3)", "text"]
)
def test_a_type_that_config_refuses_is_none_of_sparks(spark: SparkSession, text: str) -> None:
    with pytest.raises(ValueError, match="type"):
        check_type(text)
    with pytest.raises(Exception, match=r"PARSE|DATATYPE|DECIMAL|TYPE|scale"):
        spark.range(1).select(F.expr(f"CAST(NULL AS {text})")).collect()


def test_a_decimal_keeps_its_scale() -> None:
    assert read_value("1.10", "decimal(10,2)") == Decimal("1.10")
