"""Quantities and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from headwater.deploy.cost.prices import Price


@dataclass(frozen=True)
class Quantity:
    """How much of something with a price a month takes, and the assumptions that this rests on; counted from config alone if none."""

    service: str
    what: str
    amount: Decimal
    price: str
    assumes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Item:
    """One line of the bill."""

    quantity: Quantity
    price: Price

    @property
    def usd(self) -> Decimal:
        """The month's cost in USD."""
        return self.price.of(self.quantity.amount)
