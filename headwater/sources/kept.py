"""Raw rows of a warehouse keep the types that bronze has, whatever has become of a column since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from headwater.ledger.batch import BatchWriter
from headwater.ledger.raw import UNREAD
from headwater.log import get_logger
from headwater.sources.jdbc.columns import Column
from headwater.sources.jdbc.read import write_rows
from headwater.sources.jdbc.typed import typed_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = get_logger(__name__)


def raw_rows(spark: SparkSession, writer: BatchWriter) -> DataFrame:
    """Reads the raw files that a batch has so far."""
    return spark.read.parquet(*[f"{writer.ledger.bucket.uri}/{file.key}" for file in writer.files])


def keep_types(spark: SparkSession, writer: BatchWriter, wanted: Mapping[str, str]) -> None:
    """Writes the batch's files anew, with some columns cast to Spark SQL's types; what these do not hold is NULL, and told as unread.

    The files that were there become orphans, as those of a batch whose job has died.
    """
    log.warning("columns have become of another type: cast to the one that they had", columns=sorted(wanted))
    rows = raw_rows(spark, writer)
    columns = [Column(field.name, "", None) for field in rows.schema.fields if field.name != UNREAD]
    writer.files.clear()
    write_rows(typed_rows(rows, columns, wanted), writer, subfolder="kept/")
