"""Who may ask a server of the stack: programs of this machine, and no page of the web in a browser on it.

A browser sends what any page tells it to, to 127.0.0.1 as well. It says so: by the name that the page asked for, which is the page's
own even where DNS has led that name here, and by where the request came from (docs/adr/0036).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from headwater.config.address import LOOPBACK

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?")
# The first is LocalStack's, below which its clients ask for a bucket or an API by name.
_OURS = (".localhost.localstack.cloud", ".localhost")
# Of a request without a page: an address that was typed in.
_OUR_SITES = {"", "none", "same-origin"}


DECIDING = ("host", "origin", "sec-fetch-site")
"""The headers by which it is decided, which no page can choose."""


def refusal(headers: Mapping[str, str | None]) -> str | None:
    """Says why a request is refused, by its headers, in lower case; None where a program of this machine may have sent it."""
    asked = headers.get("host") or ""
    if not _is_ours(asked):
        return "this server answers to its own names alone, such as 127.0.0.1"
    origin = headers.get("origin")
    if (headers.get("sec-fetch-site") or "") not in _OUR_SITES or (origin is not None and origin != f"http://{asked}"):
        return "this server answers no page of another origin"
    return None


class Door:
    """ASGI middleware that refuses what a page of the web has sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, or answers 403."""
        told = (
            refusal({name: ",".join(Headers(scope=scope).getlist(name)) or None for name in DECIDING})
            if scope["type"] in {"http", "websocket"}
            else None
        )
        await (self._app if told is None else PlainTextResponse(told, 403))(scope, receive, send)


def _is_ours(asked: str) -> bool:
    named = _HOST.fullmatch(asked)
    host = named["name"].strip("[]").lower() if named else ""
    return host in LOOPBACK or f".{host}".endswith(_OURS)
