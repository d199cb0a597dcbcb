"""Many drawn values at once, for what is too slow to be asked about each of them by itself."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st


def drawn(strategy: st.SearchStrategy[Any], number: int) -> list[Any]:
    """Draws so many values, for one Spark job: none of them is shrunk, so each should be small."""
    values: list[Any] = []

    @settings(max_examples=number, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def draw(value: Any) -> None:
        values.append(value)

    draw()
    return values
