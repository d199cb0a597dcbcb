"""Reads one relation of Snowflake into raw Parquet: what is new since the position, through Snowflake's own connector.

Every statement sees the database at the moment it began, so the rows of one batch are those of one moment; the watermark and the
fingerprint of the overlap are read by statements before it (watermark.py says why nothing is lost in between). Two
streams of one run see two moments.

The rows come in Arrow batches and go to Parquet files one batch at a time. NUMBER stays decimal, or becomes a 64-bit integer where
it has no fraction and fits; timestamps become moments in UTC to the microsecond, those without a zone being UTC already;
VARIANT, OBJECT and ARRAY are JSON text; TIME is text.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import snowflake.connector
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from snowflake.connector.constants import FIELD_ID_TO_NAME
from snowflake.connector.errors import DatabaseError, Error, ForbiddenError, OperationalError

from headwater.config import SnowflakeSource, SnowflakeStream
from headwater.config.address import LOOPBACK, is_host
from headwater.config.relation import raw_name
from headwater.errors import ConfigError, FatalSourceError, RetriableSourceError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import Days, Manifest
from headwater.ledger.shape import Learned
from headwater.sources import watermark
from headwater.sources.relation import double_quoted, selected
from headwater.sources.watermark import Span

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import ResultMetadata

FILE_BYTES = 128 << 20
"""Size at which a raw file ends and the next one begins."""

_ROWS_A_GROUP = 100_000
_LOGIN_SECONDS = 60
_NETWORK_SECONDS = 300
_STATEMENT_SECONDS = 30 * 60
_LONGEST_INT64 = 18
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
_TEXTS = {"TEXT", "VARIANT", "OBJECT", "ARRAY", "MAP", "GEOGRAPHY", "GEOMETRY", "TIME"}
_OTHERS = {
    "REAL": pa.float64(),
    "DATE": pa.date32(),
    "BOOLEAN": pa.bool_(),
    "BINARY": pa.binary(),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP_TZ"), pa.timestamp("us", "UTC")),
    **dict.fromkeys(_TEXTS, pa.string()),
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
) -> Manifest | None:
    """Extracts one batch of a relation as raw Parquet; None when there is nothing new."""
    with connected(source, secret) as connection:
        return read(connection, source.streams[name], writer, days)


def read(
    connection: SnowflakeConnection, stream: SnowflakeStream, writer: BatchWriter, days: Days | None
) -> Manifest | None:
    """Writes the rows of the days asked for, or those that are new, and commits them; None when there are none."""
    relation = _relation(connection, stream, writer)
    span = _span(connection, stream, relation, writer, days)
    if span is None:
        return None
    sql = f"SELECT * FROM {relation} WHERE {span.where}"
    with writer.reading(stream.relation), connection.cursor() as cursor, tempfile.TemporaryDirectory() as folder:
        cursor.execute(sql)
        schema = schema_of(cursor.description)
        for path, rows in parquet_files(cursor.fetch_arrow_batches(), schema, Path(folder)):
            writer.add(path, rows)
            path.unlink()
    writer.learned = Learned.of_columns({column.name: str(column.type) for column in schema})
    return writer.commit(span.after) if writer.files else None


def _relation(connection: SnowflakeConnection, stream: SnowflakeStream, writer: BatchWriter) -> str:
    """The relation as the stream reads it, by name; FatalSourceError names the declared columns that it lacks."""
    if stream.read_columns is None:
        return selected(stream, double_quoted, {})
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {stream.relation} LIMIT 0")
        # What is not declared is told when it changes, and stays where it is. A raw row has the names in lower case.
        writer.relation = {
            raw_name(column.name.lower()): FIELD_ID_TO_NAME[column.type_code] for column in cursor.description
        }
        return selected(stream, double_quoted, {column.name.lower(): column.name for column in cursor.description})


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


def schema_of(columns: Sequence[ResultMetadata]) -> pa.Schema:
    """The Parquet schema of a result: names as raw rows have them, in lower case, and types that no batch's values change.

    FatalSourceError for two names that differ by case alone, and for a type that has no place in Parquet.
    """
    names = [raw_name(column.name.lower()) for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FatalSourceError(
            f"{', '.join(twice)}: columns that differ by case alone, or by what no table takes. hint: read a view that renames one"
        )
    return pa.schema([(name, _type_of(column)) for name, column in zip(names, columns, strict=True)])


def _type_of(column: ResultMetadata) -> pa.DataType:
    kind = FIELD_ID_TO_NAME[column.type_code]
    if kind == "FIXED":
        precision, scale = column.precision or 38, column.scale or 0
        return pa.int64() if scale == 0 and precision <= _LONGEST_INT64 else pa.decimal128(precision, scale)
    if kind not in _OTHERS:
        raise FatalSourceError(
            f"{column.name}: type {kind or column.type_code} cannot be read. hint: read a view that casts it"
        )
    return _OTHERS[kind]


def parquet_files(batches: Iterator[pa.Table], schema: pa.Schema, folder: Path) -> Iterator[tuple[Path, int]]:
    """Writes batches to Parquet files of about FILE_BYTES, and yields path and rows of each; holds one batch at a time."""
    number = 0
    while True:
        path = folder / f"{number}.parquet"
        rows = _fill(path, batches, schema)
        if not rows:
            return
        yield path, rows
        number += 1


def _fill(path: Path, batches: Iterator[pa.Table], schema: pa.Schema) -> int:
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_table(_cast(batch, schema), row_group_size=_ROWS_A_GROUP)
            rows += batch.num_rows
            if path.stat().st_size >= FILE_BYTES:
                break
    return rows


def _cast(batch: pa.Table, schema: pa.Schema) -> pa.Table:
    """Casts a batch to the schema: Snowflake sends each with the narrowest types that hold its values."""
    columns = [
        # Only moments may lose something: what is below the microsecond.
        column.cast(field.type, safe=not pa.types.is_timestamp(field.type))
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)
