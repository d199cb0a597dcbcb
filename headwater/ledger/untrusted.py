"""Untrusted JSON: read strictly, with numbers exactly as they are written."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from headwater.ledger.raw import Problem


def read_json(text: str) -> Any:
    """Reads JSON; ValueError when it is invalid, has NaN, or is nested too deep."""
    try:
        return json.loads(text, parse_float=_number, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_object(text: str) -> tuple[dict[str, Any], Problem | None]:
    """Reads a JSON object, or returns why it is none."""
    try:
        read = read_json(text)
    except ValueError:
        return {}, "not_json"
    if not isinstance(read, dict):
        return {}, "not_an_object"
    # Names that begin so are the pipeline's own: a row must not pretend to have a problem, or another's account.
    return ({}, "bad_row") if any(name.startswith("_") for name in read) else (read, None)


def _number(text: str) -> Decimal:
    return Decimal(text)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
