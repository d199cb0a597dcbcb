"""Turns pages as a declared paging says: what the next page is asked by, and where the answer says that there is one."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import jmespath

from headwater.config import (
    AnyPaging,
    CursorPaging,
    LinkHeaderPaging,
    NextUrlPaging,
    OffsetPaging,
    OnePage,
    PagePaging,
)
from headwater.errors import PagingError
from headwater.sources.http.messages import Answer, shorten, url_of
from headwater.sources.http.paging import check_origin

# By the grammar of RFC 8288: requests' own reader cuts an address at a semicolon.
_PARAM = r'\s*;\s*([^\s",;=]+)(?:\s*=\s*(?:"([^"]*)"|([^\s",;]*)))?'
_LINK = re.compile(rf"<([^<>]*)>((?:{_PARAM})*)\s*(?:,\s*|$)")


@dataclass(frozen=True)
class Ask:
    """What a page is asked by: a path under the base URL, or an address at its origin, with parameters and a JSON body."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: Literal["GET", "POST"] = "GET"
    body: Any = field(default=None, repr=False)


class Turner:
    """Turns the pages that one ask begins; `signed` are parameters that a next page's address is not taken over with.

    `where` names the pages in messages, `headers` are those of the newest answer.
    """

    def __init__(
        self,
        source: str,
        base_url: str,
        ask: Ask,
        paging: AnyPaging,
        rows: Callable[[Any], list[Any]],
        signed: Collection[str] = (),
    ) -> None:
        self.where = f"{source}: {ask.path}"
        self._source = source
        self._base_url = base_url
        self._first = ask
        self._paging = paging
        self._rows = rows
        self._signed = signed
        self._url = url_of(base_url, ask.path)
        self._number = 0
        self._so_far = 0
        self._cursor: Any = None
        self.headers: Mapping[str, str] = {}

    def ask(self, cursor: str | None) -> Ask:
        """What the page at a cursor is asked by; None is the first one."""
        match self._paging:
            case OnePage():
                return self._first
            case LinkHeaderPaging() | NextUrlPaging():
                self._url = cursor or self._url
                return self._first if cursor is None else replace(self._first, path=cursor, params={})
            case CursorPaging() as paging:
                if cursor is None:
                    return self._first
                # A number goes into a body as a number.
                return self._put(paging.param, paging.body, self._cursor if str(self._cursor) == cursor else cursor)
            case PagePaging(first=first) as paging:
                self._number = first if cursor is None else int(cursor)
                return self._put(paging.param, paging.body, self._number)
            case OffsetPaging() as paging:
                self._so_far = int(cursor or 0)
                return self._put(paging.param, paging.body, self._so_far)

    def next_cursor(self, answer: Answer) -> str | None:
        """The cursor of the page after an answer; None on the last. PagingError where there should be one and is none."""
        self.headers = answer.headers
        match self._paging:
            case OnePage():
                return None
            case CursorPaging() as paging:
                return self._after(answer.content, paging)
            case LinkHeaderPaging():
                return self._linked(answer)
            case NextUrlPaging() as paging:
                more = jmespath.search(paging.more or paging.url, answer.content)
                return self._address(jmespath.search(paging.url, answer.content), paging.url) if more else None
            case PagePaging() as paging:
                return self._page_after(answer.content, paging)
            case OffsetPaging() as paging:
                return self._offset_after(answer.content, paging)

    def _put(self, param: str, body: str | None, value: Any) -> Ask:
        if body is None:
            return replace(self._first, params={**self._first.params, param: str(value)})
        return replace(self._first, body=_within(self._first.body, body, value))

    def _after(self, content: Any, paging: CursorPaging) -> str | None:
        more = jmespath.search(paging.more or paging.cursor, content)
        if not more:
            return None
        if paging.more not in {None, paging.cursor} and isinstance(more, str):
            check_origin(self._source, self._base_url, more)
        cursor = jmespath.search(paging.cursor, content)
        if cursor is None or cursor == "":
            raise PagingError(f"{self.where}: `{paging.more}` promises another page, but `{paging.cursor}` is absent")
        if isinstance(cursor, bool) or not isinstance(cursor, str | int | Decimal):
            raise PagingError(f"{self.where}: `{paging.cursor}` is no cursor, but {type(cursor).__name__}")
        self._cursor = cursor
        return str(cursor)

    def _linked(self, answer: Answer) -> str | None:
        header = answer.headers.get("link", "").strip()
        links = list(_LINK.finditer(header))
        relations = [_relation(link[2]) for link in links]
        if None in relations or "".join(link[0] for link in links) != header:
            # Taken for no link, it would end the paging before its end.
            raise PagingError(f"{self.where}: the Link header cannot be read: {shorten(header)!r}")
        following = [link[1] for link, names in zip(links, relations, strict=True) if names and "next" in names]
        return self._address(following[0], "Link") if following else None

    def _address(self, address: Any, place: str) -> str:
        """The next page's address in full, without what signs it: that is added again."""
        if not isinstance(address, str) or not address:
            raise PagingError(f"{self.where}: another page is promised, but `{place}` has no address of it")
        check_origin(self._source, self._base_url, address)
        parts = urlsplit(urljoin(self._url, address))
        query = parse_qsl(parts.query, keep_blank_values=True)
        if any(name in self._signed for name, _ in query):
            parts = parts._replace(query=urlencode([(n, value) for n, value in query if n not in self._signed]))
        return urlunsplit(parts._replace(fragment=""))

    def _page_after(self, content: Any, paging: PagePaging) -> str | None:
        found = len(self._rows(content))
        self._so_far += found
        if paging.last is not None:
            ends = self._number >= self._count(content, paging.last)
        elif paging.total is not None:
            ends = self._so_far >= self._count(content, paging.total)
        else:
            ends = not found
        return None if ends else str(self._number + 1)

    def _offset_after(self, content: Any, paging: OffsetPaging) -> str | None:
        found = len(self._rows(content))
        total = None if paging.total is None else self._count(content, paging.total)
        if total is not None and self._so_far + found >= total:
            return None
        if found:
            return str(self._so_far + found)
        if total is not None:
            raise PagingError(f"{self.where}: {self._so_far} of {total} rows, and an empty page after them")
        return None

    def _count(self, content: Any, expression: str) -> int:
        count = jmespath.search(expression, content)
        try:
            return int(count)
        except (TypeError, ValueError, ArithmeticError):
            raise PagingError(f"{self.where}: `{expression}` is {count!r}, not a number") from None


def _relation(params: str) -> list[str] | None:
    """The names of what a link leads to, from its parameters; None when it does not say."""
    for name, quoted, plain in re.findall(_PARAM, params):
        if name.lower() == "rel":
            return str(quoted or plain).lower().split()
    return None


def _within(body: Any, path: str, value: Any) -> dict[str, Any]:
    """The body with a value at a path of keys."""
    key, _, rest = path.partition(".")
    given = body if isinstance(body, Mapping) else {}
    return {**given, key: _within(given.get(key), rest, value) if rest else value}
