"""One Spark session for all tests of the lake, configured as a job's, on local files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from headwater.deploy.job_arguments import conf
from headwater.lake.session import configure
from headwater.lake.tables import Lake
from local.glue.spark import build_session
from local.jars import JOBS, class_path


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    os.environ["SPARK_VERSION"] = "3.5"
    # One session for a quarter of an hour: here the better compiler repays what it takes, as it would not in a job's JVM.
    settings = conf("eu-west-1") | {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=4"}
    session = build_session("http://127.0.0.1:1", settings, ["delta"], class_path(JOBS))
    session.sparkContext.setLogLevel("ERROR")
    configure(session)
    yield session
    session.stop()


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    return Lake(spark, f"file://{tmp_path}")
