"""Glue job runs on the local runtime: real Spark, Glue's states."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from headwater.deploy.job_arguments import spark_arguments
from tests.support.aws import ROLE, Aws, zipped
from tests.support.waiting import wait_for

GLUE = """
import sys
from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext
"""


def test_a_delta_table_is_written_and_read_back(aws: Aws) -> None:
    job = aws.job(
        "delta",
        GLUE
        + """
args = getResolvedOptions(sys.argv, ["JOB_NAME", "path"])
glue = GlueContext(SparkContext.getOrCreate())
job = Job(glue)
job.init(args["JOB_NAME"], args)
spark = glue.spark_session
spark.range(1000).selectExpr("id", "id % 7 AS part").write.format("delta").partitionBy("part").save(args["path"])
more = spark.range(3).selectExpr("id", "id AS part", "'new' AS added")
more.write.format("delta").mode("append").option("mergeSchema", "true").save(args["path"])
print("rows", spark.read.format("delta").load(args["path"]).count(), args["JOB_NAME"], args["JOB_RUN_ID"])
job.commit()
""",
    )
    run = aws.run(job, path=f"s3://{aws.bucket}/table")
    assert run["JobRunState"] == "SUCCEEDED", aws.log(job, run)
    assert f"rows 1003 {job} {run['Id']}" in aws.log(job, run)
    events = aws.client("logs").get_log_events(logGroupName="/aws-glue/jobs/output", logStreamName=run["Id"])
    assert any("rows 1003" in event["message"] for event in events["events"])


def test_overhead_of_a_run_in_a_warm_worker_is_small(aws: Aws) -> None:
    job = aws.job("nothing", "print('nothing')")
    aws.run(job)
    runs = [aws.run(job) for _ in range(3)]
    fastest = min((run["CompletedOn"] - run["StartedOn"]).total_seconds() for run in runs)
    assert fastest < 1.0


def test_the_last_exception_is_the_error_message(aws: Aws) -> None:
    job = aws.job("bad", "raise ValueError('no such luck')")
    run = aws.run(job)
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", "ValueError: no such luck")
    assert "Traceback" in aws.log(job, run)


@pytest.mark.parametrize(("code", "state"), [("0", "SUCCEEDED"), ("", "SUCCEEDED"), ("3", "FAILED")])
def test_exit_code_decides(aws: Aws, code: str, state: str) -> None:
    job = aws.job("exit", f"import sys\nsys.exit({code})")
    assert aws.run(job)["JobRunState"] == state


def test_defaults_are_merged_with_the_arguments_of_the_run(aws: Aws) -> None:
    script = GLUE + "a = getResolvedOptions(sys.argv, ['x', 'y'])\nprint('got', a['x'], a['y'])"
    job = aws.job("arguments", script, {**spark_arguments("eu-west-1"), "--x": "default", "--y": "default"})
    run = aws.run(job, y="given value")
    assert "got default given value" in aws.log(job, run)


def test_a_missing_argument_fails_the_run(aws: Aws) -> None:
    job = aws.job("missing", GLUE + "getResolvedOptions(sys.argv, ['wanted'])")
    assert aws.run(job)["ErrorMessage"] == "GlueArgumentError: the following arguments are required: --wanted"


def test_extra_py_files_are_imported_and_replaced_when_they_change(aws: Aws) -> None:
    job = aws.job("library", "import lib_of_test\nprint('version', lib_of_test.VERSION)")
    uri = aws.put("lib.zip", zipped({"lib_of_test.py": "VERSION = 1"}))
    first = aws.run(job, **{"extra-py-files": uri})
    aws.put("lib.zip", zipped({"lib_of_test.py": "VERSION = 2"}))
    second = aws.run(job, **{"extra-py-files": uri})
    assert "version 1" in aws.log(job, first)
    assert "version 2" in aws.log(job, second)


def test_udfs_see_the_libraries(aws: Aws) -> None:
    script = """
from pyspark.sql import SparkSession, functions as F
import lib_for_udf
spark = SparkSession.builder.getOrCreate()
print("sum", spark.range(4).select(F.sum(F.udf(lib_for_udf.double, "long")("id"))).first()[0])
"""
    job = aws.job("udf", script)
    uri = aws.put("udf.zip", zipped({"lib_for_udf.py": "def double(x):\n    return 2 * x"}))
    run = aws.run(job, **{"extra-py-files": uri})
    assert "sum 12" in aws.log(job, run), aws.log(job, run)


def test_a_run_leaves_nothing_to_the_next(aws: Aws) -> None:
    script = """
import os, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("before", spark.conf.get("spark.sql.shuffle.partitions"), spark.catalog.listTables(), os.environ.get("LEFT"))
spark.conf.set("spark.sql.shuffle.partitions", "99")
spark.range(1).createOrReplaceTempView("left_over")
os.environ["LEFT"] = "over"
"""
    job = aws.job("tidy", script)
    aws.run(job)
    run = aws.run(job)
    assert "before 2 [] None" in aws.log(job, run)


def test_the_repository_is_not_importable(aws: Aws) -> None:
    job = aws.job("alone", "import tests.local.conftest")
    assert aws.run(job)["ErrorMessage"].startswith("ModuleNotFoundError")


def test_a_run_past_its_timeout_is_killed(aws: Aws) -> None:
    job = aws.job("slow", "import time\ntime.sleep(600)")
    lenient = aws.client("glue", parameter_validation=False)
    run_id = lenient.start_job_run(JobName=job, Timeout=0.02)["JobRunId"]
    run = aws.ended(job, run_id)
    assert run["JobRunState"] == "TIMEOUT"
    assert run["ExecutionTime"] <= 5


def test_a_stopped_run_ends_and_the_worker_is_replaced(aws: Aws) -> None:
    glue = aws.client("glue")
    job = aws.job("stop", "import time\nprint('begun', flush=True)\ntime.sleep(600)")
    run_id = aws.start(job)
    wait_for(lambda: _state(aws, job, run_id) == "RUNNING")
    answer = glue.batch_stop_job_run(JobName=job, JobRunIds=[run_id, "jr_unknown"])
    assert answer["SuccessfulSubmissions"] == [{"JobName": job, "JobRunId": run_id}]
    assert answer["Errors"][0]["ErrorDetail"]["ErrorCode"] == "EntityNotFoundException"
    assert aws.ended(job, run_id)["JobRunState"] == "STOPPED"
    assert aws.run(aws.job("after", "print(1)"))["JobRunState"] == "SUCCEEDED"


def test_a_killed_worker_fails_the_run_and_is_replaced(aws: Aws) -> None:
    job = aws.job("killed", "import time\ntime.sleep(600)")
    run_id = aws.start(job)
    wait_for(lambda: _state(aws, job, run_id) == "RUNNING")
    [worker] = aws.own("health")["workers"]
    assert worker["run_id"] == run_id
    os.kill(worker["pid"], signal.SIGKILL)
    run = aws.ended(job, run_id)
    assert run["JobRunState"] == "FAILED"
    assert "killed by signal 9" in run["ErrorMessage"]
    assert aws.run(aws.job("after", "print(1)"))["JobRunState"] == "SUCCEEDED"


def test_more_runs_than_allowed_are_refused(aws: Aws) -> None:
    glue = aws.client("glue")
    job = aws.job("single", "import time\ntime.sleep(600)")
    run_id = aws.start(job)
    with pytest.raises(glue.exceptions.ConcurrentRunsExceededException):
        aws.start(job)
    glue.batch_stop_job_run(JobName=job, JobRunIds=[run_id])
    assert aws.ended(job, run_id)["JobRunState"] == "STOPPED"


def test_a_failed_run_is_tried_again_as_another_attempt(aws: Aws) -> None:
    job = aws.job("flaky", "raise OSError('again')", MaxRetries=1)
    run_id = aws.start(job)
    first = aws.ended(job, run_id)
    second = aws.ended(job, f"{run_id}_attempt_1")
    assert (first["Attempt"], second["Attempt"], second["PreviousRunId"]) == (0, 1, run_id)
    runs = aws.client("glue").get_job_runs(JobName=job)["JobRuns"]
    assert [run["Id"] for run in runs] == [second["Id"], first["Id"]]


def test_unknown_jobs_and_runs_do_not_exist(aws: Aws) -> None:
    glue = aws.client("glue")
    job = aws.job("known", "pass")
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_job_run(JobName=job, RunId="jr_unknown")
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.start_job_run(JobName="unknown")


def test_a_script_that_is_missing_fails_the_run(aws: Aws) -> None:
    job = aws.job("gone", "pass")
    aws.client("s3").delete_object(Bucket=aws.bucket, Key=f"scripts/{job}.py")
    assert aws.run(job)["ErrorMessage"].startswith("FileNotFoundError: s3://")


def test_a_job_can_be_updated(aws: Aws) -> None:
    glue = aws.client("glue")
    job = aws.job("old", "print('old')")
    uri = aws.put("scripts/new.py", "print('new script')")
    command = {"Name": "glueetl", "ScriptLocation": uri, "PythonVersion": "3"}
    glue.update_job(JobName=job, JobUpdate={"Role": ROLE, "Command": command})
    run = aws.run(job)
    assert "new script" in aws.log(job, run)


def test_kill_fault_ends_the_worker_at_one_exact_request(aws: Aws) -> None:
    script = f"""
import boto3
s3 = boto3.client("s3")
for number in range(3):
    s3.put_object(Bucket="{aws.bucket}", Key=f"out/{{number}}", Body=b"x")
"""
    for when, written in (("before", ["out/0"]), ("after", ["out/0", "out/1"])):
        job = aws.job(f"fault-{when}", script)
        fault = {"method": "PUT", "path": "/out/", "action": "kill", "job": job, "when": when, "skip": 1}
        aws.own("faults", "POST", fault)
        run = aws.run(job)
        assert run["JobRunState"] == "FAILED"
        listed = aws.client("s3").list_objects_v2(Bucket=aws.bucket, Prefix="out/")["Contents"]
        assert [item["Key"] for item in listed] == written
        [described] = aws.own("faults")["faults"]
        assert (described["fired"], described["on"]) == (1, [f"PUT /{aws.bucket}/out/1"])
        aws.own("faults", "DELETE")
        for item in listed:
            aws.client("s3").delete_object(Bucket=aws.bucket, Key=item["Key"])


def _state(aws: Aws, job: str, run_id: str) -> Any:
    try:
        return aws.client("glue").get_job_run(JobName=job, RunId=run_id)["JobRun"]["JobRunState"]
    except ClientError:
        return None
