"""Spark SQL expressions as they are declared: that they parse, and that their columns, functions and patterns exist."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from sqlglot import exp, parse
from sqlglot.dialects.spark import Spark
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.tokens import Token, TokenType

from headwater.config.sql_type import check_type
from headwater.config.strict import unknown
from headwater.validate.java_regex import PatternSyntaxError, check_pattern

_SELECT = "SELECT "
_OPEN = {TokenType.COMMA, TokenType.L_PAREN, TokenType.L_BRACKET}
_CLOSED_BY = {TokenType.L_PAREN: TokenType.R_PAREN, TokenType.L_BRACKET: TokenType.R_BRACKET}
# What SHOW FUNCTIONS of Spark 3.5.6 lists; a test compares.
_FUNCTIONS = Path(__file__).with_name("spark_functions.txt")
# Words of the language that a bracket may follow; SHOW FUNCTIONS lists such as `and` and `in` itself.
_SYNTAX = frozenset(
    [
        "all",
        "as",
        "by",
        "cast",
        "else",
        "except",
        "filter",
        "from",
        "group",
        "having",
        "intersect",
        "join",
        "on",
        "over",
        "partition",
        "select",
        "sort",
        "then",
        "try_cast",
        "union",
        "using",
        "values",
        "varchar",
        "where",
        "with",
        "within",
    ]
)
# Functions and operators whose second argument is a regular expression.
_BY_PATTERN = frozenset(
    [
        "regexp",
        "regexp_count",
        "regexp_extract",
        "regexp_extract_all",
        "regexp_instr",
        "regexp_like",
        "regexp_replace",
        "regexp_substr",
        "rlike",
        "split",
    ]
)


@cache
def functions() -> frozenset[str]:
    """The functions that Spark has."""
    return frozenset(_FUNCTIONS.read_text().split())


def of_expression(text: str, fields: Collection[str] | None) -> Iterator[str]:
    """What is wrong with an expression over raw fields; without these, columns are not looked up."""
    try:
        if wrong := next(unreadable(text), None):
            yield f"not readable as Spark SQL: {wrong}"
            return
        statement, *more = parse(f"{_SELECT}{text}", read="spark")
    except SqlglotError as error:
        yield f"not readable as Spark SQL: {_why(error)}"
        return
    if (
        more
        or not isinstance(statement, exp.Select)
        or len(statement.selects) != 1
        or statement.find(exp.From, exp.Subquery)
    ):
        yield "must be one expression over the fields of a row"
        return
    if aggregate := statement.find(exp.AggFunc, exp.Window):
        yield f"{aggregate.sql('spark')} looks at other rows; a column is made of one row"
    yield from unknown_functions(text)
    yield from unknown_types(statement)
    yield from wrong_patterns(statement)
    if fields is not None:
        known = {field.lower() for field in fields}
        for name in dict.fromkeys(column.parts[0].name for column in statement.find_all(exp.Column)):
            if name.lower() not in known:
                yield unknown("field", name, fields)


def unreadable(sql: str) -> Iterator[str]:
    """What Spark's parser refuses and sqlglot lets pass: brackets that do not match, and commas with nothing between."""
    waiting: list[Token] = []
    before: Token | None = None
    for token in Spark().tokenize(sql):
        kind, last = token.token_type, before.token_type if before else TokenType.L_PAREN
        if kind in _CLOSED_BY:
            waiting.append(token)
        elif kind in _CLOSED_BY.values() and (not waiting or _CLOSED_BY[waiting.pop().token_type] != kind):
            yield f"{token.text!r} closes nothing, after {token.start} characters"
            return
        if (kind == TokenType.COMMA and last in _OPEN) or (last == TokenType.COMMA and kind in _CLOSED_BY.values()):
            yield f"a comma with nothing beside it, after {token.start} characters"
        if kind == last == TokenType.IN:
            yield f"{token.text!r} twice, after {token.start} characters"
        before = token
    if waiting:
        yield f"{waiting[-1].text!r} is never closed, after {waiting[-1].start} characters"


def unknown_functions(sql: str) -> Iterator[str]:
    """What is called in a text of Spark SQL and is no function of Spark's."""
    tokens = Spark().tokenize(sql)
    quoted = {TokenType.STRING, TokenType.IDENTIFIER, TokenType.NUMBER}
    called = [
        word.text.lower()
        for word, bracket in itertools.pairwise(tokens)
        if bracket.token_type == TokenType.L_PAREN and word.token_type not in quoted and word.text[:1].isalpha()
    ]
    for name in dict.fromkeys(called):
        if name not in functions() and name not in _SYNTAX:
            yield f"Spark has no function {name}{_meant(name)}"


def unknown_types(statement: exp.Expression) -> Iterator[str]:
    """To what a statement casts and what is no type of Spark's."""
    for cast in statement.find_all(exp.Cast):
        try:
            check_type(cast.to.sql("spark"))
        except ValueError as error:
            yield str(error)


def wrong_patterns(statement: exp.Expression) -> Iterator[str]:
    """Which regular expressions of a statement Java would not compile."""
    for node in statement.find_all(exp.Func, exp.RegexpLike):
        pattern = _pattern_of(node)
        if isinstance(pattern, exp.Literal) and pattern.is_string:
            try:
                check_pattern(pattern.name)
            except PatternSyntaxError as error:
                yield f"not a regular expression by Java's rules: {error}"


def _pattern_of(node: exp.Expression) -> exp.Expression | None:
    if isinstance(node, exp.Anonymous):
        return node.expressions[1] if node.name.lower() in _BY_PATTERN and len(node.expressions) > 1 else None
    kinds = (
        exp.RegexpLike,
        exp.RegexpExtract,
        exp.RegexpExtractAll,
        exp.RegexpReplace,
        exp.RegexpSplit,
        exp.RegexpInstr,
    )
    return node.args.get("expression") if isinstance(node, kinds) else None


def _meant(name: str) -> str:
    close = get_close_matches(name, functions(), 1)
    return f", did you mean {close[0]}?" if close else ""


def _why(error: SqlglotError) -> str:
    """What the parser says, and after how many characters of the expression."""
    if not isinstance(error, ParseError) or not error.errors:
        return str(error).partition("\n")[0]
    [first, *_] = error.errors
    return f"{first['description']}, after {max(0, first['col'] - len(_SELECT))} characters"
