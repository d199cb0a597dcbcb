"""Reads one relation of Snowflake into raw Parquet: what is new since the position, through Snowflake's own connector.

Every statement sees the database at the moment it began, so the rows of one batch are those of one moment; the watermark and the
fingerprint of the overlap are read by statements before it (watermark.py says why nothing is lost in between). Two
streams of one run see two moments.

The rows come in Arrow batches and go to Parquet files one batch at a time. NUMBER stays decimal, or becomes a 64-bit integer where
it has no fraction and fits; timestamps become moments in UTC to the microsecond, those without a zone being UTC already;
VARIANT, OBJECT and ARRAY are JSON text; TIME is text. A day outside the years from 1 to 9999 is unread (docs/types.md).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import snowflake.connector
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from snowflake.connector.errors import DatabaseError, Error, ForbiddenError, OperationalError

from headwater.config import SnowflakeSource, SnowflakeStream
from headwater.config.address import LOOPBACK, is_host
from headwater.config.relation import raw_name
from headwater.errors import ConfigError, FatalSourceError, RetriableSourceError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import Days, Manifest
from headwater.ledger.raw import UNREAD
from headwater.ledger.shape import Learned, retyped
from headwater.sources import watermark
from headwater.sources.relation import double_quoted, selected
from headwater.sources.snowflake_rows import kind_of, named, parquet_files, schema_of, spark_type
from headwater.sources.watermark import Span

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

Keep = Callable[[Mapping[str, str]], None]
"""Gives columns that have become of another type in the batch's files the one that they had, a type of Spark SQL."""

_LOGIN_SECONDS = 60
_NETWORK_SECONDS = 300
_STATEMENT_SECONDS = 30 * 60
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_MARK_FORMAT = 'YYYY-MM-DD"T"HH24:MI:SS.FF9'
_SESSION = {
    # Timestamps without a zone are compared with moments, and shown, as UTC.
    "TIMEZONE": "UTC",
    "JSON_INDENT": 0,
    "QUERY_TAG": "headwater",
    "STATEMENT_TIMEOUT_IN_SECONDS": _STATEMENT_SECONDS,
    "CLIENT_TELEMETRY_ENABLED": False,
}


class Snowflake:
    """How Snowflake writes moments."""

    def moment(self, text: str) -> str:
        """SQL of a moment in UTC."""
        return f"'{text}'::TIMESTAMP_LTZ"

    def earlier(self, moment: str, minutes: int) -> str:
        """SQL of a moment some minutes earlier."""
        return f"DATEADD(minute, -{minutes}, {moment})"


def extract(
    source: SnowflakeSource,
    name: str,
    writer: BatchWriter,
    days: Days | None,
    secret: Mapping[str, str],
    keep: Keep,
) -> Manifest | None:
    """Extracts one batch of a relation as raw Parquet; None when there is nothing new."""
    with connected(source, secret) as connection:
        return read(connection, source.streams[name], writer, days, keep)


def read(
    connection: SnowflakeConnection, stream: SnowflakeStream, writer: BatchWriter, days: Days | None, keep: Keep
) -> Manifest | None:
    """Writes the rows of the days asked for, or those that are new, and commits them; None when there are none."""
    columns = _columns(connection, stream, writer)
    relation = selected(stream, double_quoted, columns)
    span = _span(connection, stream, relation, writer, days)
    if span is None:
        return None
    names = ", ".join(double_quoted(columns[name]) for name in stream.read_columns or columns)
    sql = f"SELECT {names} FROM {relation} WHERE {span.where}"
    with writer.reading(stream.relation), connection.cursor() as cursor, tempfile.TemporaryDirectory() as folder:
        cursor.execute(sql)
        schema = schema_of(cursor.description)
        for path, rows in parquet_files(cursor.fetch_arrow_batches(), schema, Path(folder)):
            writer.add(path, rows)
            path.unlink()
    if not writer.files:
        return None
    types = {column.name: str(column.type) for column in schema if column.name != UNREAD}
    if changed := retyped(types, writer.known):
        keep({name: spark_type(kind) for name, kind in changed.items()})
    writer.learned = Learned.of_columns(types | changed)
    return writer.commit(span.after)


def _columns(connection: SnowflakeConnection, stream: SnowflakeStream, writer: BatchWriter) -> dict[str, str]:
    """What Snowflake calls the columns that can be read, by their name in lower case; the batch notes all that there are.

    What is not declared is told when it changes, and stays where it is.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {stream.relation} LIMIT 0")
        there = cursor.description
    writer.relation = {raw_name(column.name.lower()): kind_of(column) for column in there}
    return named(there, every=stream.read_columns is None)


def _span(
    connection: SnowflakeConnection, stream: SnowflakeStream, relation: str, writer: BatchWriter, days: Days | None
) -> Span | None:
    dialect, column = Snowflake(), stream.read.column
    if days is not None:
        return watermark.of_days(column, dialect, days)
    clock, newest = (
        f"TO_CHAR(CONVERT_TIMEZONE('UTC', {moment}::TIMESTAMP_LTZ), '{_MARK_FORMAT}')"
        for moment in ("CURRENT_TIMESTAMP()", f"MAX({column})")
    )
    now, high = _row(connection, f"SELECT {clock}, {newest} FROM {relation} WHERE {column} <= CURRENT_TIMESTAMP()")

    def fingerprint(where: str) -> tuple[str, str]:
        # HASH is not promised to stay the same between Snowflake's releases; if it changes, an overlap is read once more.
        rows, digest = _row(
            connection,
            "SELECT COUNT(*), COALESCE(SUM(HASH(TO_JSON(OBJECT_CONSTRUCT(*)))::NUMBER(20,0)), 0)::VARCHAR "
            f"FROM {relation} WHERE {where}",
        )
        return str(rows), str(digest)

    return watermark.news(stream.read, dialect, watermark.position_before(writer, now), now, high, fingerprint)


def _row(connection: SnowflakeConnection, sql: str) -> Sequence[Any]:
    with connection.cursor() as cursor:
        row: Any = cursor.execute(sql).fetchone()  # type: ignore[union-attr]
        return tuple(row)


@contextmanager
def connected(
    source: SnowflakeSource,
    secret: Mapping[str, str],
    login_seconds: int = _LOGIN_SECONDS,
    network_seconds: int = _NETWORK_SECONDS,
) -> Iterator[SnowflakeConnection]:
    """Opens a session in UTC for the length of the block, and classifies every error.

    FatalSourceError when Snowflake refuses the credentials or a statement, RetriableSourceError when it does not answer.
    """
    try:
        with snowflake.connector.connect(
            **arguments(source, secret),
            session_parameters=_SESSION,
            arrow_number_to_decimal=True,
            login_timeout=login_seconds,
            network_timeout=network_seconds,
            # The connector would ask the metadata services of three clouds where it runs, and tell Snowflake.
            platform_detection_timeout_seconds=0.0,
        ) as connection:
            yield connection
    except OperationalError as error:
        raise RetriableSourceError(f"{source.name}: {error}") from None
    except (DatabaseError, ForbiddenError) as error:
        raise FatalSourceError(f"{source.name}: {error}") from None
    except Error as error:
        raise RetriableSourceError(f"{source.name}: {error}") from None


def arguments(source: SnowflakeSource, secret: Mapping[str, str]) -> dict[str, Any]:
    """The connector's arguments: address and credentials; ConfigError when the secret lacks something, never with its content."""
    missing = [key for key in ("account", "user") if key not in secret]
    if missing or ("private_key" in secret) == ("password" in secret):
        what = ", ".join(missing) or "either private_key or password"
        raise ConfigError(f"{source.name}: secret {source.secret} needs {what}")
    given: dict[str, Any] = {
        key: secret[key] for key in ("account", "user", "host", "port", "protocol") if key in secret
    }
    # The connector makes an address of them.
    if not _ACCOUNT.fullmatch(given["account"]) or not is_host(given.get("host", "host")):
        raise ConfigError(f"{source.name}: secret {source.secret}: account or host is none")
    if given.get("protocol", "https") != "https" and given.get("host") not in LOOPBACK:
        raise ConfigError(f"{source.name}: secret {source.secret}: protocol must be https beyond this machine")
    given |= {"database": source.database, "warehouse": source.warehouse}
    if source.role is not None:
        given["role"] = source.role
    if "password" in secret:
        return {**given, "password": secret["password"]}
    key = der_key(secret["private_key"], secret.get("private_key_passphrase"))
    if key is None:
        raise ConfigError(
            f"{source.name}: secret {source.secret}: private_key cannot be read. hint: PEM (PKCS #8), with "
            "private_key_passphrase if it is encrypted"
        )
    return {**given, "authenticator": "SNOWFLAKE_JWT", "private_key": key}


def der_key(pem: str, passphrase: str | None) -> bytes | None:
    """Turns a PEM private key into unencrypted PKCS #8 DER, as the connector takes it; None when it cannot be read."""
    try:
        key = load_pem_private_key(pem.encode(), passphrase.encode() if passphrase else None)
    except (ValueError, TypeError):
        return None
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
