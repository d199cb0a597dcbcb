"""What befalls a run besides the gateway's faults: the source's connections are cut, and the disk of a job is full."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg

from local.stack import Stack
from tests.e2e.pipeline import send

_LOOKS_EVERY_SECONDS = 0.05
_ROOM_BYTES = 2048
"""What a file may still grow to: enough for a log's line, and for no Parquet file."""


class Strike(threading.Thread):
    """Looks again and again for its moment, until it has struck or the run is over."""

    def __init__(self, once: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self._once = once
        self._over = threading.Event()
        self.fired = 0

    def run(self) -> None:
        """Strikes once."""
        while not self._over.wait(_LOOKS_EVERY_SECONDS):
            if self._once():
                self.fired = 1
                return

    def end(self) -> None:
        """Looks no more."""
        self._over.set()
        self.join()


def cut(stack: Stack) -> bool:
    """Cuts the connections by which a job reads the shop, if there are any."""
    readers = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'PostgreSQL JDBC Driver'"
    with psycopg.connect(stack.rds_dsn, autocommit=True) as connection:
        return bool(connection.execute(readers).fetchall())


def fill_disk(stack: Stack, job: str) -> bool:
    """Lets no file grow that the worker which runs a job writes, if one does."""
    workers = send("GET", f"{stack.aws_endpoint}/_headwater/health")["workers"]
    struck = [worker["pid"] for worker in workers if worker["job"] == job]
    for pid in struck:
        _limit(pid, _ROOM_BYTES)
    return bool(struck)


def free_disks(stack: Stack) -> None:
    """Lets the files of every worker grow again."""
    for worker in send("GET", f"{stack.aws_endpoint}/_headwater/health")["workers"]:
        if worker["pid"] is not None:
            _limit(worker["pid"], resource.RLIM_INFINITY)


def _limit(pid: int, octets: int) -> None:
    for process in _family(pid):
        try:
            _, most = resource.prlimit(process, resource.RLIMIT_FSIZE)
            resource.prlimit(process, resource.RLIMIT_FSIZE, (octets, most))
        except ProcessLookupError:
            # It has ended meanwhile.
            continue


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from _family(int(child))
