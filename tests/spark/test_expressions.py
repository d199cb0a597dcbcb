"""Expressions are understood as Spark understands them: what it has we know, and what it refuses we refuse."""

from __future__ import annotations

import random

import pytest
from pyspark.errors import AnalysisException, ArithmeticException, ParseException
from pyspark.sql import SparkSession
from sqlglot.dialects.spark import Spark

from headwater.validate.expressions import functions, of_expression
from tests.support.declared import project

EXPRESSIONS = sorted(
    {
        text
        for source in project().sources.values()
        for stream in source.streams.values()
        for text in stream.columns.values()
        if text is not None
    }
)


def test_the_functions_are_those_that_spark_lists(spark: SparkSession) -> None:
    listed = {row[0].lower() for row in spark.sql("SHOW FUNCTIONS").collect()}
    deltas = {"table_changes", "table_changes_by_path"}
    assert functions() == {name for name in listed - deltas if name.replace("_", "").isalnum()}


@pytest.fixture(scope="module")
def refused(spark: SparkSession):
    parser = spark._jsparkSession.sessionState().sqlParser()

    def refused(text: str) -> bool:
        try:
            parser.parseExpression(text)
        # A decimal of too many digits is refused in a way of its own.
        except (ArithmeticException, ParseException):
            return True
        except AnalysisException:
            pass
        return False

    return refused


def test_what_is_declared_reads_for_spark_too(refused) -> None:
    assert [text for text in EXPRESSIONS if refused(text)] == []
    assert [text for text in EXPRESSIONS if list(of_expression(text, None))] == []


def test_what_spark_cannot_read_is_refused(refused) -> None:
    """Every expression that is declared, with a token dropped, doubled or swapped with its neighbour."""
    dice = random.Random(1)
    missed, tried = [], 0
    for text in EXPRESSIONS:
        tokens = Spark().tokenize(text)
        for _ in range(6 if len(tokens) > 1 else 0):
            at = dice.randrange(len(tokens))
            cut = (tokens[at].start, tokens[at].end + 1)
            changed = dice.choice(
                [
                    text[: cut[0]] + text[cut[1] :],
                    text[: cut[1]] + " " + text[cut[0] :],
                    text[: cut[0]] + dice.choice(["(", ")", ",", "'", "CASE", "->", "]"]) + text[cut[0] :],
                ]
            )
            if refused(changed):
                tried += 1
                if not list(of_expression(changed, None)):
                    missed.append(changed)
    assert tried > 200
    # sqlglot takes a few things that Spark does not, such as an alias for a lambda's parameter.
    assert len(missed) < 0.02 * tried, missed
