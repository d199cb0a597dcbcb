"""A Glue job gets the runtime that its definition asks for, and nothing else of this machine."""

from __future__ import annotations

import json

from headwater.deploy.job_arguments import DEEQU_JAR, spark_arguments
from headwater.deploy.packages import jar, wheels_zip
from tests.support.aws import Aws, zipped
from tests.support.paths import ROOT

SPARK = spark_arguments("eu-west-1")
NO_INDEX = {"--python-modules-installer-option": "--no-index"}
FIRST_DELTA_CALL = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.range(3).write.format("delta").save("PATH")
"""
DEEQU = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("size", spark._jvm.com.amazon.deequ.analyzers.Size(spark._jvm.scala.Option.empty()).toString())
"""


def table(aws: Aws, script: str) -> str:
    return script.replace("PATH", f"s3://{aws.bucket}/table")


def test_what_a_job_imports_is_of_glue_or_was_brought(aws: Aws) -> None:
    script = """
import importlib, json, os, sys
found = {}
for name in ("boto3", "pandas", "pyarrow", "awsglue", "delta", "pydantic", "moto", "duckdb", "local", "headwater", "gateway"):
    try:
        found[name] = getattr(importlib.import_module(name), "__version__", "there")
    except ModuleNotFoundError:
        found[name] = None
print("found", json.dumps(found))
print("environment", json.dumps(sorted(name for name in os.environ if not name.startswith(("AWS_", "HEADWATER_")))))
"""
    job = aws.job("imports", script)
    log = aws.log(job, aws.run(job))
    found = json.loads(log.split("found ")[1].splitlines()[0])
    brought = {"awsglue": "there", "boto3": "1.40.61", "delta": "there", "pandas": "2.3.3", "pyarrow": "22.0.0"}
    not_there = dict.fromkeys(["pydantic", "moto", "duckdb", "local", "headwater", "gateway"])
    assert found == {**brought, **not_there}
    environment = set(json.loads(log.split("environment ")[1].splitlines()[0]))
    assert environment <= {
        *(
            "GLUE_JOB_ATTEMPT",
            "HOME",
            "JAVA_HOME",
            "LANG",
            "LC_CTYPE",
            "PATH",
            "PYTHONUNBUFFERED",
            "SPARK_AUTH_SOCKET_TIMEOUT",
        ),
        *("SPARK_BUFFER_SIZE", "SPARK_HOME", "TMPDIR", "TZ", "PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"),
    }


def test_the_library_is_the_one_that_the_job_names(aws: Aws) -> None:
    # This repository has a package of the same name, of which the worker itself is made.
    job = aws.job("library", "import headwater.errors\nprint('from', headwater.errors.WHO)")
    uri = aws.put("lib.zip", zipped({"headwater/__init__.py": "", "headwater/errors.py": "WHO = 'the zip'"}))
    assert "from the zip" in aws.log(job, aws.run(job, **{"extra-py-files": uri}))


def test_a_jar_is_there_for_a_job_that_names_it_and_for_no_other(aws: Aws) -> None:
    named = aws.job("deequ", DEEQU, {**SPARK, "--extra-jars": aws.put(DEEQU_JAR, jar(DEEQU_JAR))})
    other = aws.job("no-deequ", DEEQU)
    for job, state in ((other, "FAILED"), (named, "SUCCEEDED"), (other, "FAILED")):
        run = aws.run(job)
        assert run["JobRunState"] == state, aws.log(job, run)
    assert "'JavaPackage' object is not callable" in run["ErrorMessage"]


def test_a_jar_that_is_not_there_fails_the_run(aws: Aws) -> None:
    job = aws.job("no-jar", "pass", {**SPARK, "--extra-jars": f"s3://{aws.bucket}/no.jar"})
    assert aws.run(job)["ErrorMessage"] == f"FileNotFoundError: s3://{aws.bucket}/no.jar: NoSuchKey"


def test_delta_has_to_be_configured(aws: Aws) -> None:
    job = aws.job("no-conf", table(aws, FIRST_DELTA_CALL), {"--datalake-formats": "delta"})
    run = aws.run(job)
    assert run["JobRunState"] == "FAILED"
    assert "DELTA_CONFIGURE_SPARK_SESSION_WITH_EXTENSION_AND_CATALOG" in aws.log(job, run)


def test_delta_has_to_be_asked_for(aws: Aws) -> None:
    job = aws.job("no-delta", table(aws, FIRST_DELTA_CALL), {})
    run = aws.run(job)
    assert run["JobRunState"] == "FAILED"
    assert "DATA_SOURCE_NOT_FOUND" in aws.log(job, run)
    assert aws.run(aws.job("no-delta", "import delta", {}))["ErrorMessage"] == (
        "ModuleNotFoundError: No module named 'delta'"
    )


def test_modules_are_installed_for_a_job_that_names_them(aws: Aws) -> None:
    uri = aws.put("some.gluewheels.zip", wheels_zip(ROOT))
    script = "import pydantic, snowflake.connector, boto3\nprint('with', pydantic.__file__, boto3.__version__)"
    job = aws.job("wheels", script, {**SPARK, **NO_INDEX, "--additional-python-modules": uri})
    run = aws.run(job)
    assert "/modules/" in aws.log(job, run).split("with ")[1].split()[0]
    assert "1.40.61" in aws.log(job, run)
    other = aws.job("no-wheels", script)
    assert aws.run(other)["ErrorMessage"] == "ModuleNotFoundError: No module named 'pydantic'"


def test_an_argument_that_glue_would_not_take_fails_the_run(aws: Aws) -> None:
    job = aws.job("format", "pass", {"--datalake-formats": "detla"})
    assert aws.run(job)["ErrorMessage"] == "--datalake-formats: detla; Glue knows delta, hudi, iceberg"


def test_a_connection_has_to_be_in_the_catalog(aws: Aws) -> None:
    job = aws.job("connected", "pass", Connections={"Connections": ["to-the-shop"]})
    assert aws.run(job)["ErrorMessage"] == "EntityNotFoundException: Connection to-the-shop not found."
    network = {"Name": "to-the-shop", "ConnectionType": "NETWORK", "ConnectionProperties": {}}
    aws.client("glue").create_connection(ConnectionInput=network)
    assert aws.run(job)["JobRunState"] == "SUCCEEDED"
