"""The shop's MySQL: a MariaDB server with payments and inventory, copied from the world's truth into MySQL's own types."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from local.counterparts.counterpart import Counterpart
from local.mariadb import MariaDbServer
from local.mariadb_programs import MariaDbError
from local.postgres import free_port
from local.processes import listens
from local.world.truth import now

_PASSWORD = "local-payments-password"  # noqa: S105 - a server on 127.0.0.1 that holds made-up and public data
_PORT, _PORT_VARIABLE = 53306, "HEADWATER_MYSQL_PORT"
_ROWS_AT_ONCE = 2000

# What other databases do not have: unsigned numbers, enum and set, bits, dates that are zero, times without a zone.
_DDL = """
CREATE TABLE IF NOT EXISTS payments (
    payment_id bigint unsigned NOT NULL PRIMARY KEY,
    order_id bigint unsigned NOT NULL,
    method enum('card', 'cash', 'voucher', 'mobile') NOT NULL,
    features set('contactless', 'receipt', 'loyalty') NOT NULL,
    status enum('captured', 'refunded', 'voided') NOT NULL,
    amount decimal(14,2) NOT NULL,
    currency char(3) NOT NULL,
    gateway_ref bigint unsigned NOT NULL,
    captured bit(1) NOT NULL,
    risk_flags bit(8) NOT NULL,
    attempts tinyint(1) NOT NULL,
    details json NOT NULL,
    message varchar(200),
    paid_at datetime(6) NOT NULL COMMENT 'The wall clock in New York.',
    refunded_on date NOT NULL DEFAULT '0000-00-00',
    updated_at timestamp(6) NOT NULL DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6),
    deleted_at timestamp(6) NULL,
    KEY payments_updated_at (updated_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE IF NOT EXISTS inventory (
    inventory_id int unsigned NOT NULL PRIMARY KEY,
    product_id int unsigned NOT NULL,
    warehouse enum('north', 'south', 'harbour') NOT NULL,
    quantity int NOT NULL,
    reserved smallint NOT NULL,
    shelf varchar(20) NOT NULL,
    attributes json NOT NULL,
    counted_on date NOT NULL DEFAULT '0000-00-00',
    updated_at timestamp(6) NOT NULL DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6),
    deleted_at timestamp(6) NULL,
    KEY inventory_updated_at (updated_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
"""


class _Table(NamedTuple):
    """A table: the columns of the truth, and those of them whose missing value is a zero date in MySQL."""

    name: str
    columns: Sequence[str]
    zero_dates: frozenset[str]
    bits: frozenset[str] = frozenset()


_TABLES = (
    _Table(
        "payments",
        (
            *(
                "payment_id",
                "order_id",
                "method",
                "features",
                "status",
                "amount",
                "currency",
                "gateway_ref",
                "captured",
            ),
            *("risk_flags", "attempts", "details", "message", "paid_at", "refunded_on", "updated_at", "deleted_at"),
        ),
        frozenset({"refunded_on"}),
        frozenset({"captured", "risk_flags"}),
    ),
    _Table(
        "inventory",
        (
            *("inventory_id", "product_id", "warehouse", "quantity", "reserved", "shelf", "attributes", "counted_on"),
            *("updated_at", "deleted_at"),
        ),
        frozenset({"counted_on"}),
    ),
)


class RdsMySql(Counterpart):
    """The counterpart of source rds_mysql."""

    source = "rds_mysql"

    @property
    def server(self) -> MariaDbServer:
        """The server, on HEADWATER_MYSQL_PORT, or on the port that `start` chose."""
        known = self._port_file.read_text() if self._port_file.exists() else _PORT
        port = int(os.environ.get(_PORT_VARIABLE, known))
        return MariaDbServer(self._place.home / "mysql", port, "shop", _PASSWORD, "payments")

    @property
    def _port_file(self) -> Path:
        return self._place.home / "mysql.port"

    def start(self) -> None:
        """Starts the server, on another port where the usual one is taken by another stack's, and makes its tables."""
        if not self._port_file.exists():
            self._place.home.mkdir(parents=True, exist_ok=True)
            self._port_file.write_text(str(free_port() if listens(_PORT) else _PORT))
        try:
            self.server.start()
        except MariaDbError as error:
            if "Address already in use" not in str(error) or _PORT_VARIABLE in os.environ:
                raise
            # Another stack was first.
            self._port_file.write_text(str(free_port()))
            self.server.start()
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(_DDL)
            while cursor.nextset():
                pass

    def stop(self) -> None:
        """Stops the server."""
        self.server.stop()

    def endpoints(self) -> Mapping[str, str]:
        """Lists the server's address."""
        server = self.server
        return {self.source: f"mysql://{server.user}:{server.password}@127.0.0.1:{server.port}/{server.database}"}

    def secret(self) -> Mapping[str, str]:
        """What RDS would keep in Secrets Manager."""
        server = self.server
        return {
            "host": "127.0.0.1",
            "port": str(server.port),
            "dbname": server.database,
            "username": server.user,
            "password": server.password,
        }

    def deliver(self, since: date | None, until: date) -> None:  # noqa: ARG002 - the truth holds just what has happened
        """Copies the rows that have changed, or all payments and shelves."""
        if since is None:
            self._copy("true", {})
        else:
            self._copy("updated_at >= %(since)s", {"since": now(since)})

    def _copy(self, condition: str, given: Mapping[str, Any]) -> None:
        with psycopg.connect(self._place.world_dsn) as truth, self.server.connect() as shop, shop.cursor() as cursor:
            truth.execute("set time zone 'UTC'")
            for table in _TABLES:
                places = ", ".join("CAST(%s AS unsigned)" if name in table.bits else "%s" for name in table.columns)
                query = f"REPLACE INTO {table.name} ({', '.join(table.columns)}) VALUES ({places})"
                for rows in _rows(truth, table, condition, given):
                    cursor.executemany(query, rows)
            shop.commit()


def _rows(
    truth: psycopg.Connection[Any], table: _Table, condition: str, given: Mapping[str, Any]
) -> Iterator[list[list[Any]]]:
    query = f"select {', '.join(table.columns)} from payments.{table.name} where {condition} order by 1"
    with truth.cursor(f"copy_{table.name}") as cursor:
        cursor.execute(query, given)
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            yield [[_value(table, name, value) for name, value in zip(table.columns, row, strict=True)] for row in rows]


def _value(table: _Table, name: str, value: Any) -> Any:
    if value is None and name in table.zero_dates:
        return "0000-00-00"
    if name in table.bits:
        return int(value)
    # The session is in UTC: a moment goes in as what a clock shows there.
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value
