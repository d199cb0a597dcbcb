"""Kinesis streams, whose records a Lambda commits as batches."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from headwater.config.stream import JsonStream, SourceBase
from headwater.config.strict import Name, Strict

ENVELOPE = ("_event_id", "_shard", "_sequence", "_partition_key", "_arrived_at", "_value", "_value_encoding")
"""What a raw row has beside the fields of the record's data; headwater/receive.py tells what each holds."""


class DirectDelivery(Strict):
    """Lambda reads the shards: in order, and the position is each shard's last sequence number."""

    kind: Literal["direct"] = "direct"
    batch_size: int = Field(10_000, ge=1, le=10_000, description="Records at most in one batch.")
    window_seconds: int = Field(60, ge=0, le=300, description="How long records wait for others to come.")


class QueueDelivery(Strict):
    """A pipe takes the records to a queue, and Lambda reads that: in no order, again when they fail, then to the dead letters."""

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
        if self.delivery.kind == "queue" and self.write.kind not in {"insert", "merge"}:
            raise ValueError(f"write: {self.write.kind} needs records in order, once; a queue gives neither")
        return self

    @property
    def raw_fields(self) -> tuple[str, ...]:
        """Fields that a raw row may have: those of the data, and the envelope."""
        return (*super().raw_fields, *ENVELOPE)


class KinesisSource(SourceBase):
    """Records that arrive by themselves; the Extract job only takes their batches to bronze."""

    kind: Literal["kinesis"]
    streams: dict[Name, KinesisStream] = Field(min_length=1)

    def waiting(self, seconds: int) -> KinesisSource:
        """The same source with another window in every stream."""
        streams = {
            name: stream.model_copy(update={"delivery": stream.delivery.model_copy(update={"window_seconds": seconds})})
            for name, stream in self.streams.items()
        }
        return self.model_copy(update={"streams": streams})
