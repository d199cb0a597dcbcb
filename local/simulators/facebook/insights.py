"""An insights query: its parameters, checked as strictly as may be, and the rows that answer it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from local.simulators.facebook.graph import GraphError
from local.world import facebook_ads
from local.world.facebook_ads_breakdowns import PARTINGS

PARAMETERS = frozenset(
    {
        "fields",
        "level",
        "time_range",
        "time_increment",
        "breakdowns",
        "action_breakdowns",
        "action_attribution_windows",
        "action_report_time",
        "use_account_attribution_setting",
        "filtering",
    }
)

_LEVELS = ("account", "campaign", "adset", "ad")
_FIELDS_BY_LEVEL = {
    "account": ("account_id", "account_name", "account_currency"),
    "campaign": ("campaign_id", "campaign_name", "objective"),
    "adset": ("adset_id", "adset_name"),
    "ad": ("ad_id", "ad_name"),
}
_METRICS = ("impressions", "clicks", "spend", "reach", "frequency", "ctr", "cpc", "cpm", "actions", "action_values")
_DATES = ("date_start", "date_stop")
_WINDOWS = ("1d_click", "7d_click", "28d_click", "1d_view", "1d_ev")
_HISTORY_MONTHS = 37
_REACH_MONTHS = 13
_REACH_FIELDS = frozenset({"reach", "frequency"})
_SUMMED = {
    "impressions": 1,
    "clicks": 1,
    "link_clicks": 1,
    "spend": 100,
    "reach": 1,
    "purchases": 1,
    "omni_purchases": 1,
    "purchase_value": 100,
    "omni_purchase_value": 100,
}
"""Figures of an insight that add up, and what makes a whole number of each."""


@dataclass(frozen=True)
class Query:
    """What was asked, after every check."""

    level: str
    fields: tuple[str, ...]
    since: date
    until: date
    daily: bool
    breakdowns: tuple[str, ...]
    windows: tuple[str, ...]
    only: Mapping[str, frozenset[str]]
    """Ids by level that `filtering` lets through."""

    @property
    def days(self) -> int:
        """Length of the range, both ends included."""
        return (self.until - self.since).days + 1


def parse(params: Mapping[str, str], clock: date) -> Query:
    """Raises GraphError, with the codes of the Graph API, for what it would refuse."""
    level = params.get("level", "account")
    if level not in _LEVELS:
        raise GraphError(100, f"level must be one of the following values: {', '.join(_LEVELS)}")
    since, until = _time_range(params)
    if _older(since, _HISTORY_MONTHS, clock):
        raise GraphError(
            3018, f"The start date of the time range cannot be beyond {_HISTORY_MONTHS} months from the current date"
        )
    if params.get("time_increment", "all_days") not in ("1", "all_days"):
        raise GraphError(100, "time_increment must be 1 or all_days")
    breakdowns = _breakdowns(params)
    _names(params, "action_breakdowns", ("action_type",))
    if params.get("action_report_time", "mixed") not in ("impression", "conversion", "mixed"):
        raise GraphError(100, "action_report_time must be one of impression, conversion, mixed")
    if params.get("use_account_attribution_setting", "true") not in ("true", "false"):
        raise GraphError(100, "use_account_attribution_setting must be true or false")
    return Query(
        level=level,
        fields=_fields(params, level, breakdowns),
        since=since,
        until=until,
        daily=params.get("time_increment") == "1",
        breakdowns=breakdowns,
        windows=_names(params, "action_attribution_windows", _WINDOWS),
        only=_filtering(params),
    )


def asks_old_reach(query: Query, clock: date) -> bool:
    """Whether people are to be counted by group for days that are kept for few such questions."""
    return (
        bool(query.breakdowns) and _older(query.since, _REACH_MONTHS, clock) and bool({*query.fields} & _REACH_FIELDS)
    )


def without_reach(query: Query) -> Query:
    """The query less everything that counts people: the platform leaves it out and says nothing."""
    return replace(query, fields=tuple(field for field in query.fields if field not in _REACH_FIELDS))


def _older(day: date, months: int, clock: date) -> bool:
    ago = (clock.year - day.year) * 12 + clock.month - day.month
    return ago > months or (ago == months and day.day < clock.day)


def answer(query: Query, account: facebook_ads.Account, world: facebook_ads.AdWorld) -> list[dict[str, Any]]:
    """All rows, ordered by day and id; every number is text, and what did not happen is left out."""
    totals: dict[tuple[str, ...], _Total] = {}
    for row in facebook_ads.insights(world, query.since, query.until):
        if row.account_id != account.account_id or not _passes(row, query.only):
            continue
        for groups, part in _parts(row, query, world):
            key = _key(row, query, groups)
            total = totals.setdefault(key, _Total(row, groups))
            total.add(part)
    names = _Names(account, world)
    return [_row(total, query, names) for _, total in sorted(totals.items(), key=lambda item: item[0])]


class _Total:
    """Sum of the rows of one group."""

    def __init__(self, first: facebook_ads.Insight, groups: Mapping[str, str]) -> None:
        self.first = first
        self.groups = groups
        self.sums: dict[str, int] = dict.fromkeys(_SUMMED, 0)

    def add(self, part: facebook_ads.Insight) -> None:
        """Adds one part; money in hundredths."""
        for name, factor in _SUMMED.items():
            self.sums[name] += int(getattr(part, name) * factor)


class _Names:
    """Names for ids."""

    def __init__(self, account: facebook_ads.Account, world: facebook_ads.AdWorld) -> None:
        self.account = account
        self.campaigns = {campaign.campaign_id: campaign for campaign in world.campaigns}
        self.ad_sets = {ad_set.ad_set_id: ad_set.name for ad_set in world.ad_sets}
        self.ads = {ad.ad_id: ad.name for ad in world.ads}


def _time_range(params: Mapping[str, str]) -> tuple[date, date]:
    if "time_range" not in params:
        raise GraphError(100, "The parameter time_range is required")
    try:
        asked = json.loads(params["time_range"])
        since, until = date.fromisoformat(asked["since"]), date.fromisoformat(asked["until"])
    except (ValueError, TypeError, KeyError) as error:
        raise GraphError(100, "time_range must be a JSON object with since and until as YYYY-MM-DD") from error
    if since > until:
        raise GraphError(100, "The since date must not be after the until date", 1487534)
    return since, until


def _names(params: Mapping[str, str], name: str, valid: tuple[str, ...]) -> tuple[str, ...]:
    asked = names_in(params.get(name, ""), name)
    for value in asked:
        if value not in valid:
            raise GraphError(100, f"{name}[0] must be one of the following values: {', '.join(valid)}")
    return asked


def _breakdowns(params: Mapping[str, str]) -> tuple[str, ...]:
    """Breakdowns that the platform knows and gives together."""
    asked = _names(params, "breakdowns", tuple(name for names in PARTINGS for name in names))
    if not any({*asked} <= {*names} for names in PARTINGS):
        raise GraphError(100, f"Current combination of data breakdown columns ({', '.join(asked)}) is invalid")
    return asked


def names_in(text: str, name: str) -> tuple[str, ...]:
    """Names from `a,b` or `["a","b"]`, in order and once each."""
    if text.startswith("["):
        try:
            values = json.loads(text)
        except ValueError as error:
            raise GraphError(100, f"{name} must be a JSON array of strings") from error
    else:
        values = [part.strip() for part in text.split(",") if part.strip()]
    if not all(isinstance(value, str) for value in values):
        raise GraphError(100, f"{name} must be a JSON array of strings")
    return tuple(dict.fromkeys(values))


def _fields(params: Mapping[str, str], level: str, breakdowns: tuple[str, ...]) -> tuple[str, ...]:
    allowed = set(_METRICS) | set(_DATES)
    for finer in _LEVELS[: _LEVELS.index(level) + 1]:
        allowed.update(_FIELDS_BY_LEVEL[finer])
    fields = names_in(params.get("fields", "impressions,spend"), "fields")
    for field in fields:
        if field in breakdowns or field not in allowed:
            raise GraphError(
                100,
                f"{field} is not valid for fields param. please check "
                "https://developers.facebook.com/docs/marketing-api/reference/ads-insights/ for all valid values",
            )
    return fields


def _filtering(params: Mapping[str, str]) -> dict[str, frozenset[str]]:
    only: dict[str, frozenset[str]] = {}
    for condition in conditions(params):
        level, _, attribute = str(condition["field"]).partition(".")
        value = condition["value"]
        if level not in _LEVELS[1:] or attribute != "id" or condition["operator"] not in ("IN", "EQUAL"):
            raise GraphError(100, f"Filtering field {condition['field']} with this operator is invalid")
        only[level] = frozenset(map(str, value if isinstance(value, list) else [value]))
    return only


def conditions(params: Mapping[str, str]) -> list[dict[str, Any]]:
    """The conditions in `filtering`: a JSON array of objects with field, operator and value."""
    try:
        found = json.loads(params.get("filtering", "[]"))
    except ValueError as error:
        raise GraphError(100, "filtering must be a JSON array") from error
    if not isinstance(found, list) or not all(
        isinstance(condition, dict) and condition.keys() == {"field", "operator", "value"} for condition in found
    ):
        raise GraphError(100, "filtering must be a JSON array of objects with field, operator and value")
    return found


def _passes(row: facebook_ads.Insight, only: Mapping[str, frozenset[str]]) -> bool:
    ids = {"campaign": row.campaign_id, "adset": row.ad_set_id, "ad": row.ad_id}
    return all(str(ids[level]) in allowed for level, allowed in only.items())


def _key(row: facebook_ads.Insight, query: Query, groups: Mapping[str, str]) -> tuple[str, ...]:
    ids = (row.account_id, row.campaign_id, row.ad_set_id, row.ad_id)[: _LEVELS.index(query.level) + 1]
    day = row.day.isoformat() if query.daily else ""
    return (day, *map(str, ids), *(groups[name] for name in query.breakdowns))


def _parts(
    row: facebook_ads.Insight, query: Query, world: facebook_ads.AdWorld
) -> Iterator[tuple[dict[str, str], facebook_ads.Insight]]:
    if not query.breakdowns:
        yield {}, row
        return
    targeting = next(ad_set.targeting for ad_set in world.ad_sets if ad_set.ad_set_id == row.ad_set_id)
    names, parting = next((names, parting) for names, parting in PARTINGS.items() if query.breakdowns[0] in names)
    for group, part in parting(row, world.seed, targeting):
        yield dict(zip(names, group, strict=True)), part


def _row(total: _Total, query: Query, names: _Names) -> dict[str, Any]:
    first, sums = total.first, total.sums
    campaign = names.campaigns[first.campaign_id]
    values: dict[str, Callable[[], Any]] = {
        "account_id": lambda: str(first.account_id),
        "account_name": lambda: names.account.name,
        "account_currency": lambda: names.account.currency,
        "campaign_id": lambda: str(first.campaign_id),
        "campaign_name": lambda: campaign.name,
        "objective": lambda: campaign.objective,
        "adset_id": lambda: str(first.ad_set_id),
        "adset_name": lambda: names.ad_sets[first.ad_set_id],
        "ad_id": lambda: str(first.ad_id),
        "ad_name": lambda: names.ads[first.ad_id],
        "impressions": lambda: str(sums["impressions"]),
        "clicks": lambda: str(sums["clicks"]) if sums["clicks"] else None,
        "spend": lambda: _money(sums["spend"]),
        "reach": lambda: str(sums["reach"]),
        "frequency": lambda: _ratio(sums["impressions"], sums["reach"]),
        "ctr": lambda: _ratio(100 * sums["clicks"], sums["impressions"]),
        "cpc": lambda: _ratio(sums["spend"], 100 * sums["clicks"]),
        "cpm": lambda: _ratio(10 * sums["spend"], sums["impressions"]),
        "actions": lambda: _actions(
            query.windows,
            {
                "link_click": sums["link_clicks"],
                "purchase": sums["purchases"],
                "omni_purchase": sums["omni_purchases"],
            },
            str,
        ),
        "action_values": lambda: _actions(
            query.windows, {"purchase": sums["purchase_value"], "omni_purchase": sums["omni_purchase_value"]}, _money
        ),
    }
    row = {field: value for field in query.fields if field not in _DATES and (value := values[field]()) is not None}
    row.update({name: total.groups[name] for name in query.breakdowns})
    row["date_start"] = (first.day if query.daily else query.since).isoformat()
    row["date_stop"] = (first.day if query.daily else query.until).isoformat()
    return row


def _actions(
    windows: tuple[str, ...], amounts: Mapping[str, int], text: Callable[[int], str]
) -> list[dict[str, str]] | None:
    actions = []
    for action_type, amount in amounts.items():
        if amount <= 0:
            continue
        seen = {"1d_click": amount * 7 // 10, "7d_click": amount * 9 // 10, "28d_click": amount}
        seen |= {"1d_view": amount - seen["7d_click"], "1d_ev": amount // 20}
        action = {"action_type": action_type, "value": text(amount)}
        action.update({window: text(seen[window]) for window in windows if seen[window]})
        actions.append(action)
    return actions or None


def _money(hundredths: int) -> str:
    """Major units without needless zeros, as the API writes them."""
    amount = Decimal(hundredths) / 100
    return str(amount.quantize(Decimal(1)) if amount == amount.to_integral_value() else amount.normalize())


def _ratio(numerator: int, denominator: int) -> str | None:
    return f"{numerator / denominator:.6f}".rstrip("0").rstrip(".") if denominator else None
