"""MySQL and MariaDB: a snapshot belongs to its connection, so parallel connections see several moments (docs/adr/0006)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from headwater.errors import FatalSourceError
from headwater.sources.jdbc.address import Address
from headwater.sources.jdbc.columns import Column, of_mysql
from headwater.sources.jdbc.engine import STATEMENT_TIMEOUT_MS, Snapshot
from headwater.sources.jdbc.session import Database, Session
from headwater.sources.relation import backticked

# How the driver is to read what MySQL has and others have not, for Spark's and Glue's connections as well.
_PARAMETERS = {
    # TIMESTAMP is a moment, which the server shows in the session's zone.
    "connectionTimeZone": "UTC",
    "forceConnectionTimeZoneToSession": "true",
    # '0000-00-00' is no date; tinyint(1) and year are numbers.
    "zeroDateTimeBehavior": "CONVERT_TO_NULL",
    "tinyInt1isBit": "false",
    "yearIsDateType": "false",
    # Without a cursor the driver keeps the whole result in memory.
    "useCursorFetch": "true",
    "socketTimeout": str(STATEMENT_TIMEOUT_MS),
}


class MySql:
    """MySQL 5.7 or later, MariaDB 10.4 or later, with InnoDB tables."""

    now = "NOW(6)"

    def database(self, secret: Mapping[str, str]) -> Database:
        """Makes the address; sessions work in UTC whatever the server's zone is, and give up after half an hour."""
        address = Address.of(secret)
        # Java trusts who signed the certificate, and it is this host's; there is no connection without.
        trusted = {} if address.is_local else {"sslMode": "VERIFY_IDENTITY"}
        return Database(
            url=f"jdbc:mysql://{address.path}?{urlencode({**_PARAMETERS, **trusted})}",
            driver="com.mysql.cj.jdbc.Driver",
            user=secret["username"],
            password=secret["password"],
        )

    def begin(self, session: Session) -> Snapshot:
        """Fixes the connection's own view of all InnoDB tables."""
        session.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        return Snapshot(session, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", shared=False)

    def text(self, expression: str) -> str:
        """SQL that writes a value as text."""
        return f"CAST({expression} AS CHAR)"

    def moment(self, text: str) -> str:
        """SQL of a moment in the session's zone, which is UTC."""
        return f"TIMESTAMP'{text}'"

    def earlier(self, moment: str, minutes: int) -> str:
        """SQL of a moment some minutes earlier."""
        return f"{moment} - INTERVAL {minutes} MINUTE"

    def columns(self, session: Session, relation: str) -> list[Column]:
        """Lists the columns that this user may read."""
        schema, _, table = relation.rpartition(".")
        condition = f"table_schema = '{schema}'" if schema else "table_schema = database()"
        columns = [
            of_mysql(str(name), str(type_), self.quoted(str(name)))
            for name, type_ in session.rows(
                "SELECT column_name, column_type FROM information_schema.columns "
                f"WHERE {condition} AND table_name = '{table}' ORDER BY ordinal_position"
            )
        ]
        if not columns:
            raise FatalSourceError(
                f"{relation} does not exist, or this user may not read it. hint: GRANT SELECT ON {relation}"
            )
        return columns

    def quoted(self, name: str) -> str:
        """An identifier between backticks."""
        return backticked(name)

    def split(self, quoted: str) -> str:
        """SQL of a number as a signed integer."""
        return f"IF({quoted} BETWEEN -9e18 AND 9e18, CAST({quoted} AS SIGNED), NULL)"

    def digest(self, columns: Sequence[str]) -> str:
        """SQL that adds up 60 bits of the MD5 of each row's quoted values."""
        # QUOTE tells a missing value from the text NULL, and one column's end from the next one's beginning.
        values = ", ".join(f"QUOTE(t.{self.quoted(name)})" for name in columns)
        return f"COALESCE(SUM(CAST(CONV(LEFT(MD5(CONCAT_WS(',', {values})), 15), 16, 10) AS UNSIGNED)), 0)"
