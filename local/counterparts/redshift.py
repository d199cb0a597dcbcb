"""The analysts' schema in the warehouse: what Redshift holds besides the tables that the pipeline loads."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
from psycopg import sql

from local.counterparts.counterpart import Counterpart

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


def _grant(warehouse: psycopg.Connection[Any]) -> None:
    """Grants the table to those who extract it, as its owner does: no migration knows of it."""
    for (user,) in warehouse.execute(
        "select rolname from pg_roles where rolname like 'IAMR:%-redshift-extract'"
    ).fetchall():
        for grant in ("usage on schema behavior", "select on behavior.customer_behavior"):
            warehouse.execute(sql.SQL("grant {} to {}").format(sql.SQL(grant), sql.Identifier(user)))


class Redshift(Counterpart):
    """The counterpart of source `redshift`: a schema of the warehouse's database, which the stack runs anyway."""

    source = "redshift"

    def deliver(self, since: date | None, until: date) -> None:  # noqa: ARG002 - the world's table is as its clock says
        """Brings the table to where the world's is now."""
        with psycopg.connect(self._place.world_dsn) as world, psycopg.connect(self._place.warehouse_dsn) as warehouse:
            warehouse.execute(DDL)
            _grant(warehouse)
            warehouse.execute("delete from behavior.customer_behavior")
            with (
                world.cursor().copy("copy behavior.customer_behavior to stdout") as rows,
                warehouse.cursor().copy("copy behavior.customer_behavior from stdin") as table,
            ):
                for block in rows:
                    table.write(block)
