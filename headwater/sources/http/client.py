"""The one HTTP client: pages, rate limit and retry are three small parts around `send`, which tests replace.

A source is met with distrust. Its answers must be whole JSON, of bounded size, within a bounded time; redirects are not
followed; a page must not point to another host or repeat itself; and nothing secret reaches a message, a log or a repr.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Literal, Protocol
from urllib.parse import SplitResult, quote, quote_plus, urljoin, urlsplit

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from headwater.config import CursorPaging, OnePage, Rate, Retry
from headwater.errors import (
    ExpiredTokenError,
    FatalSourceError,
    PagingError,
    QuotaUsedUpError,
    RetriableSourceError,
    SourceError,
    ThrottledError,
)
from headwater.ledger.raw import to_line
from headwater.log import get_logger, redact

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_EMPTY_PAGES = 100
MAX_REPEATED_PAGES = 10
MALFORMED_TRIES = 3
_CONNECT_SECONDS = 10.0
_READ_BYTES = 64 * 1024
_FIRST_BACKOFF_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 60.0
_QUOTED_BYTES = 20_000
_SAID_CHARACTERS = 500
_SHORTEST_SECRET = 4
# A window is a little longer here than at the source: two requests do not take equally long to arrive.
_MARGIN = 1.02
_PORTS = {"http": 80, "https": 443}

log = get_logger(__name__)


class MalformedAnswerError(RetriableSourceError):
    """An answer that is cut short or is no JSON; tried again a few times, then a person must look at the source."""


@dataclass(frozen=True)
class Request:
    """One request; its parameters go into the query of a GET and, without a JSON `body`, as a form into that of a POST."""

    method: Literal["GET", "POST"]
    url: str
    params: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Response:
    """One whole answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Parses the body, numbers with a fraction as Decimal; MalformedAnswerError if it is not JSON."""
        try:
            return json.loads(self.body.decode("utf-8-sig"), parse_float=Decimal, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            if self.body.lstrip()[:1] == b"<":
                raise MalformedAnswerError(
                    f"HTTP {self.status} with an HTML page instead of JSON. hint: a login or error page of something "
                    "between here and the API?"
                ) from None
            reason = error if isinstance(error, json.JSONDecodeError) else type(error).__name__
            raise MalformedAnswerError(
                f"HTTP {self.status} with {len(self.body)} bytes that are not whole JSON ({reason})"
            ) from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def dig(answer: Any, path: str) -> Any:
    """Finds what is at a dotted path within an answer; None when it is not there."""
    for key in path.split("."):
        if not isinstance(answer, Mapping):
            return None
        answer = answer.get(key)
    return answer


def shorten(text: str) -> str:
    """Cuts a text to the length of a message."""
    return text if len(text) <= _SAID_CHARACTERS else f"{text[:_SAID_CHARACTERS]}…"


Send = Callable[[Request], Response]
Fetch = Callable[[str | None], Any]
Classify = Callable[[Response], SourceError | None]
Usage = Callable[[Response], float | None]
Clock = Callable[[], float]
Sleep = Callable[[float], None]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Reads the seconds that Retry-After asks for, as a number or as a date; None if absent, past or unreadable.

    A date is measured against the answer's own Date header, so the clocks need not agree.
    """
    asked = headers.get("retry-after", "").strip()
    if asked.isdecimal():
        return float(asked)
    try:
        until, now = (parsedate_to_datetime(text) for text in (asked, headers.get("date", "")))
    except ValueError:
        return None
    aware = [moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in (until, now)]
    seconds = (aware[0] - aware[1]).total_seconds()
    return seconds if seconds > 0 else None


def classify_by_status(response: Response) -> SourceError | None:
    """Tells by status alone what an answer means: 429 and 5xx pass, other refusals need a person."""
    if response.status < 300:
        return None
    quoted = response.body[:_QUOTED_BYTES].decode("utf-8", "replace").strip()
    said = f"HTTP {response.status}: {quoted}"
    asked = retry_after(response.headers)
    if response.status == 429 or (response.status == 503 and asked is not None):
        return ThrottledError(said, asked)
    if response.status >= 500 or response.status in {408, 425}:
        return RetriableSourceError(said)
    if response.status in {401, 403}:
        hint = "hint: look at the source's secret and at what its owner may read"
        return FatalSourceError(f"HTTP {response.status} refuses these credentials. {hint}. It said: {quoted}")
    return FatalSourceError(said)


class Tokens(Protocol):
    """Short-lived access tokens, made anew when they run out; safe to share between threads."""

    def current(self) -> str:
        """A token that has not run out yet."""
        ...

    def last(self) -> str:
        """The newest token, whether it has run out or not; empty before the first."""
        ...

    def renew(self, refused: str) -> None:
        """Makes a new token unless another thread has replaced the refused one already."""
        ...


@dataclass(frozen=True)
class Credentials:
    """What proves who is asking: sent with every request, struck out of every message."""

    fixed: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    tokens: Tokens | None = field(default=None, repr=False)

    def token(self) -> str:
        """The access token for the next request; empty when it needs none."""
        return self.tokens.current() if self.tokens else ""

    def headers(self, token: str) -> dict[str, str]:
        """The headers that prove who is asking, with an access token if there is one."""
        return {**self.fixed, **({"Authorization": f"Bearer {token}"} if token else {})}

    def renew(self, refused: str) -> bool:
        """Replaces a token that was refused as run out; False when these credentials are not renewed."""
        if self.tokens is None:
            return False
        self.tokens.renew(refused)
        return True

    def strike_out(self, text: str) -> str:
        """Replaces every secret in a text, also in its URL-encoded forms, by ***."""
        last = self.tokens.last() if self.tokens else ""
        for secret in sorted({*self.secrets, *self.params.values(), last}, key=len, reverse=True):
            if len(secret) >= _SHORTEST_SECRET:
                for form in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]):
                    text = text.replace(form, "***")
        return redact(text)


class RateLimit:
    """Lets at most `calls` requests begin in any `per_seconds`, `concurrent` at a time; a block is one request.

    A log of the last `calls` beginnings, rather than a bucket that refills: a full bucket would allow nearly twice the
    calls around the moment it refills, which sources with strict windows punish.
    """

    def __init__(
        self, rate: Rate, longest_pause: float, sleep: Sleep = time.sleep, clock: Clock = time.monotonic
    ) -> None:
        self._rate = rate
        self._longest_pause = longest_pause
        self._sleep = sleep
        self._clock = clock
        self._begun: deque[float] = deque(maxlen=rate.calls)
        self._quiet_until = 0.0
        self._slots = threading.BoundedSemaphore(rate.concurrent)
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._slots.acquire()
        with self._lock:
            now = self._clock()
            begin = max(now, self._quiet_until)
            if len(self._begun) == self._rate.calls:
                begin = max(begin, self._begun[0] + self._rate.per_seconds * _MARGIN)
            self._begun.append(begin)
        if begin > now:
            self._sleep(begin - now)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._slots.release()

    def pause(self, seconds: float) -> None:
        """Lets no request begin for some seconds, at most the longest pause."""
        with self._lock:
            self._quiet_until = max(self._quiet_until, self._clock() + min(seconds, self._longest_pause))


@dataclass(frozen=True)
class Backoff:
    """Waits that double, drawn from their whole range (full jitter) and bounded in number, length and sum."""

    retry: Retry
    draw: Callable[[], float] = random.random

    def wait(self, tries: int, waited: float, asked: float | None) -> float | None:
        """Seconds to wait after so many failed tries, at least what the source asked for; None = give up."""
        left = self.retry.total_wait_seconds - waited
        if tries >= self.retry.attempts or left <= 0:
            return None
        bound = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0 ** (tries - 1))
        return min(max(self.draw() * bound, asked or 0.0), self.retry.longest_wait_seconds, left)


@dataclass(frozen=True)
class Page:
    """The rows of one page, and the cursor of the page after it; None on the last."""

    rows: list[Any]
    next_cursor: str | None


@dataclass(frozen=True)
class Client:
    """Speaks to one source: every request waits its turn, is tried again where time mends, and is understood."""

    name: str
    base_url: str
    send: Send = field(repr=False)
    limit: RateLimit = field(repr=False)
    backoff: Backoff = field(repr=False)
    limits: Mapping[str, RateLimit] = field(default_factory=dict, repr=False)
    credentials: Credentials = field(default_factory=Credentials, repr=False)
    classify: Classify = field(default=classify_by_status, repr=False)
    usage: Usage | None = field(default=None, repr=False)
    sleep: Sleep = field(default=time.sleep, repr=False)
    clock: Clock = field(default=time.monotonic, repr=False)

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

        yield from self.walk(path, fetch, rows, lambda answer: self._next_cursor(path, paging, answer), cursor)

    def walk(
        self,
        where: str,
        fetch: Fetch,
        rows: Callable[[Any], list[Any]],
        next_cursor: Callable[[Any], str | None],
        cursor: str | None = None,
    ) -> Iterator[Page]:
        """Fetches page after page, from `cursor` if given, until there is no next one; PagingError when that would not end.

        A page without rows does not end the paging, but too many in a row do, and so do pages that keep coming back under
        new cursors.
        """
        seen = {_digest(cursor)}
        contents: set[bytes] = set()
        empty = repeated = 0
        while True:
            answer = fetch(cursor)
            page = Page(rows(answer), next_cursor(answer))
            yield page
            empty = 0 if page.rows else empty + 1
            content = _digest(repr(page.rows))
            repeated += bool(page.rows) and content in contents
            contents.add(content)
            cursor = page.next_cursor
            if cursor is None:
                return
            if _digest(cursor) in seen:
                raise PagingError(f"{self.name}: {where}: cursor {cursor!r} came twice; paging would never end")
            if empty == MAX_EMPTY_PAGES:
                raise PagingError(
                    f"{self.name}: {where}: {empty} empty pages in a row and still another; paging stops here"
                )
            if repeated == MAX_REPEATED_PAGES:
                raise PagingError(
                    f"{self.name}: {where}: {repeated} pages came again under new cursors; paging stops here"
                )
            seen.add(_digest(cursor))

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
        where = f"{self.name}: {method} {path.partition('?')[0]}"

        def request(token: str) -> Request:
            return Request(
                method,
                f"{self.base_url.rstrip('/')}/{path.lstrip('/')}",
                {**params, **self.credentials.params},
                {"Accept": "application/json", **(headers or {}), **self.credentials.headers(token)},
                body,
            )

        waited = 0.0
        tries = malformed = 0
        renewed = False
        while True:
            tries += 1
            token = self.credentials.token()
            try:
                return self._answer(request(token))
            except ExpiredTokenError as expired:
                # Once: a token that is refused as soon as it is made would be renewed for ever.
                if not renewed and self.credentials.renew(token):
                    renewed = True
                    continue
                error: SourceError = expired
            except SourceError as refusal:
                error = refusal
            # Struck out first and cut then: a secret cut in two would be found no more.
            said = shorten(self.credentials.strike_out(str(error)))
            # In place, so that an error keeps its class and whatever its source's module hung on it.
            error.args = (f"{where}: {said}",)
            if not isinstance(error, RetriableSourceError) or isinstance(error, QuotaUsedUpError):
                raise error
            if isinstance(error, MalformedAnswerError):
                malformed += 1
                if malformed == MALFORMED_TRIES:
                    raise FatalSourceError(f"{where}: {said}; {malformed} times. Nothing of it was kept") from None
            asked = error.retry_after if isinstance(error, ThrottledError) else None
            wait = self.backoff.wait(tries, waited, asked)
            if wait is None:
                error.args = (f"{where}: {said} (gave up after {tries} tries and {waited:.0f} s of waiting)",)
                raise error
            log.warning(
                "request failed, trying again", request=where, error=said, tries=tries, wait_seconds=round(wait, 2)
            )
            self.sleep(wait)
            waited += wait

    def _answer(self, request: Request) -> Any:
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


def _digest(text: str | None) -> bytes:
    """A short stand-in for a cursor or a page, so that memory hardly grows with the pages."""
    return hashlib.blake2b((text or "").encode("utf-8", "surrogatepass"), digest_size=16).digest()


def check_origin(source: str, base_url: str, url: str) -> None:
    """Raises PagingError unless a URL that came out of an answer stays at the configured scheme, host and port."""
    resolved = urlsplit(urljoin(base_url, url))
    crooked = "\\" in url or any(character.isspace() or not character.isprintable() for character in url)
    try:
        stays = _origin(resolved) == _origin(urlsplit(base_url)) and "@" not in resolved.netloc and not crooked
    except ValueError:
        stays = False
    if not stays:
        raise PagingError(
            f"{source}: the next page is at {resolved.hostname!r}, not at the configured origin "
            f"{urlsplit(base_url).hostname!r}; it was not asked for"
        )


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)


class Wire:
    """Sends requests with `requests`; the whole of an answer must arrive within `timeout_seconds`.

    Raises RetriableSourceError when there is no answer in time, MalformedAnswerError when it breaks off,
    FatalSourceError when it is larger than `max_bytes` or the server's certificate does not hold.
    """

    def __init__(self, timeout_seconds: float, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._timeout_seconds = timeout_seconds
        self._max_bytes = max_bytes
        self._session = requests.Session()
        # Without an auth of its own, requests would put a matching ~/.netrc entry over the Authorization header.
        self._session.auth = _as_it_is
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=0))

    def __call__(self, request: Request) -> Response:
        """Sends one request and reads the whole answer."""
        # In real time, whatever clock waits go by: one thread's wait may jump on that while another reads a body.
        deadline = time.monotonic() + self._timeout_seconds
        in_query = request.method == "GET"
        try:
            with self._session.request(
                request.method,
                request.url,
                params=dict(request.params) if in_query else None,
                data=request.body if request.body is not None else None if in_query else dict(request.params),
                headers=dict(request.headers),
                timeout=(min(_CONNECT_SECONDS, self._timeout_seconds), self._timeout_seconds),
                allow_redirects=False,
                stream=True,
            ) as answer:
                body = self._body(answer.raw, deadline)
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Response(answer.status_code, headers, body)
        except (requests.Timeout, urllib3.exceptions.TimeoutError):
            problem: SourceError = RetriableSourceError(f"no answer within {self._timeout_seconds:g} s")
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                problem = FatalSourceError("the server's certificate does not hold")
            else:
                problem = RetriableSourceError("the encrypted connection broke off")
        except urllib3.exceptions.ProtocolError as error:
            if any("IncompleteRead" in repr(cause) for cause in error.args):
                problem = MalformedAnswerError("the body ended before its announced length")
            else:
                problem = RetriableSourceError("the connection broke off within the body")
        except urllib3.exceptions.DecodeError:
            problem = MalformedAnswerError("the body is not in its announced encoding")
        except urllib3.exceptions.HTTPError as error:
            problem = RetriableSourceError(f"the connection failed ({type(error).__name__})")
        except requests.ConnectionError as error:
            # Its text holds the URL with every parameter; its class says enough.
            problem = RetriableSourceError(f"no connection ({type(error).__name__})")
        except requests.RequestException as error:
            problem = FatalSourceError(f"the request cannot be sent ({type(error).__name__})")
        raise problem

    def _body(self, raw: urllib3.HTTPResponse, deadline: float) -> bytes:
        body = bytearray()
        # read1 returns what one packet brought: a larger read would wait out a dripping body past any deadline.
        while chunk := raw.read1(_READ_BYTES, decode_content=True):
            body += chunk
            if len(body) > self._max_bytes:
                raise FatalSourceError(
                    f"the body is larger than {self._max_bytes} bytes. hint: ask for smaller pages or ranges"
                )
            if time.monotonic() > deadline:
                raise RetriableSourceError(
                    f"the body dripped in too slowly: {len(body)} bytes within {self._timeout_seconds:g} s"
                )
        return bytes(body)

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
