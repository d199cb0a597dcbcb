"""Which offsets of a topic a batch reads: from the position to ends that stay put, or an error where they are lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headwater.config.kafka_source import Resume
from headwater.errors import LostOffsetsError
from headwater.ledger import Position
from headwater.log import get_logger

Offsets = dict[int, int]
"""Offsets by partition."""

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

    @property
    def size(self) -> int:
        """How many offsets there are; compacted topics have fewer records."""
        return sum(end - self.begins[partition] for partition, end in self.ends.items())


def position_of(topic: Topic, offsets: Offsets, run_id: str, ends: Offsets) -> Position:
    """Makes the position after a batch: the next offsets, and the ends that the run has set itself."""
    return {
        "topic_id": topic.id,
        "offsets": {str(partition): offset for partition, offset in sorted(offsets.items())},
        "until": {"run_id": run_id, "offsets": {str(partition): end for partition, end in sorted(ends.items())}},
    }


def starts(where: str, topic: Topic, position: Position | None, resume: Resume | None) -> Offsets:
    """Finds the offsets to go on at; LostOffsetsError when the topic no longer has them.

    A partition that the position does not know begins at its beginning.
    """
    if position is None:
        return dict(topic.begins)
    resumes = resume if resume is not None and resume.topic_id == topic.id else None
    if position["topic_id"] != topic.id:
        if resumes is None:
            raise LostOffsetsError(
                f"{where}: topic {topic.name} was made anew (its id was {position['topic_id']}): the stored offsets mean "
                f"nothing in it. {_way_out(topic, {})}"
            )
        log.warning("resumes in a topic made anew", topic=topic.name, reason=resumes.reason)
        return {p: _within(where, topic, p, resumes.offsets.get(str(p), begin)) for p, begin in topic.begins.items()}
    known = {int(partition): offset for partition, offset in position["offsets"].items()}
    found = {}
    for partition in sorted({*known, *topic.begins}):
        stored = known.get(partition)
        begin, end = topic.begins.get(partition), topic.ends.get(partition)
        if stored is None:
            log.warning("partition added", topic=topic.name, partition=partition)
            found[partition] = topic.begins[partition]
        elif begin is not None and end is not None and begin <= stored <= end:
            found[partition] = stored
        elif resumes is not None and str(partition) in resumes.offsets and begin is not None:
            found[partition] = _within(where, topic, partition, resumes.offsets[str(partition)])
            log.warning("resumes", topic=topic.name, partition=partition, lost=stored, reason=resumes.reason)
        else:
            raise LostOffsetsError(_loss(where, topic, partition, stored))
    return found


def _within(where: str, topic: Topic, partition: int, offset: int) -> int:
    if topic.begins[partition] <= offset <= topic.ends[partition]:
        return offset
    raise LostOffsetsError(_loss(where, topic, partition, offset))


def _loss(where: str, topic: Topic, partition: int, stored: int) -> str:
    if partition not in topic.begins:
        return f"{where}: topic {topic.name} has no partition {partition} any more. {_way_out(topic, {})}"
    begin, end = topic.begins[partition], topic.ends[partition]
    if stored < begin:
        what = f"records {stored} to {begin - 1} were deleted before they were read"
        return f"{where}: topic {topic.name}, partition {partition}: {what}. {_way_out(topic, {partition: begin})}"
    what = f"it ends at {end}, but has been read up to {stored}: the broker lost records that it will number anew"
    return f"{where}: topic {topic.name}, partition {partition}: {what}. {_way_out(topic, {partition: end})}"


def _way_out(topic: Topic, offsets: Offsets) -> str:
    """Says what to declare; a person decides, and the file keeps who and why."""
    at = ", ".join(f'"{partition}": {offset}' for partition, offset in offsets.items())
    resume = f"resume: {{ topic_id: {topic.id}, offsets: {{ {at} }}, reason: … }}"
    return f"hint: find out what is missing, then go on with `{resume}` in the stream's YAML"


def frozen_ends(where: str, topic: Topic, position: Position | None, run_id: str) -> Offsets:
    """Finds the offsets that this run reads up to: as they were when it first looked, so a busy topic cannot keep it going."""
    until = position["until"] if position is not None and position["topic_id"] == topic.id else None
    if until is None or until["run_id"] != run_id:
        return dict(topic.ends)
    ends = {int(partition): end for partition, end in until["offsets"].items()}
    for partition, end in ends.items():
        if end > topic.ends.get(partition, -1):
            raise LostOffsetsError(_loss(where, topic, partition, end))
    # A partition that was added since has its turn in the next run.
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
