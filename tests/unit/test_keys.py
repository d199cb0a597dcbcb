"""What a read by key reads, told by a set of keys that transactions take and commit."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.ledger.positions import ComparedKeyPosition, KeyPosition
from headwater.sources.keys import Keys, news

OVERLAP = 5


@dataclass
class Relation:
    """Keys that are committed, and what a reader has of them."""

    keys: set[int] = field(default_factory=set)
    position: KeyPosition | None = None
    read: set[int] = field(default_factory=set)

    def below(self, high: int) -> int | None:
        newest = sorted(key for key in self.keys if key <= high)[-OVERLAP:]
        return newest[0] - 1 if len(newest) == OVERLAP else None

    def between(self, since: int | None, high: int) -> set[int]:
        return {key for key in self.keys if key <= high and (since is None or key > since)}

    def fingerprint(self, since: int | None, high: int) -> tuple[str, str]:
        found = sorted(self.between(since, high))
        return str(len(found)), repr(found)

    def news(self) -> Keys | None:
        return news(self.position, max(self.keys, default=None), self.below, self.fingerprint)

    def pull(self) -> int:
        """Reads what is new and tells how many rows that were."""
        span = self.news()
        if span is None:
            return 0
        found = self.between(span.since, span.high)
        if found:
            self.read |= found
            self.position = span.after
        return len(found)


def test_the_first_read_takes_every_key_and_the_second_none() -> None:
    relation = Relation({-7, 0, 3})
    assert (relation.pull(), relation.read, relation.pull()) == (3, {-7, 0, 3}, 0)


def test_a_relation_without_rows_has_no_position() -> None:
    assert Relation().news() is None


def test_only_what_is_new_is_read_where_nothing_came_late() -> None:
    relation = Relation(set(range(100)))
    relation.pull()
    relation.keys |= {100, 101}
    assert (relation.pull(), relation.pull()) == (2, 0)


@pytest.mark.parametrize("more", [set(), {102}])
def test_a_key_that_was_taken_before_and_committed_after_a_read_is_read_with_the_overlap(more: set[int]) -> None:
    relation = Relation({*range(100), 101})
    relation.pull()
    relation.keys |= {100} | more
    assert relation.pull() == OVERLAP + 1 + len(more)
    assert relation.read == relation.keys
    assert relation.pull() == 0


def test_a_key_far_ahead_of_its_time_hides_nothing() -> None:
    relation = Relation({1, 2, 2**62})
    relation.pull()
    for key in range(3, 50):
        relation.keys.add(key)
        assert relation.pull() > 0
        assert relation.read == relation.keys
    assert relation.pull() == 0


def test_a_key_below_the_overlap_is_not_seen() -> None:
    relation = Relation({2 * key for key in range(100)})
    relation.pull()
    relation.keys.add(3)
    assert relation.pull() == 0


def test_the_position_never_recedes() -> None:
    relation = Relation({1, 2, 3})
    relation.pull()
    relation.keys.remove(3)
    relation.pull()
    assert relation.position is not None
    assert relation.position.key == 3
    assert relation.pull() == 0


def test_a_position_of_an_earlier_version_has_its_overlap_read_with_the_next_new_row() -> None:
    relation = Relation({1, 2, 3, 4, 5, 6, 7}, position=KeyPosition(key=7))
    assert relation.pull() == 0
    relation.keys.add(8)
    assert (relation.pull(), relation.pull()) == (OVERLAP + 1, 0)


def test_what_a_backfill_has_overtaken_is_read_again() -> None:
    relation = Relation({1, 2, 3})
    relation.pull()
    assert isinstance(relation.position, ComparedKeyPosition)
    relation.position = relation.position.doubted()
    assert (relation.pull(), relation.pull()) == (3, 0)


@settings(max_examples=500)
@given(
    st.integers(-20, 20),
    st.lists(
        st.tuples(st.sampled_from(["take", "commit", "roll back", "jump", "run", "dies"]), st.integers(0, 9)),
        max_size=40,
    ),
)
def test_every_key_is_read_once_the_database_is_quiet(first: int, acts: list[tuple[str, int]]) -> None:
    """Keys are taken in order and committed in any, some are put in by hand, and runs are made or die."""
    relation, opened, sequence = Relation(), [], first
    for act, number in acts:
        # No transaction stays open while as many rows as the overlap has are committed with higher keys.
        for key in [*opened]:
            if sum(other > key for other in relation.keys) >= OVERLAP - 1:
                opened.remove(key)
                relation.keys.add(key)
        match act:
            case "take":
                sequence += 1 + number % 3
                opened.append(sequence)
            case "commit" if opened:
                relation.keys.add(opened.pop(number % len(opened)))
            case "roll back" if opened:
                opened.pop(number % len(opened))
            case "jump" if not any(key > 2**40 for key in relation.keys):
                relation.keys.add(2**62)
            case "dies":
                relation.news()
            case "run":
                relation.pull()
    relation.keys |= {*opened}
    relation.pull()
    assert relation.read == relation.keys
    assert relation.pull() == 0
