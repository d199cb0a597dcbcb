"""GlueContext: the Spark session, and the sources and sinks that Glue knows by connection type."""

from __future__ import annotations

from typing import Any

from pyspark import SparkContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from . import jdbc, s3
from .dynamicframe import DynamicFrame

Options = dict[str, Any]


class DynamicFrameReader:
    """`glueContext.create_dynamic_frame`."""

    def __init__(self, glue_context: GlueContext) -> None:
        self._glue_context = glue_context

    def from_options(
        self,
        connection_type: str,
        connection_options: Options | None = None,
        format: str | None = None,  # noqa: A002 - Glue's name
        format_options: Options | None = None,
        transformation_ctx: str = "",
    ) -> DynamicFrame:
        """Reads what is new to the job's bookmark from S3 or a database.

        Raises:
            ValueError: the connection type, the format or an option is not one that is known here.
        """
        session, options = self._glue_context.spark_session, connection_options or {}
        rows: DataFrame | None
        if connection_type == "s3":
            rows = s3.read(session, options, format or "parquet", format_options or {}, transformation_ctx)
        elif connection_type in jdbc.DIALECTS:
            rows = jdbc.read(session, connection_type, options, transformation_ctx)
        else:
            raise ValueError(f"connection_type {connection_type!r}. hint: one of {['s3', *jdbc.DIALECTS]}")
        if rows is None:
            rows = session.createDataFrame([], StructType([]))
        return DynamicFrame(rows, self._glue_context, transformation_ctx)


class DynamicFrameWriter:
    """`glueContext.write_dynamic_frame`."""

    def from_options(
        self,
        frame: DynamicFrame,
        connection_type: str,
        connection_options: Options | None = None,
        format: str | None = None,  # noqa: A002 - Glue's name
        format_options: Options | None = None,
        transformation_ctx: str = "",  # noqa: ARG002 - Glue accepts it and sinks have no bookmark
    ) -> DynamicFrame:
        """Appends a frame to an S3 path; ValueError for any other connection type."""
        if connection_type != "s3":
            raise ValueError(f"connection_type {connection_type!r}. hint: only 's3' can be written to")
        s3.write(frame.toDF(), connection_options or {}, format or "parquet", format_options or {})
        return frame


class GlueContext:
    """The entry point of a Glue job."""

    def __init__(self, spark_context: SparkContext) -> None:
        self.spark_session: SparkSession = SparkSession.builder.getOrCreate()
        self._spark_context = spark_context
        self.create_dynamic_frame = DynamicFrameReader(self)
        self.write_dynamic_frame = DynamicFrameWriter()

    @property
    def sparkContext(self) -> SparkContext:  # noqa: N802 - Glue's name
        """The Spark context that the job passed in."""
        return self._spark_context

    def create_dynamic_frame_from_options(self, *args: Any, **kwargs: Any) -> DynamicFrame:
        """Reads like `create_dynamic_frame.from_options`."""
        return self.create_dynamic_frame.from_options(*args, **kwargs)

    def write_dynamic_frame_from_options(self, *args: Any, **kwargs: Any) -> DynamicFrame:
        """Writes like `write_dynamic_frame.from_options`."""
        return self.write_dynamic_frame.from_options(*args, **kwargs)

    def get_logger(self) -> Any:
        """Returns the JVM's logger for the job."""
        jvm: Any = self._spark_context._jvm
        return jvm.org.apache.log4j.LogManager.getLogger("GlueLogger")
