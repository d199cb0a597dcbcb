"""Conditional requests: 304 says that nothing is new, and never hides a row, whenever a run dies."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headwater.config import HttpSource
from headwater.errors import FatalSourceError
from headwater.ledger.positions import ConditionalPosition, DaysPosition
from headwater.sources.http.messages import HttpRequest, HttpResponse
from headwater.sources.http.stream import Extraction
from headwater.sources.http.stream import read as read_stream
from tests.support.http_fakes import FakeSend, KeptFiles, answer, client, source, table

TODAY = date(2018, 1, 10)
LONG_AGO, NOW = "Mon, 01 Jan 2018 00:00:00 GMT", "Wed, 10 Jan 2018 00:00:00 GMT"


def shop(**stream: Any) -> HttpSource:
    whole = {"read": {"kind": "whole", "conditional": True}, "params": {}, "path": "/sales"}
    return source(accounts=[], stream={**whole, **stream})


class Shop:
    """Answers with its rows and their version as ETag; 304 to who has that version."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.version = 0
        self.send = FakeSend(handler=self.answer)

    def change(self, rows: list[dict[str, Any]]) -> None:
        self.rows, self.version = rows, self.version + 1

    def answer(self, request: HttpRequest) -> HttpResponse:
        etag = f'"v{self.version}"'
        if request.headers.get("If-None-Match") == etag:
            return HttpResponse(304, {"etag": etag}, b"")
        return answer({"data": self.rows}, etag=etag)

    def statuses(self) -> list[int]:
        return [self.answer(request).status for request in self.send.requests]


MERGED = table(write={"kind": "merge"})


def read(
    send: FakeSend, position: DaysPosition | None = None, declared: HttpSource | None = None, days: Any = None
) -> tuple[Extraction | None, KeptFiles]:
    files = KeptFiles()
    found = read_stream(declared or shop(), "sales", MERGED, {}, files, position, TODAY, days, client(send))  # type: ignore[arg-type]
    return found, files


def in_order(rows: list[dict[str, Any]]) -> list[tuple[tuple[str, Any], ...]]:
    return sorted(tuple(sorted(row.items())) for row in rows)


def sale(number: int, amount: int = 1) -> dict[str, Any]:
    return {"id": number, "day": "2018-01-01", "amount": amount}


ROWS = st.lists(st.builds(sale, st.integers(0, 3), st.integers(0, 3)), max_size=3)
STEPS = st.lists(st.tuples(st.sampled_from(["change", "run", "dies"]), ROWS), max_size=25)


@given(STEPS)
def test_no_row_is_lost_whenever_runs_die_and_the_source_changes(steps):
    """Whoever keeps what each committed batch holds has, after a run that was committed, what the source has."""
    served = Shop([])
    position: DaysPosition | None = None
    kept: list[dict[str, Any]] = []
    for what, rows in [*steps, ("run", [])]:
        if what == "change":
            served.change(rows)
            continue
        found, files = read(served.send, position)
        if what == "dies":
            continue
        if found is not None:
            position, kept = found.position_after, files.rows
        assert in_order(kept) == in_order(served.rows)


def test_what_has_not_changed_is_not_sent_again():
    served = Shop([sale(1)])
    found, _ = read(served.send)
    assert found is not None
    assert isinstance(found.position_after, ConditionalPosition)
    assert read(served.send, found.position_after)[0] is None
    assert [request.headers.get("If-None-Match") for request in served.send.requests] == [None, '"v0"']


def test_a_validator_stays_known_while_another_account_changes():
    declared = source(
        accounts=["1", "2"],
        stream={"read": {"kind": "whole", "conditional": True}, "params": {}},
    )
    shops = {"1": Shop([sale(1)]), "2": Shop([sale(2)])}
    send = FakeSend(handler=lambda request: shops[request.url.split("/")[-2]].answer(request))
    found, _ = read(send, None, declared)
    assert found is not None
    shops["2"].change([sale(2, 5)])
    found, files = read(send, found.position_after, declared)
    assert [row["_account"] for row in files.rows] == ["2"]
    assert found is not None
    send.requests.clear()
    assert read(send, found.position_after, declared)[0] is None
    assert sorted(request.headers["If-None-Match"] for request in send.requests) == ['"v0"', '"v1"']


def test_an_answer_of_several_pages_is_always_read():
    pages = {None: ([sale(1)], "2"), "2": ([sale(2)], None)}

    def reply(request: HttpRequest) -> HttpResponse:
        assert "If-None-Match" not in request.headers
        rows, after = pages[request.params.get("after")]
        return answer({"data": rows, "after": after}, etag='"first"')

    found, files = read(FakeSend(handler=reply))
    assert len(files.rows) == 2
    assert found is not None
    assert type(found.position_after) is DaysPosition
    assert read(FakeSend(handler=reply), found.position_after)[0] is None


def test_an_answer_that_grows_by_a_page_is_read_to_its_end():
    found, _ = read(Shop([sale(1)]).send)
    assert found is not None
    send = FakeSend(answer({"data": [sale(1)], "after": "2"}, etag='"v1"'), answer({"data": [sale(2)]}, etag='"v2"'))
    _, files = read(send, found.position_after)
    assert [row["id"] for row in files.rows] == [1, 2]
    assert [request.headers.get("If-None-Match") for request in send.requests] == ['"v0"', None]


@pytest.mark.parametrize("position", [False, True])
def test_304_that_nobody_asked_for_is_an_error(position):
    """Such as in the middle of pages, where it would hide the rows of its page."""
    found, _ = read(Shop([sale(1)]).send)
    assert found is not None
    send = FakeSend(answer({"data": [sale(1)], "after": "2"}), HttpResponse(304, {}, b""))
    with pytest.raises(FatalSourceError, match="HTTP 304"):
        read(send, found.position_after if position else None)


@pytest.mark.parametrize(
    "changed",
    [{"records": "data[]"}, {"raw": ["id", "day"]}, {"path": "/other"}, {"params": {"x": "1"}}, {"flatten": {}}],
    ids=lambda changed: next(iter(changed)),
)
def test_who_reads_otherwise_reads_again(changed):
    found, _ = read(Shop([sale(1)]).send)
    assert found is not None
    send = FakeSend(answer({"data": [sale(1)]}, etag='"v0"'))
    read(send, found.position_after, shop(**changed))
    assert "If-None-Match" not in send.requests[0].headers


def test_a_backfill_reads_what_has_not_changed():
    served = Shop([sale(1)])
    found, _ = read(served.send)
    assert found is not None
    again, files = read(served.send, found.position_after, days=(TODAY, TODAY))
    assert len(files.rows) == 1
    assert again is not None
    assert isinstance(found.position_after, ConditionalPosition)
    assert again.position_after == found.position_after.doubted()
    # Silver has what the backfill found: the answer is asked for whole, and is another than is known.
    assert read(served.send, again.position_after)[0] == found


def test_a_stream_that_is_not_conditional_any_more_is_read_in_full():
    served = Shop([sale(1)])
    found, _ = read(served.send)
    assert found is not None
    served.send.requests.clear()
    assert read(served.send, found.position_after, shop(read={"kind": "whole"}))[0] is None
    assert "If-None-Match" not in served.send.requests[0].headers


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ({"etag": 'W/"x"', "last_modified": LONG_AGO, "date": NOW}, {"If-None-Match": 'W/"x"'}),
        ({"last_modified": LONG_AGO, "date": NOW}, {"If-Modified-Since": LONG_AGO}),
        # Changed as it was read, it may have changed again within the same second.
        ({"last_modified": NOW, "date": NOW}, {}),
        ({"last_modified": LONG_AGO}, {}),
        ({"last_modified": "yesterday", "date": NOW}, {}),
        ({"etag": "x"}, {}),
        ({"etag": '"a b"'}, {}),
        ({"etag": f'"{"x" * 300}"'}, {}),
        ({}, {}),
    ],
)
def test_only_a_validator_that_can_be_relied_on_is_sent(headers, sent):
    found, _ = read(FakeSend(answer({"data": [sale(1)]}, **headers)))
    assert found is not None
    send = FakeSend(answer({"data": [sale(1)]}))
    read(send, found.position_after)
    assert {name: value for name, value in send.requests[0].headers.items() if name.startswith("If-")} == sent


def test_conditional_is_for_what_is_asked_the_same_each_time():
    with pytest.raises(ValidationError, match="conditional is for method: get"):
        shop(method="post", body={})
    with pytest.raises(ValidationError, match="no such key conditional"):
        shop(read={"kind": "window", "field": "day", "history_days": 1, "conditional": True})
