from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import FatalSourceError
from headwater.sources.jdbc.pgoutput import Change, Decoder, Values, VisibleTransactions, parse_lsn
from tests.support import pgoutput_writer as write

COLUMNS = ("id", "name", "story")
AT = datetime(2018, 1, 3, 12, 30, 15, 123456, tzinfo=UTC)
ACCOUNTS, OTHER = 16401, 16402


def decode(*messages: bytes) -> list[Change]:
    """Feeds one transaction on two relations, each message one byte further in the log."""
    decoder = Decoder("loyalty", "accounts", ("id",))
    start = [
        write.begin(AT),
        write.relation(ACCOUNTS, "loyalty", "accounts", COLUMNS),
        write.relation(OTHER, "loyalty", "closed", ("id",)),
    ]
    fed = [*start, *messages, write.commit()]
    return [change for lsn, message in enumerate(fed, 100) for change in decoder.feed(lsn, message)]


def account(number: int, name: str | None = "Ana", story: object = "long") -> dict[str, object]:
    return {"id": number, "name": name, "story": story}


def test_an_insert_has_the_rows_values_its_place_and_its_time() -> None:
    assert decode(write.insert(ACCOUNTS, account(1, "Zoë 🎁", None))) == [
        Change("insert", 103, AT, {"id": "1", "name": "Zoë 🎁", "story": None})
    ]


def test_a_delete_has_the_rows_last_values() -> None:
    [change] = decode(write.delete(ACCOUNTS, account(1)))
    assert (change.kind, change.values) == ("delete", {"id": "1", "name": "Ana", "story": "long"})


def test_a_long_value_that_an_update_leaves_alone_is_taken_from_the_row_before() -> None:
    [change] = decode(write.update(ACCOUNTS, account(1), account(1, "Eva", write.UNCHANGED)))
    assert (change.kind, change.values) == ("update", {"id": "1", "name": "Eva", "story": "long"})


def test_a_new_key_ends_the_old_row_and_begins_another() -> None:
    changes = decode(write.update(ACCOUNTS, account(1), account(2)))
    assert [(change.kind, change.values["id"]) for change in changes] == [("delete", "1"), ("insert", "2")]


def test_other_relations_of_the_publication_are_passed_over() -> None:
    assert decode(write.insert(OTHER, {"id": 1}), write.truncate(OTHER)) == []


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (write.truncate(OTHER, ACCOUNTS), "was truncated"),
        (write.delete(ACCOUNTS, account(1, None, None), kind=b"K"), "has only the row's key"),
        (write.update(ACCOUNTS, None, account(1, story=write.UNCHANGED)), "story: the log does not have the value"),
        (b"S" + bytes(5), "not of pgoutput's version 1"),
    ],
)
def test_what_would_lose_values_is_refused(message: bytes, said: str) -> None:
    with pytest.raises(FatalSourceError, match=said):
        decode(message)


_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_rows = st.dictionaries(st.integers(1, 5), st.tuples(st.none() | _text, st.none() | _text), max_size=5)


@given(st.lists(_rows, min_size=1, max_size=6))
def test_changes_replayed_by_their_place_in_the_log_give_the_table(
    states: list[dict[int, tuple[str | None, str | None]]],
) -> None:
    """A table goes from state to state; whoever keeps the newest change of each key, as silver does, has the last state."""
    messages, table = [], dict[int, tuple[str | None, str | None]]()
    for state in states:
        messages += [write.delete(ACCOUNTS, account(key, *table[key])) for key in table.keys() - state.keys()]
        for key, (name, story) in state.items():
            if key not in table:
                messages.append(write.insert(ACCOUNTS, account(key, name, story)))
            elif table[key] != (name, story):
                same = story is not None and story == table[key][1]
                new = account(key, name, write.UNCHANGED if same else story)
                messages.append(write.update(ACCOUNTS, account(key, *table[key]), new))
        table = state
    changes = decode(*messages)
    places = [change.lsn for change in changes]
    assert places == sorted(places)
    newest: dict[str | None, Values] = {}
    for change in reversed(changes):
        newest.setdefault(change.values["id"], change.values if change.kind != "delete" else {})
    alive = {int(values["id"] or 0): (values["name"], values["story"]) for values in newest.values() if values}
    assert alive == table


@given(st.integers(0, 2**64 - 1))
def test_a_place_in_the_log_reads_back(lsn: int) -> None:
    assert parse_lsn(f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}") == lsn


@given(st.integers(1 << 20, 1 << 40), st.sets(st.integers(-50, -1), max_size=5), st.integers(-100, 100))
def test_a_snapshot_has_seen_what_was_committed_before_it_also_where_numbers_wrap(
    unborn: int, running: set[int], distance: int
) -> None:
    still_open = sorted(unborn + offset for offset in running)
    oldest = min(still_open, default=unborn)
    visible = VisibleTransactions.of(f"{oldest}:{unborn}:{','.join(map(str, still_open))}")
    assert visible.has((unborn + distance) & 0xFFFFFFFF) == (distance < 0 and distance not in running)
