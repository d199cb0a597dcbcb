"""The lake's zones as Delta tables: bronze appends and silver writes that happen exactly once for each batch.

A batch's number is the Delta transaction version of everything that is written for it, so a rerun after a crash at any point
writes what is missing and skips what is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater import config
from headwater.config import JsonStream, Stream
from headwater.errors import BooksError, LedgerError
from headwater.lake.columns import BATCH, FILE, MICROSECONDS, RAW, REASONS, ROW
from headwater.lake.delta import Table
from headwater.ledger.entries import Manifest
from headwater.ledger.raw import ADDED, PROBLEM, UNREAD

Zone = Literal["bronze", "silver", "gold", "quarantine"]

_PLAIN = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,126}$")

_UNREAD = "_unread"
# Spark passes numbers with a point or an exponent through a double, which keeps fifteen digits, and reads no number of more
# than a thousand. Longer ones are made texts before, which it leaves alone: a line is walked through from number to number.
_LONGER_NUMBER = r"[:,\[]\s*+-?(?:[0-9.]{17}|[0-9.]++[eE])"
_NEXT_NUMBER = r'\G((?:[^"\-0-9]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+)(-?[0-9][-+.0-9eE]*+)'
# The escapes of a line whose surrogates come in pairs, as they must in UTF-8.
_PAIRED = r"\A(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB]..\\u[dD][c-fC-F])*+\z"


@dataclass(frozen=True)
class Lake:
    """The zones below one root, such as `s3://bucket`."""

    spark: SparkSession
    root: str

    def bronze(self, source: str, stream: str) -> Table:
        """Opens a stream's bronze table."""
        return Table(self.spark, f"{self.root}/bronze/{source}/{stream}")

    def table(self, zone: Zone, name: str) -> Table:
        """Opens a table of another zone."""
        return Table(self.spark, f"{self.root}/{zone}/{name}")

    def append_bronze(self, raw_root: str, batches: Sequence[Manifest], stream: Stream, *, evolves: bool) -> int:
        """Appends the raw rows of batches that follow each other to bronze, once; returns the version of the table that has them.

        JSON lines become one text column for each field, nested values as JSON text; Parquet keeps its types. Fields that
        are not declared become columns too where the stream `evolves`. BooksError when other rows were written than the batches have.
        """
        last = batches[-1]
        table = self.bronze(last.source, last.stream)
        app_id = app_id_of(last)
        rows = self._raw(raw_root, batches, stream, evolves=evolves)
        with table.transact(app_id, last.batch, rows=sum(manifest.rows for manifest in batches)):
            rows.write.format("delta").mode("append").option("mergeSchema", "true").save(table.path)
        commit = table.commit_of(app_id, last.batch)
        written = commit.metrics.get("numOutputRows", 0)
        expected = sum(manifest.rows for manifest in batches if manifest.replays is None)
        if written != expected:
            raise BooksError(
                f"{app_id}: batches {batches[0].batch} to {last.batch} have {expected} rows, and {written} came to bronze. "
                f"hint: RESTORE {table.path} to version {commit.version - 1} and run again"
            )
        return commit.version

    def _raw(self, raw_root: str, batches: Sequence[Manifest], stream: Stream, *, evolves: bool) -> DataFrame:
        paths = [f"{raw_root}/{file.key}" for manifest in batches for file in manifest.files]
        last = batches[-1]
        names = [*(stream.raw_fields or ()), *ADDED] if isinstance(stream, JsonStream) else []
        names += _evolved(names, last.fields) if evolves and names else []
        if not paths:
            told = [f"{BATCH} int", f"{FILE} string", f"{ROW} bigint", *(f"`{name}` string" for name in names)]
            return self.spark.createDataFrame([], ", ".join(told))
        if last.format == "parquet":
            # A column that a later batch has first must not be left out.
            rows = self.spark.read.option("mergeSchema", len(batches) > 1).parquet(*paths)
            place = F.col("_metadata.row_index")
        else:
            rows = text_columns(self.spark.read.text(paths), names)
            # A compressed file is read by one task from its first line on: within each the number grows.
            place = F.monotonically_increasing_id()
        added = [_batch_of(batches).alias(BATCH), F.col("_metadata.file_path").alias(FILE), place.alias(ROW)]
        return rows.select(*added, *rows.columns)

    def batches(self, batches: Sequence[Manifest], stream: Stream) -> DataFrame:
        """Reads the bronze rows of batches that follow each other; LedgerError when bronze has not all of them.

        From the files of their own commits where they are as they were, which costs the same however long the table has grown. Of a
        batch that replays another, the rows of that.
        """
        first, last = batches[0], batches[-1]
        app_id = app_id_of(last)
        table = self.bronze(last.source, last.stream)
        there = table.transaction(app_id)
        if there < last.batch:
            raise LedgerError(
                f"{app_id}: bronze has the batches up to {there}, and not up to {last.batch}. hint: run the source from Extract "
                "on, which appends what is missing; `headwater rewind` first where nothing new comes"
            )
        if last.replays is not None:
            return self.bronze_rows(last.source, last.stream, stream, F.col(BATCH) == last.replays)
        appended = table.appended(app_id, first.batch - 1)
        rows = (table.read() if appended is None else appended).where(F.col(BATCH).between(first.batch, last.batch))
        return _with_declared(rows, stream)

    def bronze_rows(self, source: str, stream: str, declared: Stream, which: Column) -> DataFrame:
        """Reads the bronze rows of a stream that meet a condition, with a column for each field that is declared."""
        return _with_declared(self.bronze(source, stream).read().where(which), declared)

    def quarantined(self, declared: config.Table, source: str, stream: str, batches: tuple[int, int]) -> DataFrame:
        """Reads what is in quarantine of a stream's first to last batch: batch, raw file, row as it came, and reasons."""
        told = (F.col("source") == source) & (F.col("stream") == stream) & F.col("batch").between(*batches)
        rows = self.table("quarantine", declared.table).read().where(told)
        # Rows that say the same came from one file to one fate.
        return rows.select("batch", "raw_file", "raw", "reasons").dropDuplicates(["batch", "raw_file", "raw"])

    def write_quarantine(self, declared: config.Table, batches: Sequence[Manifest], refused: DataFrame) -> int:
        """Appends the refused rows of batches in one commit, once: typed and as they came, with every reason, batch and raw file.

        Returns how many rows the commit has.
        """
        last = batches[-1]
        table = self.table("quarantine", declared.table)
        payload = [name for name in refused.columns if not name.startswith("_")]
        app_id = app_id_of(last)
        runs = F.create_map(*[F.lit(told) for manifest in batches for told in (manifest.batch, manifest.run_id)])
        with table.transact(app_id, last.batch):
            (
                refused.select(
                    F.lit(last.source).alias("source"),
                    F.lit(last.stream).alias("stream"),
                    F.col(BATCH).cast("bigint").alias("batch"),
                    runs[F.col(BATCH)].alias("run_id"),
                    F.col(FILE).alias("raw_file"),
                    F.col(REASONS).alias("reasons"),
                    F.to_json(F.struct(*payload), {"ignoreNullFields": "false", **MICROSECONDS}).alias("row"),
                    F.col(RAW).alias("raw"),
                )
                .write.format("delta")
                .mode("append")
                .save(table.path)
            )
        return table.commit_of(app_id, last.batch).metrics.get("numOutputRows", 0)


def text_columns(lines: DataFrame, names: Iterable[str]) -> DataFrame:
    """Reads JSON lines, a column `value`, as one text column for each field, nested values as JSON text, numbers with every digit.

    Only a line that Spark cannot read, or a text with half of a surrogate pair, is not as it came: the row's problem says so.
    """
    fields = [T.StructField(name, T.StringType()) for name in (*names, _UNREAD)]
    line = F.col("value")
    # No text can hold the digest of the line that it is in.
    mark = F.md5(line)
    longer = line.rlike(_LONGER_NUMBER)
    marked = F.regexp_replace(line, F.lit(_NEXT_NUMBER), F.concat(F.lit('$1"'), mark, F.lit("$2"), mark, F.lit('"')))
    read = F.from_json(
        F.when(longer, marked).otherwise(line), T.StructType(fields), {"columnNameOfCorruptRecord": _UNREAD}
    )
    halved = (line.contains("\\ud") | line.contains("\\uD")) & ~line.rlike(_PAIRED)
    rows = lines.select(read.alias("row"), F.when(longer, mark).alias("mark"), halved.alias("halved"))
    return rows.select(*[_column(name).alias(name) for name in names])


def _column(name: str) -> Column:
    """A field of a row that was read, without the marks around its numbers."""
    text = F.col(f"row.`{name}`")
    if name == PROBLEM:
        unread = F.when(F.col("row")[_UNREAD].isNotNull(), "bad_row").when(F.col("halved"), "bad_encoding")
        return F.coalesce(text, unread)
    inner = F.replace(F.replace(text, F.concat(F.lit('"'), "mark")), F.concat("mark", F.lit('"')))
    return F.when(F.col("mark").isNull(), text).otherwise(F.replace(inner, F.col("mark")))


def _with_declared(rows: DataFrame, stream: Stream) -> DataFrame:
    """The rows with a column for each field that they may have: bronze lacks those that were declared since it was written."""
    names = [*(stream.raw_fields or ()), *(ADDED if isinstance(stream, JsonStream) else (UNREAD,))]
    known = {name.lower() for name in rows.columns}
    lacking = {name: F.lit(None).cast("string") for name in names if name.lower() not in known}
    if ROW not in rows.columns:
        lacking[ROW] = F.lit(None).cast("bigint")
    return rows.withColumns(lacking)


def _batch_of(batches: Sequence[Manifest]) -> Column:
    """The batch of a raw row; of several batches, the one below whose number its file lies."""
    if len(batches) == 1:
        return F.lit(batches[0].batch)
    return F.regexp_extract(F.col("_metadata.file_path"), r"/data/(\d{9})/", 1).cast("int")


def _evolved(names: Sequence[str], fields: Iterable[str]) -> list[str]:
    """Fields that may become columns: plain names that differ from all others by more than case; the rest stay in raw."""
    taken = {name.lower() for name in names}
    evolved = []
    for name in fields:
        if _PLAIN.match(name) and name.lower() not in taken:
            taken.add(name.lower())
            evolved.append(name)
    return evolved


def app_id_of(manifest: Manifest) -> str:
    """Names the writer of a stream's batches in Delta's transaction log."""
    return f"{manifest.source}.{manifest.stream}"
