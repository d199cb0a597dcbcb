"""What all tests share: how they are spread over workers, and Spark that starts quickly, since no test has much data."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow, which is no failure.
settings.register_profile("headwater", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headwater")

# Compiling queries pays off over millions of rows; over hundreds it takes longer than running them.
_QUICK_START = {
    "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.memory": "2g",
}
os.environ.setdefault("HEADWATER_SPARK_CONF", json.dumps(_QUICK_START))

# Tests that share something dear, such as a stack with its history, stay together on one worker.
_TOGETHER = {"local", "spark"}
_WHOLE_STACK = {"test_cli", "test_failures", "test_pipeline", "test_report_page"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder, name = item.path.parent.name, item.path.stem
        group = folder if folder in _TOGETHER else "whole" if name in _WHOLE_STACK else f"{folder}/{name}"
        item.add_marker(pytest.mark.xdist_group(group))
