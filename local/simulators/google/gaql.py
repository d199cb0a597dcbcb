"""Google Ads Query Language over the world: what a query may ask, checked as strictly as may be, and the rows that answer it.

Of the language there is what reading reports needs: SELECT, FROM, WHERE joined by AND, ORDER BY and LIMIT.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

from local.simulators.google.messages import GoogleError
from local.world import google_ads, google_ads_breakdowns

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'[^']*'|\"[^\"]*\")|(?P<word>[A-Za-z_][\w.]*)|(?P<number>-?\d+(?:\.\d+)?)|(?P<sign>!=|<=|>=|[=<>(),]))"
)
_CLAUSES = ("FROM", "WHERE", "ORDER", "LIMIT")
_DURING = {"YESTERDAY": (1, 1), "LAST_7_DAYS": (7, 1), "LAST_14_DAYS": (14, 1), "LAST_30_DAYS": (30, 1)}
_DATE = "segments.date"


@dataclass(frozen=True)
class Condition:
    """One comparison of the WHERE clause; BETWEEN has two values, IN any number."""

    field: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Query:
    """What was asked, after every check."""

    fields: tuple[str, ...]
    resource: str
    conditions: tuple[Condition, ...]
    order: tuple[tuple[str, bool], ...]
    """Fields to sort by, and whether the greatest comes first."""
    limit: int | None

    @property
    def mask(self) -> str:
        """The selected fields as `fieldMask` lists them."""
        return ",".join(map(_camel, self.fields))

    @property
    def measures(self) -> bool:
        """Whether any metric or segment is selected."""
        return any(field.startswith(("metrics.", "segments.")) for field in self.fields)


class _Context(NamedTuple):
    """What one row speaks of; `sums` are those of the days it stands for."""

    customer: google_ads.Customer | None
    campaign: google_ads.Campaign | None = None
    ad_group: google_ads.AdGroup | None = None
    ad: google_ads.Ad | None = None
    day: date | None = None
    sums: google_ads.AdDay | None = None
    group: google_ads_breakdowns.Group | None = None

    @property
    def view(self) -> _Context:
        """What the fields of a breakdown's view are told from."""
        return self


_Getter = Callable[[Any], Any]


def _of_criterion(it: Any, collection: str) -> str:
    """Resource name of what an ad group and a criterion name together."""
    return f"customers/{it.customer.customer_id}/{collection}/{it.ad_group.ad_group_id}~{it.group.criterion_id}"


_ATTRIBUTES: dict[str, tuple[str, dict[str, _Getter]]] = {
    "customer": (
        "customer",
        {
            "resource_name": lambda it: f"customers/{it.customer_id}",
            "id": lambda it: str(it.customer_id),
            "descriptive_name": lambda it: it.name,
            "currency_code": lambda it: it.currency,
            "time_zone": lambda it: it.time_zone,
            "manager": lambda it: it.customer_id == google_ads.MANAGER_ID,
            "status": lambda _: "ENABLED",
        },
    ),
    "campaign": (
        "campaign",
        {
            "resource_name": lambda it: f"customers/{it.customer_id}/campaigns/{it.campaign_id}",
            "id": lambda it: str(it.campaign_id),
            "name": lambda it: it.name,
            "status": lambda it: it.status,
            "advertising_channel_type": lambda it: it.channel_type,
            "bidding_strategy_type": lambda it: it.bidding_strategy_type,
            "start_date_time": lambda it: f"{it.start_day} 00:00:00",
            "end_date_time": lambda it: f"{it.stop_day} 23:59:59" if it.stop_day else None,
        },
    ),
    "ad_group": (
        "ad_group",
        {
            "resource_name": lambda it: f"customers/{it.customer_id}/adGroups/{it.ad_group_id}",
            "id": lambda it: str(it.ad_group_id),
            "name": lambda it: it.name,
            "status": lambda it: it.status,
            "type": lambda it: it.type_name,
            "campaign": lambda it: f"customers/{it.customer_id}/campaigns/{it.campaign_id}",
            "targeting_setting.target_restrictions": lambda it: it.target_restrictions or None,
        },
    ),
    "ad_group_ad": (
        "ad",
        {
            "resource_name": lambda it: f"customers/{it.customer_id}/adGroupAds/{it.ad_group_id}~{it.ad_id}",
            "status": lambda it: it.status,
            "ad_group": lambda it: f"customers/{it.customer_id}/adGroups/{it.ad_group_id}",
            "ad.resource_name": lambda it: f"customers/{it.customer_id}/ads/{it.ad_id}",
            "ad.id": lambda it: str(it.ad_id),
            "ad.name": lambda it: it.name if it.type_name == "IMAGE_AD" else None,
            "ad.type": lambda it: it.type_name,
            "ad.final_urls": lambda it: [it.final_url],
        },
    ),
    "ad_group_criterion": (
        "view",
        {
            "resource_name": lambda it: _of_criterion(it, "adGroupCriteria"),
            "criterion_id": lambda it: str(it.group.criterion_id),
            "age_range.type": lambda it: it.group.name if it.group in google_ads_breakdowns.AGES else None,
            "gender.type": lambda it: it.group.name if it.group in google_ads_breakdowns.GENDERS else None,
        },
    ),
    "age_range_view": ("view", {"resource_name": lambda it: _of_criterion(it, "ageRangeViews")}),
    "gender_view": ("view", {"resource_name": lambda it: _of_criterion(it, "genderViews")}),
    "geographic_view": (
        "view",
        {
            "resource_name": lambda it: (
                f"customers/{it.customer.customer_id}/geographicViews/"
                f"{it.group.country_criterion_id}~{it.group.location_type}"
            ),
            "country_criterion_id": lambda it: str(it.group.country_criterion_id),
            "location_type": lambda it: it.group.location_type,
        },
    ),
    "customer_client": (
        "customer",
        {
            "resource_name": lambda it: f"customers/{google_ads.MANAGER_ID}/customerClients/{it.customer_id}",
            "client_customer": lambda it: f"customers/{it.customer_id}",
            "id": lambda it: str(it.customer_id),
            "level": lambda it: "0" if it.customer_id == google_ads.MANAGER_ID else "1",
            "manager": lambda it: it.customer_id == google_ads.MANAGER_ID,
            "descriptive_name": lambda it: it.name,
            "currency_code": lambda it: it.currency,
            "time_zone": lambda it: it.time_zone,
            "hidden": lambda _: False,
            "status": lambda _: "ENABLED",
        },
    ),
    "segments": ("day", {"date": lambda day: day.isoformat()}),
    "metrics": (
        "sums",
        {
            "impressions": lambda it: str(it.impressions),
            "clicks": lambda it: str(it.clicks),
            "cost_micros": lambda it: str(it.cost_micros),
            "conversions": lambda it: float(it.conversions),
            "conversions_value": lambda it: float(it.conversions_value),
            "ctr": lambda it: it.clicks / it.impressions if it.impressions else 0.0,
            "average_cpc": lambda it: it.cost_micros / it.clicks if it.clicks else 0.0,
        },
    ),
}
"""Fields by the first part of their name: where in the context they are found, and how."""

_MEASURED = ("segments", "metrics")
_RESOURCES = {
    "customer": ("customer", *_MEASURED),
    "campaign": ("customer", "campaign", *_MEASURED),
    "ad_group": ("customer", "campaign", "ad_group", *_MEASURED),
    "ad_group_ad": ("customer", "campaign", "ad_group", "ad_group_ad", *_MEASURED),
    "age_range_view": ("customer", "campaign", "ad_group", "ad_group_criterion", "age_range_view", *_MEASURED),
    "gender_view": ("customer", "campaign", "ad_group", "ad_group_criterion", "gender_view", *_MEASURED),
    "geographic_view": ("customer", "campaign", "ad_group", "geographic_view", *_MEASURED),
    "customer_client": ("customer", "customer_client"),
}
"""What may be selected from each resource."""

MANAGER = google_ads.Customer(google_ads.MANAGER_ID, google_ads.MANAGER_NAME, "USD", "America/New_York", Decimal(1))


def parse(text: str, clock: date) -> Query:
    """Raises GoogleError, with the codes of the API, for what it would refuse."""
    tokens = _tokens(text)
    if not tokens or tokens[0].upper() != "SELECT":
        raise GoogleError.query("EXPECTED_SELECT", "query must begin with SELECT.")
    clauses: dict[str, list[str]] = {"SELECT": []}
    clause = "SELECT"
    for token in tokens[1:]:
        if token.upper() in _CLAUSES:
            clause = token.upper()
            if clause in clauses:
                raise GoogleError.query("UNEXPECTED_INPUT", f"unexpected input {token}.")
            clauses[clause] = []
        else:
            clauses[clause].append(token)
    if len(clauses.get("FROM", [])) != 1:
        raise GoogleError.query("EXPECTED_FROM", "FROM clause with one resource is missing.")
    [resource] = clauses["FROM"]
    if resource not in _RESOURCES:
        raise GoogleError.query(
            "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE", f"{resource} is not a valid resource in the FROM clause."
        )
    query = Query(
        fields=tuple(dict.fromkeys(_listed(clauses["SELECT"]))),
        resource=resource,
        conditions=_conditions(clauses.get("WHERE")),
        order=_order(clauses.get("ORDER")),
        limit=_limit(clauses.get("LIMIT")),
    )
    if not query.fields:
        raise GoogleError.query("EXPECTED_DIMENSION_FIELD_IN_SELECT_CLAUSE", "no field is selected.")
    for field in (
        *query.fields,
        *(condition.field for condition in query.conditions),
        *(field for field, _ in query.order),
    ):
        _check(field, resource)
    unselected = [field for field, _ in query.order if field not in query.fields]
    if unselected:
        raise GoogleError.query("EXPECTED_REFERENCED_FIELD_IN_SELECT_CLAUSE", f"{unselected[0]} must be selected too.")
    if _DATE in query.fields:
        _days(query, clock)
    return query


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise GoogleError.query("BAD_SYMBOL", f"unexpected symbol at {text[at:].strip()[:10]!r}.")
        found.append(match[0].strip())
        at = match.end()
    return found


def _listed(tokens: Sequence[str]) -> list[str]:
    """Items between commas."""
    if any((item == ",") is not bool(number % 2) for number, item in enumerate(tokens)) or tokens[-1:] == [","]:
        raise GoogleError.query("UNEXPECTED_INPUT", f"fields must be separated by commas: {' '.join(tokens)}")
    return list(tokens[::2])


def _conditions(tokens: list[str] | None) -> tuple[Condition, ...]:
    if tokens is None:
        return ()
    found = []
    rest = tokens
    while True:
        condition, rest = _condition(rest)
        found.append(condition)
        if not rest:
            return tuple(found)
        if rest[0].upper() != "AND":
            raise GoogleError.query("EXPECTED_AND", f"expected AND instead of {rest[0]}.")
        rest = rest[1:]


def _condition(tokens: Sequence[str]) -> tuple[Condition, list[str]]:
    if len(tokens) < 3:
        raise GoogleError.query("UNEXPECTED_END_OF_QUERY", "unexpected end of query.")
    field, operator, rest = tokens[0], tokens[1].upper(), list(tokens[2:])
    if operator == "NOT":
        operator, rest = f"NOT {rest[0].upper()}", rest[1:]
    if operator in {"IN", "NOT IN"}:
        if rest[:1] != ["("] or ")" not in rest:
            raise GoogleError.query("EXPECTED_LIST", f"{field} {operator} needs a list.")
        end = rest.index(")")
        return Condition(field, operator, tuple(map(_value, _listed(rest[1:end])))), rest[end + 1 :]
    if operator == "BETWEEN":
        if len(rest) < 3 or rest[1].upper() != "AND":
            raise GoogleError.query("EXPECTED_VALUE_WITH_BETWEEN_OPERATOR", f"{field} BETWEEN needs two values.")
        return Condition(field, operator, (_value(rest[0]), _value(rest[2]))), rest[3:]
    if operator == "DURING":
        if field != _DATE or rest[0].upper() not in _DURING:
            raise GoogleError.query("INVALID_VALUE_WITH_DURING_OPERATOR", f"{rest[0]} is no range of days for {field}.")
        return Condition(field, operator, (rest[0].upper(),)), rest[1:]
    if operator not in {"=", "!=", "<", "<=", ">", ">="}:
        raise GoogleError.query("BAD_OPERATOR", f"{tokens[1]} is not an operator.")
    return Condition(field, operator, (_value(rest[0]),)), rest[1:]


def _value(token: str) -> str:
    return token[1:-1] if token[0] in "'\"" else token


def _order(tokens: list[str] | None) -> tuple[tuple[str, bool], ...]:
    if tokens is None:
        return ()
    if not tokens or tokens[0].upper() != "BY":
        raise GoogleError.query("EXPECTED_BY", "ORDER must be followed by BY.")
    found: list[tuple[str, bool]] = []
    for item in " ".join(tokens[1:]).split(" , "):
        field, _, direction = item.partition(" ")
        if direction.upper() not in {"", "ASC", "DESC"}:
            raise GoogleError.query("UNEXPECTED_INPUT", f"unexpected input {direction}.")
        found.append((field, direction.upper() == "DESC"))
    return tuple(found)


def _limit(tokens: list[str] | None) -> int | None:
    if tokens is None:
        return None
    if len(tokens) != 1 or not tokens[0].isdigit() or int(tokens[0]) < 1:
        raise GoogleError.query("BAD_LIMIT_VALUE", "LIMIT must be a positive integer.")
    return int(tokens[0])


def _check(field: str, resource: str) -> None:
    first, _, rest = field.partition(".")
    if rest not in _ATTRIBUTES.get(first, ("", {}))[1]:
        raise GoogleError.query("UNRECOGNIZED_FIELD", f"Unrecognized field in the query: '{field}'.")
    if first not in _RESOURCES[resource]:
        if first in _MEASURED:
            code = f"PROHIBITED_{first[:-1].upper()}_IN_SELECT_OR_WHERE_CLAUSE"
            raise GoogleError.query(code, f"{field} cannot be asked of {resource}.")
        raise GoogleError.query(
            "PROHIBITED_RESOURCE_TYPE_IN_SELECT_CLAUSE", f"{first} cannot be selected from {resource}."
        )


def _days(query: Query, clock: date) -> tuple[date, date]:
    """First and last day that the WHERE clause lets through; all of them where it does not speak of days."""
    since, until = date(2000, 1, 1), date.max
    limited: set[str] = set()
    for condition in query.conditions:
        if condition.field != _DATE:
            continue
        if condition.operator == "DURING":
            furthest, nearest = _DURING[condition.values[0]]
            since, until = clock - timedelta(days=furthest), clock - timedelta(days=nearest)
            limited = {"since", "until"}
            continue
        days = [_day(value) for value in condition.values]
        if condition.operator in {"=", "BETWEEN", ">=", ">"}:
            since = max(since, days[0] + timedelta(days=condition.operator == ">"))
            limited.add("since")
        if condition.operator in {"=", "BETWEEN", "<=", "<"}:
            until = min(until, days[-1] - timedelta(days=condition.operator == "<"))
            limited.add("until")
    if _DATE in query.fields and limited != {"since", "until"}:
        raise GoogleError.query(
            "EXPECTED_FILTERS_ON_DATE_RANGE", "segments.date needs a finite range of days in the WHERE clause."
        )
    return since, until


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise GoogleError.query("INVALID_DATE_FORMAT", f"'{text}' is not a date: expected YYYY-MM-DD.") from error


def answer(query: Query, customer_id: int, world: google_ads.GoogleWorld) -> list[dict[str, Any]]:
    """All rows; int64 are text, enums are names, and what has no value is left out."""
    if customer_id == google_ads.MANAGER_ID and query.measures:
        message = (
            "Metrics cannot be requested for a manager account. To retrieve metrics, issue separate requests against each"
            " client account under the manager account."
        )
        raise GoogleError.query("REQUESTED_METRICS_FOR_MANAGER", message)
    found = [
        context
        for context in _contexts(query, customer_id, world)
        if all(_holds(condition, context) for condition in query.conditions if condition.field != _DATE)
    ]
    for field, descending in reversed(query.order):
        ranks = {id(context): _comparable(_get(field, context)) for context in found}
        found.sort(key=lambda context: ranks[id(context)], reverse=descending)
    return [_row(query, context) for context in found[: query.limit]]


def _contexts(query: Query, customer_id: int, world: google_ads.GoogleWorld) -> Iterator[_Context]:
    if query.resource == "customer_client":
        below = google_ads.CUSTOMERS if customer_id == google_ads.MANAGER_ID else ()
        own = next(customer for customer in (MANAGER, *google_ads.CUSTOMERS) if customer.customer_id == customer_id)
        yield from (_Context(customer) for customer in (own, *below))
        return
    if query.resource in google_ads_breakdowns.VIEWS:
        yield from _parts(query, customer_id, world)
        return
    things = list(_things(query.resource, customer_id, world))
    if not query.measures:
        yield from things
        return
    totals: dict[tuple[int, date | None], google_ads.AdDay] = {}
    by_day = _DATE in query.fields
    for row in google_ads.performance(world, *_days(query, world.clock)):
        if row.customer_id == customer_id:
            key = (_id_of(query.resource, row), row.day if by_day else None)
            totals[key] = _sum(totals.get(key), row)
    for thing in things:
        key_of_thing = _id_of(query.resource, thing.ad or thing.ad_group or thing.campaign or thing.customer)
        if by_day:
            days = sorted(day for thing_id, day in totals if thing_id == key_of_thing and day is not None)
            yield from (thing._replace(day=day, sums=totals[key_of_thing, day]) for day in days)
        else:
            nothing = google_ads.AdDay(customer_id, 0, 0, 0, world.clock, 0, 0, 0, Decimal(0), Decimal(0))
            yield thing._replace(sums=totals.get((key_of_thing, None), nothing))


def _things(resource: str, customer_id: int, world: google_ads.GoogleWorld) -> Iterator[_Context]:
    customer = next(one for one in (MANAGER, *google_ads.CUSTOMERS) if one.customer_id == customer_id)
    if resource == "customer":
        yield _Context(customer)
        return
    campaigns = {campaign.campaign_id: campaign for campaign in world.campaigns if campaign.customer_id == customer_id}
    ad_groups = {group.ad_group_id: group for group in world.ad_groups if group.customer_id == customer_id}
    if resource == "campaign":
        yield from (_Context(customer, campaign) for campaign in campaigns.values())
    elif resource == "ad_group":
        yield from (_Context(customer, campaigns[group.campaign_id], group) for group in ad_groups.values())
    else:
        for ad in world.ads:
            if ad.customer_id == customer_id:
                yield _Context(customer, campaigns[ad.campaign_id], ad_groups[ad.ad_group_id], ad)


def _id_of(resource: str, thing: Any) -> int:
    name = {"ad_group_ad": "ad_id", "customer": "customer_id"}.get(resource, f"{resource}_id")
    number: int = getattr(thing, name)
    return number


def _sum(total: google_ads.AdDay | None, row: google_ads.AdDay) -> google_ads.AdDay:
    return row if total is None else total.plus(row)


def _parts(query: Query, customer_id: int, world: google_ads.GoogleWorld) -> Iterator[_Context]:
    """Rows of a breakdown, by day and ad group, as far as the query tells them apart."""
    if customer_id == google_ads.MANAGER_ID:
        return
    customer = next(one for one in google_ads.CUSTOMERS if one.customer_id == customer_id)
    campaigns = {campaign.campaign_id: campaign for campaign in world.campaigns}
    ad_groups = {group.ad_group_id: group for group in world.ad_groups}
    # People are a matter of the ad group, and so are these views. A country is told apart by what else is asked for.
    asked = {field.partition(".")[0] for field in (*query.fields, *(it.field for it in query.conditions))}
    by_ad_group = query.resource != "geographic_view" or "ad_group" in asked
    by_campaign = by_ad_group or "campaign" in asked
    totals: dict[tuple[Any, ...], google_ads.AdDay] = {}
    for group, part in google_ads_breakdowns.breakdown(world, query.resource, customer, *_days(query, world.clock)):
        key = (
            part.day if _DATE in query.fields else None,
            part.campaign_id if by_campaign else None,
            part.ad_group_id if by_ad_group else None,
            group,
        )
        totals[key] = _sum(totals.get(key), part)
    for (day, campaign, ad_group, group), sums in totals.items():
        yield _Context(customer, campaigns.get(campaign), ad_groups.get(ad_group), day=day, sums=sums, group=group)


def _get(field: str, context: _Context) -> Any:
    first, _, rest = field.partition(".")
    where, getters = _ATTRIBUTES[first]
    return getters[rest](getattr(context, where))


def _holds(condition: Condition, context: _Context) -> bool:
    value = _comparable(_get(condition.field, context))
    asked = [
        _comparable(text.lower() == "true" if isinstance(_get(condition.field, context), bool) else text)
        for text in condition.values
    ]
    match condition.operator:
        case "=":
            return value == asked[0]
        case "!=":
            return value != asked[0]
        case "IN":
            return value in asked
        case "NOT IN":
            return value not in asked
        case "BETWEEN":
            return asked[0] <= value <= asked[1]
        case "<":
            return value < asked[0]
        case "<=":
            return value <= asked[0]
        case ">":
            return value > asked[0]
        case _:
            return value >= asked[0]


def _comparable(value: Any) -> tuple[int, Any]:
    """Numbers before texts, whichever way they are written."""
    try:
        return 0, Decimal(str(value))
    except ArithmeticError:
        return 1, str(value)


def _row(query: Query, context: _Context) -> dict[str, Any]:
    row: dict[str, Any] = {}
    prefixes = dict.fromkeys(field.partition(".")[0] for field in query.fields)
    names = [f"{prefix}.resource_name" for prefix in (query.resource, *prefixes) if prefix not in _MEASURED]
    if any(field.startswith("ad_group_ad.ad.") for field in query.fields):
        names.append("ad_group_ad.ad.resource_name")
    for field in (*names, *query.fields):
        value = _get(field, context)
        if value is None:
            continue
        *path, last = _camel(field).split(".")
        place = row
        for step in path:
            place = place.setdefault(step, {})
        place[last] = value
    return row


@cache
def _camel(field: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), field)
