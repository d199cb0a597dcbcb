"""Draws inputs for each reader until it has read so many, or as long as there is time: `python -m tests.fuzz.run 200000 600`.

The first number is of inputs, the second of seconds, both for each reader; what is named behind them is read alone. Prints a line for
each reader, and of what has escaped one the input and the dice that draw it. Returns 1 where something has.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from datetime import UTC, datetime
from random import Random

from tests.fuzz.edits import drawn
from tests.fuzz.readers import READERS, Reader

_INPUTS = 200_000
_SECONDS = 600.0
_SHOWN = 2000


def _read(reader: Reader, inputs: int, seconds: float) -> tuple[int, str]:
    """Reads inputs, each drawn anew; returns how many, and what has escaped, if anything has."""
    until = time.monotonic() + seconds
    first = time.time_ns()
    for number in range(inputs):
        if time.monotonic() > until:
            return number, ""
        body = drawn(Random(first + number), reader.good)
        try:
            reader.read(body)
        except Exception:  # noqa: BLE001 - whatever it is, it has escaped
            return number, f"Random({first + number}) draws {body[:_SHOWN]!r}\n{traceback.format_exc()}"
    return inputs, ""


def main() -> int:
    """Reads with all readers, or with those that are named."""
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else _INPUTS
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else _SECONDS
    # What a reader says of each input is for those whose input it is.
    logging.disable()
    failed = 0
    for name in sys.argv[3:] or READERS:
        began = time.monotonic()
        done, escaped = _read(READERS[name], inputs, seconds)
        took = time.monotonic() - began
        failed |= bool(escaped)
        print(f"{datetime.now(UTC):%H:%M:%S}  {name:20} {took:6.0f} s  {done:>8} inputs  {escaped}", flush=True)  # noqa: T201
    return failed


if __name__ == "__main__":
    sys.exit(main())
