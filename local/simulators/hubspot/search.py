"""Which objects a search finds, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from local.simulators.hubspot.crm import Thing
from local.simulators.hubspot.messages import HubSpotError

_GROUPS = 5


_FILTERS = 6


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "EQ": lambda left, right: left == right,
    "GT": lambda left, right: left > right,
    "GTE": lambda left, right: left >= right,
    "LT": lambda left, right: left < right,
    "LTE": lambda left, right: left <= right,
}


def matches(thing: Thing, groups: Any) -> bool:
    """Whether all filters of any group hold; without a group, everything does."""
    if len(groups) > _GROUPS:
        raise HubSpotError.invalid(f"no more than {_GROUPS} filterGroups")
    return not groups or any(_holds(thing, group.get("filters", [])) for group in groups)


def _holds(thing: Thing, filters: Any) -> bool:
    if len(filters) > _FILTERS:
        raise HubSpotError.invalid(f"no more than {_FILTERS} filters in a group")
    return all(_compare(thing, one) for one in filters)


def _compare(thing: Thing, one: Mapping[str, Any]) -> bool:
    operator, name = one.get("operator", ""), one.get("propertyName", "")
    if operator not in _COMPARE:
        raise HubSpotError.invalid(f"operator {operator} is not one of {', '.join(_COMPARE)}")
    if not isinstance(one.get("value"), str):
        raise HubSpotError.invalid(f"the value for {name} must be text")
    value = _number(thing, name)
    try:
        return value is not None and _COMPARE[operator](value, float(one["value"]))
    except ValueError as error:
        raise HubSpotError.invalid(f"{one['value']} is not a number; dates are epoch milliseconds") from error


def _number(thing: Thing, name: str) -> float | None:
    """A property as it is compared: numbers as such, times as epoch milliseconds."""
    text = thing.properties.get(name)
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp() * 1000
    except ValueError as error:
        raise HubSpotError.invalid(f"{name} is neither a number nor a time in this simulator") from error


def order(sorts: Any) -> Callable[[Thing], tuple[float, int]]:
    """The key by which a search sorts, of which there is one at most; by time of creation without one."""
    if len(sorts) > 1:
        raise HubSpotError.invalid("only one sort is allowed")
    if not sorts:
        return lambda thing: (thing.created_at.timestamp(), thing.number)
    name = sorts[0].get("propertyName")
    sign = -1 if sorts[0].get("direction") == "DESCENDING" else 1
    return lambda thing: (sign * (_number(thing, name) or 0.0), thing.number)
