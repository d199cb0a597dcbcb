"""Paging: page after page to the last, and an error where paging would not end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from headwater.errors import PagingError

MAX_EMPTY_PAGES = 100
MAX_REPEATED_PAGES = 10
# More than any job has the time for: without it only the job's timeout and the disk would end new pages without end.
MAX_PAGES = 100_000
_PORTS = {"http": 80, "https": 443}

Fetch = Callable[[str | None], Any]


@dataclass(frozen=True)
class Page:
    """The rows of one page, and the cursor of the page after it; None on the last."""

    rows: list[Any]
    next_cursor: str | None


def walk(
    where: str,
    fetch: Fetch,
    rows: Callable[[Any], list[Any]],
    next_cursor: Callable[[Any], str | None],
    cursor: str | None = None,
) -> Iterator[Page]:
    """Fetches page after page, from `cursor` if given, until there is no next one; PagingError when that would not end.

    A page without rows does not end the paging, but too many in a row do, and so do pages that keep coming back under
    new cursors, and more pages than anybody waits for. `rows` finds the rows within an answer, `next_cursor` the cursor of
    the page after it.
    """
    seen = {_digest(cursor)}
    contents: set[bytes] = set()
    empty = repeated = 0
    for number in count(1):
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
            raise PagingError(f"{where}: cursor {cursor!r} came twice; paging would never end")
        if empty == MAX_EMPTY_PAGES:
            raise PagingError(f"{where}: {empty} empty pages in a row and still another; paging stops here")
        if repeated == MAX_REPEATED_PAGES:
            raise PagingError(f"{where}: {repeated} pages came again under new cursors; paging stops here")
        if number == MAX_PAGES:
            raise PagingError(
                f"{where}: {number} pages and still another; paging stops here. "
                "hint: ask for larger pages, or for fewer days at a time by chunk_days"
            )
        seen.add(_digest(cursor))


def _digest(text: str | None) -> bytes:
    """A short stand-in for a cursor or a page, so that memory hardly grows with the pages."""
    return hashlib.blake2b((text or "").encode("utf-8", "surrogatepass"), digest_size=16).digest()


def check_origin(source: str, base_url: str, url: str) -> None:
    """Raises PagingError unless a URL that came out of an answer stays at the configured scheme, host and port."""
    malformed = "\\" in url or any(character.isspace() or not character.isprintable() for character in url)
    configured = urlsplit(base_url)
    host: str | None = None
    try:
        resolved = urlsplit(urljoin(base_url, url))
        host = resolved.hostname
        stays = _origin(resolved) == _origin(configured) and "@" not in resolved.netloc and not malformed
    except ValueError:
        stays = False
    if not stays:
        raise PagingError(
            f"{source}: the next page is at {host!r}, not at the configured origin {configured.hostname!r}; "
            "it was not asked for"
        )


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)
