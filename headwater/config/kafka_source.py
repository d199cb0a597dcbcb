"""Kafka topics, read in bounded batches of offsets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headwater.config.stream import JsonStream, SourceBase
from headwater.config.strict import Name


class KafkaStream(JsonStream):
    """A stream read from one topic."""

    topic: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")
    format: Literal["json", "avro"]


class KafkaSource(SourceBase):
    """A Kafka cluster; its secret holds bootstrap_servers and what its security protocol needs."""

    kind: Literal["kafka"]
    secret: str
    streams: dict[Name, KafkaStream] = Field(min_length=1)
