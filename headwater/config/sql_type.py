"""Spark SQL types of columns: which text names one, and what a value written in YAML reads as."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from headwater.config.strict import meant

Family = Literal["text", "integer", "decimal", "float", "date", "timestamp", "boolean", "binary", "nested"]
"""What a type's values can be compared with: those of the same family, and numbers with numbers."""

_FAMILIES: dict[str, Family] = {
    **dict.fromkeys(("tinyint", "byte", "smallint", "short", "int", "integer", "bigint", "long"), "integer"),
    **dict.fromkeys(("decimal", "dec", "numeric"), "decimal"),
    **dict.fromkeys(("float", "real", "double"), "float"),
    **dict.fromkeys(("string", "varchar", "char"), "text"),
    **dict.fromkeys(("timestamp", "timestamp_ltz", "timestamp_ntz"), "timestamp"),
    **dict.fromkeys(("array", "map", "struct"), "nested"),
    "date": "date",
    "boolean": "boolean",
    "binary": "binary",
}
NUMBERS: frozenset[Family] = frozenset(("integer", "decimal", "float"))
_TOKEN = re.compile(r"\s*([a-z_][a-z0-9_]*|\d+|[<>(),:])", re.IGNORECASE)
_MOST_DIGITS = 38


def check_type(text: str) -> str:
    """Returns a text that names a Spark SQL type as it is; ValueError says what is wrong and what may be meant."""
    tokens = list(_tokens(text))
    rest = _type(text, tokens)
    if rest:
        raise ValueError(f"type {text!r} goes on after its end, at {rest[0]!r}")
    return text


SqlType = Annotated[str, AfterValidator(check_type)]


def family(text: str) -> Family:
    """The family of a type that is one."""
    [name, *_] = _tokens(text)
    return _FAMILIES[name]


def comparable(one: str, other: str) -> bool:
    """Whether Spark compares values of two types without making one of them NULL or text."""
    families = {family(one), family(other)}
    return families <= NUMBERS or len(families) == 1 or families == {"date", "timestamp"}


def read_value(text: str, type_: str) -> Any:
    """A text as a value of a type, which can be ordered; ValueError where Spark's CAST would lose it or a part of it.

    Stricter than CAST, which takes more forms: what is read here is read there, and means the same.
    """
    kind = family(type_)
    if kind not in _FORMS:
        raise ValueError(f"a {type_} has no order to hold a value against")
    try:
        return _read(text, kind, type_)
    except (ValueError, InvalidOperation):
        raise ValueError(f"{text!r} is no {type_}") from None


def _read(text: str, kind: Family, type_: str) -> Any:
    if not _FORMS[kind].fullmatch(text):
        raise ValueError(text)
    match kind:
        case "integer":
            bound = 2 ** (8 * _BYTES[next(_tokens(type_))] - 1)
            if not -bound <= int(text) < bound:
                raise ValueError(text)
            return int(text)
        case "decimal":
            digits, scale = _precision(type_)
            whole, _, fraction = text.lstrip("+-").partition(".")
            if len(whole.lstrip("0")) > digits - scale or len(fraction.rstrip("0")) > scale:
                raise ValueError(text)
            return Decimal(text)
        case "float":
            return Decimal(text)
        case "date":
            return date.fromisoformat(text)
        case "timestamp":
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        case _:
            return text


def _precision(type_: str) -> tuple[int, int]:
    """Digits in all and after the point of a decimal type, which has 10 and none where it says nothing."""
    digits, *scale = [int(number) for number in re.findall(r"\d+", type_)] or [10]
    return digits, scale[0] if scale else 0


_BYTES = {"tinyint": 1, "byte": 1, "smallint": 2, "short": 2, "int": 4, "integer": 4, "bigint": 8, "long": 8}
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?")
_FORMS: dict[Family, re.Pattern[str]] = {
    "text": re.compile(r".*", re.DOTALL),
    "integer": re.compile(r"[+-]?[0-9]{1,20}"),
    "decimal": _NUMBER,
    "float": _NUMBER,
    "date": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    "timestamp": re.compile(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{3}|\.[0-9]{6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
    ),
}


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while at < len(text.rstrip()):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"type {text!r} has {text[at]!r}, which belongs to no type")
        yield found[1].lower()
        at = found.end()


def _type(whole: str, tokens: list[str]) -> list[str]:
    """Reads one type from the front of the tokens; returns what is left."""
    name, rest = (tokens[0], tokens[1:]) if tokens else ("", [])
    match name:
        case "decimal" | "dec" | "numeric":
            return _decimal(whole, rest) if rest[:1] == ["("] else rest
        case "varchar" | "char":
            return _length(whole, name, rest)
        case "array":
            return _expect(whole, _type(whole, _expect(whole, rest, "<")), ">")
        case "map":
            return _expect(whole, _type(whole, _expect(whole, _type(whole, _expect(whole, rest, "<")), ",")), ">")
        case "struct":
            return _fields(whole, rest)
        case _ if name in _FAMILIES:
            return rest
        case _:
            near = meant(name, _FAMILIES) or ";"
            raise ValueError(f"type {whole!r} is unknown{near} known: {', '.join(_FAMILIES)}")


def _expect(whole: str, tokens: list[str], wanted: str) -> list[str]:
    if tokens[:1] != [wanted]:
        found = repr(tokens[0]) if tokens else "its end"
        raise ValueError(f"type {whole!r} has {found} where {wanted!r} belongs")
    return tokens[1:]


def _decimal(whole: str, tokens: list[str]) -> list[str]:
    found = re.match(r"\((\d+)(?:,(\d+))?\)", "".join(tokens[:5]))
    digits, scale = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    if not 1 <= digits <= _MOST_DIGITS or scale > digits:
        raise ValueError(
            f"type {whole!r}: a decimal has up to {_MOST_DIGITS} digits, and no more of them after the point"
        )
    return tokens[5 if found and found[2] else 3 :]


def _length(whole: str, name: str, tokens: list[str]) -> list[str]:
    rest = _expect(whole, tokens, "(")
    if not rest or not rest[0].isdigit() or int(rest[0]) == 0:
        raise ValueError(f"type {whole!r}: a {name} has a length, such as {name}(20)")
    return _expect(whole, rest[1:], ")")


def _fields(whole: str, tokens: list[str]) -> list[str]:
    end = "<"
    while end != ">":
        tokens = _expect(whole, tokens, end)
        if not tokens or not re.fullmatch(r"[a-z_][a-z0-9_]*", tokens[0]):
            raise ValueError(f"type {whole!r}: a struct has fields, such as struct<name: string>")
        tokens = _type(whole, _expect(whole, tokens[1:], ":"))
        end = ">" if tokens[:1] == [">"] else ","
    return _expect(whole, tokens, ">")
