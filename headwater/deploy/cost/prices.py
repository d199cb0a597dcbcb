"""The list prices of a region, from config/cost/prices.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, model_validator

from headwater.config.strict import Name, Place, Strict, refusal, unknown
from headwater.deploy.project import load_declared
from headwater.errors import ConfigError

_COUNTED = re.compile(r"^(\d+) ")
_Usd = Annotated[Decimal, Field(gt=0)]


class Listed(Strict):
    """What one unit of something costs, by region."""

    per: str = Field(description="The unit; a number before it says how many the price is for.")
    page: str
    usd: dict[str, _Usd]


class Region(Strict):
    """Where a region's prices come from, and those of which no record was found, with what they rest on."""

    source: str
    unconfirmed: dict[Name, str] = Field({}, description="What a price rests on that no record shows.")


class PriceList(Strict):
    """The prices of all regions that are listed."""

    as_of: date
    regions: dict[str, Region]
    prices: dict[Name, Listed]

    @model_validator(mode="after")
    def _regions_are_whole(self) -> PriceList:
        wrong: list[tuple[Place, str]] = [
            (("prices", name, "usd"), f"lists {', '.join(listed.usd)}; the regions are {', '.join(self.regions)}")
            for name, listed in self.prices.items()
            if listed.usd.keys() != self.regions.keys()
        ]
        wrong += [
            (("regions", region, "unconfirmed", name), unknown("price", name, self.prices))
            for region, declared in self.regions.items()
            for name in declared.unconfirmed
            if name not in self.prices
        ]
        if wrong:
            raise refusal(wrong)
        return self


@dataclass(frozen=True)
class Price:
    """One list price."""

    usd: Decimal
    per: str

    def of(self, quantity: Decimal) -> Decimal:
        """What a quantity costs, in USD; a price for 1000 is for 1000."""
        counted = _COUNTED.match(self.per)
        return quantity * self.usd / (int(counted[1]) if counted else 1)


@dataclass(frozen=True)
class Prices:
    """The prices of one region."""

    name: str
    as_of: date
    region: Region
    prices: Mapping[str, Price]


def prices_of(root: Path, region: str) -> Prices:
    """The prices of a region; ConfigError where none are listed for it."""
    listed = load_declared(TypeAdapter(PriceList), root, "cost", "prices")
    if region not in listed.regions:
        said = unknown("prices of region", region, listed.regions)
        raise ConfigError(f"{said}. hint: add the region and its prices to config/cost/prices.yaml")
    prices = {name: Price(price.usd[region], price.per) for name, price in listed.prices.items()}
    return Prices(region, listed.as_of, listed.regions[region], prices)
