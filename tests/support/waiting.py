"""Waiting for what happens elsewhere, on a machine that may be busy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_SECONDS = 120.0


def wait_for(look: Callable[[], T | None], seconds: float = PATIENCE_SECONDS) -> T:
    """Looks again and again until there is something to see."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing came of it within {seconds:.0f} s")
