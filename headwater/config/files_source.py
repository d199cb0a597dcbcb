"""Files in the landing bucket: partners drop them, or the HTTP API writes one for each pushed event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import fastjsonschema
from pydantic import Field, model_validator

from headwater.config.stream import JsonStream, SourceBase
from headwater.config.strict import Name, Strict

ENVELOPE = ("_file_key", "_row", "_value", "_value_encoding")
"""What a raw row has beside the file's own fields; headwater/sources/files/stream.py says what each holds."""
PUSHED = ("_received_at", "_sender", "_idempotency_key")
"""What the HTTP API adds to an event."""

Encoding = Literal["utf-8", "utf-8-sig", "latin-1", "utf-16"]


class CsvFormat(Strict):
    """Delimited text with a header line; every value is text, formulas included."""

    kind: Literal["csv"]
    delimiter: str = Field(",", min_length=1, max_length=1)
    quote: str = Field('"', min_length=1, max_length=1)
    encoding: Encoding = "utf-8"


class JsonLinesFormat(Strict):
    """One JSON object a line."""

    kind: Literal["jsonl"]
    encoding: Encoding = "utf-8"


class ParquetFormat(Strict):
    """Parquet, whose columns are found by name."""

    kind: Literal["parquet"]


class ExcelFormat(Strict):
    """One sheet of a workbook (.xlsx) with a header row; a formula is the value that Excel computed last."""

    kind: Literal["excel"]
    sheet: str | None = Field(None, description="Name of the sheet; the first if absent.")


Format = Annotated[CsvFormat | JsonLinesFormat | ParquetFormat | ExcelFormat, Field(discriminator="kind")]


class FilesStream(JsonStream):
    """A stream of files below one prefix of the landing bucket; `raw` are the fields of a file, which its header must name."""

    prefix: str = Field(pattern=r"^[a-z0-9_][a-z0-9_/-]*/$", description="Prefix in the landing bucket, ending in /.")
    format: Format
    largest_megabytes: int = Field(
        512, ge=1, le=10_240, description="Size beyond which a file is refused, before and after decompression."
    )
    accepts: dict[str, Any] | None = Field(
        None, description="JSON Schema (draft 7) that a pushed event must meet; only where the source takes events."
    )

    @model_validator(mode="after")
    def _can_be_read(self) -> FilesStream:
        taken = sorted(set(self.raw) & set(ENVELOPE))
        if taken:
            raise ValueError(f"raw: {', '.join(taken)} are there anyway; name fields of the file only")
        if self.accepts is not None:
            _check_schema(self.accepts)
        return self

    @property
    def position_note(self) -> str:
        """What the position is, in words."""
        return "files taken, by key and etag"

    @property
    def raw_fields(self) -> tuple[str, ...]:
        """Fields that a raw row may have: the file's, and the envelope."""
        pushed = PUSHED if self.accepts is not None else ()
        return (*super().raw_fields, *pushed, *ENVELOPE)


def _check_schema(schema: dict[str, Any]) -> None:
    _check_references(schema)
    try:
        fastjsonschema.compile(schema)
    except (fastjsonschema.JsonSchemaDefinitionException, ValueError) as error:
        raise ValueError(f"accepts: {error}") from None


def _check_references(part: Any) -> None:
    # A schema from elsewhere would be fetched, by whoever reads this.
    if isinstance(part, dict):
        reference = part.get("$ref", "#")
        if not (isinstance(reference, str) and reference.startswith("#")):
            raise ValueError(f"accepts: $ref {reference!r} leaves the schema; write it below `definitions`")
        for value in part.values():
            _check_references(value)
    elif isinstance(part, list):
        for value in part:
            _check_references(value)


class DropEntrance(Strict):
    """Partners write to the bucket; a new file starts a run."""

    kind: Literal["drop"] = "drop"
    window_seconds: int = Field(60, ge=0, le=300, description="How long a file waits for others, to start one run.")


class HttpEntrance(Strict):
    """Senders POST events to /events/<source>/<stream>; the source's secret holds a key for each, by the sender's name."""

    kind: Literal["http"]
    largest_bytes: int = Field(262_144, ge=1, le=5_000_000, description="Size beyond which an event is refused.")
    calls_per_second: int = Field(50, ge=1, description="Beyond this, API Gateway answers 429.")
    burst: int = Field(100, ge=1)


Entrance = Annotated[DropEntrance | HttpEntrance, Field(discriminator="kind")]


class FilesSource(SourceBase):
    """Prefixes of the landing bucket that others write to."""

    kind: Literal["files"]
    entrance: Entrance = DropEntrance()
    streams: dict[Name, FilesStream] = Field(min_length=1)

    @property
    def speaks(self) -> str:
        """Its protocol, in words."""
        return "HTTP API" if isinstance(self.entrance, HttpEntrance) else "files in the landing bucket"

    def limits(self) -> Iterator[str]:
        """The declared bounds, in words."""
        for name, stream in self.streams.items():
            size = f"at most {stream.largest_megabytes} MB a file"
            yield f"`{name}`: {stream.format.kind} below `{stream.prefix}`, {size}"

    @property
    def overridable(self) -> frozenset[str]:
        """What an environment may say of it otherwise."""
        dropped = {"window_seconds"} if isinstance(self.entrance, DropEntrance) else set()
        return super().overridable | dropped

    def overridden(self, changes: Mapping[str, Any]) -> Self:
        """The same source as an environment has it; `window_seconds` is the drop entrance's."""
        source = super().overridden(changes)
        if "window_seconds" not in changes or not isinstance(source.entrance, DropEntrance):
            return source
        window = {"window_seconds": changes["window_seconds"]}
        return source.model_copy(update={"entrance": source.entrance.model_copy(update=window)})

    @model_validator(mode="after")
    def _entrance_fits(self) -> FilesSource:
        pushed = self.entrance.kind == "http"
        if pushed and self.secret is None:
            raise ValueError("entrance: http needs a secret that holds the senders' keys")
        for name, stream in self.streams.items():
            if pushed and (stream.accepts is None or stream.format.kind != "jsonl"):
                raise ValueError(f"streams.{name}: pushed events need `accepts` and format jsonl")
            if not pushed and stream.accepts is not None:
                raise ValueError(f"streams.{name}.accepts: only pushed events are checked by it; see entrance")
        prefixes = sorted(stream.prefix for stream in self.streams.values())
        for first, second in pairwise(prefixes):
            if second.startswith(first):
                raise ValueError(f"prefix {second} lies within {first}: its files would be read twice")
        return self
