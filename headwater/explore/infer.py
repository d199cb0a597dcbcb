"""Guesses from rows or columns: the type of each field, the key of a row, and what orders its versions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from headwater.explore.found import Field

_VERSION = re.compile(
    r"(?i)^(_?)(last_?)?(updated|modified|changed|update|modification)(_?(at|on|time|date|timestamp|ts))?$"
)
_ID = re.compile(r"(?i)(^|_)(id|uuid|guid|key)$")
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_MOMENT = re.compile(r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}")
_LEAST_SCALE = 2
_DIGITS = 18
_LONG = 2**63
# Values below this share are mistakes of a row or two, which quarantine is for; duplicates below it likewise.
_FEW = 0.1


def fields_of(rows: Iterable[Mapping[str, Any]]) -> tuple[Field, ...]:
    """Guesses the type of each field from the values that it has in some rows; text where they disagree."""
    values: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    return tuple(Field(name, _type_of([value for value in seen if value is not None])) for name, seen in values.items())


def _type_of(values: Sequence[Any]) -> str:
    counted = Counter(_kind_of(value) for value in values)
    kinds = {kind for kind, count in counted.items() if count >= len(values) * _FEW} or set(counted)
    if kinds in ({"bigint", "decimal"}, {"decimal"}):
        numbers = [Decimal(str(value)) for value in values if isinstance(value, int | float | Decimal)]
        scale = max(_LEAST_SCALE, *(-int(number.as_tuple().exponent) for number in numbers if number.is_finite()))
        return f"decimal({max(_DIGITS, scale + _LEAST_SCALE)},{scale})" if scale < _DIGITS else "double"
    if kinds == {"date", "timestamp"}:
        return "timestamp"
    return kinds.pop() if len(kinds) == 1 else "string"


def _kind_of(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "bigint" if -_LONG <= value < _LONG else "decimal(38,0)"
        case float() | Decimal():
            return "decimal" if Decimal(str(value)).is_finite() else "double"
        case str() if _DATE.match(value) and _reads(date.fromisoformat, value):
            return "date"
        case str() if _MOMENT.match(value) and _reads(datetime.fromisoformat, value):
            return "timestamp"
        case _:
            # What is nested stays JSON text.
            return "string"


def _reads(read: Any, text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def version_of(fields: Sequence[Field]) -> str | None:
    """The field that is most likely to order the versions of a row; None when none looks like it."""
    moments = [field.name for field in fields if field.type in {"timestamp", "date"}]
    return next((name for name in moments if _VERSION.match(name)), None)


def key_of(fields: Sequence[Field], rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The field that tells rows apart, by its name and by what it holds in some rows; none when there is no such field."""
    for field in fields:
        held = [str(value) for row in rows if (value := row.get(field.name)) is not None]
        differ = len(set(held)) >= len(rows) * (1 - _FEW)
        if _ID.search(field.name) and differ:
            return (field.name,)
    return ()
