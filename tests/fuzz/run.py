"""Draws inputs for each reader until it has read so many, or as long as there is time: `python -m tests.fuzz.run 200000 600`.

The first number is of inputs, the second of seconds, both for each reader; what is named behind them is read alone. Prints a line for
each reader, and for what has escaped one the smallest input that does it. Returns 1 where something has.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from datetime import UTC, datetime

from hypothesis import HealthCheck, given, seed, settings

from tests.fuzz.edits import edited
from tests.fuzz.readers import READERS, Reader

_INPUTS = 200_000
_SECONDS = 600.0
_A_ROUND = 2_000


def _read(reader: Reader, inputs: int, seconds: float) -> int:
    """Reads inputs in rounds, each drawn anew; returns how many. Raises whatever has escaped."""
    done, until = 0, time.monotonic() + seconds
    drawn = edited(reader.good)
    while done < inputs and time.monotonic() < until:

        @seed(time.time_ns())
        @settings(max_examples=_A_ROUND, deadline=None, database=None, suppress_health_check=[*HealthCheck])
        @given(body=drawn)
        def one(body: bytes) -> None:
            reader.read(body)

        one()
        done += _A_ROUND
    return done


def main() -> int:
    """Reads with all readers, or with those that are named."""
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else _INPUTS
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else _SECONDS
    # What a reader says of each input is for those whose input it is.
    logging.disable()
    failed = 0
    for name in sys.argv[3:] or READERS:
        began = time.monotonic()
        try:
            done = f"{_read(READERS[name], inputs, seconds):>8} inputs"
        except Exception:  # noqa: BLE001 - the others are to be read, too
            failed, done = 1, f"something escaped:\n{traceback.format_exc()}"
        took = time.monotonic() - began
        print(f"{datetime.now(UTC):%H:%M:%S}  {name:20} {took:6.0f} s  {done}", flush=True)  # noqa: T201
    return failed


if __name__ == "__main__":
    sys.exit(main())
