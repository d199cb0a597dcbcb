"""Relational databases read over JDBC."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headwater.config.stream import SourceBase, StreamBase
from headwater.config.strict import Identifier, Name, Strict


class WatermarkRead(Strict):
    """Reads rows whose `column` moved past the position, less an overlap for late commits."""

    kind: Literal["watermark"]
    column: Name
    overlap_minutes: int = Field(10, ge=0)


class BookmarkRead(Strict):
    """Reads rows beyond the Glue job bookmark's keys: for append-only relations with a strictly growing key."""

    kind: Literal["bookmark"]
    keys: tuple[Name, ...] = Field(min_length=1, max_length=1)


Read = Annotated[WatermarkRead | BookmarkRead, Field(discriminator="kind")]


class JdbcStream(StreamBase):
    """A stream read from one relation of a database."""

    relation: Identifier
    read: Read
    partition_column: Name = Field(description="Numeric, indexed column that parallel reads are split by.")
    partitions: int = Field(2, ge=1, le=16, description="Parallel connections.")


class JdbcSource(SourceBase):
    """A relational database read over JDBC; its secret holds host, port, dbname, username and password."""

    kind: Literal["jdbc"]
    engine: Literal["postgresql"]
    secret: str
    fetch_size: int = Field(10_000, gt=0)
    streams: dict[Name, JdbcStream] = Field(min_length=1)
