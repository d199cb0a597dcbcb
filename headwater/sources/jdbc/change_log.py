"""PostgreSQL's change log as a stream: one snapshot of the relation, then every committed change, each in one batch.

The log tells whole rows; columns that the stream does not declare are dropped here, before anything is written.

The slot stands where the newest batch ends. A run moves it there first, then peeks from it up to the log's end as it is at
that moment, writes the batch and commits the manifest; the slot itself moves at the beginning of the next run. So what a
dead run has read is read again, and the server keeps its log until the ledger has it (docs/adr/0007).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config import JdbcSource, JdbcStream, LogRead
from headwater.errors import FatalSourceError, RetriableSourceError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.positions import LogPosition, SnapshotPosition
from headwater.ledger.shape import Learned
from headwater.log import get_logger
from headwater.sources.jdbc.arrays import array_items
from headwater.sources.jdbc.columns import Column
from headwater.sources.jdbc.engine import snapshot
from headwater.sources.jdbc.pgoutput import Change, Decoder, VisibleTransactions, parse_lsn
from headwater.sources.jdbc.postgresql import PostgreSql
from headwater.sources.jdbc.read import Relation, read_joined, relation_of, write_rows
from headwater.sources.jdbc.session import Database, Session, connect
from headwater.sources.jdbc.typed import typed_rows, types_of

log = get_logger(__name__)

QUIET_BYTES = 256 << 20
"""Log that may pile up behind the slot while the relation itself does not change; an empty batch then moves it on."""

_ROWS_AT_ONCE = 20_000
_FLUSH_TRIES = 40
_FLUSH_WAIT_SECONDS = 0.05
_MESSAGE_BYTES = 4 << 20


def extract_changes(
    spark: SparkSession, source: JdbcSource, stream: JdbcStream, read: LogRead, database: Database, writer: BatchWriter
) -> LogPosition | None:
    """Writes what changed since the position, or a snapshot where there is none; the position after, None if nothing is new.

    FatalSourceError when the slot is gone, was moved by somebody else, or the server's log ends before the position.
    """
    position = writer.before(LogPosition)
    with connect(spark, database) as session:
        key = _ready(session, stream, read)
        if position is None or position.slot != read.slot:
            if position is not None:
                log.warning("another slot is declared: reading a new snapshot", slot=read.slot, before=position.slot)
            return _snapshot(spark, session, source, stream, read, database, writer)
        end = _resume(session, stream, read, position.lsn)
        if end == position.lsn:
            return None
        relation = log_relation(stream, session, writer)
        decoder = Decoder(*_schema_and_table(stream), key)
        seen = VisibleTransactions.of(position.snapshot) if isinstance(position, SnapshotPosition) else None
        session.connection.setAutoCommit(False)
        changes = _changes(session, read, end, decoder, seen)
        rows = 0
        while chunk := list(islice(changes, _ROWS_AT_ONCE)):
            _write(spark, relation, chunk, writer)
            rows += len(chunk)
        session.connection.rollback()
    if rows:
        writer.adopt(rows)
    elif parse_lsn(end) - parse_lsn(position.lsn) < QUIET_BYTES:
        return None
    return LogPosition(slot=read.slot, lsn=end)


def log_relation(stream: JdbcStream, session: Session, writer: BatchWriter) -> Relation:
    """The relation as its log has it: without the columns that PostgreSQL makes of others, which it does not log.

    FatalSourceError names those that are declared.
    """
    relation = relation_of(stream, PostgreSql(), session, writer)
    made = [column.name for column in relation.columns if column.generated]
    if made and stream.read_columns is not None:
        raise FatalSourceError(
            f"{stream.relation}: the change log does not have {', '.join(made)}, which the database makes of other columns. "
            "hint: take it out of `raw`, and say under `columns` how it is made; or read by watermark"
        )
    return replace(relation, columns=tuple(column for column in relation.columns if not column.generated))


def snapshot_columns(rows: DataFrame, lsn: int) -> DataFrame:
    """Adds to rows of a snapshot what changes have: a place in the log before every change that the snapshot lacks."""
    return rows.withColumns(
        {
            "_change": F.lit("snapshot"),
            "_lsn": F.lit(lsn).cast("bigint"),
            "_committed_at": F.lit(None).cast("timestamp"),
        }
    )


def log_end(session: Session, sleep: Callable[[float], None] = time.sleep) -> str:
    """Finds the end of the log that is safely on disk, which is as far as it can be read.

    Waits until what is committed now is on disk: with synchronous_commit off that takes some tenths of a second.
    """
    [written] = session.row("SELECT pg_current_wal_insert_lsn()::text")
    for _ in range(_FLUSH_TRIES):
        [flushed] = session.row("SELECT pg_current_wal_flush_lsn()::text")
        if parse_lsn(str(flushed)) >= parse_lsn(str(written)):
            break
        sleep(_FLUSH_WAIT_SECONDS)
    return str(flushed)


def _ready(session: Session, stream: JdbcStream, read: LogRead) -> tuple[str, ...]:
    """Checks what must be set up in the database; returns the primary key's columns."""
    relation = stream.relation
    schema, table = _schema_and_table(stream)
    if (
        session.find(
            f"SELECT 1 FROM pg_publication_tables WHERE pubname = '{read.publication}' "
            f"AND schemaname = '{schema}' AND tablename = '{table}'"
        )
        is None
    ):
        raise FatalSourceError(
            f"{relation} is not in publication {read.publication}. "
            f"hint: its owner runs CREATE PUBLICATION {read.publication} FOR TABLE {relation}"
        )
    [identity] = session.row(f"SELECT relreplident::text FROM pg_class WHERE oid = '{relation}'::regclass")
    if identity != "f":
        raise FatalSourceError(
            f"{relation}: deletes would reach the log without the row's values. "
            f"hint: ALTER TABLE {relation} REPLICA IDENTITY FULL"
        )
    key = tuple(
        str(name)
        for (name,) in session.rows(
            "SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) "
            f"WHERE i.indrelid = '{relation}'::regclass AND i.indisprimary"
        )
    )
    if not key:
        raise FatalSourceError(f"{relation} has no primary key, so its changes cannot be told apart. hint: add one")
    return key


def _schema_and_table(stream: JdbcStream) -> tuple[str, str]:
    schema, _, table = stream.relation.rpartition(".")
    return schema or "public", table


def _slot(session: Session, stream: JdbcStream, read: LogRead) -> tuple[str, bool] | None:
    """Finds where the slot stands, and whether it is in use; None when it does not exist."""
    found = session.find(
        "SELECT confirmed_flush_lsn::text, active::text, plugin::text, wal_status, database = current_database() "
        f"FROM pg_replication_slots WHERE slot_name = '{read.slot}'"
    )
    if found is None:
        return None
    lsn, active, plugin, status, here = found
    if plugin != "pgoutput" or here != "t":
        raise FatalSourceError(
            f"{stream.relation}: slot {read.slot} is of plugin {plugin} or of another database. hint: declare another slot"
        )
    if status == "lost" or lsn is None:
        raise FatalSourceError(
            f"{stream.relation}: the server has thrown away log that slot {read.slot} needs; changes are lost. "
            "hint: drop the slot, raise max_slot_wal_keep_size, and declare another slot to read the relation again"
        )
    return lsn, active == "true"


def _snapshot(
    spark: SparkSession,
    session: Session,
    source: JdbcSource,
    stream: JdbcStream,
    read: LogRead,
    database: Database,
    writer: BatchWriter,
) -> SnapshotPosition | None:
    """Reads the whole relation at a moment after the slot's beginning.

    The slot that a first run left behind when it died is used again: all before the snapshot is in the snapshot.
    """
    slot = _slot(session, stream, read)
    if slot is None:
        [start] = session.row(f"SELECT lsn::text FROM pg_create_logical_replication_slot('{read.slot}', 'pgoutput')")
        log.info("slot created", slot=read.slot, lsn=start)
    else:
        start = _advance(session, stream, read, log_end(session))
    with snapshot(spark, PostgreSql(), database) as view:
        # The log from the slot on has changes that this snapshot saw; the next batch leaves these transactions out.
        [seen] = view.row("SELECT pg_current_snapshot()::text")
        relation = log_relation(stream, view.session, writer)
        rows = read_joined(spark, source, stream, relation, database, view, "true")
        if rows is None:
            return None
        typed = typed_rows(rows, relation.columns, writer.known)
        write_rows(snapshot_columns(typed, parse_lsn(str(start))), writer)
    return SnapshotPosition(slot=read.slot, lsn=str(start), snapshot=str(seen))


def _resume(session: Session, stream: JdbcStream, read: LogRead, position: str) -> str:
    """Moves the slot to where the ledger is; returns the log's end at this moment."""
    slot = _slot(session, stream, read)
    if slot is None:
        raise FatalSourceError(
            f"{stream.relation}: slot {read.slot} is gone, and with it the changes after {position}. "
            "hint: declare another slot to read the relation again; rows deleted in between stay in silver"
        )
    stands, active = slot
    if active:
        raise RetriableSourceError(
            f"slot {read.slot} is in use by another reader. hint: one slot, one stream; end the other"
        )
    if parse_lsn(stands) > parse_lsn(position):
        raise FatalSourceError(
            f"{stream.relation}: slot {read.slot} stands at {stands}, the ledger only at {position}: somebody else has moved it, "
            "and the changes between are lost. hint: declare another slot to read the relation again"
        )
    end = log_end(session)
    if parse_lsn(end) < parse_lsn(position):
        raise FatalSourceError(
            f"{stream.relation}: the ledger is at {position}, but the server's log ends at {end}: another or a restored "
            "server. hint: declare another slot to read the relation again"
        )
    if parse_lsn(stands) < parse_lsn(position):
        _advance(session, stream, read, position)
    return end


def _advance(session: Session, stream: JdbcStream, read: LogRead, lsn: str) -> str:
    [stands] = session.row(f"SELECT end_lsn::text FROM pg_replication_slot_advance('{read.slot}', '{lsn}')")
    log.info("slot moved", slot=read.slot, lsn=stands, relation=stream.relation)
    return str(stands)


def _changes(
    session: Session, read: LogRead, end: str, decoder: Decoder, seen: VisibleTransactions | None
) -> Iterator[Change]:
    # Many small messages come as one row, some of which are large: the bridge to the JVM is crossed once for each row.
    peeked = (
        "SELECT lsn, xid, data, row_number() OVER () AS n, "
        f"sum(octet_length(data) + 64) OVER (ROWS UNBOUNDED PRECEDING) / {_MESSAGE_BYTES} AS block "
        f"FROM pg_logical_slot_peek_binary_changes('{read.slot}', '{end}', NULL, "
        f"'proto_version', '1', 'publication_names', '{read.publication}')"
    )
    blocks = session.rows(
        "SELECT string_agg(lsn::text || ' ' || xid::text || ' ' || encode(data, 'hex'), E'\\n' ORDER BY n) "
        f"FROM ({peeked}) AS messages GROUP BY block ORDER BY block",
        fetch_size=1,
    )
    for (block,) in blocks:
        for line in str(block).split("\n"):
            lsn, xid, data = line.split(" ")
            changes = decoder.feed(parse_lsn(lsn), bytes.fromhex(data))
            if seen is None or not seen.has(int(xid)):
                yield from changes
            else:
                # What the messages say of relations holds for later transactions too.
                list(changes)


def _write(spark: SparkSession, relation: Relation, changes: list[Change], writer: BatchWriter) -> None:
    """Writes changes with the types that rows of the relation's snapshot have."""
    columns = relation.columns
    texts = T.StructType(
        [
            *(T.StructField(column.raw, T.StringType()) for column in columns),
            T.StructField("_change", T.StringType()),
            T.StructField("_lsn", T.LongType()),
            T.StructField("_committed_at", T.TimestampType()),
        ]
    )
    rows = [
        (
            *(_as_read(column, change.values.get(column.name)) for column in columns),
            change.kind,
            change.lsn,
            change.committed_at,
        )
        for change in changes
    ]
    typed = typed_rows(spark.createDataFrame(rows, texts), columns, writer.known, texts=True)
    typed.write.mode("append").option("compression", "zstd").parquet(writer.data_uri)
    writer.learned = Learned.of_columns(types_of(typed))


def _as_read(column: Column, value: str | None) -> str | None:
    """A value of the log as the text that a read of the relation has."""
    if value is None or not column.declared.endswith("[]"):
        return value
    return json.dumps(array_items(value), ensure_ascii=False)
