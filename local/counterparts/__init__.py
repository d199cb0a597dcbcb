"""What sources read that is neither the shop's database nor a simulated API: one module for each such source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Place:
    """Where a counterpart lives: its folder, and the stack's addresses."""

    home: Path
    world_dsn: str
    warehouse_dsn: str
    aws_endpoint: str
    simulators_url: str


@dataclass(frozen=True)
class WorldView:
    """The state of the world that a counterpart tells of."""

    seed: int
    clock: date
    """The first day that has not happened yet."""
    households: int


class Counterpart(Protocol):
    """One system that a source reads, on this machine."""

    source: str
    """Name of the source in config/."""

    def start(self) -> None:
        """Starts it unless it runs, and waits until it answers."""
        ...

    def stop(self) -> None:
        """Stops it by process id; one that does not run stays as it is."""
        ...

    def endpoints(self) -> Mapping[str, str]:
        """Lists its addresses by name."""
        ...

    def secret(self) -> Mapping[str, str] | None:
        """What the source's secret holds; None when it has none."""
        ...

    def override(self) -> Mapping[str, Any]:
        """What environment local changes of the source, such as its base_url."""
        ...

    def seed(self, world: WorldView) -> None:
        """Fills it with all that happened before the world's clock; called once, after the first deploy."""
        ...

    def advance(self, world: WorldView, since: date) -> None:
        """Adds what happened from `since` to before the world's clock."""
        ...


# Each counterpart knows its place from here, so they come last.
from local.counterparts.http_push import HttpPush  # noqa: E402
from local.counterparts.kafka import Kafka  # noqa: E402
from local.counterparts.kinesis import Kinesis  # noqa: E402
from local.counterparts.rds_mysql import RdsMySql  # noqa: E402
from local.counterparts.redshift import Redshift  # noqa: E402
from local.counterparts.s3_drops import S3Drops  # noqa: E402
from local.counterparts.snowflake import Snowflake  # noqa: E402

COUNTERPARTS: Mapping[str, Callable[[Place], Counterpart]] = {
    "http_push": HttpPush,
    "kafka": Kafka,
    "kinesis": Kinesis,
    "rds_mysql": RdsMySql,
    "redshift": Redshift,
    "s3_drops": S3Drops,
    "snowflake": Snowflake,
}
"""Counterparts by source."""
