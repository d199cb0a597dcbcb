"""What a start, a stream and an increment cost, layer by layer, in CPU seconds and as ratios: `make bench-quick`, in three minutes.

The ratios stand for the machine's speed at that moment, and are kept in `benchmarks/results/quick.jsonl`: commit it with the change
that explains it. Ends with 1 where something has become slower.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from pyspark.sql import SparkSession
from rich.console import Console
from rich.table import Table

from benchmarks.ratchet import RESULTS, Result, before, calibrate, keep, slower, usual
from headwater.deploy.job_arguments import conf
from headwater.lake.session import configure
from local.glue import quick_start
from local.glue.spark import build_session
from local.jars import JOBS, class_path
from tests.spark.shop import Shop, at, people

ROWS = 1_000
ROUNDS = 7
WARMING = 4


class Meter:
    """CPU seconds of this process and all that it has started, by what they were for."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}
        self._all = psutil.Process()

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Meters what the block does."""
        began = self._now()
        yield
        self.spent.setdefault(name, []).append(self._now() - began)

    def _now(self) -> float:
        times = [process.cpu_times() for process in (self._all, *self._all.children(recursive=True))]
        return sum(time.user + time.system for time in times)


def measure(meter: Meter, root: Path) -> None:
    """Starts a session and takes streams through it: a first batch while all is cold, one of 1,000 rows, increments, nothing new."""
    with meter.of("start"):
        session = build_session("http://127.0.0.1:1", conf("eu-west-1"), ["delta"], class_path(JOBS))
        session.sparkContext.setLogLevel("ERROR")
        configure(session)
    with meter.of("the first batch, cold"):
        _stream(session, root / "cold", 10).run()
    for number in range(WARMING):
        _stream(session, root / f"warming-{number}", 10).run()
    for number in range(3):
        _by_layer(meter, f"{ROWS} rows", _stream(session, root / f"rows-{number}", ROWS))
    shop = _stream(session, root / "increments", ROWS)
    shop.run()
    for number in range(ROUNDS):
        # Half of them are known, and have changed.
        _batch(shop, 10, first=ROWS - 5 + 5 * number, city=f"city {number}", day=29)
        _by_layer(meter, "10 more", shop)
        with meter.of("nothing new"):
            shop.run()
    session.stop()


def _stream(session: SparkSession, root: Path, rows: int) -> Shop:
    shop = Shop(session, root, people())
    _batch(shop, rows)
    return shop


def _batch(shop: Shop, rows: int, first: int = 0, city: str = "first", day: int = 1) -> None:
    shop.batch([[str(first + number), city, at(day)] for number in range(rows)])


def _by_layer(meter: Meter, name: str, shop: Shop) -> None:
    steps: dict[str, Callable[[], None]] = {"to bronze": shop.append, "checked": shop.check, "to silver": shop.silver}
    for layer, step in steps.items():
        with meter.of(f"{name} {layer}"):
            step()


def main() -> int:
    """Measures, prints, keeps; returns 1 where something has become slower."""
    os.environ["SPARK_VERSION"] = "3.5"
    logging.disable(logging.WARNING)
    quick_start.choose()
    meter, units = Meter(), [calibrate() for _ in range(3)]
    with TemporaryDirectory() as folder:
        measure(meter, Path(folder))
    units += [calibrate() for _ in range(3)]
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    result = Result(
        at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M}",
        # The least of the rounds is what the work takes; the others also have what came in between.
        commit=subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip(),
        unit_seconds=round(min(units), 4),
        cpu_seconds={name: round(min(spent), 3) for name, spent in meter.spent.items()},
    )
    results = before(RESULTS)
    worse, known = slower(result, results), usual(results)
    table = Table("measure", "CPU seconds", "ratio", "usually", "")
    for name, ratio in result.ratios.items():
        more = f"slower: {worse[name]:.1f} times as long" if name in worse else ""
        table.add_row(name, f"{result.cpu_seconds[name]:.2f}", f"{ratio:.2f}", f"{known.get(name, ratio):.2f}", more)
    Console(width=120).print(table)
    keep(RESULTS, result)
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
