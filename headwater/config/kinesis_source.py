"""Kinesis streams, whose records a Lambda commits as batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from headwater.config.stream import Disagreement, JsonStream, SourceBase
from headwater.config.strict import Name, Strict
from headwater.config.table import Table

ENVELOPE = ("_event_id", "_shard", "_sequence", "_partition_key", "_arrived_at", "_value", "_value_encoding")
"""What a raw row has beside the fields of the record's data; headwater/receive/records.py says what each holds."""


class DirectDelivery(Strict):
    """Lambda reads the shards: in order, and the position is each shard's last sequence number."""

    kind: Literal["direct"] = "direct"
    batch_size: int = Field(10_000, ge=1, le=10_000, description="Records at most in one batch.")
    window_seconds: int = Field(60, ge=0, le=300, description="How long records wait for others to come.")


class QueueDelivery(Strict):
    """EventBridge pipe, SQS queue, Lambda: unordered, retried, then dead-lettered."""

    kind: Literal["queue"]
    batch_size: int = Field(1_000, ge=1, le=10_000, description="Records at most in one batch.")
    window_seconds: int = Field(60, ge=0, le=300, description="How long records wait for others to come.")
    max_receive_count: int = Field(5, ge=1, le=1000, description="Tries of one record.")


Delivery = Annotated[DirectDelivery | QueueDelivery, Field(discriminator="kind")]


class KinesisStream(JsonStream):
    """The records of one Kinesis stream, named after the source and itself.

    Its raw rows are the records' data as JSON objects, with the fields of ENVELOPE beside.
    """

    delivery: Delivery = DirectDelivery()
    largest_bytes: int = Field(262_144, ge=1, description="Size beyond which a record goes to quarantine.")
    retention_hours: int = Field(168, ge=24, le=8760, description="How long Kinesis keeps a record.")

    @model_validator(mode="after")
    def _can_tell_records_apart(self) -> KinesisStream:
        taken = sorted(set(self.raw) & set(ENVELOPE))
        if taken:
            raise ValueError(f"raw: {', '.join(taken)} are there anyway; name fields of the record's data only")
        return self

    def disagreements(self, table: Table) -> Iterator[Disagreement]:
        """Says where the stream contradicts the table that it feeds."""
        yield from super().disagreements(table)
        kind = table.write.kind
        if self.delivery.kind == "queue" and kind not in {"insert", "merge"}:
            yield (
                "delivery",
                f"write: {kind} of table {table.table} needs records in order, once; a queue gives neither",
            )

    @property
    def position_note(self) -> str:
        """What the position is, in words."""
        direct = self.delivery.kind == "direct"
        return "last sequence number of each shard" if direct else "none: told apart by event"

    @property
    def backfill_note(self) -> str:
        """How the stream is read again, in words."""
        return "no: raw is its history"

    @property
    def raw_fields(self) -> tuple[str, ...]:
        """Fields that a raw row may have: those of the data, and the envelope."""
        return (*super().raw_fields, *ENVELOPE)


class KinesisSource(SourceBase):
    """Records that a Lambda receives; the Extract job only takes their batches to bronze."""

    kind: Literal["kinesis"]
    streams: dict[Name, KinesisStream] = Field(min_length=1)

    @property
    def speaks(self) -> str:
        """Its protocol, in words."""
        return "Kinesis"

    def limits(self) -> Iterator[str]:
        """The declared bounds, in words."""
        for name, stream in self.streams.items():
            waits = f"{stream.delivery.batch_size:,} records or {stream.delivery.window_seconds} s in a batch"
            yield f"`{name}`: {stream.delivery.kind}, {waits}, at most {stream.largest_bytes:,} bytes a record"

    @property
    def overridable(self) -> frozenset[str]:
        """What an environment may say of it otherwise."""
        return super().overridable | {"window_seconds"}

    def overridden(self, changes: Mapping[str, Any]) -> Self:
        """The same source as an environment has it; `window_seconds` is every stream's."""
        source = super().overridden(changes)
        if "window_seconds" not in changes:
            return source
        window = {"window_seconds": changes["window_seconds"]}
        streams = {
            name: stream.model_copy(update={"delivery": stream.delivery.model_copy(update=window)})
            for name, stream in source.streams.items()
        }
        return source.model_copy(update={"streams": streams})
