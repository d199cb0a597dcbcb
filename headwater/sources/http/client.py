"""HTTP client of one source: rate-limited, retried on transient errors, errors classified.

A source is not trusted. Its answers must be whole JSON, of bounded size, within a bounded time; redirects are not
followed; a page must not point to another host or repeat itself; and nothing secret reaches a message, a log or a repr.
Wire, clock and limits are handed in, so tests patch nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.config import AnyPaging
from headwater.errors import ExpiredTokenError, FatalSourceError, PagingError, RetriableSourceError, SourceError
from headwater.ledger.raw import to_line
from headwater.log import get_logger
from headwater.sources.http.auth import Auth
from headwater.sources.http.classify import Classify, classify_by_status
from headwater.sources.http.conditional import Condition, NotModifiedError
from headwater.sources.http.limits import Backoff, Monotonic, RateLimit, Sleep, Tries
from headwater.sources.http.messages import Answer, HttpRequest, HttpResponse, Send, shorten, url_of
from headwater.sources.http.pages import Ask, Turner
from headwater.sources.http.paging import Page, walk

_CONDITIONS = {"If-None-Match", "If-Modified-Since"}

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
        return self.ask(Ask(path, params or {}), headers).content

    def post(self, path: str, params: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Any:
        """Posts a form to a path under base_url and returns the JSON that answers it."""
        return self.ask(Ask(path, params, "POST"), headers).content

    def post_json(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Any:
        """Posts JSON to a path under base_url and returns the JSON that answers it."""
        return self.ask(Ask(path, {}, "POST", body), headers).content

    def pages(
        self,
        first: Ask,
        paging: AnyPaging,
        rows: Callable[[Any], list[Any]],
        cursor: str | None = None,
        condition: Condition | None = None,
    ) -> Iterator[Page]:
        """Reads page after page, from `cursor` if given, to the last; PagingError when paging would not end.

        `rows` finds the rows within an answer's JSON. With a condition the first page is asked for only if it has changed:
        NotModifiedError when it has not.
        """
        turner = Turner(self.name, self.base_url, first, paging, rows, self.auth.params)

        def fetch(at: str | None) -> Answer:
            if condition is None or at is not None:
                return self.ask(turner.ask(at))
            try:
                return self.ask(turner.ask(at), condition.headers)
            except NotModifiedError:
                condition.unchanged()
                raise

        try:
            for number, page in enumerate(
                walk(turner.where, fetch, lambda answer: rows(answer.content), turner.next_cursor, cursor)
            ):
                if condition and number == 0 and page.next_cursor is None:
                    condition.complete(turner.headers)
                yield page
        except PagingError as error:
            # A cursor is the source's: it may have been made of what signed the request.
            error.args = (self.auth.strike_out(str(error)),)
            raise

    def ask(self, ask: Ask, headers: Mapping[str, str] | None = None) -> Answer:
        """Tries a request until it is answered, is refused for good, or has been tried long enough."""
        where = f"{self.name}: {ask.method} {ask.path.partition('?')[0]}"
        body = None if ask.body is None else to_line(ask.body).encode()
        json = {} if body is None else {"Content-Type": "application/json"}
        given = {"Accept": "application/json", **json, **(headers or {}), **self.headers}
        flow = self.auth.flow(HttpRequest(ask.method, url_of(self.base_url, ask.path), ask.params, given, body))
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

    def _try(self, where: str, request: HttpRequest) -> Answer:
        """Sends a request once; an error says where, and has no secret in it."""
        try:
            return self._answer(request)
        except SourceError as error:
            # Struck out before it is cut: a secret cut in two would not be found.
            said = shorten(self.auth.strike_out(str(error)))
            # In place, so that an error keeps its class and whatever its source's module hung on it.
            error.args = (f"{where}: {said}",)
            raise

    def _answer(self, request: HttpRequest) -> Answer:
        path = request.url.partition("?")[0]
        limit = next((own for ending, own in self.limits.items() if path.endswith(ending)), self.limit)
        with limit:
            response = self.send(request)
        pause = self.usage(response) if self.usage else None
        if pause is not None:
            limit.pause(pause)
        if response.status == 304 and _CONDITIONS & request.headers.keys():
            raise NotModifiedError("HTTP 304: not modified")
        if 300 <= response.status < 400:
            raise FatalSourceError(
                f"HTTP {response.status} redirects to another place, which is never followed. hint: correct base_url"
            )
        error = self.classify(response)
        if error is not None:
            raise error
        return Answer(response.json(), response.headers)
