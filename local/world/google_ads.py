"""Google Ads for the shop: two customers below one manager, eight campaigns, and what their ads achieved.

As with Facebook, figures are not stored: `performance` computes what the platform would say at a given clock about given days.
Conversions keep arriving for 30 days, invalid clicks are taken back, a few rows vanish and a few appear late. Conversions are
orders of the shop that no Facebook campaign brought in; the shop's own row then carries the Google campaign's id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

import psycopg

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
    write_sales,
)
from local.world.dice import dice, draw
from local.world.journey import UTC_HOUR_OF_MIDNIGHT
from local.world.part import Happened, Step
from local.world.tables import copy_objects
from local.world.truth import Connection, Defect, Kind, read_world

SOURCE = "google_ads"
SETTLED_AFTER_DAYS = 30
"""A day this old, counted from the newest day that is over, is never restated."""

MICROS = 1_000_000
"""Micros in one unit of any currency."""

MANAGER_ID = 3030000000
MANAGER_NAME = "Complete Journey Manager"


class Customer(NamedTuple):
    """An account that advertises; its money and its days are those of its own currency and time zone."""

    customer_id: int
    name: str
    currency: str
    time_zone: str
    per_dollar: Decimal
    """How much dearer than in US dollars everything is in this account's currency."""


CUSTOMERS = (
    Customer(3030000001, "Complete Journey US", "USD", "America/New_York", Decimal(1)),
    Customer(3030000002, "Complete Journey Europa", "EUR", "Europe/Berlin", Decimal("0.88")),
)


@dataclass(frozen=True)
class Campaign:
    """A campaign; it has neither a time of creation nor of change, since the platform tells none."""

    campaign_id: int
    customer_id: int
    name: str
    channel_type: str
    bidding_strategy_type: str
    status: str
    start_day: date
    stop_day: date | None


@dataclass(frozen=True)
class AdGroup:
    """An ad group; `target_restrictions` say whom its ads are for."""

    ad_group_id: int
    campaign_id: int
    customer_id: int
    name: str
    type_name: str
    status: str
    target_restrictions: list[dict[str, Any]]


@dataclass(frozen=True)
class Ad(Flight):
    """An ad; the platform does not tell from when to when it runs."""

    ad_id: int
    ad_group_id: int
    campaign_id: int
    customer_id: int
    name: str
    """Told by the platform for image ads only."""
    type_name: str
    status: str
    final_url: str
    start_day: date
    stop_day: date | None


@dataclass(frozen=True)
class GoogleWorld:
    """Everything that performance is computed from."""

    seed: int
    clock: date
    campaigns: tuple[Campaign, ...]
    ad_groups: tuple[AdGroup, ...]
    ads: tuple[Ad, ...]
    sales: Sales = field(default_factory=dict)


class AdDay(NamedTuple):
    """One ad on one day of its account, as reported; money in the account's currency."""

    customer_id: int
    campaign_id: int
    ad_group_id: int
    ad_id: int
    day: date
    impressions: int
    clicks: int
    cost_micros: int
    conversions: Decimal
    """Fractions of orders too, where several clicks share the credit."""
    conversions_value: Decimal

    def plus(self, other: AdDay) -> AdDay:
        """This row with the figures of another added."""
        return self._replace(
            impressions=self.impressions + other.impressions,
            clicks=self.clicks + other.clicks,
            cost_micros=self.cost_micros + other.cost_micros,
            conversions=self.conversions + other.conversions,
            conversions_value=self.conversions_value + other.conversions_value,
        )


class GoogleDay(NamedTuple):
    """What one account was charged and credited with for one day, in its currency, as the platform would report it now."""

    customer_id: int
    day: date
    currency: str
    rows: int
    """Rows that hold up; the figures after it are theirs."""
    cost: Decimal
    clicks: int
    conversions: Decimal
    defects: int
    """Rows with a planted defect, which are in none of the figures above."""


class _Outline(NamedTuple):
    customer: Customer
    name: str
    channel_type: str
    bidding_strategy_type: str
    first: date
    last: date | None


_US, _EUROPE = CUSTOMERS
_ALWAYS = date(2017, 1, 2)
_OUTLINES = (
    _Outline(_US, "Brand | Search", "SEARCH", "TARGET_IMPRESSION_SHARE", _ALWAYS, None),
    _Outline(_US, "Groceries | Search", "SEARCH", "MAXIMIZE_CONVERSIONS", _ALWAYS, None),
    _Outline(_US, "All products | Shopping", "SHOPPING", "TARGET_ROAS", _ALWAYS, None),
    _Outline(_US, "Back to school | Search", "SEARCH", "TARGET_SPEND", date(2017, 7, 24), date(2017, 9, 8)),
    _Outline(_US, "Holidays | Display", "DISPLAY", "MANUAL_CPC", date(2017, 11, 13), date(2018, 1, 2)),
    _Outline(_EUROPE, "Immer dabei | Remarketing", "DISPLAY", "TARGET_CPA", _ALWAYS, None),
    _Outline(_EUROPE, "Grill-Saison für alle | Search", "SEARCH", "TARGET_SPEND", date(2017, 5, 1), date(2017, 8, 31)),
    _Outline(_EUROPE, "Weihnachten 🎄 | Shopping", "SHOPPING", "TARGET_ROAS", date(2017, 11, 20), date(2018, 1, 5)),
)
_FIRST_ID = 17_400_000_000
_AD_GROUP_TYPES = {"SEARCH": "SEARCH_STANDARD", "SHOPPING": "SHOPPING_PRODUCT_ADS", "DISPLAY": "DISPLAY_STANDARD"}
_AD_TYPES = {"SEARCH": "RESPONSIVE_SEARCH_AD", "SHOPPING": "SHOPPING_PRODUCT_AD", "DISPLAY": "IMAGE_AD"}
_THEMES = (
    "Exact",
    "Phrase",
    "Competitors",
    "Fresh food",
    "Pantry",
    "Obst & Gemüse",
    "Cart abandoners",
    "Similar buyers",
)
_DIMENSIONS = ("AUDIENCE", "AGE_RANGE", "GENDER", "TOPIC")
# One order in twenty of those that Facebook has no claim to.
_CREDITED_PER_MILLE = 50

_DDL = """
create schema google;
create table google.campaigns (
    campaign_id bigint primary key, customer_id bigint not null, name text not null, channel_type text not null,
    bidding_strategy_type text not null, status text not null, start_day date not null, stop_day date
);
create table google.ad_groups (
    ad_group_id bigint primary key, campaign_id bigint not null, customer_id bigint not null, name text not null,
    type_name text not null, status text not null, target_restrictions jsonb not null
);
create table google.ads (
    ad_id bigint primary key, ad_group_id bigint not null, campaign_id bigint not null, customer_id bigint not null,
    name text not null, type_name text not null, status text not null, final_url text not null,
    start_day date not null, stop_day date
);
create table google.sales (
    ad_id bigint not null, day date not null, orders int not null, amount_usd numeric(14,2) not null,
    primary key (ad_id, day)
);
"""


class GoogleAds:
    """The part of the world that is advertised on Google."""

    DDL = _DDL
    SCHEMA = "google"

    def happen(self, connection: Connection, step: Step) -> Happened:
        """Campaigns, ad groups and ads change, orders of the step's days are credited, and the past is restated."""
        changes: Counter[tuple[str, Kind]] = Counter()
        if step.number == 0:
            plan = plan_google(step.world_seed, step.clock)
            for table, rows in (("campaigns", plan.campaigns), ("ad_groups", plan.ad_groups), ("ads", plan.ads)):
                copy_objects(connection, f"google.{table}", rows)
                changes[f"{SOURCE}.{table}", "insert"] += len(rows)
        else:
            _change(connection, step, changes)
        _credit(connection, step)
        after = _read(connection, step.world_seed, step.clock)
        before = replace(after, clock=step.since)
        _count(before, after, changes)
        return Happened(planted_in(after, step.since, step.clock), changes)


GOOGLE_ADS = GoogleAds()


def plan_google(seed: int, clock: date) -> GoogleWorld:
    """Eight campaigns, twenty ad groups and forty-eight ads."""
    campaigns: list[Campaign] = []
    ad_groups: list[AdGroup] = []
    ads: list[Ad] = []
    for number, outline in enumerate(_OUTLINES):
        campaign = Campaign(
            campaign_id=_FIRST_ID + number,
            customer_id=outline.customer.customer_id,
            name=outline.name,
            channel_type=outline.channel_type,
            bidding_strategy_type=outline.bidding_strategy_type,
            status=_status(outline.last, clock),
            start_day=outline.first,
            stop_day=outline.last,
        )
        campaigns.append(campaign)
        for _ in range(3 if number % 2 == 0 else 2):
            ad_group = _ad_group(seed, campaign, len(ad_groups))
            ad_groups.append(ad_group)
            for _ in range(3 if len(ad_groups) % 5 in (1, 3) else 2):
                ads.append(_ad(seed, campaign, ad_group, len(ads), clock))
    return GoogleWorld(seed, clock, tuple(campaigns), tuple(ad_groups), tuple(ads))


def _status(stop: date | None, clock: date) -> str:
    return "ENABLED" if stop is None or stop >= clock else "PAUSED"


def _ad_group(seed: int, campaign: Campaign, number: int) -> AdGroup:
    rng = dice(seed, "google ad group", number)
    dimensions = rng.sample(_DIMENSIONS, rng.randint(0, 2))
    return AdGroup(
        ad_group_id=_FIRST_ID + 20_000_000 + number,
        campaign_id=campaign.campaign_id,
        customer_id=campaign.customer_id,
        name=f"{rng.choice(_THEMES)} #{number + 1}",
        type_name=_AD_GROUP_TYPES[campaign.channel_type],
        status="ENABLED",
        target_restrictions=[{"targetingDimension": name, "bidOnly": rng.random() < 0.5} for name in dimensions],
    )


def _ad(seed: int, campaign: Campaign, ad_group: AdGroup, number: int, clock: date) -> Ad:
    rng = dice(seed, "google ad", number)
    start, stop = campaign.start_day, campaign.stop_day
    if rng.random() < 0.25:
        start += timedelta(days=rng.randint(3, 10))
    if stop is not None and rng.random() < 0.25:
        stop -= timedelta(days=rng.randint(3, 14))
    return Ad(
        ad_id=_FIRST_ID + 600_000_000 + number,
        ad_group_id=ad_group.ad_group_id,
        campaign_id=ad_group.campaign_id,
        customer_id=ad_group.customer_id,
        name=f"{ad_group.name} / v{number + 1}",
        type_name=_AD_TYPES[campaign.channel_type],
        status=_status(stop, clock),
        final_url=f"https://shop.example.com/{campaign.channel_type.lower()}/{number + 1}?q=caf%C3%A9",
        start_day=start,
        stop_day=stop,
    )


def _change(connection: Connection, step: Step, changes: Counter[tuple[str, Kind]]) -> None:
    """What ended is paused, one ad is removed early, one ad group is renamed and one ad is new, in every step."""
    rng = dice(step.seed, step.number, "google")
    for table in ("campaigns", "ads"):
        ended = connection.execute(
            f"update google.{table} set status = 'PAUSED' where stop_day < %s and status = 'ENABLED'", [step.clock]
        ).rowcount
        changes[f"{SOURCE}.{table}", "update"] += ended
    running = _read(connection, step.world_seed, step.since)
    live = [ad for ad in running.ads if ad.status == "ENABLED" and ad.start_day < step.since]
    removed = rng.choice(live)
    connection.execute(
        "update google.ads set status = 'REMOVED', stop_day = %s where ad_id = %s", [step.since, removed.ad_id]
    )
    changes[f"{SOURCE}.ads", "update"] += 1
    renamed = rng.choice(running.ad_groups)
    connection.execute(
        "update google.ad_groups set name = %s where ad_group_id = %s",
        [f"{renamed.name.partition(' @')[0]} @{step.clock:%m-%d}", renamed.ad_group_id],
    )
    changes[f"{SOURCE}.ad_groups", "update"] += 1
    always_on = {campaign.campaign_id: campaign for campaign in running.campaigns if campaign.stop_day is None}
    ad_group = rng.choice([group for group in running.ad_groups if group.campaign_id in always_on])
    new = _ad(step.world_seed, always_on[ad_group.campaign_id], ad_group, len(running.ads), step.clock)
    copy_objects(connection, "google.ads", [replace(new, start_day=step.since)])
    changes[f"{SOURCE}.ads", "insert"] += 1


def _credit(connection: Connection, step: Step) -> None:
    """Credits ads with orders of the step's days; planted orders, which nothing brought in, are left alone."""
    orders = connection.execute(
        f"""
        select order_id, day, total_amount
        from (
            select order_id, total_amount, (ordered_at - interval '{UTC_HOUR_OF_MIDNIGHT} hours')::date as day,
                ('x' || substr(md5(concat_ws('|', %(seed)s::text, 'google', order_id)), 1, 7))::bit(28)::int %% 1000 as lot
            from shop.orders
            where campaign_id is null and customer_id is not null
                and status in ('completed', 'returned', 'cancelled')
                and order_id not in (select order_id from truth.mismatched_orders)
        ) candidates
        where lot < {_CREDITED_PER_MILLE} and day >= %(since)s and day < %(clock)s
        order by order_id
        """,
        {"seed": step.world_seed, "since": step.since, "clock": step.clock},
    ).fetchall()
    ads = _read(connection, step.world_seed, step.clock).ads
    running: dict[date, list[Ad]] = {}
    sales: dict[tuple[int, date], Sale] = {}
    credited: list[tuple[int, int]] = []
    for order_id, day, amount in orders:
        if day not in running:
            running[day] = [ad for ad in ads if ad.runs_on(day)]
        if not running[day]:
            continue
        ad = running[day][draw(len(running[day]), step.world_seed, "google credit", order_id)]
        before = sales.get((ad.ad_id, day), Sale(0, Decimal(0)))
        sales[ad.ad_id, day] = Sale(before.orders + 1, before.amount_usd + amount)
        credited.append((order_id, ad.campaign_id))
    write_sales(connection, "google.sales", sales)
    connection.execute(
        "update shop.orders o set campaign_id = c.campaign_id"
        " from unnest(%s::bigint[], %s::bigint[]) as c (order_id, campaign_id) where o.order_id = c.order_id",
        [[order_id for order_id, _ in credited], [campaign_id for _, campaign_id in credited]],
    )


def _count(before: GoogleWorld, after: GoogleWorld, changes: Counter[tuple[str, Kind]]) -> None:
    """Compares what the platform said before and says now about the days that can still change."""
    since = before.clock - timedelta(days=SETTLED_AFTER_DAYS + 1)
    old = {(row.ad_id, row.day): row for row in performance(before, since, before.clock)}
    new = {(row.ad_id, row.day): row for row in performance(after, since, after.clock)}
    stream = f"{SOURCE}.ad_performance"
    changes[stream, "insert"] += len(new.keys() - old.keys())
    changes[stream, "delete"] += len(old.keys() - new.keys())
    changes[stream, "update"] += sum(old[key] != new[key] for key in old.keys() & new.keys())


# Age in days from which conversions stand at the next share of their final number.
_CONVERSIONS_SEEN = ((0, 0.4), (1, 0.55), (3, 0.7), (7, 0.84), (14, 0.92), (21, 0.97), (SETTLED_AFTER_DAYS, 1.0))
_CREDITS = (Decimal(1), Decimal(1), Decimal("0.75"), Decimal("0.5"), Decimal("0.666667"))


def performance(world: GoogleWorld, since: date, until: date) -> Iterator[AdDay]:
    """Rows of every account from `since` to `until` (both included) as reported at the clock, by day and ad."""
    for ad, day in days_shown(world.ads, since, until, world.clock):
        if (row := _ad_day(world, ad, day)) is not None:
            yield row


def _ad_day(world: GoogleWorld, ad: Ad, day: date) -> AdDay | None:
    age = (world.clock - day).days - 1
    rng = dice(world.seed, "google day", ad.ad_id, day)
    defect = rng.choice((CLICKS_ABOVE_IMPRESSIONS, NEGATIVE_COST)) if rng.random() < 0.01 else None
    if defect is None and not is_reported(rng.random(), rng.randint(2, SETTLED_AFTER_DAYS - 2), age):
        return None
    customer = next(customer for customer in CUSTOMERS if customer.customer_id == ad.customer_id)
    weekday = 0.8 if day.weekday() >= 5 else 1.0
    shown = int((150 + draw(2500, world.seed, "google audience", ad.ad_id)) * weekday * rng.uniform(0.7, 1.3))
    clicked = max(1, int(shown * rng.uniform(0.02, 0.09)))
    per_click = rng.uniform(0.04, 0.55)
    # Invalid clicks are found and credited back for weeks; on most days there are none.
    invalid, found_age = rng.choice((0, 0, 0, 1, 2)), rng.randint(2, SETTLED_AFTER_DAYS - 2)
    impressions, clicks = shown, min(shown, clicked + (invalid if age < found_age else 0))
    cost = Decimal(clicks * per_click) * customer.per_dollar
    cost_micros = max(1, int(cost.quantize(Decimal("0.01"), ROUND_HALF_UP) * 100)) * (MICROS // 100)
    sale = world.sales.get((ad.ad_id, day), Sale(0, Decimal(0)))
    seen = int(sale.orders * share_at(age, _CONVERSIONS_SEEN) + 0.5)
    credit = rng.choice(_CREDITS)
    value = sale.amount_usd * customer.per_dollar * credit * seen / sale.orders if sale.orders else Decimal(0)
    if defect == CLICKS_ABOVE_IMPRESSIONS:
        clicks = impressions + 1 + clicks
    if defect == NEGATIVE_COST:
        cost_micros = -cost_micros
    return AdDay(
        customer_id=ad.customer_id,
        campaign_id=ad.campaign_id,
        ad_group_id=ad.ad_group_id,
        ad_id=ad.ad_id,
        day=day,
        impressions=impressions,
        clicks=clicks,
        cost_micros=cost_micros,
        conversions=seen * credit,
        conversions_value=value.quantize(Decimal("0.01"), ROUND_HALF_UP),
    )


def defects_of(row: AdDay) -> list[str]:
    """Reasons for which a check must refuse this row."""
    return reasons_to_refuse(row.clicks, row.impressions, row.cost_micros)


def planted_in(world: GoogleWorld, since: date, until: date) -> list[Defect]:
    """Planted rows of these days; they are reported from the first day on and keep their defect."""
    return [
        Defect(f"{SOURCE}.ad_performance", f"{row.ad_id}:{row.day}", reason)
        for row in performance(world, since, until)
        for reason in defects_of(row)
    ]


def google_ledger(dsn: str) -> list[GoogleDay]:
    """Cost, clicks and conversions by account and day as the platform would report them now, ordered by account and day."""
    with psycopg.connect(dsn) as connection:
        world = read_google(connection)
    currencies = {customer.customer_id: customer.currency for customer in CUSTOMERS}
    days: dict[tuple[int, date], GoogleDay] = {}
    for row in performance(world, min(ad.start_day for ad in world.ads), world.clock):
        key = (row.customer_id, row.day)
        total = days.get(key) or GoogleDay(*key, currencies[row.customer_id], 0, Decimal(0), 0, Decimal(0), 0)
        if defects_of(row):
            days[key] = total._replace(defects=total.defects + 1)
        else:
            days[key] = total._replace(
                rows=total.rows + 1,
                cost=total.cost + Decimal(row.cost_micros) / MICROS,
                clicks=total.clicks + row.clicks,
                conversions=total.conversions + row.conversions,
            )
    return [days[key] for key in sorted(days)]


def read_google(connection: Connection) -> GoogleWorld:
    """The campaigns, ad groups, ads and sales of the newest step."""
    world = read_world(connection)
    return _read(connection, world.seed, world.clock)


def _read(connection: Connection, seed: int, clock: date) -> GoogleWorld:
    return GoogleWorld(
        seed=seed,
        clock=clock,
        campaigns=tuple(
            Campaign(*row) for row in connection.execute("select * from google.campaigns order by campaign_id")
        ),
        ad_groups=tuple(
            AdGroup(*row) for row in connection.execute("select * from google.ad_groups order by ad_group_id")
        ),
        ads=tuple(Ad(*row) for row in connection.execute("select * from google.ads order by ad_id")),
        sales=read_sales(connection, "google.sales"),
    )
