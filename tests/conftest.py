"""What all tests share: Spark that starts quickly, since no test has much data, and patience on a busy machine."""

from __future__ import annotations

import json
import os

from hypothesis import HealthCheck, settings

from local import service_models

# A busy machine is slow, which is no failure.
settings.register_profile("headwater", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headwater")

# Compiling queries pays off over millions of rows; over hundreds it takes longer than running them.
_QUICK_START = {
    "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.memory": "2g",
    # Two show what one would hide; more are more tasks for the same few rows.
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
}
os.environ.setdefault("HEADWATER_SPARK_CONF", json.dumps(_QUICK_START))

# Most tests have AWS clients of their own.
service_models.remember()
