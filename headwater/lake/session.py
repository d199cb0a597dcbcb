"""What the library asks of its Spark session, whoever started it: all that changes rows, types or the cost of a commit.

What has to be there before the session is, a job's `--conf` says: `headwater/deploy/job_arguments.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pyspark.sql import SparkSession

from headwater.lake.names import remember_names

SETTINGS = {
    # Gold and Load read the change data feed.
    "spark.databricks.delta.properties.defaults.enableChangeDataFeed": "true",
    # The other type, INT96, cannot hold years that sources do send, such as 9999, and not every reader reads it.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.session.timeZone": "UTC",
    # A timestamp without a zone, as Redshift unloads it, is UTC like all others, and no type of its own in the tables.
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "false",
    # A value that does not fit its type becomes NULL, which a check then tells; ANSI would fail the job instead.
    "spark.sql.ansi.enabled": "false",
    # Days before 1582 are written and read as they are: other readers of Parquet know no other calendar, and the default
    # refuses them.
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    # Each commit's checksum file carries what a table is made of: opening it needs no Spark job over its log.
    "spark.databricks.delta.writeChecksumFile.enabled": "true",
    "spark.databricks.delta.incremental.commit.enabled": "true",
    "spark.databricks.delta.setTransactionsInCrc.writeOnCommit": "true",
    "spark.databricks.delta.allFilesInCrc.enabled": "true",
}


def configure(spark: SparkSession) -> None:
    """Gives a session the library's settings, and makes its names cheap to use."""
    remember_names(spark)
    for setting, value in SETTINGS.items():
        spark.conf.set(setting, value)


@contextmanager
def having(spark: SparkSession, settings: Mapping[str, str]) -> Iterator[None]:
    """Gives a session settings for the length of a block, and what it had before when that ends.

    To unset them instead would bring Spark's own defaults, over what the session was started with.
    """
    had = {setting: spark.conf.get(setting, None) for setting in settings}
    for setting, value in settings.items():
        spark.conf.set(setting, value)
    try:
        yield
    finally:
        for setting, before in had.items():
            if before is None:
                spark.conf.unset(setting)
            else:
                spark.conf.set(setting, before)
