"""The analysts' schema in the warehouse: what Redshift holds besides the tables that the pipeline loads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import psycopg

from local.counterparts import Place, WorldView

# Redshift's form of the world's table: it keeps no keys, and the Data API's user owns it.
DDL = """
create schema if not exists behavior;
create table if not exists behavior.customer_behavior (
    session_id bigint not null, customer_id bigint, channel varchar(32) not null, device varchar(16) not null,
    started_at timestamp not null, session_duration int not null, page_views int not null, products_viewed int not null,
    added_to_cart boolean not null, conversions int not null, conversion_value numeric(14,2) not null,
    updated_at timestamptz not null, deleted_at timestamptz
);
"""


class Redshift:
    """The counterpart of source `redshift`: a schema of the warehouse's database, which the stack runs anyway."""

    source = "redshift"

    def __init__(self, place: Place) -> None:
        self._warehouse_dsn = place.warehouse_dsn
        self._world_dsn = place.world_dsn

    def start(self) -> None:
        """The warehouse runs with the stack."""

    def stop(self) -> None:
        """The warehouse ends with the stack."""

    def endpoints(self) -> Mapping[str, str]:
        """Lists nothing: the warehouse is among the stack's own addresses."""
        return {}

    def secret(self) -> None:
        """The Data API needs none."""

    def override(self) -> Mapping[str, Any]:
        """The environment's warehouse says it all."""
        return {}

    def seed(self, world: WorldView) -> None:  # noqa: ARG002 - the world's tables are as its clock says
        """Fills the table from the world's."""
        self._load()

    def advance(self, world: WorldView, since: date) -> None:  # noqa: ARG002 - likewise
        """Brings the table to where the world's is now."""
        self._load()

    def _load(self) -> None:
        with psycopg.connect(self._world_dsn) as world, psycopg.connect(self._warehouse_dsn) as warehouse:
            warehouse.execute(DDL)
            warehouse.execute("delete from behavior.customer_behavior")
            with (
                world.cursor().copy("copy behavior.customer_behavior to stdout") as rows,
                warehouse.cursor().copy("copy behavior.customer_behavior from stdin") as table,
            ):
                for block in rows:
                    table.write(block)
