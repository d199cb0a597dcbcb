"""Kinesis streams, whose records a Lambda commits as batches."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headwater.config.stream import JsonStream, SourceBase
from headwater.config.strict import Name


class KinesisStream(JsonStream):
    """A stream of records that a Lambda receives."""


class KinesisSource(SourceBase):
    """Records that arrive by themselves; the Extract job only takes their batches to bronze."""

    kind: Literal["kinesis"]
    streams: dict[Name, KinesisStream] = Field(min_length=1)
