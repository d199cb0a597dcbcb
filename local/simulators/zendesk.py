"""Zendesk's Support API as far as a pipeline reads it: the incremental export of tickets by cursor, and satisfaction ratings.

Contract: developer.zendesk.com, Incremental Exports, Satisfaction Ratings, Security and Authentication, Pagination.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.simulators.faults import Rule
from local.simulators.worlds import UNSEEDED, WorldReader
from local.world.truth import NoWorldError, now
from local.world.zendesk import Rating, Ticket, read_desk

EMAIL = "pipeline@shop.example.com"
API_TOKEN = "zd-local-api-token-6b1f0c"  # noqa: S105 - a simulator's
CUSTOMER_FIELD = 360_012_345_678
"""Id of the custom field that holds the shop's customer."""

_LONGEST_EXPORT = 1000
_LONGEST_PAGE = 100
_TOO_RECENT_SECONDS = 60
_FIRST_REQUESTER = 10_000_000

R = TypeVar("R")


class ZendeskError(Exception):
    """What Zendesk refuses, with its HTTP status."""

    def __init__(self, status: int, error: str, description: str = "", retry_after: int | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error, **({"description": description} if description else {})}
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    def response(self) -> Response:
        """The answer that says so."""
        return JSONResponse(self.body, self.status, self.headers)


class Place(NamedTuple):
    """Where a cursor points: after the row of this time and id; `turn` tells cursors of one place apart."""

    seconds: int
    row: int
    turn: int = 0

    def cursor(self) -> str:
        """The cursor as clients hand it back."""
        return base64.urlsafe_b64encode(f"{self.seconds}.0||{self.row}|{self.turn}".encode()).decode()

    @classmethod
    def of(cls, cursor: str) -> Place:
        """Reads a cursor; raises ZendeskError for anything that this API has not made."""
        try:
            seconds, _, row, turn = base64.urlsafe_b64decode(cursor.encode()).decode().split("|")
            return cls(int(seconds.removesuffix(".0")), int(row), int(turn))
        except (ValueError, binascii.Error) as error:
            raise ZendeskError(400, "InvalidCursor", "The cursor is not valid") from error


class Zendesk:
    """The API; every ticket comes from the world."""

    source = "zendesk"
    mount = "/zendesk"
    kinds = frozenset({"cursor_loop", "duplicate_page", "empty_page", "foreign_next", "revoke"})

    def __init__(self, worlds: WorldReader) -> None:
        self._worlds = worlds

    def app(self) -> Starlette:
        """The ASGI app, to be mounted at the source's base path."""
        return Starlette(routes=[Route("/{path:path}", self._serve, methods=["GET", "POST"])])

    def refuse(self, rule: Rule) -> Response | None:
        """Words a refusal; an API token does not expire, but may be taken back."""
        match rule.kind:
            case "status":
                return ZendeskError(rule.status, f"status {rule.status} as asked").response()
            case "throttle":
                said = "Number of allowed incremental export API requests per minute exceeded"
                return ZendeskError(429, "APIRateLimitExceeded", said, round(rule.seconds)).response()
            case "revoke":
                return _unauthenticated().response()
            case _:
                return None

    def admin(self) -> list[Route]:
        """None: there is nothing to switch."""
        return []

    async def _serve(self, request: Request) -> Response:
        try:
            return JSONResponse(await run_in_threadpool(self._answer, request))
        except ZendeskError as error:
            return error.response()
        except NoWorldError:
            return ZendeskError(503, "ServiceUnavailable", UNSEEDED).response()

    def _answer(self, request: Request) -> dict[str, Any]:
        _authenticate(request)
        if request.method != "GET":
            raise ZendeskError(405, "MethodNotAllowed")
        match request.path_params["path"].removesuffix(".json"):
            case "api/v2/incremental/tickets/cursor":
                return self._tickets(request)
            case "api/v2/satisfaction_ratings":
                return self._ratings(request)
            case _:
                raise ZendeskError(404, "InvalidEndpoint", "Not found")

    def _tickets(self, request: Request) -> dict[str, Any]:
        params = _params(request, {"start_time", "cursor", "per_page"})
        rows = self._worlds.read(read_desk).tickets
        size = _number(params, "per_page", _LONGEST_EXPORT, _LONGEST_EXPORT)
        if "cursor" in params:
            if "start_time" in params:
                raise ZendeskError(400, "InvalidParameter", "start_time and cursor cannot be combined")
            at = Place.of(params["cursor"])
        else:
            at = Place(self._start(params) - 1, 2**62)
        page, following, more = _page(
            rows, at, size, request.scope.get("fault"), lambda t: (_epoch(t.generated_at), t.ticket_id)
        )
        cursor = following.cursor()
        query = {"cursor": cursor, **({"per_page": params["per_page"]} if "per_page" in params else {})}
        return {
            "tickets": [_ticket(ticket, request) for ticket in page],
            "after_url": f"{_host(request)}{request.url.path}?{urlencode(query)}",
            "after_cursor": cursor,
            "before_url": None,
            "before_cursor": None,
            "end_of_stream": not more,
        }

    def _ratings(self, request: Request) -> dict[str, Any]:
        """Ratings that were given or changed since `start_time`."""
        params = _params(request, {"start_time", "end_time", "score", "page[size]", "page[after]"})
        if "page[size]" not in params:
            raise ZendeskError(
                400, "InvalidPaginationParameter", "this copy answers cursor pagination alone: page[size] is missing"
            )
        since = _number(params, "start_time", 0, 2**40)
        rows = [rating for rating in self._worlds.read(read_desk).ratings if _epoch(rating.updated_at) >= since]
        at = Place.of(params["page[after]"]) if "page[after]" in params else Place(0, 0)
        size = _number(params, "page[size]", _LONGEST_PAGE, _LONGEST_PAGE)
        page, following, more = _page(rows, at, size, request.scope.get("fault"), lambda r: (0, r.rating_id))
        cursor = following.cursor()
        link = f"{_host(request)}{request.url.path}?{urlencode({**params, 'page[after]': cursor})}"
        return {
            "satisfaction_ratings": [_rating(rating, request) for rating in page],
            "meta": {"has_more": more, "after_cursor": cursor, "before_cursor": at.cursor()},
            "links": {"prev": None, "next": link if more else None},
        }

    def _start(self, params: dict[str, str]) -> int:
        if "start_time" not in params:
            raise ZendeskError(400, "StartTimeMissing", "start_time is required")
        start = _number(params, "start_time", 0, 2**40)
        if start > now(self._worlds.world().clock).timestamp() - _TOO_RECENT_SECONDS:
            raise ZendeskError(422, "InvalidValue", "Too recent start_time. Use a start_time older than 60 seconds")
        return start


def _page(
    rows: Sequence[R], at: Place, size: int, rule: Rule | None, place: Callable[[R], tuple[int, int]]
) -> tuple[Sequence[R], Place, bool]:
    """The rows of a page, where the next one begins, and whether there is one; spoilt as a rule asks for."""
    left = [row for row in rows if place(row) > at[:2]]
    page, more = left[:size], len(left) > size
    following = Place(*place(page[-1])) if page else at
    match rule.kind if rule else None:
        case "cursor_loop":
            return page, at, True
        case "duplicate_page":
            return page, at._replace(turn=at.turn + 1), True
        case "empty_page":
            return [], at._replace(turn=at.turn + 1), True
        case _:
            return page, following, more


def _authenticate(request: Request) -> None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    expected = base64.b64encode(f"{EMAIL}/token:{API_TOKEN}".encode()).decode()
    if scheme.lower() != "basic" or given.strip() != expected:
        raise _unauthenticated()


def _unauthenticated() -> ZendeskError:
    return ZendeskError(401, "Couldn't authenticate you")


def _params(request: Request, known: set[str]) -> dict[str, str]:
    params = dict(request.query_params)
    for name in params:
        if name not in known:
            raise ZendeskError(400, "InvalidParameter", f"unknown parameter: {name}")
    return params


def _number(params: dict[str, str], name: str, default: int, most: int) -> int:
    text = params.get(name, str(default))
    if not text.isdecimal() or int(text) > most:
        raise ZendeskError(400, "InvalidValue", f"{name} must be a number up to {most}")
    return int(text)


def _host(request: Request) -> str:
    rule: Rule | None = request.scope.get("fault")
    if rule is not None and rule.kind == "foreign_next":
        return rule.host
    return f"{request.url.scheme}://{request.url.netloc}"


def _epoch(moment: datetime) -> int:
    return int(moment.timestamp())


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ticket(ticket: Ticket, request: Request) -> dict[str, Any]:
    custom = [{"id": CUSTOMER_FIELD, "value": str(ticket.customer_id)}, {"id": CUSTOMER_FIELD + 1, "value": None}]
    offered = "offered" if ticket.status in {"solved", "closed"} else "unoffered"
    return {
        "url": f"{request.url.scheme}://{request.url.netloc}/api/v2/tickets/{ticket.ticket_id}.json",
        "id": ticket.ticket_id,
        "external_id": str(ticket.order_id),
        "via": {"channel": ticket.channel, "source": {"from": {}, "to": {}, "rel": None}},
        "created_at": _iso(ticket.created_at),
        "updated_at": _iso(ticket.updated_at),
        "generated_timestamp": _epoch(ticket.generated_at),
        "type": ticket.kind,
        "subject": ticket.subject,
        "raw_subject": ticket.subject,
        "description": ticket.description,
        "priority": ticket.priority,
        "status": ticket.status,
        "recipient": None,
        "requester_id": _FIRST_REQUESTER + ticket.customer_id,
        "submitter_id": _FIRST_REQUESTER + ticket.customer_id,
        "assignee_id": ticket.assignee_id,
        "organization_id": None,
        "group_id": None if ticket.assignee_id is None else 8000 + ticket.assignee_id % 3,
        "collaborator_ids": [],
        "follower_ids": [],
        "email_cc_ids": [],
        "forum_topic_id": None,
        "problem_id": None,
        "has_incidents": False,
        "is_public": True,
        "due_at": None,
        "tags": list(ticket.tags),
        "custom_fields": custom,
        "fields": custom,
        "satisfaction_rating": {"score": offered},
        "sharing_agreement_ids": [],
        "custom_status_id": 1,
        "followup_ids": [],
        "ticket_form_id": 1,
        "brand_id": 1,
        "allow_channelback": False,
        "allow_attachments": True,
        "from_messaging_channel": False,
    }


def _rating(rating: Rating, request: Request) -> dict[str, Any]:
    return {
        "url": f"{request.url.scheme}://{request.url.netloc}/api/v2/satisfaction_ratings/{rating.rating_id}.json",
        "id": rating.rating_id,
        "assignee_id": 7000 + rating.ticket_id % 12,
        "group_id": 8000 + rating.ticket_id % 3,
        "requester_id": _FIRST_REQUESTER + rating.customer_id,
        "ticket_id": rating.ticket_id,
        "score": rating.score,
        "comment": rating.comment,
        "reason": rating.reason,
        "reason_code": 100 if rating.reason else 0,
        "reason_id": None,
        "created_at": _iso(rating.created_at),
        "updated_at": _iso(rating.updated_at),
    }
