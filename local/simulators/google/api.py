"""The Google Ads API for the shop's two customers below one manager, and the token endpoint that belongs to it."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.simulators.faults import Rule
from local.simulators.google import gaql
from local.simulators.google.messages import (
    Accounts,
    GoogleError,
    GoogleState,
    GrantError,
    Limits,
    PageToken,
    Quota,
    Tokens,
    expired,
    fingerprint,
    revoked,
)
from local.simulators.worlds import UNSEEDED, WorldReader
from local.world import google_ads
from local.world.truth import NoWorldError

VERSIONS = range(23, 27)
"""Versions of the API that are still served."""

_BODY = {
    "search": frozenset({"query", "pageToken", "pageSize", "searchSettings", "validateOnly"}),
    "searchStream": frozenset({"query"}),
}
_SETTINGS = frozenset({"omitResults", "returnTotalResultsCount"})
_ANSWERS_IN_MEMORY = 8

M = TypeVar("M", bound=BaseModel)


class Call(NamedTuple):
    """One query of one customer."""

    customer_id: int
    method: str
    """search or searchStream."""
    body: Mapping[str, Any]
    fault: str | None


class GoogleAds:
    """The API; state (tokens, limits, accounts) lives in `folder`, everything else in the world."""

    source = "google_ads"
    mount = "/google"
    kinds = frozenset({"cursor_loop", "duplicate_page", "empty_page", "expire_cursor", "expire_token", "revoke"})

    def __init__(self, worlds: WorldReader, folder: Path) -> None:
        self.kept = GoogleState(folder)
        self.quota = Quota()
        self._worlds = worlds
        self._answers: dict[tuple[str, int], list[dict[str, Any]]] = {}

    def app(self) -> Starlette:
        """The ASGI app, to be mounted at the source's base path."""
        routes = [
            Route("/token", self._grant, methods=["POST"]),
            Route("/{version}/customers:listAccessibleCustomers", self._accessible),
            Route("/{version}/customers/{customer}/googleAds:{method}", self._search, methods=["POST"]),
            Route("/{path:path}", self._unknown, methods=["GET", "POST"]),
        ]
        return Starlette(routes=routes)

    def refuse(self, rule: Rule) -> Response | None:  # noqa: ARG002 - the protocol's
        """None: how a refusal is worded depends on what was called."""
        return None

    def admin(self) -> list[Route]:
        """Switches for tokens, limits and the state of the customers."""

        async def tokens(request: Request) -> Response:
            return await self._change(request, Tokens, "tokens")

        async def limits(request: Request) -> Response:
            return await self._change(request, Limits, "limits")

        async def accounts(request: Request) -> Response:
            return await self._change(request, Accounts, "accounts")

        return [Route(f"/{view.__name__}", view, methods=["POST"]) for view in (tokens, limits, accounts)]

    async def _change(self, request: Request, model: type[M], name: str) -> Response:
        """Replaces what the body names, leaves the rest, and resets the quotas; 422 says what is wrong."""
        try:
            asked = model.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"errors": error.errors(include_context=False, include_input=False)}, 422)
        named = {field: getattr(asked, field) for field in asked.model_fields_set}
        with self.kept.lock:
            setattr(self.kept.state, name, getattr(self.kept.state, name).model_copy(update=named))
            self.kept.save()
        self.quota.reset()
        return JSONResponse({"changed": sorted(named)})

    async def _grant(self, request: Request) -> Response:
        """The token endpoint, which on the platform has a host of its own."""
        params = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        rule: Rule | None = request.scope.get("fault")
        try:
            if rule and rule.kind == "throttle":
                raise GrantError("rate_limit_exceeded", "Too many requests.", 429)
            if rule and rule.kind == "status":
                raise GrantError("internal_failure", "Token request failed.", rule.status)
            if rule and rule.kind == "revoke":
                raise GrantError("invalid_grant", "Token has been expired or revoked.")
            with self.kept.lock:
                answer = self.kept.state.tokens.grant(params, self.kept.state.limits.access_token_seconds)
                self.kept.save()
        except GrantError as error:
            return JSONResponse(error.body, error.status)
        return JSONResponse(answer)

    async def _accessible(self, request: Request) -> Response:
        """The customers that the user has access to directly: the manager, and none of those below it."""
        request_id = _request_id()
        try:
            self._enter(request)
        except GoogleError as error:
            return _answered(error.body(request_id), request_id, error.status)
        return _answered({"resourceNames": [f"customers/{google_ads.MANAGER_ID}"]}, request_id)

    async def _unknown(self, request: Request) -> Response:
        request_id = _request_id()
        error = GoogleError(f"Requested entity was not found: {request.url.path}", status=404)
        return _answered(error.body(request_id), request_id, error.status)

    async def _search(self, request: Request) -> Response:
        method, request_id = request.path_params["method"], _request_id()
        if method not in _BODY:
            return await self._unknown(request)
        try:
            answer = await run_in_threadpool(self._answer, request, await request.body(), request_id)
        except GoogleError as error:
            answer = error.body(request_id)
            return _answered([answer] if method == "searchStream" else answer, request_id, error.status)
        except NoWorldError:
            answer = GoogleError(UNSEEDED, status=503).body(request_id)
            return _answered([answer] if method == "searchStream" else answer, request_id, 503)
        return _answered(answer, request_id)

    def _enter(self, request: Request) -> None:
        """Raises GoogleError unless the caller may pass; words the refusals that were asked for."""
        rule: Rule | None = request.scope.get("fault")
        match rule.kind if rule else None:
            case "status":
                assert rule  # noqa: S101 - just matched
                raise GoogleError.of_status(rule.status)
            case "throttle":
                assert rule  # noqa: S101 - just matched
                raise GoogleError.exhausted("RESOURCE_EXHAUSTED", "Requests per account", rule.seconds)
            case "expire_token":
                raise expired()
            case "revoke":
                raise revoked()
        version = request.path_params["version"]
        if not re.fullmatch(r"v\d+", version) or int(version[1:]) not in VERSIONS:
            raise GoogleError.request(
                "UNSUPPORTED_VERSION", f"Version {version} is deprecated. Use v{VERSIONS[-1]} instead."
            )
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        with self.kept.lock:
            self.kept.state.tokens.check(token.strip() if scheme.lower() == "bearer" else "")

    def _answer(self, request: Request, content: bytes, request_id: str) -> Any:
        self._enter(request)
        rule: Rule | None = request.scope.get("fault")
        customer_id = self._customer(request)
        method = request.path_params["method"]
        call = Call(customer_id, method, _body(request, content, method), rule.kind if rule else None)
        token = call.body.get("pageToken")
        self.quota.spend(customer_id, self.kept.state.limits, operation=token is None)
        query = gaql.parse(str(call.body["query"]), self._worlds.world().clock)
        rows = self._rows(query, call)
        return self._page(query, rows, call) if method == "search" else self._chunks(query, rows, request_id)

    def _customer(self, request: Request) -> int:
        text = request.path_params["customer"]
        if not re.fullmatch(r"\d{10}", text):
            raise GoogleError.request("INVALID_CUSTOMER_ID", f"Invalid customer ID '{text}'.")
        login = request.headers.get("login-customer-id")
        if login is not None and not re.fullmatch(r"\d{10}", login):
            raise GoogleError.request("INVALID_CUSTOMER_ID", f"Invalid login-customer-id '{login}'.")
        known = {google_ads.MANAGER_ID, *(customer.customer_id for customer in google_ads.CUSTOMERS)}
        if int(text) not in known or int(login or text) != google_ads.MANAGER_ID:
            message = (
                "User doesn't have permission to access customer. Note: If you're accessing a client customer, the"
                " manager's customer id must be set in the 'login-customer-id' header."
            )
            raise GoogleError.denied("USER_PERMISSION_DENIED", message)
        if int(text) in self.kept.state.accounts.not_enabled:
            message = "The customer account can't be accessed because it is not yet enabled or has been deactivated."
            raise GoogleError.denied("CUSTOMER_NOT_ENABLED", message)
        return int(text)

    def _rows(self, query: gaql.Query, call: Call) -> list[dict[str, Any]]:
        """The rows of a query, kept for its other pages."""
        world = self._worlds.world()
        key = (fingerprint(call.customer_id, str(call.body["query"])), world.step)
        if "pageToken" in call.body and key in self._answers:
            return self._answers[key]
        rows = gaql.answer(query, call.customer_id, self._worlds.read(google_ads.read_google))
        with self.kept.lock:
            while len(self._answers) >= _ANSWERS_IN_MEMORY:
                self._answers.pop(next(iter(self._answers)))
            self._answers[key] = rows
        return rows

    def _page(self, query: gaql.Query, rows: list[dict[str, Any]], call: Call) -> dict[str, Any]:
        limits, step = self.kept.state.limits, self._worlds.world().step
        asked = fingerprint(call.customer_id, str(call.body["query"]))
        at = PageToken(asked, step, time.time(), 0)
        if call.body.get("pageToken"):
            if call.fault == "expire_cursor":
                raise GoogleError.request("EXPIRED_PAGE_TOKEN", "Page token has expired.")
            at = PageToken.decode(str(call.body["pageToken"]), asked, step, limits.page_token_seconds)
        results = [] if call.fault == "empty_page" else rows[at.offset : at.offset + limits.page_rows]
        following: PageToken | None = at._replace(offset=at.offset + limits.page_rows, made_at=time.time(), turn=0)
        if call.fault == "cursor_loop":
            following = at
        elif call.fault in {"duplicate_page", "empty_page"}:
            following = at._replace(turn=at.turn + 1)
        elif following and following.offset >= len(rows):
            following = None
        settings = call.body.get("searchSettings", {})
        page: dict[str, Any] = {"fieldMask": query.mask, "queryResourceConsumption": str(100 + len(results))}
        if results and not settings.get("omitResults"):
            page["results"] = results
        if following:
            page["nextPageToken"] = following.encode()
        if settings.get("returnTotalResultsCount"):
            page["totalResultsCount"] = str(len(rows))
        return page

    def _chunks(self, query: gaql.Query, rows: list[dict[str, Any]], request_id: str) -> list[dict[str, Any]]:
        size = self.kept.state.limits.page_rows
        shared = {"fieldMask": query.mask, "requestId": request_id}
        chunks = [{"results": rows[start : start + size], **shared} for start in range(0, len(rows), size)]
        return chunks or [shared]


def _request_id() -> str:
    return secrets.token_urlsafe(16)


def _answered(answer: Any, request_id: str, status: int = 200) -> Response:
    return JSONResponse(answer, status, {"request-id": request_id})


def _body(request: Request, content: bytes, method: str) -> dict[str, Any]:
    """The JSON of a request; raises GoogleError for everything the API does not know."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise GoogleError(f"Invalid content type: {request.headers.get('content-type')}; expected application/json.")
    try:
        body = json.loads(content)
    except ValueError as error:
        raise GoogleError("Invalid JSON payload received.") from error
    if not isinstance(body, dict):
        raise GoogleError("Invalid JSON payload received: expected an object.")
    for name in body:
        if name not in _BODY[method]:
            raise GoogleError(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    if "pageSize" in body:
        message = "Setting the page size is not supported. Search responses have a fixed page size of 10000 rows."
        raise GoogleError.request("PAGE_SIZE_NOT_SUPPORTED", message)
    for name in body.get("searchSettings", {}):
        if name not in _SETTINGS:
            raise GoogleError(
                f"Invalid JSON payload received. Unknown name \"{name}\" at 'search_settings': Cannot find field."
            )
    if not body.get("query"):
        raise GoogleError.request("REQUIRED_FIELD_MISSING", "The required field query was not present.")
    return body
