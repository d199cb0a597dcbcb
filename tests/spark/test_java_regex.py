"""The syntax of regular expressions is Java's own: what we refuse Java refuses, and what we take it takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.errors import IllegalArgumentException
from pyspark.sql import SparkSession

from headwater.validate.java_regex import PatternSyntaxError, check_pattern

PIECES = st.sampled_from(
    [
        *"abcz019 .^$|()[]{}*+?-,:<>=!&_@#é",
        *(
            "\\d",
            "\\w",
            "\\s",
            "\\.",
            "\\\\",
            "\\(",
            "\\[",
            "\\]",
            "\\-",
            "\\b",
            "\\B",
            "\\A",
            "\\z",
            "\\Z",
            "\\G",
            "\\R",
            "\\X",
            "\\e",
        ),
        *(
            "\\Q",
            "\\E",
            "\\1",
            "\\9",
            "\\0",
            "\\07",
            "\\08",
            "\\x0a",
            "\\x",
            "\\x{41}",
            "\\u0041",
            "\\u00",
            "\\cJ",
            "\\h",
            "\\y",
            "\\i",
        ),
        *(
            "\\p{L}",
            "\\p{Alpha}",
            "\\p{IsLatin}",
            "\\pL",
            "\\p{Nope}",
            "\\P{Lu}",
            "\\N{LATIN SMALL LETTER A}",
            "\\N{NOPE}",
            "\\k<n>",
        ),
        *(
            "(?:",
            "(?=",
            "(?!",
            "(?<=",
            "(?<!",
            "(?>",
            "(?<n>",
            "(?<1>",
            "(?i)",
            "(?i:",
            "(?-s)",
            "(?y)",
            "(?",
            "(?P<n>",
        ),
        *(
            "[a-z]",
            "[^a]",
            "[]",
            "[]a]",
            "[a&&[b]]",
            "[[:alpha:]]",
            "[z-a]",
            "[a-",
            "[\\d-z]",
            "&&",
            "{2}",
            "{2,}",
            "{2,3}",
            "{3,2}",
            "{,2}",
            "{a}",
        ),
    ]
)


@pytest.fixture(scope="module")
def java(spark: SparkSession) -> Callable[[str], str | None]:
    compiler = spark._jvm.java.util.regex.Pattern  # type: ignore[union-attr]

    def refusal(pattern: str) -> str | None:
        try:
            compiler.compile(pattern)
        except IllegalArgumentException as error:
            return str(error)
        return None

    return refusal


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=9).map("".join))
@example("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$")
@example("(?<=a+)b")
@example("\\")
@example("a**")
@example("a*+?")
def test_a_pattern_is_refused_just_where_java_refuses_it(java: Callable[[str], str | None], pattern: str) -> None:
    said, ours = java(pattern), refusal(pattern)
    assert (said is None) == (ours is None), f"{pattern!r}: Java says {said}, and we {ours}"


def refusal(pattern: str) -> str | None:
    try:
        check_pattern(pattern)
    except PatternSyntaxError as error:
        return str(error)
    return None
