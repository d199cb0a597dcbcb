"""What a counterpart is: the system that a source reads, on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class Place:
    """Where a counterpart lives: its folder, and the stack's addresses."""

    home: Path
    world_dsn: str
    warehouse_dsn: str
    aws_endpoint: str
    simulators_url: str


class Counterpart:
    """One system that a source reads. What a method leaves out here, most counterparts do without."""

    source: ClassVar[str]
    """Name of the source in config/."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def start(self) -> None:
        """Starts it unless it runs, and waits until it answers."""

    def stop(self) -> None:
        """Stops it by process id; one that does not run stays as it is."""

    def endpoints(self) -> Mapping[str, str]:
        """Lists its addresses by name."""
        return {}

    def secret(self) -> Mapping[str, str] | None:
        """What the source's secret holds; None when it has none."""
        return None

    def override(self) -> Mapping[str, Any]:
        """What environment local changes of the source, such as its base_url."""
        return {}

    def deliver(self, since: date | None, until: date) -> None:
        """Delivers what happened from `since` to before `until`, the world's clock.

        Without `since` it is all of history: once, after the first deploy.
        """
