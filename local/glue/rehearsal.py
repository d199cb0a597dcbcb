"""A rehearsal of what jobs do, in a JVM that writes an archive of the classes that it has loaded as it ends.

python -m local.glue.rehearsal ARCHIVE
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("SPARK_VERSION", "3.5")  # pydeequ reads it as it is imported

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pydeequ.checks import Check, CheckLevel
from pydeequ.verification import VerificationResult, VerificationSuite
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from headwater.deploy.job_arguments import conf
from headwater.lake.session import configure
from local.glue.spark import build_session
from local.jars import JOBS, class_path

_NOT_COMPILED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
_LINES = "".join(f'{{"id": "{number % 7}", "at": "2024-01-0{number % 9 + 1}T00:00:00Z"}}\n' for number in range(20))


def main(archive: Path) -> None:
    """Rehearses, and waits until the JVM has written the archive."""
    # Of most classes that cannot be archived the JVM would say so.
    options = f"-XX:ArchiveClassesAtExit={archive} -XX:TieredStopAtLevel=1 -Xlog:disable -Xlog:all=error:stderr"
    session = build_session("http://127.0.0.1:1", conf("eu-west-1"), ["delta"], class_path(JOBS), java_options=options)
    session.sparkContext.setLogLevel("OFF")
    gateway: Any = session.sparkContext._gateway
    with TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
        _rehearse(session, Path(folder))
        session.stop()
    # At the end of its input the JVM exits by itself, and so it must for the archive's sake.
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()


def _rehearse(spark: SparkSession, folder: Path) -> None:
    configure(spark)
    for setting, value in _NOT_COMPILED.items():
        spark.conf.set(setting, value)
    (folder / "lines.jsonl").write_text(_LINES)
    lines = spark.read.text(f"file://{folder}/lines.jsonl")
    rows = lines.select(F.from_json("value", "id STRING, at STRING").alias("row")).select(
        F.col("row.id").cast("bigint").alias("id"), F.to_timestamp("row.at").alias("at"), "_metadata.file_path"
    )
    path = f"file://{folder}/table"
    rows.limit(3).write.format("delta").mode("append").option("mergeSchema", "true").save(path)
    _verify(spark, rows)
    rank = F.row_number().over(Window.partitionBy("id").orderBy(F.desc("at"), F.xxhash64("id", "at").desc()))
    newest = rows.withColumn("rank", rank).where("rank = 1").drop("rank").persist()
    _merge(spark, path, newest)
    changes = spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", 0).load(path)
    changes.groupBy("_change_type").count().coalesce(1).write.parquet(f"file://{folder}/changes")
    with contextlib.suppress(PySparkException, Py4JJavaError):
        # Nobody answers there; the client of S3 is loaded all the same.
        spark.read.parquet("s3://nowhere/at/all")


def _merge(spark: SparkSession, path: str, rows: DataFrame) -> None:
    (
        DeltaTable.forPath(spark, path)
        .alias("t")
        .merge(rows.alias("s"), "t.id <=> s.id AND t.id BETWEEN 0 AND 6")
        .whenMatchedUpdateAll("NOT (t.at <=> s.at)")
        .whenNotMatchedInsertAll()
        .execute()
    )


def _verify(spark: SparkSession, rows: DataFrame) -> None:
    check = Check(spark, CheckLevel.Error, "rehearsal").satisfies("id >= 0", "plausible", lambda share: share >= 0.0)
    try:
        result = VerificationSuite(spark).onData(rows).addCheck(check).run()
        VerificationResult.checkResultsAsJson(spark, result)
    finally:
        gateway: Any = spark.sparkContext._gateway
        gateway.shutdown_callback_server()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
