from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.config.kafka_source import Resume
from headwater.errors import LostOffsetsError
from headwater.ledger.positions import OffsetsPosition
from headwater.sources.kafka.offsets import Topic, frozen_ends, position_of, reached_before, sliced, starts

WHERE = "kafka.events"


def topic(begins: dict[int, int] | None = None, ends: dict[int, int] | None = None, name: str = "one") -> Topic:
    return Topic("events", name, begins or {0: 0, 1: 0}, ends or {0: 10, 1: 20})


def position(offsets: dict[int, int], run_id: str = "r1", until: dict[int, int] | None = None) -> OffsetsPosition:
    return position_of(topic(), offsets, run_id, until or offsets, {})


def test_the_times_that_partitions_have_reached_are_those_of_the_same_topic_alone() -> None:
    noted = position_of(topic(), {0: 4}, "r1", {0: 4}, {0: 1_514_862_245_000})
    assert reached_before(topic(), noted) == {0: 1_514_862_245_000}
    assert reached_before(topic(name="another"), noted) == {}
    earlier = OffsetsPosition(topic_id="one", offsets={0: 4}, until=noted.until)
    assert reached_before(topic(), earlier) == reached_before(topic(), None) == {}


def test_the_first_run_begins_at_the_beginning() -> None:
    assert starts(WHERE, topic({0: 3, 1: 0}), None, None) == {0: 3, 1: 0}


def test_a_run_goes_on_where_the_position_is() -> None:
    assert starts(WHERE, topic(), position({0: 4, 1: 20}), None) == {0: 4, 1: 20}


def test_a_partition_that_was_added_begins_at_its_beginning() -> None:
    grown = topic({0: 0, 1: 0, 2: 0}, {0: 10, 1: 20, 2: 5})
    assert starts(WHERE, grown, position({0: 4, 1: 20}), None) == {0: 4, 1: 20, 2: 0}


def test_records_deleted_before_they_were_read_are_an_error_that_says_how_to_go_on() -> None:
    with pytest.raises(LostOffsetsError, match=r"partition 0: records 4 to 6 were deleted .* offsets: \{ \"0\": 7 \}"):
        starts(WHERE, topic({0: 7, 1: 0}), position({0: 4, 1: 20}), None)


def test_every_partition_that_lost_records_is_named_at_once() -> None:
    with pytest.raises(LostOffsetsError, match=r"partition 0: .*; partition 1: .*\{ \"0\": 7, \"1\": 9 \}"):
        starts(WHERE, topic({0: 7, 1: 9}), position({0: 4, 1: 5}), None)


def test_offsets_beyond_the_end_are_an_error() -> None:
    with pytest.raises(LostOffsetsError, match="ends at 20, but has been read up to 21"):
        starts(WHERE, topic(), position({0: 4, 1: 21}), None)


def test_a_topic_that_was_made_anew_is_an_error_even_if_the_offsets_would_fit() -> None:
    with pytest.raises(LostOffsetsError, match="was made anew"):
        starts(WHERE, topic(name="another"), position({0: 4, 1: 4}), None)


def test_a_partition_that_is_gone_is_an_error() -> None:
    with pytest.raises(LostOffsetsError, match="partition 1 is gone"):
        starts(WHERE, Topic("events", "one", {0: 0}, {0: 10}), position({0: 4, 1: 4}), None)


def test_a_person_may_say_where_to_go_on() -> None:
    resume = Resume(topic_id="one", offsets={"0": 8}, reason="retention ran out, said Ana")
    assert starts(WHERE, topic({0: 7, 1: 0}), position({0: 4, 1: 20}), resume) == {0: 8, 1: 20}


def test_what_a_person_said_skips_nothing_that_is_still_there() -> None:
    resume = Resume(topic_id="one", offsets={"0": 8}, reason="retention ran out, said Ana")
    assert starts(WHERE, topic(), position({0: 4, 1: 20}), resume) == {0: 4, 1: 20}


def test_what_a_person_said_counts_for_one_topic_id_alone() -> None:
    resume = Resume(topic_id="one", reason="made anew, said Ana")
    with pytest.raises(LostOffsetsError, match="was made anew"):
        starts(WHERE, topic(name="another"), position({0: 4, 1: 4}), resume)
    anew = Resume(topic_id="another", offsets={"1": 2}, reason="made anew, said Ana")
    assert starts(WHERE, topic(name="another"), position({0: 4, 1: 4}), anew) == {0: 0, 1: 2}


def test_a_person_cannot_go_on_where_nothing_is() -> None:
    resume = Resume(topic_id="one", offsets={"0": 5}, reason="a slip")
    with pytest.raises(LostOffsetsError, match="records 5 to 6"):
        starts(WHERE, topic({0: 7, 1: 0}), position({0: 4, 1: 20}), resume)


def test_a_run_reads_up_to_the_ends_it_saw_first() -> None:
    busy = topic(ends={0: 100, 1: 200})
    before = position({0: 5, 1: 5}, until={0: 10, 1: 20})
    assert frozen_ends(WHERE, busy, before, "r1") == {0: 10, 1: 20}
    assert frozen_ends(WHERE, busy, before, "r2") == {0: 100, 1: 200}


def test_a_partition_added_during_a_run_waits_for_the_next() -> None:
    grown = topic({0: 0, 1: 0, 2: 0}, {0: 10, 1: 20, 2: 5})
    assert frozen_ends(WHERE, grown, position({0: 5, 1: 5}, until={0: 10, 1: 20}), "r1") == {0: 10, 1: 20, 2: 0}


def test_an_end_that_the_broker_lost_during_a_run_is_an_error() -> None:
    with pytest.raises(LostOffsetsError, match="ends at 20, but has been read up to 25"):
        frozen_ends(WHERE, topic(), position({0: 5, 1: 5}, until={0: 10, 1: 25}), "r1")


@given(
    st.dictionaries(st.integers(0, 8), st.tuples(st.integers(0, 50), st.integers(0, 500)), min_size=1),
    st.integers(1, 90),
)
def test_slices_cover_every_offset_once_and_are_full(partitions: dict[int, tuple[int, int]], most: int) -> None:
    begins = {p: begin for p, (begin, _) in partitions.items()}
    ends = {p: begin + length for p, (begin, length) in partitions.items()}
    at = begins
    slices = list(sliced(begins, ends, most))
    for piece in slices:
        assert piece.begins == at
        at = piece.ends
    assert at == ends
    sizes = [sum(end - piece.begins[partition] for partition, end in piece.ends.items()) for piece in slices]
    assert all(size == most for size in sizes[:-1])
    assert all(0 < size <= most for size in sizes[-1:])


def test_no_partition_starves_behind_a_long_one() -> None:
    first = next(sliced({0: 0, 1: 0, 2: 0}, {0: 1_000_000, 1: 10, 2: 3}, 9))
    assert first.ends == {0: 3, 1: 3, 2: 3}
