"""The output of setup: a line for each step, with its outcome and how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def step(name: str) -> Iterator[None]:
    """Prints a step's line: what it does as it begins, the seconds as it ends."""
    print(f"  {name} ", end="", flush=True)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"({time.monotonic() - started:.0f} s)", flush=True)


def tell(line: str) -> None:
    """Prints a line that is no step."""
    print(f"  {line}", flush=True)
