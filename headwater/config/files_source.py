"""Files that partners drop, and pushed events, in the landing bucket."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headwater.config.stream import JsonStream, SourceBase
from headwater.config.strict import Name


class FilesStream(JsonStream):
    """A stream of files below one prefix of the landing bucket."""

    prefix: str = Field(pattern=r"^[a-z0-9_][a-z0-9_/-]*/$", description="Prefix in the landing bucket, ending in /.")
    format: Literal["csv", "jsonl", "json", "parquet", "excel"]


class FilesSource(SourceBase):
    """A prefix of the landing bucket that others write to."""

    kind: Literal["files"]
    streams: dict[Name, FilesStream] = Field(min_length=1)
