"""Parts of the world beside the shop: each makes its tables and rows from the shop's, in the same transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple, Protocol

from local.world.journey import HOUSEHOLDS
from local.world.truth import Connection, Defect, Kind, now


class Step(NamedTuple):
    """One step of time: days from `since` to before `clock`; the first step is all of history."""

    number: int
    since: date
    clock: date
    seed: int
    """The seed of this step; step 0 has the world's."""
    world_seed: int
    households: int

    @property
    def size(self) -> float:
        """The shop's share of the whole one, by households."""
        return self.households / HOUSEHOLDS

    def span(self, history_days: int) -> tuple[datetime, datetime]:
        """From when to when the step lasts; the first reaches back so many days."""
        end = now(self.clock)
        return end - timedelta(days=history_days) if self.number == 0 else now(self.since), end


class Happened(NamedTuple):
    """What a part did in one step, for truth.defects and truth.changes; streams are named `<source>.<stream>`."""

    defects: Sequence[Defect]
    changes: Counter[tuple[str, Kind]]


class Part(Protocol):
    """One part of the world."""

    DDL: str
    """Creates the part's schema and tables; they are dropped with it."""
    SCHEMA: str

    def happen(self, connection: Connection, step: Step) -> Happened:
        """Writes what happened in one step; the shop's own rows of that step are there already."""
        ...


# Each part knows the step from here, so they come last.
from local.world.clevertap import APP_EVENTS  # noqa: E402
from local.world.google_ads import GOOGLE_ADS  # noqa: E402
from local.world.http_push import PUSHED_EVENTS  # noqa: E402
from local.world.hubspot import CRM  # noqa: E402
from local.world.kafka import STREAM_EVENTS  # noqa: E402
from local.world.kinesis import WEB_EVENTS  # noqa: E402
from local.world.rds_mysql import PAYMENTS_AND_INVENTORY  # noqa: E402
from local.world.rds_postgres_loyalty import LOYALTY  # noqa: E402
from local.world.redshift import BEHAVIOR  # noqa: E402
from local.world.s3_drops import DROPS  # noqa: E402
from local.world.snowflake import B2B  # noqa: E402

PARTS: Sequence[Part] = (
    GOOGLE_ADS,
    CRM,
    APP_EVENTS,
    B2B,
    BEHAVIOR,
    LOYALTY,
    PAYMENTS_AND_INVENTORY,
    STREAM_EVENTS,
    WEB_EVENTS,
    PUSHED_EVENTS,
    DROPS,
)
