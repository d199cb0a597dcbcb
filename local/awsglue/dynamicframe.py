"""DynamicFrame: a DataFrame on its way in or out of Glue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

if TYPE_CHECKING:
    from .context import GlueContext


class DynamicFrame:
    """Rows with a name; everything else is asked of the DataFrame inside."""

    def __init__(self, rows: DataFrame, glue_ctx: GlueContext, name: str = "") -> None:
        self._rows = rows
        self.glue_ctx = glue_ctx
        self.name = name

    @classmethod
    def fromDF(cls, dataframe: DataFrame, glue_ctx: GlueContext, name: str) -> DynamicFrame:  # noqa: N802
        """Wraps a DataFrame."""
        return cls(dataframe, glue_ctx, name)

    def toDF(self) -> DataFrame:  # noqa: N802 - Glue's name
        """Returns the rows; a source with nothing new has no columns either."""
        return self._rows

    def count(self) -> int:
        """Counts the rows."""
        return self._rows.count()

    def schema(self) -> StructType:
        """Returns the rows' schema, in Spark's types."""
        return self._rows.schema

    def printSchema(self) -> None:  # noqa: N802 - Glue's name
        """Prints the rows' schema."""
        self._rows.printSchema()
