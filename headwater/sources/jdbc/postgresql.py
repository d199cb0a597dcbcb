"""PostgreSQL: a transaction exports its snapshot, and every other connection can join it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from headwater.sources.jdbc.address import Address
from headwater.sources.jdbc.columns import Column, of_postgres
from headwater.sources.jdbc.engine import STATEMENT_TIMEOUT_MS, Snapshot
from headwater.sources.jdbc.session import Database, Session
from headwater.sources.relation import double_quoted

_REPEATABLE_READ = 4


class PostgreSql:
    """PostgreSQL 12 or later."""

    # A transaction's own now() is before its snapshot, which may have rows that are later.
    now = "statement_timestamp()"

    def database(self, secret: Mapping[str, str]) -> Database:
        """Makes the address; sessions that are opened here work in UTC and give up after half an hour."""
        address = Address.of(secret)
        parameters = {} if address.is_local else _trusted(secret.get("certificate"))
        return Database(
            url=f"jdbc:postgresql://{address.path}?{urlencode(parameters)}".rstrip("?"),
            driver="org.postgresql.Driver",
            user=secret["username"],
            password=secret["password"],
            # Said once connected: RDS Proxy refuses a connection that brings options along.
            opening=f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}; SET TIME ZONE 'UTC'; "
            "SET datestyle = 'ISO'; SET bytea_output = 'hex'",
        )

    def begin(self, session: Session) -> Snapshot:
        """Exports the transaction's snapshot."""
        session.connection.setTransactionIsolation(_REPEATABLE_READ)
        [name] = session.row("SELECT pg_export_snapshot()")
        join = f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET TRANSACTION SNAPSHOT '{name}'"
        return Snapshot(session, join, shared=True)

    def text(self, expression: str) -> str:
        """SQL that writes a value as text."""
        return f"({expression})::text"

    def moment(self, text: str) -> str:
        """SQL of a moment."""
        return f"timestamptz '{text}'"

    def earlier(self, moment: str, minutes: int) -> str:
        """SQL of a moment some minutes earlier."""
        return f"{moment} - interval '{minutes} minutes'"

    def columns(self, session: Session, relation: str) -> list[Column]:
        """Lists the columns, those that this user may not read included; a domain is what it is made of."""
        query = (
            "WITH RECURSIVE declared (place, name, generated, type, modifier) AS ("
            "SELECT attnum, attname::text, attgenerated::text, atttypid, atttypmod FROM pg_attribute "
            f"WHERE attrelid = '{relation}'::regclass AND attnum > 0 AND NOT attisdropped "
            "UNION ALL SELECT place, name, generated, typbasetype, typtypmod "
            "FROM declared JOIN pg_type ON pg_type.oid = type AND typtype = 'd') "
            "SELECT name, format_type(type, modifier), generated FROM declared "
            "JOIN pg_type ON pg_type.oid = type AND typtype <> 'd' ORDER BY place"
        )
        return [
            of_postgres(str(name), str(type_), self.quoted(str(name)), generated=bool(generated))
            for name, type_, generated in session.rows(query)
        ]

    def quoted(self, name: str) -> str:
        """An identifier between double quotes."""
        return double_quoted(name)

    def split(self, quoted: str) -> str:
        """SQL of a number as a bigint."""
        return f"CASE WHEN {quoted} BETWEEN -9e18 AND 9e18 THEN {quoted}::bigint END"

    def digest(self, columns: Sequence[str]) -> str:  # noqa: ARG002 - a row knows its columns here
        """SQL that adds up the hashes of the rows' text."""
        return "coalesce(sum(hashtextextended(t::text, 0)), 0)"


def _trusted(certificate: str | None) -> dict[str, str]:
    """Parameters of a connection over TLS alone, whose server's certificate is its host's, signed by ours or by whom Java trusts."""
    if certificate:
        factory = {"sslfactory": "org.postgresql.ssl.SingleCertValidatingFactory", "sslfactoryarg": certificate}
    else:
        factory = {"sslfactory": "org.postgresql.ssl.DefaultJavaSSLFactory"}
    return {"sslmode": "verify-full", **factory}
