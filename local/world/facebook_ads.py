"""Facebook advertising for the shop: two accounts whose campaigns follow the shop's real ones, and what they achieved.

Insights are not stored: `insights` computes what the platform would say at a given clock about given days. Figures of a
day settle while it ages: they move at some ages, a few rows vanish, a few appear late, and from an age of 28 days on
nothing changes any more. Purchases are the shop's own orders that carry the campaign's id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

import psycopg

from local.world import advertising
from local.world.advertising import (
    CLICKS_ABOVE_IMPRESSIONS,
    NEGATIVE_COST,
    Flight,
    Sale,
    Sales,
    days_shown,
    is_reported,
    read_sales,
    reasons_to_refuse,
    share_at,
)
from local.world.dice import dice, draw
from local.world.tables import copy_objects
from local.world.truth import Connection, Defect, now, read_world

SETTLED_AFTER_DAYS = 28
"""A day this old, counted from the newest day that is over, is never restated."""

DDL = """
create table truth.ad_campaigns (
    campaign_id bigint primary key, account_id bigint not null, journey_campaign_id int, name text not null,
    objective text not null, status text not null, start_day date not null, stop_day date,
    created_at timestamptz not null, updated_at timestamptz not null
);
create table truth.ad_sets (
    ad_set_id bigint primary key, campaign_id bigint not null, account_id bigint not null, name text not null,
    status text not null, daily_budget_minor bigint not null, optimization_goal text not null, targeting jsonb not null,
    start_day date not null, stop_day date, created_at timestamptz not null, updated_at timestamptz not null
);
create table truth.ads (
    ad_id bigint primary key, ad_set_id bigint not null, campaign_id bigint not null, account_id bigint not null,
    name text not null, status text not null, creative_id bigint not null, start_day date not null, stop_day date,
    created_at timestamptz not null, updated_at timestamptz not null
);
create table truth.ad_sales (
    ad_id bigint not null, day date not null, orders int not null, amount_usd numeric(14,2) not null,
    primary key (ad_id, day)
);
"""


class Account(NamedTuple):
    """An ad account; its money and its days are those of its own currency and time zone."""

    account_id: int
    name: str
    currency: str
    timezone_name: str
    utc_offset: str
    """As the Graph API writes it, without a colon."""
    units_per_dollar: int
    """How much dearer than in US dollars everything is in this account's currency."""


ACCOUNTS = (
    Account(102000000000001, "Complete Journey US", "USD", "America/New_York", "-0500", 1),
    Account(102000000000002, "Complete Journey Agency India", "INR", "Asia/Kolkata", "+0530", 65),
)


@dataclass(frozen=True)
class Campaign:
    """A campaign; `journey_campaign_id` is the real campaign whose households it reaches, None for an always-on one."""

    campaign_id: int
    account_id: int
    journey_campaign_id: int | None
    name: str
    objective: str
    status: str
    start_day: date
    stop_day: date | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class AdSet:
    """An ad set: an audience and a daily budget, in minor units of the account's currency (cents, paise)."""

    ad_set_id: int
    campaign_id: int
    account_id: int
    name: str
    status: str
    daily_budget_minor: int
    optimization_goal: str
    targeting: dict[str, Any]
    start_day: date
    stop_day: date | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Ad(Flight):
    """An ad."""

    ad_id: int
    ad_set_id: int
    campaign_id: int
    account_id: int
    name: str
    status: str
    creative_id: int
    start_day: date
    stop_day: date | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class AdWorld:
    """Everything the insights are computed from."""

    seed: int
    clock: date
    campaigns: tuple[Campaign, ...]
    ad_sets: tuple[AdSet, ...]
    ads: tuple[Ad, ...]
    sales: Sales = field(default_factory=dict)


class Insight(NamedTuple):
    """One ad on one day of its account, as reported; money in the account's currency."""

    account_id: int
    campaign_id: int
    ad_set_id: int
    ad_id: int
    day: date
    impressions: int
    clicks: int
    link_clicks: int
    spend: Decimal
    reach: int
    purchases: int
    omni_purchases: int
    """The same purchases once more, and those in the app: adding it to `purchases` counts twice."""
    purchase_value: Decimal
    omni_purchase_value: Decimal


class LedgerDay(NamedTuple):
    """What one account was charged for one day, in its currency, as the platform would report it now."""

    account_id: int
    day: date
    currency: str
    rows: int
    """Rows that hold up."""
    cost: Decimal
    """Sum of spend over the rows that hold up."""
    defects: int
    """Rows with a planted defect, which are in neither of the two figures above."""


class _Outline(NamedTuple):
    account: Account
    journey_campaign_id: int | None
    name: str
    objective: str


_USD, _INR = ACCOUNTS
_OUTLINES = (
    _Outline(_USD, None, "Always on | Prospecting", "OUTCOME_AWARENESS"),
    _Outline(_USD, 8, "Spring | Type A", "OUTCOME_SALES"),
    _Outline(_USD, 9, "Early summer | Type B", "OUTCOME_SALES"),
    _Outline(_USD, 13, "Back to school | Type A", "OUTCOME_SALES"),
    _Outline(_USD, 18, "Holidays | Type A", "OUTCOME_SALES"),
    _Outline(_USD, 20, "Winter pantry | Type C", "OUTCOME_TRAFFIC"),
    _Outline(_USD, 23, "New year | Type B, ½ price", "OUTCOME_SALES"),
    _Outline(_INR, None, "Always on | Réengagement", "OUTCOME_ENGAGEMENT"),
    _Outline(_INR, 6, "May fair | Type C", "OUTCOME_TRAFFIC"),
    _Outline(_INR, 11, "Late summer | Type B", "OUTCOME_SALES"),
    _Outline(_INR, 16, "Diwali दीपावली | Type B", "OUTCOME_SALES"),
    _Outline(_INR, 22, "December | Type B", "OUTCOME_SALES"),
)
_FIRST_ID = 23850000000000000
_AUDIENCES = ("Lookalike 1%", "Interest: cooking", "Retargeting 30d", "Broad 25-54")
_COUNTRIES = ("US", "CA", "MX")
_CREATIVES = ("Video 15s", "Carousel", "Static, rød", "Collection", "Story", "Reel")


def plan_ads(seed: int, clock: date, journey_dates: dict[int, tuple[date, date]]) -> AdWorld:
    """Twelve campaigns, thirty ad sets and seventy-two ads, from the first and last day of the real campaigns."""
    campaigns: list[Campaign] = []
    ad_sets: list[AdSet] = []
    ads: list[Ad] = []
    for number, outline in enumerate(_OUTLINES):
        rng = dice(seed, "campaign", number)
        start, stop = journey_dates.get(outline.journey_campaign_id or 0, (date(2017, 1, 2), None))
        campaign = Campaign(
            campaign_id=_FIRST_ID + 100 * (number + 1),
            account_id=outline.account.account_id,
            journey_campaign_id=outline.journey_campaign_id,
            name=outline.name,
            objective=outline.objective,
            status=_status(stop, clock, number),
            start_day=start,
            stop_day=stop,
            created_at=now(start) - timedelta(days=rng.randint(2, 9), minutes=rng.randrange(900)),
            updated_at=_last_edit(start, stop, clock),
        )
        campaigns.append(campaign)
        for _ in range(3 if number % 2 == 0 else 2):
            ad_set = _ad_set(seed, campaign, outline.account, len(ad_sets))
            ad_sets.append(ad_set)
            for _ in range(3 if len(ad_sets) % 5 in (1, 3) else 2):
                ads.append(_ad(seed, ad_set, len(ads), clock))
    return AdWorld(seed, clock, tuple(campaigns), tuple(ad_sets), tuple(ads))


def new_ad(seed: int, ad_set: AdSet, number: int, start: date, clock: date) -> Ad:
    """One more ad in a running ad set; `number` counts the ads before it."""
    ad = _ad(seed, ad_set, number, clock)
    created = now(start) + timedelta(minutes=1)
    return replace(ad, start_day=start, status="ACTIVE", stop_day=None, created_at=created, updated_at=created)


def _status(stop: date | None, clock: date, number: int) -> str:
    """What has ended is paused, and some of it put away or deleted."""
    if stop is None or stop >= clock:
        return "ACTIVE"
    return {1: "ARCHIVED", 2: "DELETED"}.get(number % 4, "PAUSED")


def _last_edit(start: date, stop: date | None, clock: date) -> datetime:
    return now(start) if stop is None or stop >= clock else now(stop + timedelta(days=1))


def _ad_set(seed: int, campaign: Campaign, account: Account, number: int) -> AdSet:
    rng = dice(seed, "ad set", number)
    low = rng.choice((18, 25, 35))
    return AdSet(
        ad_set_id=_FIRST_ID + 20_000 + number,
        campaign_id=campaign.campaign_id,
        account_id=campaign.account_id,
        name=f"{rng.choice(_AUDIENCES)} #{number + 1}",
        status=campaign.status,
        daily_budget_minor=100 * account.units_per_dollar * rng.randint(20, 90),
        optimization_goal=rng.choice(("OFFSITE_CONVERSIONS", "LINK_CLICKS", "REACH")),
        targeting={
            "age_min": low,
            "age_max": low + 30,
            "geo_locations": {"countries": list(_COUNTRIES[: 1 + draw(len(_COUNTRIES), seed, "countries", number)])},
        },
        start_day=campaign.start_day,
        stop_day=campaign.stop_day,
        created_at=campaign.created_at + timedelta(hours=1),
        updated_at=campaign.updated_at,
    )


def _ad(seed: int, ad_set: AdSet, number: int, clock: date) -> Ad:
    rng = dice(seed, "ad", number)
    start, stop = ad_set.start_day, ad_set.stop_day
    if stop is not None and rng.random() < 0.25:
        stop = max(start, stop - timedelta(days=rng.randint(3, 14)))
    if rng.random() < 0.25:
        start = start + timedelta(days=rng.randint(3, 10))
    return Ad(
        ad_id=_FIRST_ID + 50_000 + number,
        ad_set_id=ad_set.ad_set_id,
        campaign_id=ad_set.campaign_id,
        account_id=ad_set.account_id,
        name=f"{rng.choice(_CREATIVES)} v{number + 1}",
        status=_status(stop, clock, number),
        creative_id=_FIRST_ID + 80_000 + number,
        start_day=start,
        stop_day=stop,
        created_at=ad_set.created_at + timedelta(hours=1),
        updated_at=_last_edit(start, stop, clock),
    )


def ad_of_order(ads: Iterable[Ad], campaign_id: int, day: date, seed: int, order_id: int) -> Ad | None:
    """The ad that takes the credit for an order; None on days on which the campaign shows none."""
    running = [ad for ad in ads if ad.campaign_id == campaign_id and ad.runs_on(day)]
    return running[draw(len(running), seed, "credit", order_id)] if running else None


# Age in days from which a figure stands at the next share of its final value.
_PURCHASES_SEEN = ((0, 0.45), (1, 0.6), (3, 0.75), (7, 0.87), (14, 0.94), (21, 0.98), (SETTLED_AFTER_DAYS, 1.0))


def insights(world: AdWorld, since: date, until: date) -> Iterator[Insight]:
    """Rows of every account from `since` to `until` (both included) as reported at the clock, by day and ad."""
    for ad, day in days_shown(world.ads, since, until, world.clock):
        if (row := _insight(world, ad, day)) is not None:
            yield row


def defects_of(row: Insight) -> list[str]:
    """Reasons for which a check must refuse this row."""
    return reasons_to_refuse(row.clicks, row.impressions, row.spend)


def planted_in(world: AdWorld, since: date, until: date) -> list[Defect]:
    """Planted insights rows of these days; they are reported from the first day on and keep their defect."""
    return [
        Defect("ads_insights", f"{row.ad_id}:{row.day}", reason)
        for row in insights(world, since, until)
        for reason in defects_of(row)
    ]


def _insight(world: AdWorld, ad: Ad, day: date) -> Insight | None:
    age = (world.clock - day).days - 1
    rng = dice(world.seed, "insight", ad.ad_id, day)
    defect = rng.choice((CLICKS_ABOVE_IMPRESSIONS, NEGATIVE_COST)) if rng.random() < 0.01 else None
    if defect is None and not is_reported(rng.random(), rng.randint(3, 20), age):
        return None
    units = next(account.units_per_dollar for account in ACCOUNTS if account.account_id == ad.account_id)
    size = 400 + draw(5000, world.seed, "audience", ad.ad_id)
    weekday = 1.25 if day.weekday() >= 5 else 1.0
    shown = int(size * weekday * rng.uniform(0.7, 1.3))
    clicked = max(1, int(shown * rng.uniform(0.006, 0.035)))
    link_share, frequency = rng.uniform(0.45, 0.8), rng.uniform(1.05, 1.9)
    cost = clicked * rng.uniform(0.25, 1.1) * units
    # Early figures hold clicks that are later found invalid, and are short of what is still being counted.
    unsettled = rng.uniform(-0.04, 0.06) * (1 - share_at(age, _PURCHASES_SEEN))
    impressions = max(1, round(shown * (1 + unsettled)))
    clicks = min(impressions, max(1, round(clicked * (1 + 2 * unsettled))))
    spend = max(_money(cost * (1 + unsettled)), Decimal("0.01"))
    sale = world.sales.get((ad.ad_id, day), Sale(0, Decimal(0)))
    purchases = int(sale.orders * share_at(age, _PURCHASES_SEEN) + 0.5)
    value = sale.amount_usd * units * purchases / sale.orders if sale.orders else Decimal(0)
    in_app = purchases + (1 if rng.random() < 0.3 and purchases else 0)
    if defect == CLICKS_ABOVE_IMPRESSIONS:
        clicks = impressions + 1 + clicks
    if defect == NEGATIVE_COST:
        spend = -spend
    return Insight(
        account_id=ad.account_id,
        campaign_id=ad.campaign_id,
        ad_set_id=ad.ad_set_id,
        ad_id=ad.ad_id,
        day=day,
        impressions=impressions,
        clicks=clicks,
        link_clicks=int(clicks * link_share),
        spend=spend,
        reach=max(1, int(impressions / frequency)),
        purchases=purchases,
        omni_purchases=in_app,
        purchase_value=_money(value),
        omni_purchase_value=_money(value * in_app / purchases) if purchases else Decimal("0.00"),
    )


def _money(amount: float | Decimal) -> Decimal:
    return Decimal(amount).quantize(Decimal("0.01"), ROUND_HALF_UP)


def write_ads(connection: Connection, world: AdWorld) -> None:
    """Stores the campaigns, ad sets, ads and sales of a new world."""
    copy_objects(connection, "truth.ad_campaigns", world.campaigns)
    copy_objects(connection, "truth.ad_sets", world.ad_sets)
    copy_objects(connection, "truth.ads", world.ads)
    write_sales(connection, world.sales)


def write_ad(connection: Connection, ad: Ad) -> None:
    """Stores one more ad."""
    copy_objects(connection, "truth.ads", [ad])


def write_sales(connection: Connection, sales: Sales) -> None:
    """Stores the sales of days that had none stored."""
    advertising.write_sales(connection, "truth.ad_sales", sales)


def read_ads(connection: Connection) -> AdWorld:
    """The ads of the newest step."""
    world = read_world(connection)
    return AdWorld(
        seed=world.seed,
        clock=world.clock,
        campaigns=tuple(
            Campaign(*row) for row in connection.execute("select * from truth.ad_campaigns order by campaign_id")
        ),
        ad_sets=tuple(AdSet(*row) for row in connection.execute("select * from truth.ad_sets order by ad_set_id")),
        ads=tuple(Ad(*row) for row in connection.execute("select * from truth.ads order by ad_id")),
        sales=read_sales(connection, "truth.ad_sales"),
    )


def ads_ledger(dsn: str) -> list[LedgerDay]:
    """Cost by account and day as the platform would report it now, for every day that has rows."""
    with psycopg.connect(dsn) as connection:
        world = read_ads(connection)
    return ledger(world)


def ledger(world: AdWorld) -> list[LedgerDay]:
    """Cost by account and day at the world's clock, ordered by account and day."""
    currencies = {account.account_id: account.currency for account in ACCOUNTS}
    days: dict[tuple[int, date], LedgerDay] = {}
    for row in insights(world, min(ad.start_day for ad in world.ads), world.clock):
        key = (row.account_id, row.day)
        total = days.get(key) or LedgerDay(*key, currencies[row.account_id], 0, Decimal(0), 0)
        if defects_of(row):
            days[key] = total._replace(defects=total.defects + 1)
        else:
            days[key] = total._replace(rows=total.rows + 1, cost=total.cost + row.spend)
    return [days[key] for key in sorted(days)]
