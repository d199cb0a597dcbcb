"""The contract of every source that speaks HTTP, against its simulator."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headwater.config import HttpSource, Retry
from headwater.errors import FatalSourceError, PagingError, RetriableSourceError, SourceError, ThrottledError
from headwater.ledger.positions import DaysPosition, MarksPosition
from local import world
from local.counterparts import credentials
from local.stack import Ports, Stack
from tests.support.http_fakes import KeptFiles
from tests.support.simulators import Simulators, own_world

from .conftest import Edit, Reader, content

DAY = timedelta(days=1)
EVIL = [
    "http://evil.example",
    "http://127.0.0.1@evil.example",
    "http://127.0.0.1:1",
    "https://127.0.0.1",
    "http://169.254.169.254",
]


def attempt(reader: Reader, edit: Edit | None = None) -> tuple[SourceError | None, KeptFiles]:
    try:
        _, files = reader.read(edit=edit)
    except SourceError as error:
        return error, KeptFiles()
    return None, files


def without(row: dict[str, Any], name: str, *, retyped: Any = None, within: bool = False) -> dict[str, Any]:
    """A row less the field that becomes `name`, or with another value for it; a reader may have flattened it out of objects."""
    left: dict[str, Any] = {}
    for key, value in row.items():
        snake = re.sub(r"([A-Z])", r"_\1", key).lower()
        if isinstance(value, dict):
            left[key] = without(value, name, retyped=retyped, within=True)
        elif key != name and not (within and name.endswith(f"_{snake}")):
            left[key] = value
        elif retyped is not None:
            left[key] = retyped
    return left


def test_the_first_run_reads_every_stream_and_the_second_adds_nothing(reader: Reader) -> None:
    for stream in reader.source.streams:
        found, files = reader.read(stream)
        assert found is not None, stream
        assert files.rows, stream
        again, more = reader.read(stream, found.position_after)
        assert (again, more.files) == (None, []), stream


def test_a_run_that_starts_again_reads_the_same(reader: Reader) -> None:
    first, files = reader.read()
    second, again = reader.read()
    assert content(files) == content(again)
    assert first is not None
    assert second is not None
    assert first.position_after == second.position_after


def test_every_row_has_the_fields_that_are_declared_or_more(reader: Reader) -> None:
    for stream, declared in reader.source.streams.items():
        _, files = reader.read(stream)
        assert set(declared.raw) & set(files.learned.seen), stream
        undeclared = files.learned.changes({}, declared.raw_fields)
        assert undeclared == (), stream


def test_a_backfill_reads_its_days_and_leaves_the_position(reader: Reader) -> None:
    found, files = reader.read()
    window = (reader.today - 40 * DAY, reader.today - 10 * DAY)
    filled, some = reader.read(window=window, position=found.position_after if found else None)
    assert set(content(some)) <= set(content(files))
    if filled is not None:
        # It reaches as far as before, whatever it knows of the days that were read again.
        reaches = [
            manifest and manifest.position_after and manifest.position_after.doubted() for manifest in (filled, found)
        ]
        assert reaches[0] == reaches[1]


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "status", "status": 500, "times": 2},
        {"kind": "status", "status": 503, "times": 2},
        {"kind": "truncate", "times": 2},
        {"kind": "html", "times": 2},
        {"kind": "throttle", "seconds": 30, "times": 3},
        {"kind": "drip", "seconds": 0.2, "times": 2},
        {"kind": "empty_page", "times": 3},
        {"kind": "expire_cursor", "times": 2},
        {"kind": "report_lost", "times": 1},
        {"kind": "report_empty", "times": 1},
    ],
    ids=lambda rule: rule["kind"] + str(rule.get("status", "")),
)
def test_what_passes_costs_no_row(reader: Reader, rule: dict[str, Any]) -> None:
    _, whole = reader.read()
    reader.misbehave(**rule)
    _, files = reader.read()
    assert content(files) == content(whole)


def test_an_expired_token_is_renewed_or_needs_a_person_at_once(reader: Reader) -> None:
    _, whole = reader.read()
    reader.simulators.admin("requests", "DELETE")
    reader.misbehave("expire_token", times=1)
    refused, files = attempt(reader)
    if reader.source.auth.kind == "oauth":
        assert refused is None
        assert content(files) == content(whole)
    else:
        assert isinstance(refused, FatalSourceError)
        assert "hint" in str(refused)
        assert reader.asked() <= 2 * reader.source.rate.concurrent


@pytest.mark.parametrize(
    ("rule", "error", "most"),
    [
        ({"kind": "status", "status": 500}, RetriableSourceError, 8),
        ({"kind": "status", "status": 404}, FatalSourceError, 1),
        ({"kind": "truncate"}, FatalSourceError, 3),
        ({"kind": "html"}, FatalSourceError, 3),
        ({"kind": "throttle", "seconds": 99999}, ThrottledError, 8),
        ({"kind": "revoke"}, FatalSourceError, 2),
        ({"kind": "cursor_loop"}, PagingError, 12),
        ({"kind": "duplicate_page"}, PagingError, 24),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
def test_what_does_not_pass_is_a_named_error_after_few_requests(
    reader: Reader, rule: dict[str, Any], error: type[SourceError], most: int
) -> None:
    reader.misbehave(**rule)
    with pytest.raises(error) as caught:
        reader.read(retry=Retry(attempts=8, total_wait_seconds=900, longest_wait_seconds=300))
    requests = reader.asked()
    # Parts are read some at a time: each may be on its way when the first one fails.
    assert requests <= most * max(1, reader.source.rate.concurrent)
    assert sum(reader.waits.slept) <= 900 * max(1, reader.source.rate.concurrent) + 60
    for secret in credentials(reader.source.secret).values():
        assert secret not in str(caught.value)


def test_a_body_that_drips_ends_with_the_deadline(reader: Reader) -> None:
    reader.misbehave("drip", seconds=20)
    with pytest.raises(RetriableSourceError, match="gave up after 2 tries"):
        reader.read(timeout_seconds=0.5, retry=Retry(attempts=2))


def test_an_answer_that_does_not_come_ends_with_the_deadline(reader: Reader) -> None:
    reader.misbehave("delay", seconds=3)
    with pytest.raises(RetriableSourceError, match="no whole answer within"):
        reader.read(timeout_seconds=0.3, retry=Retry(attempts=2))


@pytest.mark.parametrize("host", EVIL)
def test_a_next_page_elsewhere_is_never_asked_for(reader: Reader, host: str) -> None:
    _, whole = reader.read()
    reader.misbehave("foreign_next", host=host)
    refused, files = attempt(reader)
    if refused is None:
        # A source whose pages are found by a cursor alone never looks at the address.
        assert content(files) == content(whole)
    else:
        assert isinstance(refused, PagingError)
        assert "was not asked for" in str(refused)


def test_unicode_arrives_as_it_was_sent(reader: Reader) -> None:
    text = "\u0645\u0631\u062d\u0628\u0627 \U0001f600 \u202eabc \u0000 \ud83d"
    _, files = reader.read(edit=lambda rows: [{**row, "note": text} for row in rows])
    assert {row["note"] for row in files.rows if "note" in row} == {text}


def test_a_row_of_five_megabytes_is_a_row(reader: Reader) -> None:
    large = "x" * 5_000_000

    def edit(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**rows[0], "note": large}, *rows[1:]]

    window = (reader.today - 3 * DAY, reader.today)
    _, files = reader.read(edit=edit, window=window)
    _, whole = reader.read(window=window)
    assert len(files.rows) == len(whole.rows)
    assert not whole.rows or any(row.get("note") == large for row in files.rows)


def test_an_empty_source_adds_nothing_and_what_comes_later_is_read(reader: Reader) -> None:
    _, whole = reader.read()
    nothing, files = reader.read(edit=lambda rows: [])
    assert files.rows == []
    position = nothing.position_after if nothing else None
    # Rows older than the window that is read again are history: a source that was empty has none of it.
    _, later = reader.read(position=position)
    assert set(content(later)) <= set(content(whole))
    assert later.rows


@pytest.mark.parametrize("told", ["new", "missing", "retyped"])
def test_a_change_of_shape_is_told_or_refused(reader: Reader, told: str) -> None:
    sent: set[str] = set()

    def note(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        sent.update(*rows)
        return rows

    _, before = reader.read(edit=note)
    known = before.learned.fields({})
    field = getattr(reader.source.streams[reader.stream].read, "field", None)
    plain = [name for name, kind in known.items() if kind in {"string", "number"} and name != field]
    # What a source's own reader adds to its rows cannot change on the way.
    name = next((name for name in plain if name in sent), plain[0])
    edits: dict[str, Edit] = {
        "new": lambda rows: [{**row, "brand_new": {"a": 1}} for row in rows],
        "missing": lambda rows: [without(row, name) for row in rows],
        "retyped": lambda rows: [without(row, name, retyped=["x"]) for row in rows],
    }
    refused, files = attempt(reader, edits[told])
    if refused is None:
        changed = {change.change for change in files.learned.changes(known, ())}
        assert told in changed


def test_a_clock_that_goes_back_takes_nothing_back(reader: Reader) -> None:
    found, _ = reader.read()
    assert found is not None
    again, files = reader.read(position=found.position_after, as_of=reader.today - 1 * DAY)
    assert (again, files.rows) == (None, [])
    ahead, _ = reader.read(position=found.position_after, as_of=reader.today + 1 * DAY)
    if ahead is not None and not isinstance(found.position_after, MarksPosition):
        assert isinstance(ahead.position_after, DaysPosition)
        assert isinstance(found.position_after, DaysPosition)
        assert ahead.position_after.until >= found.position_after.until


def test_what_is_restated_arrives_and_then_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each source's rows follow a world that moves on, and a run after that has nothing to do."""
    folder = tmp_path_factory.mktemp("moving")
    with own_world(folder) as simulators:
        _follow(simulators, folder)


def _follow(simulators: Simulators, folder: Path) -> None:
    stack = Stack(folder, replace(Ports(), simulators=int(simulators.url.rsplit(":", 1)[1])))
    project = stack.project()
    sources = [source for name in project.sources if isinstance(source := project.source(name), HttpSource)]
    positions: dict[tuple[str, str], Any] = {}
    moved = 0
    for days in (0, 2, 5):
        if days:
            world.advance(simulators.dsn, days, seed=days)
        for source in sources:
            reader = Reader(source, simulators, world.clock(simulators.dsn))
            for stream in source.streams:
                found, _ = reader.read(stream, positions.get((source.name, stream)))
                if found is None:
                    continue
                moved += bool(days)
                positions[source.name, stream] = found.position_after
                assert reader.read(stream, found.position_after)[0] is None, (source.name, stream)
    assert moved >= len(sources)
