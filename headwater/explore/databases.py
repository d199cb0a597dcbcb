"""Explores PostgreSQL and MySQL through their own drivers, in sessions that can only read."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from tempfile import NamedTemporaryFile
from typing import Any, Protocol

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from headwater.config import JdbcSource, JdbcStream, LogRead
from headwater.config.relation import raw_name
from headwater.errors import FatalSourceError, SourceError
from headwater.explore.found import SECONDS, Field, Found, Sample
from headwater.explore.relations import Column, found_in, lacking, sampled
from headwater.explore.secret import Secret
from headwater.explore.sql_types import of_mysql, of_postgres
from headwater.sources.jdbc.address import Address
from headwater.sources.relation import backticked, double_quoted


class Dialect(Protocol):
    """What differs between the engines."""

    def query(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Runs a query; its columns and its rows. FatalSourceError with a way out when the database refuses."""
        ...

    def columns(self) -> list[Column]:
        """Lists the columns that this user may read."""
        ...

    def quoted(self, name: str) -> str:
        """An identifier as it stands in SQL."""
        ...

    def check_log(self, stream: JdbcStream, read: LogRead) -> str:
        """Says whether the change log can be read; FatalSourceError says what is missing."""
        ...


@dataclass(frozen=True)
class DatabaseExplorer:
    """Explores one database."""

    source: JdbcSource
    dialect: Dialect

    def check(self, stream: str) -> str:
        """Reads the relation's columns, and with `read: log` what the log needs."""
        declared = self.source.streams[stream]
        names, _ = self.dialect.query(f"SELECT * FROM {declared.relation} WHERE 1 = 0")
        lacking(declared.relation, names, declared)
        said = f"{declared.relation} can be read, {len(names)} columns"
        if isinstance(declared.read, LogRead):
            said += f"; {self.dialect.check_log(declared, declared.read)}"
        return said

    def find(self) -> Iterator[Found]:
        """Finds the relations that this user may read."""
        return found_in(self.dialect.columns(), "jdbc")

    def sample(self, stream: str, rows: int) -> Sample:
        """Reads some rows of a relation, in no order."""
        declared = self.source.streams[stream]
        shown = sampled(declared, self.dialect.quoted, {})
        names, read = self.dialect.query(f"SELECT {shown} FROM {declared.relation} LIMIT {rows}")
        known = {(f"{c[0]}.{c[1]}".lower(), c[2]): c[3] for c in self.dialect.columns()}
        bare = {(place.partition(".")[2], name): type_ for (place, name), type_ in known.items()}
        relation = declared.relation.lower()
        types = {name: known.get((relation, name)) or bare.get((relation, name), "string") for name in names}
        fields = [Field(raw_name(name), types[name]) for name in names]
        if isinstance(declared.read, LogRead):
            fields += [Field("_change", "string"), Field("_lsn", "bigint"), Field("_committed_at", "timestamp")]
            read = [(*row, "snapshot", 0, None) for row in read]
        columns = [field.name for field in fields]
        return Sample([dict(zip(columns, row, strict=True)) for row in read], tuple(fields))


@dataclass(frozen=True)
class Postgres:
    """PostgreSQL, through psycopg."""

    connection: Any
    user: str

    def query(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Runs a query."""
        import psycopg

        try:
            cursor = self.connection.execute(sql)
            return [column.name for column in cursor.description], cursor.fetchall()
        except psycopg.errors.InsufficientPrivilege as error:
            raise FatalSourceError(
                f"{_said(error)}. hint: GRANT USAGE on the schema and SELECT to {self.user}"
            ) from None
        except psycopg.errors.UndefinedTable as error:
            raise FatalSourceError(f"{_said(error)}. hint: headwater source discover lists what there is") from None
        except psycopg.Error as error:
            raise FatalSourceError(_said(error)) from None

    def quoted(self, name: str) -> str:
        """An identifier between double quotes."""
        return double_quoted(name)

    def columns(self) -> list[Column]:
        """Lists the columns that this user may read, from the catalog: information_schema hides keys from readers."""
        _, rows = self.query(
            "SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), "
            "coalesce(array_position(string_to_array(i.indkey::text, ' ')::int[], a.attnum::int), 0) "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
            "LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary "
            "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition "
            "AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_' "
            "AND has_schema_privilege(n.oid, 'USAGE') AND has_column_privilege(c.oid, a.attnum, 'SELECT') "
            "ORDER BY 1, 2, a.attnum"
        )
        return [(schema, relation, name, of_postgres(type_), place) for schema, relation, name, type_, place in rows]

    def check_log(self, stream: JdbcStream, read: LogRead) -> str:
        """Looks at the log's level, the role, the publication, the relation's identity and key, and the slot."""
        schema, _, table = stream.relation.rpartition(".")
        _, [(level, role, published, identity, key)] = self.query(
            "SELECT current_setting('wal_level'), "
            "(SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user) OR EXISTS (SELECT 1 FROM pg_roles "
            "WHERE rolname = 'rds_replication' AND pg_has_role(current_user, oid, 'MEMBER')), "
            f"EXISTS (SELECT 1 FROM pg_publication_tables WHERE pubname = '{read.publication}' "
            f"AND schemaname = '{schema or 'public'}' AND tablename = '{table}'), "
            f"(SELECT relreplident::text FROM pg_class WHERE oid = '{stream.relation}'::regclass), "
            f"EXISTS (SELECT 1 FROM pg_index WHERE indrelid = '{stream.relation}'::regclass AND indisprimary)"
        )
        publish = f"CREATE PUBLICATION {read.publication} FOR TABLE {stream.relation}"
        missing = [
            *([] if level == "logical" else [f"wal_level is {level}. hint: rds.logical_replication = 1, or wal_level"]),
            *([] if role else [f"{self.user} may not replicate. hint: GRANT rds_replication TO {self.user}"]),
            *([] if published else [f"publication {read.publication} lacks it. hint: {publish}"]),
            *(
                []
                if identity == "f"
                else [f"no full identity. hint: ALTER TABLE {stream.relation} REPLICA IDENTITY FULL"]
            ),
            *([] if key else ["no primary key. hint: add one"]),
        ]
        if missing:
            raise FatalSourceError(f"{stream.relation}: {'; '.join(missing)}")
        return self._slot(stream, read)

    def _slot(self, stream: JdbcStream, read: LogRead) -> str:
        _, found = self.query(
            "SELECT plugin, database = current_database(), wal_status FROM pg_replication_slots "
            f"WHERE slot_name = '{read.slot}'"
        )
        if not found:
            return f"the first run makes slot {read.slot}"
        [(plugin, here, status)] = found
        if plugin != "pgoutput" or not here or status == "lost":
            raise FatalSourceError(
                f"{stream.relation}: slot {read.slot} is of plugin {plugin}, of another database or lost. "
                "hint: declare another slot"
            )
        return f"slot {read.slot} is there"


@dataclass(frozen=True)
class MySql:
    """MySQL and MariaDB, through PyMySQL."""

    connection: Any
    user: str

    def query(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Runs a query."""
        import pymysql

        try:
            with self.connection.cursor() as cursor:
                cursor.execute(sql)
                return [column[0] for column in cursor.description], list(cursor.fetchall())
        except pymysql.MySQLError as error:
            denied, absent = {1044, 1142, 1143}, {1049, 1146}
            code = error.args[0] if error.args else 0
            hint = f". hint: GRANT SELECT to {self.user}" if code in denied else ""
            hint = ". hint: headwater source discover lists what there is" if code in absent else hint
            raise FatalSourceError(f"{_said(error)}{hint}") from None

    def quoted(self, name: str) -> str:
        """An identifier between backticks."""
        return backticked(name)

    def columns(self) -> list[Column]:
        """Lists the columns that this user may read."""
        _, rows = self.query(
            "SELECT table_schema, table_name, column_name, column_type, IF(column_key = 'PRI', ordinal_position, 0) "
            "FROM information_schema.columns "
            "WHERE table_schema NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema') "
            "ORDER BY table_schema, table_name, ordinal_position"
        )
        return [(schema, table, name, of_mysql(str(type_)), place) for schema, table, name, type_, place in rows]

    def check_log(self, stream: JdbcStream, read: LogRead) -> str:  # noqa: ARG002 - the model refuses it before
        """Config refuses `read: log` for this engine."""
        raise FatalSourceError(f"{stream.relation}: read: log is for PostgreSQL")


@contextmanager
def open_database(source: JdbcSource, secret: Secret) -> Iterator[DatabaseExplorer]:
    """Opens a session that can only read; FatalSourceError when the database does not answer, or refuses the user."""
    missing = [name for name in ("host", "port", "dbname", "username", "password") if not secret.values.get(name)]
    if missing:
        raise FatalSourceError(f"{source.name}: the secret has no {', '.join(missing)}. hint: add it")
    user = secret.values["username"]
    opened = _postgres if source.engine == "postgresql" else _mysql
    try:
        address = Address.of(secret.values)
    except FatalSourceError as error:
        raise FatalSourceError(f"{source.name}: {error}") from None
    with closing(opened(source, secret, address)) as connection:
        dialect = Postgres(connection, user) if source.engine == "postgresql" else MySql(connection, user)
        yield DatabaseExplorer(source, dialect)


def _postgres(source: JdbcSource, secret: Secret, address: Address) -> Any:
    import psycopg

    given = secret.values
    limits = f"SET statement_timeout = {SECONDS * 1000}; SET default_transaction_read_only = on; SET TIME ZONE 'UTC'"
    try:
        with _authorities(secret) as authorities:
            connection = psycopg.connect(
                sslmode="prefer" if address.is_local else "verify-full",
                sslrootcert=authorities,
                host=address.host,
                port=address.port,
                dbname=address.dbname,
                user=given["username"],
                password=given["password"],
                connect_timeout=SECONDS,
                autocommit=True,
            )
        # Said once connected: RDS Proxy refuses a connection that brings options along.
        connection.execute(limits)
    except psycopg.Error as error:
        raise _unreached(source, secret, error) from None
    return connection


def _mysql(source: JdbcSource, secret: Secret, address: Address) -> Any:
    import pymysql

    given = secret.values
    try:
        connection = pymysql.connect(
            host=address.host,
            port=int(address.port),
            database=address.dbname,
            user=given["username"],
            password=given["password"],
            connect_timeout=SECONDS,
            read_timeout=SECONDS,
            write_timeout=SECONDS,
            ssl=None if address.is_local else ssl.create_default_context(cadata=secret.values.get("certificate")),
            # TIMESTAMP is a moment, which the server shows in the session's zone.
            init_command="SET SESSION time_zone = '+00:00'",
            autocommit=True,
        )
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
    except (pymysql.MySQLError, ValueError) as error:
        raise _unreached(source, secret, error) from None
    return connection


@contextmanager
def _authorities(secret: Secret) -> Iterator[str]:
    """A file of whose signatures on a server's certificate count: the secret's own, or those of the public authorities."""
    with NamedTemporaryFile("w", suffix=".pem") as own:
        own.write(secret.values.get("certificate", ""))
        own.flush()
        yield own.name if secret.values.get("certificate") else DEFAULT_CA_BUNDLE_PATH


def _unreached(source: JdbcSource, secret: Secret, error: Exception) -> SourceError:
    given = secret.values
    where = f"{given['host']}:{given['port']}/{given['dbname']}"
    return FatalSourceError(
        f"{source.name}: no session at {where} as {given['username']}: {_said(error)}. "
        "hint: is the address right and in reach from here, and is the secret current?"
    )


def _said(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
