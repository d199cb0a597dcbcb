"""Every kind of paging that YAML can say gives each row once, in order, and comes to an end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from headwater.config import AnyPaging, HttpSource
from headwater.config.http_paging import Paging
from headwater.errors import PagingError
from headwater.sources.http.auth import Auth
from headwater.sources.http.messages import HttpRequest, HttpResponse
from headwater.sources.http.pages import Ask
from headwater.sources.http.paging import MAX_EMPTY_PAGES, MAX_REPEATED_PAGES
from tests.support.http_fakes import FakeSend, answer, client, source

BASE = "https://api.example.com/base/orders"

KINDS: Mapping[str, dict[str, Any]] = {
    "cursor": {"kind": "cursor", "cursor": "next.after"},
    "cursor, told apart": {"kind": "cursor", "cursor": "next.after", "more": "next.more"},
    "cursor into the body": {"kind": "cursor", "cursor": "next.after", "body": "page.after"},
    "link header": {"kind": "link_header"},
    "next url": {"kind": "next_url", "url": "next.url"},
    "next url, told apart": {"kind": "next_url", "url": "next.url", "more": "next.more"},
    "page to the last": {"kind": "page", "last": "pages"},
    "page from 0 to the last": {"kind": "page", "first": 0, "param": "p", "last": "pages"},
    "page to the total": {"kind": "page", "total": "total"},
    "page to an empty one": {"kind": "page"},
    "page into the body": {"kind": "page", "body": "page", "last": "pages"},
    "offset to the total": {"kind": "offset", "total": "total"},
    "offset to an empty page": {"kind": "offset"},
    "offset into the body": {"kind": "offset", "body": "page.skip", "total": "total"},
}
EMPTY_PAGES_END_IT = {"page to an empty one", "offset to an empty page", "offset to the total", "offset into the body"}


def declared(kind: str) -> AnyPaging:
    paging: AnyPaging = TypeAdapter(Paging).validate_python(KINDS[kind])
    return paging


class Orders:
    """Serves pages of rows in whichever way a client asks for them: by cursor, address, number or offset."""

    def __init__(self, pages: list[list[int]], first: int = 1) -> None:
        self.pages = pages
        self.rows = [row for page in pages for row in page]
        self.first = first
        self.send = FakeSend(handler=self.answer)

    def answer(self, request: HttpRequest) -> HttpResponse:
        asked = {**dict(parse_qsl(urlsplit(request.url).query)), **request.params}
        body = json.loads(request.body) if request.body else {}
        page = body.get("page", {})
        skipped = page.get("skip") if isinstance(page, dict) else None
        skipped = asked.get("offset", skipped)
        if skipped is not None:
            return self._shown(self._from(int(skipped)), None)
        number = asked.get("after") or asked.get("token") or (page.get("after") if isinstance(page, dict) else None)
        counted = asked.get("page") or asked.get("p") or (page if isinstance(page, int) else None)
        at = int(counted) - self.first if counted is not None else int(number or 0)
        rows = self.pages[at] if at < len(self.pages) else []
        return self._shown(rows, at + 1 if at + 1 < len(self.pages) else None)

    def _from(self, skipped: int) -> list[int]:
        """The rows after so many, as far as the page reaches in which they lie."""
        for page in self.pages:
            if skipped < len(page):
                return page[skipped:]
            skipped -= len(page)
        return []

    def _shown(self, rows: list[int], following: int | None) -> HttpResponse:
        more = {} if following is None else {"after": str(following), "url": f"?token={following}", "more": True}
        link = "" if following is None else f'<{BASE}?token={following}>; rel="next", <{BASE}>; rel="first"'
        last = self.first + len(self.pages) - 1
        shown = {"rows": rows, "next": more, "pages": last, "total": len(self.rows)}
        return answer(shown, **({"link": link} if link else {}))


def rows_of(content: Any) -> list[Any]:
    found: list[Any] = content["rows"]
    return found


def read_all(send: FakeSend, paging: AnyPaging, **changes: Any) -> list[Any]:
    first = (
        Ask("/orders", {"size": "5"}, "POST", {"q": "x"})
        if getattr(paging, "body", None)
        else Ask("/orders", {"size": "5"})
    )
    return [row for page in client(send, **changes).pages(first, paging, rows_of) for row in page.rows]


PAGES = st.lists(st.integers(0, 5), min_size=1, max_size=12)


def split(lengths: list[int]) -> list[list[int]]:
    rows = iter(range(sum(lengths)))
    return [[next(rows) for _ in range(length)] for length in lengths]


@pytest.mark.parametrize("kind", KINDS)
@given(lengths=PAGES)
def test_any_rows_in_any_pages_come_out_once_each_and_in_order(kind, lengths):
    pages = split([length or 1 for length in lengths] if kind in EMPTY_PAGES_END_IT else lengths)
    orders = Orders(pages, KINDS[kind].get("first", 1))
    assert read_all(orders.send, declared(kind)) == orders.rows
    assert len(orders.send.requests) <= len(pages) + kind.endswith("empty one") + kind.endswith("empty page")


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_at_all_are_one_request(kind):
    orders = Orders([[]], KINDS[kind].get("first", 1))
    assert read_all(orders.send, declared(kind)) == []
    assert len(orders.send.requests) == 1


def test_rows_that_an_empty_page_hides_are_missed_and_told():
    orders = Orders([[1, 2], [3]])
    orders.rows.append(4)
    with pytest.raises(PagingError, match="3 of 4 rows, and an empty page after them"):
        read_all(orders.send, declared("offset to the total"))


def endless(rows: Callable[[int], list[int]]) -> FakeSend:
    """Promises another page in every way there is, without end."""
    send = FakeSend()

    def reply(request: HttpRequest) -> HttpResponse:
        number = len(send.requests)
        following = {"after": f"c{number}", "url": f"{BASE}?token={number}", "more": True}
        shown = {"rows": rows(number), "next": following, "pages": 10**9, "total": 10**9}
        return answer(shown, link=f'<{BASE}?token={number}>; rel="next"')

    send.handler = reply
    return send


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_page_without_end_is_an_error(kind):
    send = endless(lambda number: [1, 2])
    with pytest.raises(PagingError, match="came again"):
        read_all(send, declared(kind))
    assert len(send.requests) == MAX_REPEATED_PAGES + 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in EMPTY_PAGES_END_IT])
def test_empty_pages_without_end_are_an_error(kind):
    send = endless(lambda number: [])
    with pytest.raises(PagingError, match="empty pages in a row"):
        read_all(send, declared(kind))
    assert len(send.requests) == MAX_EMPTY_PAGES


@pytest.mark.parametrize("kind", ["cursor", "cursor into the body", "link header", "next url"])
def test_a_page_that_points_to_itself_is_an_error(kind):
    send = FakeSend(
        handler=lambda request: answer(
            {"rows": [1], "next": {"after": "x", "url": f"{BASE}?token=x"}}, link=f'<{BASE}?token=x>; rel="next"'
        )
    )
    with pytest.raises(PagingError, match="came twice"):
        read_all(send, declared(kind))
    assert len(send.requests) == 2


@pytest.mark.parametrize("kind", ["link header", "next url"])
@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example.com/x", "http://api.example.com/base", "//evil.example.com", "https://a@api.example.com/"],
)
def test_an_address_elsewhere_is_never_asked_for(kind, elsewhere):
    send = FakeSend(answer({"rows": [1], "next": {"url": elsewhere}}, link=f'<{elsewhere}>; rel="next"'))
    with pytest.raises(PagingError, match="was not asked for"):
        read_all(send, declared(kind))


def test_a_body_is_sent_again_with_the_cursor_where_it_belongs():
    orders = Orders([[1], [2]])
    read_all(orders.send, declared("cursor into the body"))
    bodies = [json.loads(request.body or b"") for request in orders.send.requests]
    assert bodies == [{"q": "x"}, {"q": "x", "page": {"after": "1"}}]
    assert [request.params for request in orders.send.requests] == [{"size": "5"}] * 2


def test_an_address_is_followed_as_it_is_and_signed_anew():
    following = f"{BASE}?token=1&key=s3cr3t-key"
    send = FakeSend(answer({"rows": [1], "next": {"url": following}}), answer({"rows": [2], "next": {}}))
    assert read_all(send, declared("next url"), auth=Auth(params={"key": "s3cr3t-key"})) == [1, 2]
    assert send.requests[1].url == f"{BASE}?token=1"
    assert send.requests[1].params == {"key": "s3cr3t-key"}


def test_a_secret_in_a_cursor_reaches_no_message():
    send = FakeSend(handler=lambda request: answer({"rows": [1], "next": {"after": "for-s3cr3t-key"}}))
    with pytest.raises(PagingError, match="came twice") as caught:
        read_all(send, declared("cursor"), auth=Auth(params={"key": "s3cr3t-key"}))
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("cursor, told apart", {"next": {"more": True}}, "`next.after` is absent"),
        ("cursor", {"next": {"after": {"a": 1}}}, "is no cursor, but dict"),
        ("next url, told apart", {"next": {"more": True}}, "has no address"),
        ("next url", {"next": {"url": 7}}, "has no address"),
        ("page to the last", {}, "`pages` is None, not a number"),
        ("page to the total", {"total": "many"}, "`total` is 'many', not a number"),
        ("offset to the total", {"total": None}, "`total` is None, not a number"),
    ],
)
def test_an_answer_that_does_not_say_how_it_goes_on_is_an_error(kind, content, said):
    with pytest.raises(PagingError, match=said):
        read_all(FakeSend(answer({"rows": [1], **content})), declared(kind))


@pytest.mark.parametrize(
    "header", [f"<{BASE}?token=1>", "next", f'<{BASE}?token=1; rel="next"', f'<{BASE}>; rel="prev", <']
)
def test_a_link_header_that_cannot_be_read_is_an_error_and_no_end(header):
    with pytest.raises(PagingError, match="cannot be read"):
        read_all(FakeSend(answer({"rows": [1]}, link=header)), declared("link header"))


@pytest.mark.parametrize(
    "header",
    [
        '<{0}?token=1>; rel="prev next"',
        "<?token=1>; rel=Next",
        '<{0}?token=1>; title="a, <b>; rel=x"; rel="next"',
        '<{0}?page=0>; rel="prev",<{0}?token=1> ; rel = "next" , <{0}?page=9>; rel="last"',
    ],
)
def test_a_link_is_read_as_people_write_it(header):
    send = FakeSend(answer({"rows": [1]}, link=header.format(BASE)), answer({"rows": [2]}))
    assert read_all(send, declared("link header")) == [1, 2]
    assert send.requests[1].url == f"{BASE}?token=1"


def test_an_address_may_hold_what_parts_links_elsewhere():
    send = FakeSend(answer({"rows": [1]}, link=f"<{BASE}?a=1,2;b=3>; rel=next"), answer({"rows": [2]}))
    assert read_all(send, declared("link header")) == [1, 2]
    assert send.requests[1].url == f"{BASE}?a=1,2;b=3"


@pytest.mark.parametrize(
    ("paging", "said"),
    [
        ({"kind": "cursor", "cursor": "a.[b"}, "is no JMESPath"),
        ({"kind": "page", "last": "a", "total": "b"}, "leave one out"),
        ({"kind": "links"}, "'none', 'cursor', 'link_header', 'next_url', 'page', 'offset'"),
        ({"kind": "cursor", "cursor": "a", "body": "a..b"}, "pattern"),
        ({"kind": "cursor", "cursor": "a", "body": "a.b"}, "into the body of a post, and there is none"),
    ],
)
def test_a_paging_that_cannot_work_is_refused_when_it_is_loaded(paging, said):
    with pytest.raises(ValidationError, match=said):
        source(paging=paging)


def test_a_stream_that_posts_may_page_by_its_body():
    posted = source(
        paging={"kind": "cursor", "cursor": "a", "body": "a.b"}, stream={"method": "post", "body": {"q": "{since}"}}
    )
    assert isinstance(posted, HttpSource)
