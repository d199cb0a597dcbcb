"""Expressions of columns: what Spark reads has no mistake, and what it does not read has one."""

from __future__ import annotations

import pytest

from headwater.validate.expressions import of_expression

FIELDS = ("a", "b")


@pytest.mark.parametrize(
    "text",
    [
        "CAST(a AS interval day to second)",
        "timestampdiff(DAY, a, now())",
        "10L + 2.5D",
        "CAST(a AS struct<b: array<array<int>>>)",
        "transform(split(a, ','), (v, i) -> concat(v, i))",
        "EXTRACT(DAY FROM a)",
        "CAST(a AS dec(10, 2))",
    ],
)
def test_what_spark_reads_has_no_mistake(text: str) -> None:
    assert list(of_expression(text, FIELDS)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a::int", "not readable as Spark SQL: Spark has no ::. hint: CAST(… AS type), after 1 characters"),
        ("a ?? b", "not readable as Spark SQL: Spark has no ??. hint: coalesce(…), after 2 characters"),
        ("a AT TIME ZONE 'UTC'", "not readable as Spark SQL: Spark has no AT TIME ZONE"),
        ("a LIMIT 1", "must be one expression over the fields of a row"),
        ("a WHERE b", "must be one expression over the fields of a row"),
        ("a ORDER BY b", "must be one expression over the fields of a row"),
        ("DISTINCT a", "must be one expression over the fields of a row"),
        ("map('k')", "not readable as Spark SQL: arguments are missing"),
        ("(" * 5000 + "a" + ")" * 5000, "not readable as Spark SQL: arguments are missing, or too many brackets"),
        ("CAST(a AS text)", "type 'text' is unknown"),
        ("CAST(a AS datetime)", "type 'datetime' is unknown, did you mean date?"),
        ("CAST(a AS varchar)", "type 'varchar' has its end where '(' belongs"),
    ],
)
def test_what_spark_does_not_read_is_one_mistake(text: str, said: str) -> None:
    [told] = of_expression(text, FIELDS)
    assert told.startswith(said)
