"""Snowflake, read by its own connector as Arrow batches."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headwater.config.jdbc_source import WatermarkRead
from headwater.config.stream import SourceBase, StreamBase
from headwater.config.strict import Identifier, Name


class SnowflakeStream(StreamBase):
    """A stream read from one relation of a Snowflake database."""

    relation: Identifier
    read: WatermarkRead


class SnowflakeSource(SourceBase):
    """A Snowflake database; its secret holds account, user and either password or private_key."""

    kind: Literal["snowflake"]
    secret: str
    database: str
    warehouse: str
    streams: dict[Name, SnowflakeStream] = Field(min_length=1)
