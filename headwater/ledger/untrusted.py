"""The one reader of JSON from outside: strict, bounded, and with numbers exactly as they are written."""

from __future__ import annotations

import json
from collections.abc import Collection
from decimal import Decimal
from typing import Any

from headwater.ledger.raw import Problem

MOST_DIGITS = 1_000
"""Characters of one number; Spark's own reader takes no more."""
MOST_EXPONENT = 9_999
"""Of a number: how many places its point may be moved."""
MOST_LEVELS = 64
"""Of objects and lists within each other; the same whoever reads, however deep its own stack is by then."""
MOST_VALUES = 2_000_000
"""Of a whole document: what it takes in memory goes by their number, not by its bytes."""
MOST_FIELDS = 2_000
"""Of one row."""


def read_json(text: str) -> Any:
    """Reads JSON; ValueError, and nothing else, for whatever is none or goes beyond a bound."""
    opened = text.count("[") + text.count("{")
    # At least one of these stands before each value but the first.
    if text.count(",") + opened > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES} values")
    try:
        read = _DECODER.decode(text)
    except RecursionError:
        raise ValueError(f"nested more than {MOST_LEVELS} levels deep") from None
    if opened > MOST_LEVELS:
        _bound_levels(read)
    return read


def read_object(text: str, own: Collection[str] = ()) -> tuple[dict[str, Any], Problem | None]:
    """Reads the JSON object of one row, or returns why it is none; `own` are names of the pipeline's that it may have."""
    try:
        read = read_json(text)
    except ValueError:
        return {}, "not_json"
    if not isinstance(read, dict):
        return {}, "not_an_object"
    # Names that begin so are the pipeline's own: a row must not pretend to have a problem, or another's account.
    if any(name.startswith("_") and name not in own for name in read):
        return {}, "bad_row"
    return ({}, "too_large") if len(read) > MOST_FIELDS else (read, None)


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of more than {MOST_DIGITS} digits")
    return int(text)


def _fraction(text: str) -> Decimal:
    try:
        number = Decimal(text) if len(text) <= MOST_DIGITS else None
    except ArithmeticError:
        number = None
    if number is None or abs(number.adjusted()) > MOST_EXPONENT:
        raise ValueError(f"a number of more than {MOST_DIGITS} digits, or with an exponent beyond {MOST_EXPONENT}")
    return number


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _bound_levels(read: Any) -> None:
    level = [read]
    for _ in range(MOST_LEVELS + 1):
        level = [outer for outer in level if isinstance(outer, _CONTAINERS)]
        if not level:
            return
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
    raise ValueError(f"nested more than {MOST_LEVELS} levels deep")


_CONTAINERS = (dict, list)
_DECODER = json.JSONDecoder(parse_float=_fraction, parse_int=_whole, parse_constant=_no_number)
