"""The simulators' view of the world: read again only after a step."""

from __future__ import annotations

import threading

import psycopg

from local.world.ads import AdWorld, read_ads
from local.world.truth import NoWorldError, World, read_world

UNSEEDED = "the world has not been seeded"


class WorldReader:
    """Reads the world's newest state from PostgreSQL. Safe to share between threads."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._lock = threading.Lock()
        self._cached: tuple[World, AdWorld] | None = None

    def world(self) -> World:
        """Clock and seed. Raises NoWorldError when there is no world, or no database to hold one."""
        return self._read()[0]

    def ads(self) -> AdWorld:
        """Campaigns, ad sets, ads and their sales. Raises NoWorldError as `world` does."""
        return self._read()[1]

    def _read(self) -> tuple[World, AdWorld]:
        with self._lock:
            try:
                with psycopg.connect(self._dsn, connect_timeout=5) as connection:
                    world = read_world(connection)
                    if self._cached is None or self._cached[0] != world:
                        self._cached = (world, read_ads(connection))
            except psycopg.OperationalError as error:
                raise NoWorldError(UNSEEDED) from error
            return self._cached
