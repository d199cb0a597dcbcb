"""PostgreSQL: a transaction exports its snapshot, and every other connection can join it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from headwater.sources.jdbc.address import Address
from headwater.sources.jdbc.engine import STATEMENT_TIMEOUT_MS, Snapshot
from headwater.sources.jdbc.session import Database, Session
from headwater.sources.relation import double_quoted

_REPEATABLE_READ = 4


class PostgreSql:
    """PostgreSQL 10 or later."""

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
            opening=f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}; SET TIME ZONE 'UTC'",
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

    def columns(self, session: Session, relation: str) -> list[str]:
        """Lists the columns, those that this user may not read included."""
        query = (
            f"SELECT attname::text FROM pg_attribute WHERE attrelid = '{relation}'::regclass AND attnum > 0 "
            "AND NOT attisdropped ORDER BY attnum"
        )
        return [str(name) for (name,) in session.rows(query)]

    def quoted(self, name: str) -> str:
        """An identifier between double quotes."""
        return double_quoted(name)

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
