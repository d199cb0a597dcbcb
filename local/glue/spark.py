"""The Spark session that a Glue 5.1 job finds, pointed at the local gateway.

Its settings have three origins, and a setting is in one of them: what Glue has itself (`glue_conf`), what the job's definition
says (`Launch.conf`), and what only fits a laptop (`laptop_conf`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyspark import SparkConf
from pyspark.sql import SparkSession

from local import java
from local.glue.class_archive import archive
from local.jars import DELTA, GLUE, class_path

_JAVA_OPTIONS = "spark.driver.extraJavaOptions"
REPOSITORY = Path(__file__).resolve().parents[2]
_NOISY_LOGGERS = (
    "org.apache.hadoop.fs.s3a.S3AInstrumentation",
    "org.apache.hadoop.metrics2.impl.MetricsConfig",
    "org.apache.spark.sql.execution.streaming.CheckpointFileManager",
    "org.apache.spark.sql.catalyst.util.SparkStringUtils",
    "com.amazonaws.services.s3.AmazonS3Client",
)

_S3_ON_ONE_MACHINE = {
    # Each file that is written takes a cleared buffer as large as a part.
    "fast.upload.buffer": "bytebuffer",
    "multipart.size": "8M",
    "connection.maximum": "64",
    "threads.max": "16",
    "attempts.maximum": "3",
    "retry.limit": "3",
    "retry.interval": "100ms",
    # Neither cleaning up markers nor watching for changes while reading is worth a request here.
    "directory.marker.retention": "keep",
    "change.detection.mode": "none",
    "committer.name": "directory",
    "committer.staging.conflict-mode": "append",
}


def glue_conf(endpoint: str) -> dict[str, str]:
    """What Glue has set before a job says anything: S3 by s3:// and s3a:// URIs, here an endpoint without TLS, and UTC."""
    s3a = "org.apache.hadoop.fs.s3a.S3AFileSystem"
    conf = {"spark.hadoop.fs.s3.impl": s3a, "spark.hadoop.fs.s3a.impl": s3a}
    options = {
        "endpoint": endpoint,
        "path.style.access": "true",
        "connection.ssl.enabled": "false",
        "access.key": os.environ.get("AWS_ACCESS_KEY_ID", "headwater"),
        "secret.key": os.environ.get("AWS_SECRET_ACCESS_KEY", "headwater"),
        "aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
    }
    conf.update({f"spark.hadoop.fs.s3a.{name}": value for name, value in options.items()})
    conf[_JAVA_OPTIONS] = "-Duser.timezone=UTC"
    return conf


def laptop_conf() -> dict[str, str]:
    """Settings that fit two cores and small data; they change speed, not results."""
    return {
        "spark.driver.memory": os.environ.get("HEADWATER_DRIVER_MEMORY", "4g"),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Each query, and each of its stages that ends, is described for the UI: a tenth of a small job's time for nobody.
        "spark.sql.ui.explainMode": "simple",
        "spark.sql.maxPlanStringLength": "1000",
        "spark.sql.shuffle.partitions": "4",
        "spark.databricks.delta.snapshotPartitions": "2",
        **{f"spark.hadoop.fs.s3a.{name}": value for name, value in _S3_ON_ONE_MACHINE.items()},
        "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",
        _JAVA_OPTIONS: "-XX:+UseParallelGC",
        "spark.sql.warehouse.dir": "/tmp/headwater-warehouse",  # noqa: S108 - nothing is ever written there
    }


def _extra_conf() -> dict[str, str]:
    """Settings from HEADWATER_SPARK_CONF, written as JSON; tests trade long-run speed for a quick start with it."""
    conf: dict[str, str] = json.loads(os.environ.get("HEADWATER_SPARK_CONF", "{}"))
    return conf


def build_session(
    endpoint: str,
    conf: Mapping[str, str],
    formats: Sequence[str],
    jars: Sequence[Path] = (),
    *,
    cores: int = 2,
    java_options: str | None = None,
    laptop: bool = True,
) -> SparkSession:
    """Starts the JVM and the session that a job gets whose definition says `conf`, `formats` and, fetched, `jars`.

    `java_options` stand for those that make the JVM use the class archive, if there is one. Without `laptop` it has nothing that
    only fits a laptop.
    """
    settings = _merged(glue_conf(endpoint), {**laptop_conf(), **_extra_conf()} if laptop else {}, conf)
    if java_options is None and archive().exists():
        java_options = f"-XX:SharedArchiveFile={archive()}"
    spark_conf = SparkConf().setMaster(f"local[{cores}]").setAppName("glue")
    spark_conf.setAll(list(_merged(settings, {_JAVA_OPTIONS: java_options or ""}).items()))
    # Not on the JVM's own class path: older copies of Spark's libraries are among them, and Spark's must win.
    own = [*class_path(GLUE), *(class_path(DELTA) if "delta" in formats else [])]
    spark_conf.set("spark.jars", ",".join(str(jar) for jar in [*jars, *own]))
    java.use()
    session = SparkSession.builder.config(conf=spark_conf).getOrCreate()
    session.sparkContext.setLogLevel("WARN")
    log4j: Any = session.sparkContext._jvm.org.apache.logging.log4j  # type: ignore[union-attr]
    for name in _NOISY_LOGGERS:
        log4j.core.config.Configurator.setLevel(name, log4j.Level.ERROR)
    return session


def _merged(*origins: Mapping[str, str]) -> dict[str, str]:
    """Joins settings, of which later ones count; the options of the JVM add up."""
    joined: dict[str, str] = {}
    for origin in origins:
        options = " ".join(filter(None, [joined.get(_JAVA_OPTIONS), origin.get(_JAVA_OPTIONS)]))
        joined = {**joined, **origin, _JAVA_OPTIONS: options}
    return joined
