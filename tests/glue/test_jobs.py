"""What every stage does first, as a job with the arguments that ours have: on either backend the same."""

from __future__ import annotations

import io
import json
import zipfile

from headwater.deploy.packages import library_zip
from tests.support.glue_backends import Backend
from tests.support.paths import ROOT

JOB = """
import sys
from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext
options = getResolvedOptions(sys.argv, ["JOB_NAME", "root"])
glue = GlueContext(SparkContext.getOrCreate())
job = Job(glue)
job.init(options["JOB_NAME"], options)
spark = glue.spark_session
from headwater.lake.session import configure
configure(spark)
BODY
job.commit()
"""
DELTA = """
from headwater.lake.delta import Table
path = options["root"] + "/table"
spark.sql("SELECT 1 AS id, DATE '1500-03-01' AS day").write.format("delta").mode("append").save(path)
print("version", Table(spark, path).version())
print("rows", [tuple(map(str, row)) for row in spark.read.format("delta").load(path).collect()])
"""
DEEQU = """
import os
os.environ["SPARK_VERSION"] = "3.5"
from pydeequ.checks import Check, CheckLevel
from pydeequ.verification import VerificationResult, VerificationSuite
rows = spark.range(10)
check = Check(spark, CheckLevel.Error, "all").isComplete("id").isUnique("id").hasSize(lambda size: size == 10)
result = VerificationSuite(spark).onData(rows).addCheck(check).run()
print("deequ", VerificationResult.checkResultsAsJson(spark, result)[0]["check_status"])
spark.sparkContext._gateway.shutdown_callback_server()
"""
LIBRARY = """
import importlib
names = NAMES
for name in names:
    importlib.import_module(name)
print("imported", len(names))
"""


def test_a_delta_table_is_written_and_read_by_the_library(backend: Backend, arguments: dict[str, str]) -> None:
    ran = backend.run("delta", JOB.replace("BODY", DELTA), arguments)
    assert ran.succeeded, ran.log
    assert "version 0" in ran.log
    assert "rows [('1', '1500-03-01')]" in ran.log


def test_deequ_judges_a_batch(backend: Backend, arguments: dict[str, str]) -> None:
    ran = backend.run("deequ", JOB.replace("BODY", DEEQU), arguments)
    assert ran.succeeded, ran.log
    assert "deequ Success" in ran.log


def test_every_module_of_the_library_is_imported(backend: Backend, arguments: dict[str, str]) -> None:
    with zipfile.ZipFile(io.BytesIO(library_zip(ROOT))) as library:
        paths = [name.removesuffix(".py").removesuffix("/__init__") for name in library.namelist()]
    names = json.dumps([path.replace("/", ".") for path in paths])
    script = "import os\nos.environ['SPARK_VERSION'] = '3.5'\n" + JOB.replace("BODY", LIBRARY.replace("NAMES", names))
    ran = backend.run("library", script, arguments)
    assert ran.succeeded, ran.log
    assert f"imported {len(paths)}" in ran.log
