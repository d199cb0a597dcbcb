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
from headwater.lake import silver
from headwater.lake.delta import Table
from headwater.lake.silver import Bounds, SilverCounts
from headwater.ledger.entries import Manifest
from headwater.ledger.raw import ADDED, PROBLEM

Zone = Literal["bronze", "silver", "gold", "quarantine"]

BATCH = "_batch"
FILE = "_file"
REASONS = "_reasons"
RAW = "_raw"
MICROSECONDS = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}
"""What `to_json` writes times by; left alone, it cuts them off at milliseconds."""
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

    def append_bronze(self, raw_root: str, manifest: Manifest, stream: Stream, *, evolves: bool) -> None:
        """Appends a batch's raw rows to bronze, once.

        JSON lines become one text column for each field, nested values as JSON text; Parquet keeps its types. Fields that
        are not declared become columns too where the stream `evolves`.
        """
        paths = [f"{raw_root}/{file.key}" for file in manifest.files]
        if not paths:
            return
        if manifest.format == "parquet":
            rows = self.spark.read.parquet(*paths)
        else:
            assert isinstance(stream, JsonStream)  # noqa: S101 - only these write JSON lines
            names = [*stream.raw_fields, *ADDED]
            names += _evolved(names, manifest.fields) if evolves else []
            rows = text_columns(self.spark.read.text(paths), names)
        table = self.bronze(manifest.source, manifest.stream)
        app_id = app_id_of(manifest)
        with table.transact(app_id, manifest.batch, rows=manifest.rows):
            (
                rows.select(F.lit(manifest.batch).alias(BATCH), F.col("_metadata.file_path").alias(FILE), *rows.columns)
                .write.format("delta")
                .mode("append")
                .option("mergeSchema", "true")
                .save(table.path)
            )

    def batch(self, manifest: Manifest) -> DataFrame:
        """Reads one batch's bronze rows.

        From the files of its own commit where they are as they were, which costs the same however long the table has grown.
        """
        table = self.bronze(manifest.source, manifest.stream)
        if manifest.files:
            appended = table.appended(app_id_of(manifest), manifest.batch)
            if appended is not None:
                return appended
        return table.read().where(F.col(BATCH) == manifest.batch)

    def write_silver(
        self, declared: config.Table, manifest: Manifest, valid: DataFrame, bounds: Bounds
    ) -> SilverCounts:
        """Writes a batch's valid rows to silver in one commit, once; returns what the commit did.

        `valid` has the table's columns; the newest version of each key wins, ties are broken by content. `bounds` are the least and
        the greatest values of key columns: Delta skips the files outside of them.
        """
        table = self.table("silver", declared.table)
        app_id = app_id_of(manifest)
        if table.transaction(app_id) < manifest.batch:
            with table.transact(app_id, manifest.batch, rows=manifest.rows):
                silver.write(table, declared, manifest, valid, bounds)
        return silver.counts(table, declared, app_id, manifest.batch)

    def write_quarantine(self, declared: config.Table, manifest: Manifest, refused: DataFrame) -> None:
        """Appends a batch's refused rows, once: typed and as they came, with every reason, batch and raw file."""
        table = self.table("quarantine", declared.table)
        payload = [name for name in refused.columns if not name.startswith("_")]
        with table.transact(app_id_of(manifest), manifest.batch):
            (
                refused.select(
                    F.lit(manifest.source).alias("source"),
                    F.lit(manifest.stream).alias("stream"),
                    F.lit(manifest.batch).cast("bigint").alias("batch"),
                    F.lit(manifest.run_id).alias("run_id"),
                    F.col(FILE).alias("raw_file"),
                    F.col(REASONS).alias("reasons"),
                    F.to_json(F.struct(*payload), {"ignoreNullFields": "false", **MICROSECONDS}).alias("row"),
                    F.col(RAW).alias("raw"),
                )
                .write.format("delta")
                .mode("append")
                .save(table.path)
            )


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
