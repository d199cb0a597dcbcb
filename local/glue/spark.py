"""The Spark session that a Glue 5 job with `--datalake-formats delta` finds, pointed at the local gateway."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pyspark import SparkConf
from pyspark.sql import SparkSession

from local import java
from local.glue.class_archive import archive
from local.jars import SPARK, class_path

REPOSITORY = Path(__file__).resolve().parents[2]
_NOISY_LOGGERS = (
    "org.apache.hadoop.fs.s3a.S3AInstrumentation",
    "org.apache.hadoop.metrics2.impl.MetricsConfig",
    "org.apache.spark.sql.execution.streaming.CheckpointFileManager",
    "org.apache.spark.sql.catalyst.util.SparkStringUtils",
    "com.amazonaws.services.s3.AmazonS3Client",
)


def s3_conf(endpoint: str) -> dict[str, str]:
    """Settings that make s3:// and s3a:// URIs reach an S3 endpoint without TLS, quickly."""
    s3a = "org.apache.hadoop.fs.s3a.S3AFileSystem"
    conf = {"spark.hadoop.fs.s3.impl": s3a, "spark.hadoop.fs.s3a.impl": s3a}
    options = {
        "endpoint": endpoint,
        "endpoint.region": os.environ.get("AWS_REGION", "eu-west-1"),
        "path.style.access": "true",
        "connection.ssl.enabled": "false",
        "access.key": os.environ.get("AWS_ACCESS_KEY_ID", "headwater"),
        "secret.key": os.environ.get("AWS_SECRET_ACCESS_KEY", "headwater"),
        "aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
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
    conf.update({f"spark.hadoop.fs.s3a.{name}": value for name, value in options.items()})
    return conf


def delta_conf() -> dict[str, str]:
    """What `--datalake-formats delta` sets, and the log store that S3 needs with one driver for each table."""
    log_store = "io.delta.storage.S3SingleDriverLogStore"
    return {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.delta.logStore.s3.impl": log_store,
        "spark.delta.logStore.s3a.impl": log_store,
    }


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
        "spark.sql.adaptive.enabled": "true",
        "spark.databricks.delta.snapshotPartitions": "2",
        # Each commit's checksum file carries what a small table is made of: opening it needs no Spark job over its log.
        "spark.databricks.delta.writeChecksumFile.enabled": "true",
        "spark.databricks.delta.incremental.commit.enabled": "true",
        "spark.databricks.delta.setTransactionsInCrc.writeOnCommit": "true",
        "spark.databricks.delta.allFilesInCrc.enabled": "true",
        "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:+UseParallelGC",
        "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
        "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
        "spark.sql.parquet.int96RebaseModeInWrite": "CORRECTED",
        "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
        "spark.sql.warehouse.dir": "/tmp/headwater-warehouse",  # noqa: S108 - nothing is ever written there
    }


def _extra_conf() -> list[tuple[str, str]]:
    """Settings from HEADWATER_SPARK_CONF, written as JSON; tests trade long-run speed for a quick start with it."""
    return list(json.loads(os.environ.get("HEADWATER_SPARK_CONF", "{}")).items())


def build_session(endpoint: str, *, cores: int = 2, java_options: str | None = None) -> SparkSession:
    """Starts the JVM and the session, with the jars that setup has fetched.

    `java_options` stand for those that make the JVM use the class archive, if there is one.
    """
    conf = SparkConf().setMaster(f"local[{cores}]").setAppName("glue")
    conf.setAll([*laptop_conf().items(), *delta_conf().items(), *s3_conf(endpoint).items(), *_extra_conf()])
    if java_options is None and archive().exists():
        java_options = f"-XX:SharedArchiveFile={archive()}"
    if java_options:
        conf.set("spark.driver.extraJavaOptions", f"{conf.get('spark.driver.extraJavaOptions')} {java_options}")
    # Not on the JVM's own class path: older copies of Spark's libraries are among them, and Spark's must win.
    conf.set("spark.jars", ",".join(str(jar) for jar in class_path(SPARK)))
    java.use()
    session = SparkSession.builder.config(conf=conf).getOrCreate()
    session.sparkContext.setLogLevel("WARN")
    log4j: Any = session.sparkContext._jvm.org.apache.logging.log4j  # type: ignore[union-attr]
    for name in _NOISY_LOGGERS:
        log4j.core.config.Configurator.setLevel(name, log4j.Level.ERROR)
    return session
