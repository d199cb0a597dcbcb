"""HTTP client of one source: rate-limited, retried on transient errors, errors classified.

A source is not trusted. Its answers must be whole JSON, of bounded size, within a bounded time; redirects are not
followed; a page must not point to another host or repeat itself; and nothing secret reaches a message, a log or a repr.
Wire, clock and limits are handed in, so tests patch nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from headwater.config import CursorPaging, OnePage
from headwater.errors import ExpiredTokenError, FatalSourceError, PagingError, RetriableSourceError, SourceError
from headwater.ledger.raw import to_line
from headwater.log import get_logger
from headwater.sources.http.auth import Auth
from headwater.sources.http.classify import Classify, classify_by_status
from headwater.sources.http.limits import Backoff, Monotonic, RateLimit, Sleep, Tries
from headwater.sources.http.messages import HttpRequest, HttpResponse, Send, dig, shorten
from headwater.sources.http.paging import Page, check_origin, walk

Usage = Callable[[HttpResponse], float | None]

log = get_logger(__name__)


@dataclass(frozen=True)
class HttpClient:
    """Gets and posts JSON under `base_url`; a path that ends as one of `limits` says has that limit instead of `limit`.

    `classify` finds the error in an answer, `usage` the seconds to pause after it. `headers` go with every request.
    """

    name: str
    base_url: str
    send: Send = field(repr=False)
    limit: RateLimit = field(repr=False)
    backoff: Backoff = field(repr=False)
    limits: Mapping[str, RateLimit] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    auth: Auth = field(default_factory=Auth, repr=False)
    classify: Classify = field(default=classify_by_status, repr=False)
    usage: Usage | None = field(default=None, repr=False)
    sleep: Sleep = field(default=time.sleep, repr=False)
    clock: Monotonic = field(default=time.monotonic, repr=False)

    def get(self, path: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> Any:
        """Gets the JSON at a path under base_url; a query that is part of the path goes out as it is."""
        return self._call("GET", path, params or {}, headers)

    def post(self, path: str, params: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Any:
        """Posts a form to a path under base_url and returns the JSON that answers it."""
        return self._call("POST", path, params, headers)

    def post_json(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Any:
        """Posts JSON to a path under base_url and returns the JSON that answers it."""
        given = {"Content-Type": "application/json", **(headers or {})}
        return self._call("POST", path, {}, given, to_line(body).encode())

    def pages(
        self,
        path: str,
        params: Mapping[str, str],
        paging: OnePage | CursorPaging,
        rows: Callable[[Any], list[Any]],
        cursor: str | None = None,
    ) -> Iterator[Page]:
        """Reads page after page by GET, from `cursor` if given, to the last; PagingError when paging would not end.

        `rows` finds the rows within an answer.
        """

        def fetch(at: str | None) -> Any:
            at_cursor = {paging.param: at} if isinstance(paging, CursorPaging) and at is not None else {}
            return self.get(path, {**params, **at_cursor})

        yield from walk(
            f"{self.name}: {path}", fetch, rows, lambda answer: self._next_cursor(path, paging, answer), cursor
        )

    def _next_cursor(self, path: str, paging: OnePage | CursorPaging, answer: Any) -> str | None:
        if isinstance(paging, OnePage):
            return None
        more = dig(answer, paging.more)
        if not more:
            return None
        if paging.more != paging.cursor and isinstance(more, str):
            check_origin(self.name, self.base_url, more)
        cursor = dig(answer, paging.cursor)
        if cursor is None or cursor == "":
            raise PagingError(
                f"{self.name}: {path}: `{paging.more}` promises another page, but `{paging.cursor}` is absent"
            )
        return str(cursor)

    def _call(
        self,
        method: Literal["GET", "POST"],
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str] | None,
        body: bytes | None = None,
    ) -> Any:
        """Tries a request until it is answered, is refused for good, or has been tried long enough."""
        where = f"{self.name}: {method} {path.partition('?')[0]}"
        url = f"{self.base_url.rstrip('/')}/{path.lstrip('/')}"
        given = {"Accept": "application/json", **(headers or {}), **self.headers}
        flow = self.auth.flow(HttpRequest(method, url, params, given, body))
        tries = Tries(self.backoff)
        signed = next(flow)
        while True:
            tries.begun += 1
            try:
                return self._try(where, signed)
            except ExpiredTokenError as expired:
                signed = flow.throw(expired)
            except RetriableSourceError as error:
                wait = tries.wait_after(error)
                log.warning(
                    "request failed, trying again",
                    request=where,
                    error=str(error).removeprefix(f"{where}: "),
                    tries=tries.begun,
                    wait_seconds=round(wait, 2),
                )
                self.sleep(wait)
                signed = next(flow)

    def _try(self, where: str, request: HttpRequest) -> Any:
        """Sends a request once; an error says where, and has no secret in it."""
        try:
            return self._answer(request)
        except SourceError as error:
            # Struck out before it is cut: a secret cut in two would not be found.
            said = shorten(self.auth.strike_out(str(error)))
            # In place, so that an error keeps its class and whatever its source's module hung on it.
            error.args = (f"{where}: {said}",)
            raise

    def _answer(self, request: HttpRequest) -> Any:
        path = request.url.partition("?")[0]
        limit = next((own for ending, own in self.limits.items() if path.endswith(ending)), self.limit)
        with limit:
            response = self.send(request)
        pause = self.usage(response) if self.usage else None
        if pause is not None:
            limit.pause(pause)
        if 300 <= response.status < 400:
            raise FatalSourceError(
                f"HTTP {response.status} redirects to another place, which is never followed. hint: correct base_url"
            )
        error = self.classify(response)
        if error is not None:
            raise error
        return response.json()
