"""Reads one relation of a database into raw Parquet: what is new since the position, from one consistent snapshot.

The driver opens a transaction, exports its snapshot, and every parallel connection of Spark joins that snapshot, so all
partitions see the relation at one moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from awsglue.context import GlueContext
from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from headwater.config import BookmarkRead, JdbcSource, JdbcStream, WatermarkRead
from headwater.errors import ConfigError
from headwater.ledger import BatchWriter, Manifest, Position
from headwater.raw import Learned

if TYPE_CHECKING:
    from headwater.job import Job

_DRIVER = "org.postgresql.Driver"
_REPEATABLE_READ = 4
_STATEMENT_TIMEOUT_MS = 30 * 60 * 1000


@dataclass(frozen=True)
class Database:
    """A database's JDBC address and credentials."""

    url: str
    user: str
    password: str

    @classmethod
    def of(cls, secret: Mapping[str, str]) -> Database:
        """Makes the address from a secret in the form that RDS keeps it."""
        url = f"jdbc:postgresql://{secret['host']}:{secret['port']}/{secret['dbname']}"
        return cls(url, secret["username"], secret["password"])

    @property
    def options(self) -> dict[str, str]:
        """The options that Spark's and Glue's JDBC readers share."""
        return {"url": self.url, "user": self.user, "password": self.password}


@dataclass(frozen=True)
class Snapshot:
    """An open read-only transaction whose view of the database other connections can share."""

    connection: Any
    name: str

    def row(self, sql: str) -> tuple[str | None, ...]:
        """Runs a query of one row and reads its columns as text."""
        statement = self.connection.createStatement()
        try:
            result = statement.executeQuery(sql)
            result.next()
            return tuple(result.getString(i + 1) for i in range(result.getMetaData().getColumnCount()))
        finally:
            statement.close()

    @property
    def join(self) -> str:
        """The SQL with which another connection joins this snapshot."""
        return f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET TRANSACTION SNAPSHOT '{self.name}'"


@contextmanager
def snapshot(glue: GlueContext, database: Database) -> Iterator[Snapshot]:
    """Opens a snapshot for the length of the block."""
    jvm = glue.spark_session._jvm
    # The driver sits in Spark's own class loader; Spark's registry makes it known to java.sql.
    jvm.org.apache.spark.sql.execution.datasources.jdbc.DriverRegistry.register(_DRIVER)
    properties = jvm.java.util.Properties()
    properties.setProperty("user", database.user)
    properties.setProperty("password", database.password)
    properties.setProperty("options", f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} -c TimeZone=UTC")
    connection = jvm.java.sql.DriverManager.getConnection(database.url, properties)
    try:
        connection.setAutoCommit(False)
        connection.setReadOnly(True)
        connection.setTransactionIsolation(_REPEATABLE_READ)
        opened = Snapshot(connection, "")
        [name] = opened.row("SELECT pg_export_snapshot()")
        yield Snapshot(connection, str(name))
    finally:
        connection.rollback()
        connection.close()


def extract(job: Job, name: str, writer: BatchWriter, window: tuple[date, date] | None) -> Manifest | None:
    """Extracts one batch of a relation as raw Parquet; None when there is nothing new."""
    source = job.source
    assert isinstance(source, JdbcSource)  # noqa: S101 - the caller chose by kind
    if window is not None:
        raise ConfigError(f"{source.name}: cannot be read by window yet. hint: name the other sources")
    stream = source.streams[name]
    database = Database.of(job.secret(source.secret))
    with snapshot(job.glue, database) as view:
        if isinstance(stream.read, WatermarkRead):
            after = _by_watermark(job.glue, source, stream, stream.read, database, view, writer, writer.position_before)
        else:
            after = _by_bookmark(
                job.glue, source, stream, stream.read, name, database, view, writer, writer.position_before
            )
    return writer.commit(after) if after is not None and writer.files else None


def _by_watermark(
    glue: GlueContext,
    source: JdbcSource,
    stream: JdbcStream,
    read: WatermarkRead,
    database: Database,
    view: Snapshot,
    writer: BatchWriter,
    position: Position | None,
) -> Position | None:
    column, relation = read.column, stream.relation
    # Frozen now: what is committed later has its turn in the next run.
    [high] = view.row(f"SELECT max({column}) FROM {relation}")
    if high is None:
        return None
    after = {"watermark": high, "overlap": _overlap(view, relation, read, high)}
    where = "true"
    if position is not None:
        low = position["watermark"]
        late = _overlap(view, relation, read, low) != position["overlap"]
        if high == low and not late:
            return None
        # Rows that were committed late, behind the watermark, are read again with all of the overlap window.
        start = f"{_at(low)} - interval '{read.overlap_minutes} minutes'" if late else _at(low)
        where = f"{column} > {start} AND {column} <= {_at(high)}"
    low_key, high_key = view.row(
        f"SELECT min({stream.partition_column}), max({stream.partition_column}) FROM {relation} WHERE {where}"
    )
    if low_key is None:
        return after
    rows = (
        glue.spark_session.read.format("jdbc")
        .options(**database.options)
        .option("driver", _DRIVER)
        .option("dbtable", f"(SELECT * FROM {relation} WHERE {where}) AS t")
        .option("fetchsize", source.fetch_size)
        .option("sessionInitStatement", view.join)
        .option("partitionColumn", stream.partition_column)
        .option("lowerBound", low_key)
        .option("upperBound", high_key)
        .option("numPartitions", stream.partitions)
        .load()
    )
    _write(rows, writer)
    return after


def _at(time: str) -> str:
    return f"timestamptz '{time}'"


def _overlap(view: Snapshot, relation: str, read: WatermarkRead, high: str) -> dict[str, str]:
    """Fingerprints the overlap window, so that a run over unchanged rows has nothing to write."""
    rows, digest = view.row(
        f"SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {relation} t WHERE {read.column} > "
        f"{_at(high)} - interval '{read.overlap_minutes} minutes' AND {read.column} <= {_at(high)}"
    )
    return {"rows": str(rows), "digest": str(digest)}


def _by_bookmark(
    glue: GlueContext,
    source: JdbcSource,
    stream: JdbcStream,
    read: BookmarkRead,
    name: str,
    database: Database,
    view: Snapshot,
    writer: BatchWriter,
    position: Position | None,
) -> Position | None:
    [key] = read.keys
    low = 0 if position is None else int(position["key"])
    [high] = view.row(f"SELECT max({key}) FROM {stream.relation}")
    if high is None or int(high) <= low:
        return None
    rows = glue.create_dynamic_frame.from_options(
        connection_type=source.engine,
        connection_options={
            **database.options,
            "dbtable": stream.relation,
            "jobBookmarkKeys": [key],
            "jobBookmarkKeysSortOrder": "asc",
            "hashexpression": stream.partition_column,
            "hashpartitions": str(stream.partitions),
        },
        transformation_ctx=f"{name}_rows",
    ).toDF()
    # The bookmark spares reading what was read; the ledger decides what is new. A run that died between the manifest
    # and job.commit() leaves the bookmark behind the ledger, and these rows must not become a batch twice.
    observed = _write(rows.where(F.col(key) > low), writer, F.max(key).alias("key"))
    return {"key": int(observed["key"])} if observed["rows"] else None


def _write(rows: DataFrame, writer: BatchWriter, *measures: Any) -> dict[str, Any]:
    observation = Observation()
    observed_rows = rows.observe(observation, F.count(F.lit(1)).alias("rows"), *measures)
    observed_rows.write.mode("append").option("compression", "zstd").parquet(writer.data_uri)
    measured: dict[str, Any] = observation.get
    writer.adopt(int(measured["rows"]))
    writer.learned = Learned.of_columns({field.name: field.dataType.simpleString() for field in rows.schema.fields})
    return measured
