"""The shop's PostgreSQL: the world's own database, which the stack runs anyway."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg.conninfo import conninfo_to_dict

from local.counterparts.counterpart import Counterpart


class RdsPostgres(Counterpart):
    """The counterpart of source rds_postgres; the world's step is its own transaction there."""

    source = "rds_postgres"

    def endpoints(self) -> Mapping[str, str]:
        """The database's address."""
        return {self.source: self._place.world_dsn}

    def secret(self) -> Mapping[str, str]:
        """What RDS would keep in Secrets Manager."""
        dsn = conninfo_to_dict(self._place.world_dsn)
        return {
            "host": str(dsn["host"]),
            "port": str(dsn["port"]),
            "dbname": str(dsn["dbname"]),
            "username": str(dsn["user"]),
            "password": str(dsn["password"]),
        }
