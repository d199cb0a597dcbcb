"""The world behind the sources: one shop, its advertising and the exchange rates, with a clock that can be moved."""

from local.world.advance import advance
from local.world.facebook_ads import LedgerDay, ads_ledger
from local.world.rds_postgres import seed
from local.world.truth import NoWorldError, Truth, changes, clock, defects, households, mismatched_orders

__all__ = [
    "LedgerDay",
    "NoWorldError",
    "Truth",
    "ads_ledger",
    "advance",
    "changes",
    "clock",
    "defects",
    "households",
    "mismatched_orders",
    "seed",
]
