"""Quota use of each HTTP source: `python -m benchmarks.rate`.

Each simulator lets through just what the source declares as its rate, and refuses the rest. Printed are the share of the
quota that was used over a long read, the share of requests that were refused, and memory at a quarter of the pages and
at the end. A source that declares more than its simulator can answer on a small machine is read with a lower rate.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from headwater.config import HttpSource, Rate
from headwater.ledger.raw import RowFile
from headwater.ledger.shape import Learned
from headwater.sources.apis import hubspot
from headwater.sources.http.connect import open_client
from headwater.sources.http.stream import read
from local import world
from local.counterparts import credentials
from local.stack import Ports, Stack
from tests.support.declared import table
from tests.support.simulators import Simulators, own_world

HOUSEHOLDS = 800
# A stream with enough to read, in pages or parts so short that the quota is what holds it up.
LONG_READS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "facebook_ads": ("ads_insights", {"params": {"limit": "5"}}),
    "google_ads": ("ad_performance", {"read": {"chunk_days": 1}, "rate": {"calls": 15}}),
    "clevertap": ("events", {"read": {"chunk_days": 3}}),
    "hubspot": ("contacts", {}),
    "fx_rates": ("rates", {"read": {"chunk_days": 1}}),
}


@dataclass(frozen=True)
class Reading:
    """What one long read came to."""

    source: str
    calls: int
    refused: int
    seconds: float
    quota_used: float
    early_mib: float
    late_mib: float


class _Discarding:
    """A batch writer that keeps nothing, and looks at memory as the files come."""

    def __init__(self) -> None:
        self.learned = Learned()
        self.rows = 0
        self.memory: list[float] = []

    def open_rows(self, path: Path) -> RowFile:
        return RowFile(path, {}, frozenset())

    def add(self, path: Path, rows: int) -> None:
        del path
        self.rows += rows
        self.memory.append(psutil.Process().memory_info().rss / 2**20)


def _long(source: HttpSource) -> tuple[str, HttpSource]:
    name, changes = LONG_READS[source.name]
    stream = source.streams[name]
    stream = stream.model_copy(
        update={
            "params": {**stream.params, **changes.get("params", {})},
            "read": stream.read.model_copy(update=changes.get("read", {})),
        }
    )
    rate = source.rate.model_copy(update=changes.get("rate", {}))
    return name, source.model_copy(update={"streams": {**source.streams, name: stream}, "rate": rate})


def quota_used(times: Sequence[datetime], rate: Rate) -> float:
    """Share of the quota that calls at these times used, over as many whole windows' worth of calls as there are.

    From the first call of one window's worth to the first of another: neither a burst at the start nor a rest at the end counts.
    """
    windows = (len(times) - 1) // rate.calls
    if windows == 0:
        raise ValueError(f"{len(times)} calls do not fill one window of {rate.calls}: read more")
    seconds = (times[windows * rate.calls] - times[0]).total_seconds()
    return windows * rate.per_seconds / seconds


def measure(source: HttpSource, simulators: Simulators) -> Reading:
    """Reads a source's long stream under the quota that it declares."""
    name, long = _long(source)
    rate = long.rate
    simulators.admin("misbehave", "DELETE")
    simulators.admin("requests", "DELETE")
    simulators.misbehave(source=source.name, kind="quota", calls=rate.calls, seconds=rate.per_seconds)
    writer = _Discarding()
    secret = credentials(source.secret)
    started = time.monotonic()
    with open_client(long, secret, lambda _: None) as client:
        into, today = table(long.streams[name].table), world.clock(simulators.dsn)
        read(long, name, into, secret, writer, None, today, None, client)  # type: ignore[arg-type]
    seconds = time.monotonic() - started
    asked = [entry for entry in simulators.admin("requests", "GET")["requests"] if entry["source"] == source.name]
    let_through = [datetime.fromisoformat(entry["time"]) for entry in asked if entry.get("fault") != "throttle"]
    return Reading(
        source.name,
        len(let_through),
        len(asked) - len(let_through),
        seconds,
        quota_used(let_through, rate),
        writer.memory[len(writer.memory) // 4],
        writer.memory[-1],
    )


def main() -> None:
    """Measures every HTTP source and prints the figures."""
    table = Table("source", "calls", "quota used", "refused", "seconds", "MiB at a quarter", "MiB at the end")
    readings = []
    # The length of HubSpot's pages is no parameter of its streams.
    hubspot.BATCH_ROWS = 1
    with tempfile.TemporaryDirectory() as name, own_world(Path(name), HOUSEHOLDS) as simulators:
        port = int(simulators.url.rsplit(":", 1)[1])
        project = Stack(Path(name), replace(Ports(), simulators=port)).project()
        for source in LONG_READS:
            declared = project.source(source)
            assert isinstance(declared, HttpSource)  # noqa: S101 - LONG_READS names such sources
            found = measure(declared, simulators)
            readings.append(found)
            table.add_row(
                found.source,
                str(found.calls),
                f"{found.quota_used:.3f}",
                f"{found.refused / (found.calls + found.refused):.3%}",
                f"{found.seconds:.1f}",
                f"{found.early_mib:.0f}",
                f"{found.late_mib:.0f}",
            )
    Console().print(table)
    Path("build").mkdir(exist_ok=True)
    Path("build/rate.json").write_text(json.dumps([found.__dict__ for found in readings], indent=1))


if __name__ == "__main__":
    main()
