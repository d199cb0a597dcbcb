"""Positions: how far a stream has been extracted, a model for each way to read.

A stored position says its kind by the names of its fields: no two models have the same ones. What is written is what was written
before there were models, so an earlier version reads it too (docs/adr/0012).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Discriminator, PlainSerializer, Tag


def _to_seconds(moment: datetime) -> str:
    return moment.isoformat()


def _to_milliseconds(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


class _Position(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def doubted(self) -> Self:
        """The same place, with nothing taken for known of the rows up to it: the next read reads again what it would compare."""
        return self


class DaysPosition(_Position):
    """The last day that was read of some accounts; `slices` has digests of the accounts' days that are read again.

    No rows have an empty digest: a day with it reads differently whatever it holds.
    """

    until: date
    accounts: tuple[str, ...]
    slices: dict[str, str]

    def doubted(self) -> Self:
        """The same day, with no slice taken for known."""
        return self.without(self.slices)

    def without(self, slices: Iterable[str]) -> Self:
        """The same day, with some slices not taken for known."""
        return self.model_copy(update={"slices": {**self.slices, **dict.fromkeys(sorted(slices), "")}})


class Validator(_Position):
    """By which a source is asked whether an answer has changed; `asked` tells what was asked, and how rows were made of it."""

    asked: str
    by: Literal["etag", "modified"]
    value: str


class ConditionalPosition(DaysPosition):
    """What was read of some accounts whole, and the validator of the answer that each account's rows came in."""

    validators: dict[str, Validator]

    def without(self, slices: Iterable[str]) -> Self:
        """The same day, with some slices not taken for known, and every answer asked for whole."""
        return super().without(slices).model_copy(update={"validators": {}})


class Overlap(_Position):
    """A fingerprint of rows: how many, and a digest of them."""

    rows: str
    digest: str

    @property
    def count(self) -> int:
        """How many rows they are; 0 where that is doubted."""
        return int(self.rows or 0)


_DOUBTED = Overlap(rows="", digest="")


class WatermarkPosition(_Position):
    """The newest watermark that was read, as the database writes it, and what the rows up to it were."""

    watermark: str
    overlap: Overlap

    def doubted(self) -> Self:
        """The same mark; no rows have this overlap."""
        return self.model_copy(update={"overlap": _DOUBTED})


class BoundedPosition(WatermarkPosition):
    """A watermark that the database's own clock had reached; `outside` were the rows dated later, or without a date."""

    outside: Overlap

    def doubted(self) -> Self:
        """The same mark; no rows have this overlap, and none are outside like this."""
        return super().doubted().model_copy(update={"outside": _DOUBTED})


class MarksPosition(_Position):
    """The newest change that was read of each account, and what the rows up to it were."""

    marks: dict[str, WatermarkPosition]

    def doubted(self) -> Self:
        """The same marks, each doubted."""
        return self.model_copy(update={"marks": {account: mark.doubted() for account, mark in self.marks.items()}})


class KeyPosition(_Position):
    """The highest key that was read of a relation that only grows."""

    key: int


class KeyOverlap(Overlap):
    """A fingerprint of the keys beyond `since`, or of all where there are no more, up to the highest."""

    since: int | None


class ComparedKeyPosition(KeyPosition):
    """The highest key that was read, and what the keys just up to it were."""

    overlap: KeyOverlap

    def doubted(self) -> Self:
        """The same key; no keys have this overlap."""
        return self.model_copy(update={"overlap": self.overlap.model_copy(update=dict(_DOUBTED))})


class WatchedPosition(BoundedPosition):
    """A watermark, and the keys of the rows that had been made: a later one is of a row that no read has seen."""

    keys: ComparedKeyPosition


class LogPosition(_Position):
    """The place up to which a replication slot's log was read."""

    slot: str
    lsn: str


class SnapshotPosition(LogPosition):
    """The place from which a slot's log goes on after a snapshot, and the transactions that the snapshot has seen."""

    snapshot: str


class RunEnds(_Position):
    """The offsets that a run reads up to, by partition."""

    run_id: str
    offsets: dict[int, int]


class OffsetsPosition(_Position):
    """The next offset of each partition of a topic, and the ends that the newest run has set itself."""

    topic_id: str
    offsets: dict[int, int]
    until: RunEnds


class TimedOffsetsPosition(OffsetsPosition):
    """The next offset of each partition, and the greatest time that its records had up to there, in milliseconds since 1970."""

    reached: dict[int, int]


class ModifiedPosition(_Position):
    """The time of modification of the newest file that was taken."""

    until: Annotated[AwareDatetime, PlainSerializer(_to_seconds)]


class ShardPlace(_Position):
    """The last record that was taken from a shard."""

    sequence: Annotated[int, PlainSerializer(str)]
    arrived_at: Annotated[AwareDatetime, PlainSerializer(_to_milliseconds)]


class ShardsPosition(_Position):
    """The last record that was taken from each shard of a Kinesis stream."""

    shards: dict[str, ShardPlace]


class RecordsPosition(_Position):
    """How many records were taken from a queue, which has no order to point into."""

    records: int


_MODELS: tuple[type[_Position], ...] = (
    DaysPosition,
    ConditionalPosition,
    WatermarkPosition,
    BoundedPosition,
    WatchedPosition,
    MarksPosition,
    KeyPosition,
    ComparedKeyPosition,
    LogPosition,
    SnapshotPosition,
    OffsetsPosition,
    TimedOffsetsPosition,
    ModifiedPosition,
    ShardsPosition,
    RecordsPosition,
)
_BY_FIELDS = {frozenset(model.model_fields): model.__name__ for model in _MODELS}


def _kind(position: Any) -> str | None:
    """Names the model of a position by its fields; None when there is none."""
    return _BY_FIELDS.get(frozenset(position)) if isinstance(position, dict) else type(position).__name__


Position = Annotated[
    Annotated[DaysPosition, Tag("DaysPosition")]
    | Annotated[ConditionalPosition, Tag("ConditionalPosition")]
    | Annotated[WatermarkPosition, Tag("WatermarkPosition")]
    | Annotated[BoundedPosition, Tag("BoundedPosition")]
    | Annotated[WatchedPosition, Tag("WatchedPosition")]
    | Annotated[MarksPosition, Tag("MarksPosition")]
    | Annotated[KeyPosition, Tag("KeyPosition")]
    | Annotated[ComparedKeyPosition, Tag("ComparedKeyPosition")]
    | Annotated[LogPosition, Tag("LogPosition")]
    | Annotated[SnapshotPosition, Tag("SnapshotPosition")]
    | Annotated[OffsetsPosition, Tag("OffsetsPosition")]
    | Annotated[TimedOffsetsPosition, Tag("TimedOffsetsPosition")]
    | Annotated[ModifiedPosition, Tag("ModifiedPosition")]
    | Annotated[ShardsPosition, Tag("ShardsPosition")]
    | Annotated[RecordsPosition, Tag("RecordsPosition")],
    Discriminator(_kind),
]
AnyPosition = TypeVar("AnyPosition", bound=_Position)
