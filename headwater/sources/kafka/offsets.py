"""Which offsets of a topic a batch reads: from the position to ends that stay put, or an error where they are lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headwater.config.kafka_source import Resume
from headwater.errors import LostOffsetsError
from headwater.ledger.positions import OffsetsPosition, RunEnds, TimedOffsetsPosition
from headwater.log import get_logger

Offsets = dict[int, int]
"""Offsets by partition."""
Reached = dict[int, int]
"""The greatest time that a partition's records had, in milliseconds since 1970, by partition."""
FIRST_TIME = 31_536_000_000
"""The year 1971 in milliseconds: before it there was no Kafka, and what is before it is in seconds."""
LAST_TIME = 253_402_300_799_999
"""The end of the year 9999 in milliseconds: what is beyond it is in micro- or nanoseconds."""
NO_TIME = -1
"""What a record has for a time when its producer gave none."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Topic:
    """A topic as it stands: by partition, the offset of its first record and that after its last committed one."""

    name: str
    id: str
    begins: Offsets
    ends: Offsets


@dataclass(frozen=True)
class Slice:
    """Offsets to read by partition, the ends excluded."""

    begins: Offsets
    ends: Offsets


def position_of(topic: Topic, offsets: Offsets, run_id: str, ends: Offsets, reached: Reached) -> OffsetsPosition:
    """Makes the position after a batch: the next offsets, the ends that the run has set itself, and the times reached."""
    until = RunEnds(run_id=run_id, offsets=dict(sorted(ends.items())))
    return TimedOffsetsPosition(
        topic_id=topic.id, offsets=dict(sorted(offsets.items())), until=until, reached=dict(sorted(reached.items()))
    )


def reached_before(topic: Topic, position: OffsetsPosition | None) -> Reached:
    """The times that a topic's partitions had reached at a position; none where another topic had its name, or nobody noted it."""
    if isinstance(position, TimedOffsetsPosition) and position.topic_id == topic.id:
        return dict(position.reached)
    return {}


def starts(where: str, topic: Topic, position: OffsetsPosition | None, resume: Resume | None) -> Offsets:
    """Finds the offsets to go on at; LostOffsetsError when the topic no longer has them.

    A partition that the position does not know begins at its beginning.
    """
    if position is None:
        return dict(topic.begins)
    decided: Offsets = {}
    if resume is not None and resume.topic_id == topic.id:
        decided = {int(partition): offset for partition, offset in resume.offsets.items()}
    if position.topic_id != topic.id:
        if resume is None or resume.topic_id != topic.id:
            raise LostOffsetsError(
                f"{where}: topic {topic.name} was made anew (its id was {position.topic_id}): the stored offsets mean "
                f"nothing in it. {_way_out(topic, {})}"
            )
        log.warning("resumes in a topic made anew", topic=topic.name, reason=resume.reason)
        found = topic.begins | decided
    else:
        stored = position.offsets
        added = sorted(topic.begins.keys() - stored.keys())
        if added:
            log.warning("partitions added", topic=topic.name, partitions=added)
        found = {partition: stored.get(partition, begin) for partition, begin in topic.begins.items()} | stored
        lost = {partition: found[partition] for partition in _lost(topic, found) if partition in decided}
        if lost and resume is not None:
            log.warning("resumes", topic=topic.name, lost=lost, reason=resume.reason)
            found |= {partition: decided[partition] for partition in lost}
    _refuse_lost(where, topic, found)
    return found


def _lost(topic: Topic, offsets: Offsets) -> list[int]:
    """The partitions that no longer have these offsets."""
    return [p for p, at in sorted(offsets.items()) if not topic.begins.get(p, 0) <= at <= topic.ends.get(p, -1)]


def _refuse_lost(where: str, topic: Topic, offsets: Offsets) -> None:
    lost = {partition: offsets[partition] for partition in _lost(topic, offsets)}
    if not lost:
        return
    said = "; ".join(_loss(topic, partition, at) for partition, at in lost.items())
    next_best = {
        p: topic.begins[p] if at < topic.begins[p] else topic.ends[p] for p, at in lost.items() if p in topic.ends
    }
    raise LostOffsetsError(f"{where}: topic {topic.name}: {said}. {_way_out(topic, next_best)}")


def _loss(topic: Topic, partition: int, at: int) -> str:
    if partition not in topic.ends:
        return f"partition {partition} is gone"
    if at < topic.begins[partition]:
        return (
            f"partition {partition}: records {at} to {topic.begins[partition] - 1} were deleted before they were read"
        )
    # The broker lost records, and will give their numbers to others.
    return f"partition {partition} ends at {topic.ends[partition]}, but has been read up to {at}"


def _way_out(topic: Topic, offsets: Offsets) -> str:
    """The hint that says what to declare; a person decides, and the file keeps who and why."""
    at = ", ".join(f'"{partition}": {offset}' for partition, offset in offsets.items())
    resume = f"resume: {{ topic_id: {topic.id}, offsets: {{ {at} }}, reason: … }}"
    return f"hint: find out what is missing, then go on with `{resume}` in the stream's YAML"


def frozen_ends(where: str, topic: Topic, position: OffsetsPosition | None, run_id: str) -> Offsets:
    """Finds the offsets that this run reads up to: as they were when it first looked, so a busy topic cannot keep it going."""
    until = position.until if position is not None and position.topic_id == topic.id else None
    if until is None or until.run_id != run_id:
        return dict(topic.ends)
    ends = until.offsets
    _refuse_lost(where, topic, {p: end for p, end in ends.items() if end > topic.ends.get(p, -1)})
    # A partition that was added since is read by the next run.
    return {partition: ends.get(partition, begin) for partition, begin in topic.begins.items()}


def sliced(begins: Offsets, ends: Offsets, most: int) -> Iterator[Slice]:
    """Cuts what is to be read into slices of at most `most` offsets.

    Every partition has an even share; what a short one leaves of it goes to the others.
    """
    while any(end > begins[p] for p, end in ends.items()):
        cut, room = dict(begins), most
        shortest_first = sorted(begins, key=lambda p: (ends[p] - begins[p], p))
        for number, p in enumerate(shortest_first):
            taken = min(max(0, ends[p] - begins[p]), room // (len(begins) - number))
            cut[p] += taken
            room -= taken
        yield Slice(begins, cut)
        begins = cut
