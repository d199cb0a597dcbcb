"""Paging: to the last page, and never to another host or without end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.config import CursorPaging, OnePage
from headwater.errors import PagingError
from headwater.sources.http import paging
from headwater.sources.http.messages import HttpResponse
from headwater.sources.http.pages import Ask
from headwater.sources.http.paging import MAX_EMPTY_PAGES, MAX_REPEATED_PAGES
from tests.support.http_fakes import FakeSend, answer, client

CURSOR = CursorPaging(kind="cursor", cursor="paging.after", more="paging.next")


def rows_of(answer: Any) -> list[Any]:
    return answer["data"]


def page_of(rows: list[Any], after: str | None = None, following: str = "/base/orders") -> HttpResponse:
    return answer({"data": rows, "paging": {"after": after, "next": following} if after else {}})


def read_all(send: FakeSend) -> list[Any]:
    return [row for page in client(send).pages(Ask("/orders"), CURSOR, rows_of) for row in page.rows]


@given(st.lists(st.lists(st.integers(), max_size=5), min_size=1, max_size=12))
def test_any_split_into_pages_gives_the_same_rows(split):
    rows = [{"id": number} for number in range(sum(map(len, split)))]
    pages, start = [], 0
    for number, part in enumerate(split):
        last = number == len(split) - 1
        pages.append(page_of(rows[start : start + len(part)], None if last else f"c{number}"))
        start += len(part)
    send = FakeSend(*pages)
    assert read_all(send) == rows
    assert [request.params.get("after") for request in send.requests] == [
        None,
        *(f"c{n}" for n in range(len(split) - 1)),
    ]


def test_a_cursor_on_the_last_page_is_not_followed():
    send = FakeSend(answer({"data": [1], "paging": {"after": "c1"}}))
    assert read_all(send) == [1]


def test_an_empty_page_with_a_next_one_goes_on():
    assert read_all(FakeSend(page_of([], "c1"), page_of([1], "c2"), page_of([]))) == [1]


def test_a_cursor_that_comes_twice_is_an_error():
    send = FakeSend(page_of([1], "c1"), page_of([2], "c2"), page_of([3], "c1"))
    with pytest.raises(PagingError, match="'c1' came twice"):
        read_all(send)


def endless(rows: Callable[[int], list[int]]) -> FakeSend:
    send = FakeSend()
    send.handler = lambda request: page_of(rows(len(send.requests)), f"c{len(send.requests)}")
    return send


def test_endless_empty_pages_end():
    send = endless(lambda number: [])
    with pytest.raises(PagingError, match="empty pages in a row"):
        read_all(send)
    assert len(send.requests) == MAX_EMPTY_PAGES


def test_one_page_under_ever_new_cursors_ends():
    send = endless(lambda number: [1, 2])
    with pytest.raises(PagingError, match="came again under new cursors"):
        read_all(send)
    assert len(send.requests) == MAX_REPEATED_PAGES + 1


def test_ever_new_pages_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(paging, "MAX_PAGES", 30)
    send = endless(lambda number: [number])
    with pytest.raises(PagingError, match=r"30 pages and still another.*hint: .*chunk_days"):
        read_all(send)
    assert len(send.requests) == 30


def test_as_many_pages_as_there_may_be_are_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(paging, "MAX_PAGES", 2)
    assert read_all(FakeSend(page_of([1], "c1"), page_of([2]))) == [1, 2]


def test_a_promise_of_more_without_a_cursor_is_an_error():
    send = FakeSend(answer({"data": [1], "paging": {"next": "/orders?page=2"}}))
    with pytest.raises(PagingError, match=r"`paging.after` is absent"):
        read_all(send)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/base/orders?after=c1",
        "http://api.example.com/base/orders",
        "https://api.example.com:8443/base/orders",
        "https://api.example.com:99999/base/orders",
        "https://api.example.com@evil.example.com/",
        "https://user:pass@api.example.com/base/orders",
        "//evil.example.com/orders",
        "https:\\\\evil.example.com/orders",
        "https://api.example.com\\.evil.example.com/",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data/",
        "https://[",
        "https://api.example.com:x/",
    ],
)
def test_a_next_page_elsewhere_is_refused(url):
    send = FakeSend(page_of([1], "c1", url))
    with pytest.raises(PagingError, match="not at the configured origin"):
        read_all(send)
    assert len(send.requests) == 1


@given(st.text("htps:/[]@.\\?#%apiexmlcov0189\t ", max_size=30))
def test_whatever_a_next_page_is_called_it_is_at_the_origin_or_refused(url: str):
    refused = False
    try:
        paging.check_origin("shop", "https://api.example.com/base", url)
    except PagingError:
        refused = True
    host = "api.example.com" if refused else urlsplit(urljoin("https://api.example.com/base", url)).netloc
    assert host.removesuffix(":443").removesuffix(":").lower() == "api.example.com"


@pytest.mark.parametrize(
    "url",
    ["https://api.example.com/base/orders", "https://API.example.com:443/x", "/base/orders?after=c1", "?after=c1"],
)
def test_a_next_page_at_the_same_origin_is_read(url):
    assert read_all(FakeSend(page_of([1], "c1", url), page_of([2]))) == [1, 2]


def test_a_source_without_paging_is_asked_once():
    send = FakeSend(answer({"data": [1]}))
    assert [page.rows for page in client(send).pages(Ask("/orders"), OnePage(), rows_of)] == [[1]]
