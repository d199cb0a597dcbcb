"""Spark SQL expressions as they are declared: that they parse, and that their columns, functions and patterns exist."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

from sqlglot import exp, parse
from sqlglot.dialects.spark import Spark
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.tokens import Token, TokenType

from headwater.config.sql_type import check_type
from headwater.config.strict import meant, unknown
from headwater.validate.java_regex import PatternSyntaxError, check_pattern

_SELECT = "SELECT "
# What sqlglot raises where it cannot read a text: errors of its own, and Python's where it did not expect such a text.
UNREAD = (SqlglotError, LookupError, TypeError, ValueError, AttributeError, RecursionError)
_OPEN = {TokenType.COMMA, TokenType.L_PAREN, TokenType.L_BRACKET}
_CLOSED_BY = {TokenType.L_PAREN: TokenType.R_PAREN, TokenType.L_BRACKET: TokenType.R_BRACKET}
# What SHOW FUNCTIONS of Spark 3.5.6 lists; a test compares.
_FUNCTIONS = Path(__file__).with_name("spark_functions.txt")
# Words of the language that a bracket may follow; SHOW FUNCTIONS lists such as `and` and `in` itself.
_SYNTAX = frozenset(
    """
    all as by cast dec distinct else except filter for from group having interval intersect join lateral limit minus nulls numeric
    offset on over partition pivot repeatable select sort tablesample then try_cast union unpivot using values varchar where with
    within cube rollup percentile_cont percentile_disc timestampadd timestampdiff
    """.split()  # noqa: SIM905 - as a list it would take 40 lines
) | {"grouping sets"}
# Casts to these make values that no column keeps, and that an expression may go through.
_PASSING = ("interval", "void")
# What sqlglot reads of other databases' SQL, and what says the same in Spark's.
_FOREIGN = {
    TokenType.DCOLON: "CAST(… AS type)",
    TokenType.DQMARK: "coalesce(…)",
    TokenType.DARROW: "get_json_object(…)",
}
# Functions and operators whose second argument is a regular expression.
_BY_PATTERN = frozenset(
    """
    regexp regexp_count regexp_extract regexp_extract_all regexp_instr regexp_like regexp_replace regexp_substr rlike split
    """.split()  # noqa: SIM905
)


@cache
def functions() -> frozenset[str]:
    """The functions that Spark has."""
    return frozenset(_FUNCTIONS.read_text().split())


def of_expression(text: str, fields: Collection[str] | None) -> Iterator[str]:
    """What is wrong with an expression over raw fields; without these, columns are not looked up."""
    try:
        if wrong := next(unreadable(text), None):
            start, problem = wrong
            yield f"not readable as Spark SQL: {problem}, after {start} characters"
            return
        statement, *more = parse(f"{_SELECT}{text}", read="spark")
    except UNREAD as error:
        yield f"not readable as Spark SQL: {_why(error)}"
        return
    if (
        more
        or not isinstance(statement, exp.Select)
        or len(statement.selects) != 1
        or any(value for clause, value in statement.args.items() if clause != "expressions")
        or statement.find(exp.From, exp.Subquery)
    ):
        yield "must be one expression over the fields of a row"
        return
    if aggregate := statement.find(exp.AggFunc, exp.Window):
        yield f"{aggregate.sql('spark')} looks at other rows; a column is made of one row"
    yield from (problem for _, problem in unknown_functions(text))
    yield from unknown_types(text, statement)
    yield from wrong_patterns(statement)
    if fields is not None:
        known = {field.lower() for field in fields}
        for name in dict.fromkeys(column.parts[0].name for column in statement.find_all(exp.Column)):
            if name.lower() not in known:
                yield unknown("field", name, fields)


def unreadable(sql: str) -> Iterator[tuple[int, str]]:
    """What Spark's parser refuses and sqlglot lets pass: other databases' operators, brackets that do not match, lone commas.

    Each with the number of characters before it.
    """
    waiting: list[Token] = []
    before: Token | None = None
    try:
        tokens = Spark().tokenize(sql)
    except TokenError:
        return  # an open quote, which the parser tells
    for token in tokens:
        kind, last = token.token_type, before.token_type if before else TokenType.L_PAREN
        # Of 10L sqlglot makes a cast, with a sign for it that nobody wrote.
        if kind in _FOREIGN and sql.startswith(token.text, token.start):
            yield token.start, f"Spark has no {token.text}. hint: {_FOREIGN[kind]}"
            return
        if last == TokenType.TIME and token.text.upper() == "ZONE":
            yield token.start, "Spark has no AT TIME ZONE. hint: convert_timezone(…)"
            return
        if kind in _CLOSED_BY:
            waiting.append(token)
        elif kind in _CLOSED_BY.values() and (not waiting or _CLOSED_BY[waiting.pop().token_type] != kind):
            yield token.start, f"{token.text!r} closes nothing"
            return
        if (kind == TokenType.COMMA and last in _OPEN) or (last == TokenType.COMMA and kind in _CLOSED_BY.values()):
            yield token.start, "a comma with nothing beside it"
        if kind == last == TokenType.IN:
            yield token.start, f"{token.text!r} twice"
        before = token
    if waiting:
        yield waiting[-1].start, f"{waiting[-1].text!r} is never closed"


def unknown_functions(sql: str, aliases: Collection[str] = ()) -> Iterator[tuple[int, str]]:
    """What is called in a text of Spark SQL and is no function of Spark's, and after how many characters it first is.

    `aliases` are names that the text gives to tables: what follows them in brackets are columns.
    """
    tokens = Spark().tokenize(sql)
    quoted = {TokenType.STRING, TokenType.IDENTIFIER, TokenType.NUMBER}
    called = [
        (word.text.lower(), word.start)
        for word, bracket in itertools.pairwise(tokens)
        if bracket.token_type == TokenType.L_PAREN and word.token_type not in quoted and word.text[:1].isalpha()
    ]
    for name, start in dict(reversed(called)).items():
        if name not in functions() | _SYNTAX and name not in aliases:
            yield start, f"Spark has no function {name}{meant(name, functions())}"


def unknown_types(sql: str, statement: exp.Expression) -> Iterator[str]:
    """To what a statement casts and what is no type of Spark's."""
    written = [name for name in _cast_to(sql) if name not in _PASSING]
    within = [cast.to.sql("spark") for cast in statement.find_all(exp.Cast)]
    for name in dict.fromkeys((*written, *(name for name in within if not name.lower().startswith(_PASSING)))):
        try:
            check_type(name)
        except ValueError as error:
            yield str(error)
            return


def _cast_to(sql: str) -> Iterator[str]:
    """The names of types that a text casts to, as they are written: sqlglot knows more, and calls them by Spark's names.

    Names that go on in brackets are left out, as their arguments are sqlglot's to read.
    """
    called: list[str] = []
    tokens = [*Spark().tokenize(sql), None, None]
    for before, token, then, after in zip([None, *tokens], tokens, tokens[1:], tokens[2:], strict=False):
        if token is None or then is None:
            return
        if token.token_type == TokenType.L_PAREN:
            called.append(before.text.lower() if before else "")
        elif token.token_type == TokenType.R_PAREN and called:
            called.pop()
        elif token.token_type == TokenType.ALIAS and called and called[-1] in {"cast", "try_cast"}:
            goes_on = after is not None and after.token_type in {TokenType.L_PAREN, TokenType.LT}
            yield from () if goes_on else (then.text.lower(),)


def of_pattern(pattern: str) -> Iterator[str]:
    """What is wrong with a regular expression, which is nothing where Java compiles it."""
    try:
        check_pattern(pattern)
    except PatternSyntaxError as error:
        yield f"not a regular expression by Java's rules: {error}"


def wrong_patterns(statement: exp.Expression) -> Iterator[str]:
    """Which regular expressions of a statement Java would not compile."""
    for node in statement.find_all(exp.Func, exp.RegexpLike):
        pattern = _pattern_of(node)
        if isinstance(pattern, exp.Literal) and pattern.is_string:
            yield from of_pattern(pattern.name)


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


def _why(error: Exception) -> str:
    """What the parser says, and after how many characters of the expression."""
    if not isinstance(error, SqlglotError):
        return "arguments are missing, or too many brackets lie in one another"
    if not isinstance(error, ParseError) or not error.errors:
        return str(error).partition("\n")[0]
    [first, *_] = error.errors
    return f"{first['description']}, after {max(0, first['col'] - len(_SELECT))} characters"
