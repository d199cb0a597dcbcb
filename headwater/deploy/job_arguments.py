"""The arguments of every Glue job of an environment: all that Glue is told of a job's runtime, since it assumes nothing."""

from __future__ import annotations

from headwater.config import Project
from headwater.config.kafka_source import Iam, KafkaSource

PROJECT_KEY = "project.json"
LIBRARY_KEY = "packages/headwater.zip"
# Wheels that Glue's workers lack, in the form that they install without an index.
WHEELS_KEY = "packages/headwater.gluewheels.zip"

DEEQU_JAR = "deequ-2.0.7-spark-3.5.jar"
# Glue reads Avro by code of its own; that Spark's package is on its class path, AWS says nowhere.
AVRO_JAR = "spark-avro_2.12-3.5.6.jar"
# Without its dependencies: it finds the AWS SDK 2 of S3A, and the jar that has all of them would push that SDK and Spark's
# Netty aside.
MSK_JAR = "aws-msk-iam-auth-2.3.5.jar"


def conf(region: str) -> dict[str, str]:
    """What has to be there before the session starts; all else is in headwater/lake/session.py."""
    return {
        # `--datalake-formats delta` brings the jars and no more: without these two, Delta refuses its first call.
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # For tables with a single writer, which the lease sees to. The key that AWS documents is that of older Deltas, which
        # names one store for every scheme.
        "spark.delta.logStore.s3.impl": "io.delta.storage.S3SingleDriverLogStore",
        "spark.delta.logStore.s3a.impl": "io.delta.storage.S3SingleDriverLogStore",
        # S3A, which Glue 5.1 reads S3 by, takes us-east-2 where it is told nothing.
        "spark.hadoop.fs.s3a.endpoint.region": region,
    }


def spark_arguments(region: str) -> dict[str, str]:
    """What a job says of Spark and Delta, the same for all jobs."""
    return {
        "--datalake-formats": "delta",
        # Glue takes one --conf, whose value goes on with further ones.
        "--conf": " --conf ".join(f"{name}={value}" for name, value in conf(region).items()),
    }


def jars(project: Project) -> list[str]:
    """Names the jars that Glue does not bring: Deequ, and what the project's Kafka sources need.

    All jobs of a project get the same, so that a worker that is warm for one is warm for all.
    """
    kafka = [source for source in project.sources.values() if isinstance(source, KafkaSource)]
    avro = any(stream.format == "avro" for source in kafka for stream in source.streams.values())
    iam = any(isinstance(source.security, Iam) for source in kafka)
    return [DEEQU_JAR, *([AVRO_JAR] if avro else []), *([MSK_JAR] if iam else [])]


def job_arguments(project: Project, job: str, bookmark: str) -> dict[str, str]:
    """Makes the default arguments of a job; `bookmark` is its bookmark option."""
    artifacts = f"s3://{project.environment.bucket('artifacts')}"
    logs = f"s3://{project.environment.bucket('logs')}"
    return {
        "--project": f"{artifacts}/{PROJECT_KEY}",
        "--mode": "incremental",
        "--window": "-",
        "--rebuild": "-",
        "--job-bookmark-option": bookmark,
        **spark_arguments(project.environment.region),
        "--extra-py-files": f"{artifacts}/{LIBRARY_KEY}",
        "--extra-jars": ",".join(f"{artifacts}/packages/{jar}" for jar in jars(project)),
        # Glue has a Deequ of its own for Data Quality, of another version: the one that was tested comes first. None of the
        # jars holds a class of Spark or Delta that this could push aside.
        "--user-jars-first": "true",
        "--additional-python-modules": f"{artifacts}/{WHEELS_KEY}",
        "--python-modules-installer-option": "--no-index",
        "--enable-auto-scaling": "true",
        "--enable-metrics": "true",
        "--enable-observability-metrics": "true",
        "--enable-spark-ui": "true",
        "--spark-event-logs-path": f"{logs}/spark/{job}/",
        "--TempDir": f"{logs}/temp/{job}/",
    }
