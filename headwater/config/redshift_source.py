"""A Redshift warehouse as a source: its rows are unloaded to S3, none goes over a connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from headwater.config.jdbc_source import WatermarkRead
from headwater.config.relation import RelationStream
from headwater.config.stream import SourceBase
from headwater.config.strict import Name


class RedshiftStream(RelationStream):
    """A stream unloaded from one table or view; a backfill's days are those of the watermark."""

    read: WatermarkRead
    row_id: Name = Field(description="Column that identifies a row, for the fingerprint of the overlap.")

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that reading itself needs: the watermark, and what identifies a row."""
        return (self.read.column, self.row_id)

    @property
    def position_note(self) -> str:
        """What the position is, in words."""
        return self.read.position_note


class RedshiftSource(SourceBase):
    """The environment's own warehouse, asked through the Redshift Data API."""

    kind: Literal["redshift"]
    streams: dict[Name, RedshiftStream] = Field(min_length=1)

    @property
    def speaks(self) -> str:
        """Its protocol, in words."""
        return "Redshift Data API, UNLOAD"

    def limits(self) -> Iterator[str]:
        """The declared bounds, in words."""
        yield "no row goes over a connection: UNLOAD writes Parquet into the batch's own prefix"
