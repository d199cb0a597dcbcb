"""Faults on demand: rules that spoil matching requests, and a log of every request that the sources received."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
import time
from base64 import b64encode
from collections import deque
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TypeAlias
from urllib.parse import parse_qsl, quote

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

Kind: TypeAlias = Literal[
    "status",
    "delay",
    "truncate",
    "html",
    "echo",
    "drip",
    "throttle",
    "quota",
    "cursor_loop",
    "duplicate_page",
    "empty_page",
    "foreign_next",
    "expire_cursor",
    "expire_token",
    "revoke",
    "report_failed",
    "report_skipped",
    "report_late",
    "report_lost",
    "report_empty",
]

ANY_SOURCE_KINDS: frozenset[str] = frozenset(
    {"status", "delay", "truncate", "html", "echo", "drip", "throttle", "quota"}
)
"""Every source knows these; a simulator says which others have a meaning for it."""

SECRETS = frozenset({"access_token", "appsecret_proof", "client_secret", "fb_exchange_token", "input_token"})


_HTML = HTMLResponse("<!DOCTYPE html><html><body><h1>Bad gateway</h1></body></html>")


class Rule(BaseModel):
    """A fault: what goes wrong, for which requests, and how often."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    path: str = Field(default="", description="Regular expression, searched in the path below the source's base URL.")
    kind: Kind
    status: int = Field(default=500, ge=400, le=599, description="For `status` and `echo`.")
    seconds: float = Field(
        default=2.0, ge=0, description="Length of `delay`, `drip` and `quota`; wait named by `throttle`."
    )
    calls: int = Field(default=20, ge=1, description="For `quota`: requests let through in any `seconds`.")
    code: int | None = Field(
        default=None,
        description="For `throttle`: Graph error code 80000, 80004, 17 or 4; seconds of HubSpot's policy 10, 1 or 86400.",
    )
    host: str = Field(default="http://192.0.2.1", description="Scheme and host for `foreign_next`.")
    times: int | None = Field(default=None, ge=1, description="Requests to spoil; null is unlimited.")
    after: int = Field(default=0, ge=0, description="Matching requests to let through first.")

    @field_validator("path")
    @classmethod
    def _compiles(cls, path: str) -> str:
        try:
            re.compile(path)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return path


class Simulator(Protocol):
    """One simulated source: its API, and how it words what a rule asks for."""

    source: str
    """Name of the source in config/."""
    mount: str
    """Path below the simulators' address, such as `/facebook`."""
    kinds: frozenset[str]
    """Kinds of faults that have a meaning for it, besides those that every source knows."""

    def app(self) -> Starlette:
        """Builds the API."""
        ...

    def refuse(self, rule: Rule) -> Response | None:
        """Words `status`, `throttle`, `expire_token` and `revoke` as this API does; None for a kind that needs the request.

        Such a rule then reaches the API in `request.scope["fault"]`.
        """
        ...

    def admin(self) -> list[Route]:
        """Its own switches, such as tokens and limits; served below /_admin/<source>."""
        ...


class FaultRules:
    """The rules in force and the request log, shared by all sources. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._rules: dict[int, Rule] = {}
        self._seen: dict[int, int] = {}
        self._requests: deque[dict[str, Any]] = deque(maxlen=100_000)
        self._let_through: dict[Rule, deque[float]] = {}

    def add(self, rule: Rule) -> int:
        """Puts a rule in force, after those already there, and returns its number."""
        with self._lock:
            number = next(self._ids)
            self._rules[number], self._seen[number] = rule, 0
            return number

    def clear(self) -> None:
        """Ends all rules."""
        with self._lock:
            self._rules.clear()
            self._seen.clear()
            self._let_through.clear()

    def rules(self) -> list[dict[str, Any]]:
        """Rules in force, with the number of matching requests so far."""
        with self._lock:
            return [
                {"id": number, "matched": self._seen[number], **rule.model_dump()}
                for number, rule in self._rules.items()
            ]

    def match(self, source: str, path: str) -> Rule | None:
        """The first rule that spoils this request, which counts as one of its times."""
        with self._lock:
            for number, rule in self._rules.items():
                if rule.source != source or not re.search(rule.path, path):
                    continue
                self._seen[number] += 1
                turn = self._seen[number] - rule.after
                if turn > 0 and (rule.times is None or turn <= rule.times):
                    return rule
        return None

    def within_quota(self, rule: Rule) -> bool:
        """Counts a request against a quota; False, and not counted, when the quota is used up."""
        with self._lock:
            through = self._let_through.setdefault(rule, deque(maxlen=rule.calls))
            now = time.monotonic()
            if len(through) == rule.calls and now - through[0] < rule.seconds:
                return False
            through.append(now)
            return True

    def log(self, entry: dict[str, Any]) -> None:
        """Keeps one request."""
        with self._lock:
            self._requests.append(entry)

    def requests(self) -> list[dict[str, Any]]:
        """Every request since the start or the last `forget`, oldest first."""
        with self._lock:
            return list(self._requests)

    def forget(self) -> None:
        """Empties the request log."""
        with self._lock:
            self._requests.clear()


class FaultyApp:
    """ASGI middleware around one source: logs each request and spoils those that a rule asks for."""

    def __init__(self, simulator: Simulator, faults: FaultRules) -> None:
        self._app = simulator.app()
        self._simulator = simulator
        self._source = simulator.source
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        entry: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(),
            "source": self._source,
            "method": scope["method"],
            "path": path,
            "query": without_secrets(scope["query_string"].decode("latin-1")),
            "status": None,
        }

        async def logged_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry["status"] = message["status"]
            await send(message)

        self._faults.log(entry)
        rule = self._faults.match(self._source, path)
        if rule is None:
            await self._app(scope, receive, logged_send)
            return
        if rule.kind == "quota":
            if self._faults.within_quota(rule):
                await self._app(scope, receive, logged_send)
                return
            rule = rule.model_copy(update={"kind": "throttle"})
        entry["fault"] = rule.kind
        await self._spoil(rule, scope, receive, logged_send)

    async def _spoil(self, rule: Rule, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _HTML if rule.kind == "html" else self._simulator.refuse(rule)
        if rule.kind == "echo":
            answer = await _echo(rule, scope, receive)
        if answer is not None:
            await answer(scope, receive, send)
        elif rule.kind == "delay":
            await asyncio.sleep(rule.seconds)
            await self._app(scope, receive, send)
        elif rule.kind == "truncate":
            start, body = await self._answer(scope, receive)
            await send(start)
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            raise ConnectionAbortedError("cut off as asked")  # the server closes the connection
        elif rule.kind == "drip":
            start, body = await self._answer(scope, receive)
            await send(start)
            step = max(1, len(body) // 20)
            for offset in range(0, len(body), step):
                await asyncio.sleep(rule.seconds * step / max(1, len(body)))
                await send({"type": "http.response.body", "body": body[offset : offset + step], "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            scope["fault"] = rule  # a matter for the source itself
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        """The whole answer that the source would have given."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        return messages[0], b"".join(message.get("body", b"") for message in messages[1:])


async def _echo(rule: Rule, scope: Scope, receive: Receive) -> Response:
    """An error that shows what was sent, as some gateways do: headers, query and body, and all of it percent-encoded and in Base64."""
    request = Request(scope, receive)
    sent = f"{dict(request.headers)} {request.url.query} {(await request.body()).decode('latin-1')}"
    told = {"sent": sent, "encoded": quote(sent, safe=""), "base64": b64encode(sent.encode()).decode()}
    return JSONResponse({"message": f"cannot serve {sent}", **told}, rule.status)


def without_secrets(query: str) -> dict[str, str]:
    """Query parameters, with a mark where a secret was."""
    return {key: "***" if key in SECRETS else value for key, value in parse_qsl(query, keep_blank_values=True)}
