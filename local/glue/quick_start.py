"""Settings of Spark that start quickly and do little at a time well, at the price of speed over millions of rows.

Tests work with them, and the demo does on its small world.
"""

from __future__ import annotations

import json
import os

SETTINGS = {
    # The better compiler of the JVM takes two fifths of the processor in the first quarter of an hour, and repays it later.
    "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC",
    # Compiling queries pays off over millions of rows; over hundreds it takes longer than running them.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.memory": "2g",
    # Two show what one would hide; more are more tasks for the same few rows.
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    # VACUUM spreads a table's list of files over this many tasks; the default is ten thousand.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
}


def choose() -> None:
    """Has every session that this process and those that it starts build take them, unless others were asked for."""
    os.environ.setdefault("HEADWATER_SPARK_CONF", json.dumps(SETTINGS))
