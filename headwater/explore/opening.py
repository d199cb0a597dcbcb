"""Opens what explores a source, by its kind. A driver is imported when it is needed, and one that is missing is told of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any, assert_never

from headwater.config import (
    AnySource,
    Environment,
    FilesSource,
    HttpSource,
    JdbcSource,
    KafkaSource,
    KinesisSource,
    RedshiftSource,
    SnowflakeSource,
)
from headwater.errors import HeadwaterError
from headwater.explore.found import Explorer
from headwater.explore.secret import Secret

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EXTRAS = {
    "confluent_kafka": "local",
    "cryptography": "glue",
    "openpyxl": "glue",
    "psycopg": "local",
    "py4j": "glue",
    "pyarrow": "glue",
    "pymysql": "local",
    "pyspark": "glue",
    "snowflake": "glue",
}
"""The extra of pyproject.toml that brings a module."""


@contextmanager
def told_of_extras() -> Iterator[None]:
    """Turns a module that is not installed into one line that names the extra which brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS:
            raise
        raise HeadwaterError(
            f"{module} is not installed, which this needs. hint: make setup, or pip install 'headwater[{EXTRAS[module]}]'"
        ) from None


@contextmanager
def open_explorer(
    source: AnySource, secret: Secret, environment: Environment, today: date | None
) -> Iterator[Explorer]:
    """Opens what explores a source in an environment."""
    with told_of_extras():
        opened = _opener(source, secret, environment, today)
        with opened as explorer:
            yield explorer


def _opener(
    source: AnySource, secret: Secret, environment: Environment, today: date | None
) -> AbstractContextManager[Explorer]:
    match source:
        case HttpSource():
            from headwater.explore.http import open_http

            return open_http(source, secret, today)
        case JdbcSource():
            from headwater.explore.databases import open_database

            return open_database(source, secret)
        case SnowflakeSource():
            from headwater.explore.snowflake import open_snowflake

            return open_snowflake(source, secret)
        case RedshiftSource():
            from headwater.explore.redshift import open_redshift

            return open_redshift(source, environment.warehouse)
        case KafkaSource():
            from headwater.explore.kafka import open_kafka

            return open_kafka(source, secret)
        case FilesSource():
            from headwater.explore.files import open_files

            return open_files(source, secret, environment.bucket("landing"))
        case KinesisSource():
            from headwater.explore.kinesis import open_kinesis

            return open_kinesis(source, environment)
        case _ as never:
            assert_never(never)


def plain_session() -> SparkSession:
    """Starts Spark on this machine, with what its package brings."""
    from pyspark.sql import SparkSession

    builder: Any = SparkSession.builder
    settings = {"spark.ui.enabled": "false", "spark.sql.session.timeZone": "UTC", "spark.sql.shuffle.partitions": "1"}
    for name, value in settings.items():
        builder = builder.config(name, value)
    session: SparkSession = builder.master("local[1]").getOrCreate()
    return session
