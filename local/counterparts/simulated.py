"""The base of simulated counterparts: an address below the simulators', and credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from local.counterparts.counterpart import Counterpart


class Simulated(Counterpart):
    """A source's API, as the stack's simulators serve it; they read the world themselves."""

    mount: ClassVar[str]
    """Path below the simulators' address."""
    credentials: ClassVar[Mapping[str, str]] = {}

    @property
    def _base_url(self) -> str:
        return f"{self._place.simulators_url}{self.mount}"

    def endpoints(self) -> Mapping[str, str]:
        """The API's base URL."""
        return {self.source: self._base_url}

    def secret(self) -> Mapping[str, str] | None:
        """The credentials that the simulator takes."""
        return self.credentials or None

    def override(self) -> Mapping[str, Any]:
        """The base URL."""
        return {"base_url": self._base_url}
