"""What a session with a job's settings makes of rows that settings could change.

python -m tests.support.session_rows FOLDER [laptop]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from headwater.deploy.job_arguments import conf
from headwater.lake.session import configure
from local.glue.spark import build_session

ROWS = """
VALUES (1, '1500-02-29', '1500-03-01 00:00:00.123456', '12345678901234567890.123456789012345678', '1.5'),
       (2, '1582-10-10', '1582-10-10 12:00:00', '-0.000000000000000001', 'NaN'),
       (3, '1969-12-31', '1969-12-31 23:59:59.999999', '99999999999999999999.999999999999999999', '-0.0'),
       (4, '2018-03-25', '2018-03-25 02:30:00', '1.005', 'word'),
       (5, '9999-12-31', '9999-12-31 23:59:59', NULL, NULL) AS t(id, day, at, amount, text)
"""


def rows_of(spark: SparkSession, folder: Path) -> dict[str, Any]:
    """Writes, reads, merges and computes, and tells all values as text."""
    typed = spark.sql(f"SELECT * FROM {ROWS}").select(
        "id",
        F.col("day").cast("date").alias("day"),
        F.to_timestamp("at").alias("at"),
        F.col("amount").cast("decimal(38,18)").alias("amount"),
        # Under ANSI a word would fail the query.
        F.col("text").cast("double").alias("number"),
    )
    typed.write.parquet(f"file://{folder}/plain")
    read = spark.read.parquet(f"file://{folder}/plain")
    table = f"file://{folder}/table"
    read.write.format("delta").save(table)
    changed = read.where("id <= 2").withColumn("amount", F.expr("amount / 3")).withColumn("id", F.expr("id * 3"))
    target = DeltaTable.forPath(spark, table).alias("t")
    target.merge(changed.alias("s"), "t.id = s.id").whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()
    merged = spark.read.format("delta").load(table)
    feed = spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", 0).load(table)
    parts = read.select("id", "day").repartition(3).write.mode("overwrite")
    parts.partitionBy("day").parquet(f"file://{folder}/parts")
    files = sorted((folder / "plain").glob("*.parquet"))
    return {
        "read": _text(read),
        "merged": _text(merged),
        "feed": _text(feed.drop("_commit_timestamp")),
        "partitions": _text(spark.read.parquet(f"file://{folder}/parts")),
        "computed": _text(
            merged.selectExpr(
                "id",
                "amount * amount AS square",
                "amount / 7 AS part",
                "cast(number AS INT) AS whole",
                "date_add(day, 10) AS later",
                "unix_micros(at) AS micros",
                "date_format(at, 'yyyy-MM-dd HH:mm:ss.SSSSSS') AS shown",
                "from_utc_timestamp(at, 'America/New_York') AS there",
                "xxhash64(id, day, at, amount) AS hash",
            )
        ),
        "newest": _text(
            merged.withColumn("rank", F.row_number().over(Window.partitionBy(F.expr("id % 2")).orderBy(F.desc("at"))))
        ),
        "sums": _text(merged.groupBy(F.expr("id % 2 AS odd")).agg(F.sum("amount"), F.max("day"), F.min("at"))),
        "types": [merged.schema.jsonValue(), [str(pyarrow.parquet.read_schema(path)) for path in files][:1]],
        "checksum": sorted(json.loads((folder / "table/_delta_log/00000000000000000001.crc").read_text())),
    }


def refused(spark: SparkSession, folder: Path) -> str:
    """Says what a session without the library's settings makes of a day before 1582."""
    try:
        spark.sql("SELECT DATE '1500-01-01' AS day").write.parquet(f"file://{folder}/refused")
    except Py4JJavaError as error:
        return str(error)
    return "nothing was refused"


def _text(frame: DataFrame) -> list[str]:
    # As text by Spark: Python's own dates end in 9999.
    shown = frame.select([F.col(name).cast("string") for name in frame.columns])
    return sorted(str(list(row)) for row in shown.collect())


if __name__ == "__main__":
    place = Path(sys.argv[1])
    session = build_session("http://127.0.0.1:1", conf("eu-west-1"), ["delta"], laptop="laptop" in sys.argv)
    session.sparkContext.setLogLevel("OFF")
    without = refused(session, place)
    configure(session)
    found = rows_of(session, place)
    (place / "rows.json").write_text(json.dumps({"refused": "WRITE_ANCIENT_DATETIME" in without, **found}))
    session.stop()
