"""Accounts, campaigns, ad sets and ads as the Graph API shows them: their fields, and which a request wants."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from local.simulators.facebook import insights
from local.simulators.facebook.graph import GraphError
from local.world import facebook_ads
from local.world.truth import now

ACCOUNT_FIELDS = (
    "id",
    "account_id",
    "name",
    "currency",
    "timezone_name",
    "timezone_offset_hours_utc",
    "account_status",
    "created_time",
)


CAMPAIGN_FIELDS = (
    "id",
    "account_id",
    "name",
    "objective",
    "status",
    "effective_status",
    "buying_type",
    "start_time",
    "stop_time",
    "created_time",
    "updated_time",
)


AD_SET_FIELDS = (
    "id",
    "account_id",
    "campaign_id",
    "name",
    "status",
    "effective_status",
    "daily_budget",
    "optimization_goal",
    "billing_event",
    "targeting",
    "start_time",
    "end_time",
    "created_time",
    "updated_time",
)


AD_FIELDS = (
    "id",
    "account_id",
    "campaign_id",
    "adset_id",
    "name",
    "status",
    "effective_status",
    "creative",
    "created_time",
    "updated_time",
)


def fields_of(params: Mapping[str, str], valid: tuple[str, ...]) -> tuple[str, ...]:
    """The fields that a request names, id first; GraphError when one does not exist."""
    fields = insights.names_in(params.get("fields", ""), "fields")
    for field in fields:
        if field not in valid:
            raise GraphError(100, f"Tried accessing nonexisting field ({field})")
    return ("id", *(field for field in fields if field != "id"))


_COMMON_STATUSES = frozenset({"ACTIVE", "PAUSED", "DELETED", "ARCHIVED", "IN_PROCESS", "WITH_ISSUES"})
_REVIEWED = frozenset({"PENDING_REVIEW", "DISAPPROVED", "PREAPPROVED", "PENDING_BILLING_INFO", "ADSET_PAUSED"})
STATUSES = {
    "campaign": _COMMON_STATUSES,
    "adset": _COMMON_STATUSES | {"CAMPAIGN_PAUSED"},
    "ad": _COMMON_STATUSES | {"CAMPAIGN_PAUSED"} | _REVIEWED,
}
"""By kind of object the statuses that it may be asked for by."""
_HIDDEN = frozenset({"DELETED", "ARCHIVED"})


def chosen(row: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a row that were asked for and are filled."""
    return {field: row[field] for field in fields if row[field] is not None}


def wanted(
    thing: facebook_ads.Campaign | facebook_ads.AdSet | facebook_ads.Ad, kind: str, params: Mapping[str, str]
) -> bool:
    """Whether `filtering`, `updated_since` and `effective_status` let this object through."""
    updated = thing.updated_at.timestamp()
    statuses = set(insights.names_in(params.get("effective_status", ""), "effective_status"))
    conditions = insights.conditions(params)
    for condition in conditions:
        if (condition["field"], condition["operator"]) == (f"{kind}.effective_status", "IN"):
            statuses.update(map(str, condition["value"]))
    if unknown := statuses - STATUSES[kind]:
        raise GraphError(100, f"Only certain values may be specified for run status, not {min(unknown)}", 1487561)
    # Who does not ask for what is put away or deleted does not see it.
    if thing.status not in (statuses or STATUSES[kind] - _HIDDEN):
        return False
    if "updated_since" in params and updated <= _epoch(params["updated_since"]):
        return False
    for condition in conditions:
        if condition["field"] == f"{kind}.effective_status":
            continue
        if condition["field"] != f"{kind}.updated_time":
            raise GraphError(100, f"Filtering field {condition['field']} is invalid")
        if condition["operator"] == "GREATER_THAN":
            if not updated > _epoch(condition["value"]):
                return False
        elif condition["operator"] == "LESS_THAN":
            if not updated < _epoch(condition["value"]):
                return False
        else:
            raise GraphError(100, f"Filtering operator {condition['operator']} is invalid for this field")
    return True


def _epoch(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise GraphError(100, f"Not a Unix time in seconds: {value}") from error


def account_row(account: facebook_ads.Account) -> dict[str, Any]:
    """An ad account with all its fields."""
    sign = -1 if account.utc_offset.startswith("-") else 1
    hours, minutes = int(account.utc_offset[1:3]), int(account.utc_offset[3:])
    return {
        "id": f"act_{account.account_id}",
        "account_id": str(account.account_id),
        "name": account.name,
        "currency": account.currency,
        "timezone_name": account.timezone_name,
        "timezone_offset_hours_utc": sign * (hours + minutes / 60),
        "account_status": 1,
        "created_time": _local(datetime.fromisoformat("2016-06-01T12:00:00+00:00"), account),
    }


def campaign_row(campaign: facebook_ads.Campaign, account: facebook_ads.Account) -> dict[str, Any]:
    """A campaign with all its fields."""
    return {
        "id": str(campaign.campaign_id),
        "account_id": str(campaign.account_id),
        "name": campaign.name,
        "objective": campaign.objective,
        "status": campaign.status,
        "effective_status": campaign.status,
        "buying_type": "AUCTION",
        "start_time": _local(now(campaign.start_day), account),
        "stop_time": _end(campaign.stop_day, account),
        "created_time": _local(campaign.created_at, account),
        "updated_time": _local(campaign.updated_at, account),
    }


def ad_set_row(ad_set: facebook_ads.AdSet, account: facebook_ads.Account) -> dict[str, Any]:
    """An ad set with all its fields."""
    return {
        "id": str(ad_set.ad_set_id),
        "account_id": str(ad_set.account_id),
        "campaign_id": str(ad_set.campaign_id),
        "name": ad_set.name,
        "status": ad_set.status,
        "effective_status": ad_set.status,
        "daily_budget": str(ad_set.daily_budget_minor),
        "optimization_goal": ad_set.optimization_goal,
        "billing_event": "IMPRESSIONS",
        "targeting": ad_set.targeting,
        "start_time": _local(now(ad_set.start_day), account),
        "end_time": _end(ad_set.stop_day, account),
        "created_time": _local(ad_set.created_at, account),
        "updated_time": _local(ad_set.updated_at, account),
    }


def ad_row(ad: facebook_ads.Ad, account: facebook_ads.Account) -> dict[str, Any]:
    """An ad with all its fields."""
    return {
        "id": str(ad.ad_id),
        "account_id": str(ad.account_id),
        "campaign_id": str(ad.campaign_id),
        "adset_id": str(ad.ad_set_id),
        "name": ad.name,
        "status": ad.status,
        "effective_status": ad.status,
        "creative": {"id": str(ad.creative_id)},
        "created_time": _local(ad.created_at, account),
        "updated_time": _local(ad.updated_at, account),
    }


def _end(stop_day: date | None, account: facebook_ads.Account) -> str | None:
    return _local(now(stop_day + timedelta(days=1)), account) if stop_day else None


def _local(moment: datetime, account: facebook_ads.Account) -> str:
    """In the account's standard time, as the Graph API writes it: 2017-03-03T00:00:00-0500."""
    offset = datetime.strptime(account.utc_offset, "%z").tzinfo
    return moment.astimezone(offset).strftime("%Y-%m-%dT%H:%M:%S%z")
