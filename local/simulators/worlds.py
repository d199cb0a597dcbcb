"""The simulators' view of the world: read again only after a step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from local.world.facebook_ads import AdWorld, read_ads
from local.world.truth import Connection, NoWorldError, World, read_world

UNSEEDED = "the world has not been seeded"

T = TypeVar("T")


class WorldReader:
    """Reads the world's newest state from PostgreSQL. Safe to share between threads."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._world: World | None = None
        self._parts: dict[Callable[[Connection], Any], Any] = {}

    def world(self) -> World:
        """Clock and seed. Raises NoWorldError when there is no world, or no database to hold one."""
        return self.read(read_world)

    def ads(self) -> AdWorld:
        """Campaigns, ad sets, ads and their sales. Raises NoWorldError as `world` does."""
        return self.read(read_ads)

    def read(self, part: Callable[[Connection], T]) -> T:
        """What `part` finds in the database, kept until the next step. Raises NoWorldError as `world` does."""
        with self._lock:
            try:
                return self._read(part)
            except psycopg.OperationalError:
                # The database has been away since the last request, or still is.
                self._connection = None
            try:
                return self._read(part)
            except psycopg.OperationalError as error:
                raise NoWorldError(UNSEEDED) from error

    def _read(self, part: Callable[[Connection], T]) -> T:
        # One connection for all requests: to make one costs more than what most of them ask.
        if self._connection is None:
            self._connection = psycopg.connect(self._dsn, connect_timeout=5, autocommit=True)
        with self._connection.transaction():
            world = read_world(self._connection)
            if self._world != world:
                self._world, self._parts = world, {}
            if part not in self._parts:
                self._parts[part] = part(self._connection)
        found: T = self._parts[part]
        return found
