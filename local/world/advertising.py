"""What advertising platforms have in common: days on which ads run, sales they are credited with, days told late or never."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple, TypeVar

from local.world.tables import copy_rows
from local.world.truth import Connection

CLICKS_ABOVE_IMPRESSIONS = "clicks_not_above_impressions"
NEGATIVE_COST = "cost_non_negative"


class Flight:
    """Something that is shown from start_day to stop_day, both included."""

    start_day: date
    stop_day: date | None

    def runs_on(self, day: date) -> bool:
        """Whether it is shown on this day."""
        return self.start_day <= day and (self.stop_day is None or day <= self.stop_day)


F = TypeVar("F", bound=Flight)


class Sale(NamedTuple):
    """Orders that an ad brought in on one day."""

    orders: int
    amount_usd: Decimal


Sales = Mapping[tuple[int, date], Sale]
"""Sales by ad and day."""


def apportioned(amount: int, weights: Sequence[int]) -> list[int]:
    """Parts in proportion to the weights that add up to the amount: the largest remainders get the rest."""
    total = sum(weights)
    parts = [amount * weight // total for weight in weights]
    rest = amount - sum(parts)
    for k in sorted(range(len(weights)), key=lambda k: (-(amount * weights[k] % total), k))[:rest]:
        parts[k] += 1
    return parts


def days_shown(ads: Sequence[F], since: date, until: date, clock: date) -> Iterator[tuple[F, date]]:
    """Ads with each day from `since` to `until` (both included) on which they ran and which is over, by day."""
    day = since
    while day <= min(until, clock - timedelta(days=1)):
        for ad in ads:
            if ad.runs_on(day):
                yield ad, day
        day += timedelta(days=1)


def is_reported(lot: float, turning_age: int, age: int) -> bool:
    """Whether a platform tells an ad's day at some age in days; by lot some days are never told, withdrawn or told late."""
    if lot < 0.03:  # no activity, ever
        return False
    if lot < 0.05:  # found invalid, and withdrawn
        return age < turning_age
    if lot < 0.07:  # reported late
        return age >= turning_age
    return True


def share_at(age: int, shares: Sequence[tuple[int, float]]) -> float:
    """The share of its final value at which a figure stands, from the ages in days at which it steps up."""
    return [share for first_age, share in shares if first_age <= age][-1]


def reasons_to_refuse(clicks: int, impressions: int, cost: Decimal | int) -> list[str]:
    """Reasons for which a check must refuse a row with these figures."""
    reasons = []
    if clicks > impressions:
        reasons.append(CLICKS_ABOVE_IMPRESSIONS)
    if cost < 0:
        reasons.append(NEGATIVE_COST)
    return reasons


def write_sales(connection: Connection, table: str, sales: Sales) -> None:
    """Stores the sales of days that had none stored."""
    rows: Iterable[tuple[int, date, int, Decimal]] = ((ad, day, *sale) for (ad, day), sale in sorted(sales.items()))
    copy_rows(connection, f"{table} (ad_id, day, orders, amount_usd)", rows)


def read_sales(connection: Connection, table: str) -> dict[tuple[int, date], Sale]:
    """Every sale so far."""
    rows = connection.execute(f"select ad_id, day, orders, amount_usd from {table}").fetchall()
    return {(ad_id, day): Sale(orders, amount) for ad_id, day, orders, amount in rows}
