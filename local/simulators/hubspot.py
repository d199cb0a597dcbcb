"""HubSpot's CRM API for the shop: contacts, deals, their associations and the archive, in its dated and its legacy paths."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from psycopg.rows import dict_row
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.simulators.faults import Rule
from local.simulators.kept import Kept
from local.simulators.worlds import UNSEEDED, WorldReader
from local.world.dice import draw
from local.world.truth import Connection, NoWorldError, now, read_world

CLIENT_ID = "0d1b8b3c-local"
CLIENT_SECRET = "local-hubspot-secret"  # noqa: S105 - good for nothing but the simulator
REFRESH_TOKEN = "na1-local-refresh"  # noqa: S105 - as above
SERVICE_KEY = "pat-na1-local-service-key"
TOKEN_SECONDS = 1800
RESTORABLE = timedelta(days=90)

CONTACTS_SCOPE = "crm.objects.contacts.read"
DEALS_SCOPE = "crm.objects.deals.read"

_DATED = ("2026-03", "2026-09")
_OBJECTS = re.compile(rf"crm/(?:objects/(?:{'|'.join(_DATED)})|v3/objects)/(contacts|deals)(/search|/batch/read)?")
_ASSOCIATIONS = re.compile(rf"crm/(?:associations/(?:{'|'.join(_DATED)})|v4/associations)/(\w+)/(\w+)/batch/read")
_TOKEN = re.compile(rf"oauth/(?:{'|'.join(_DATED)})/token")

_LIST_LIMIT = 100
_SEARCH_LIMIT = 200
_BATCH_LIMIT = 100
_GROUPS = 5
_FILTERS = 6
_MODIFIED = {"contacts": "lastmodifieddate", "deals": "hs_lastmodifieddate"}
_SHOWN = {
    "contacts": ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
    "deals": (
        "amount",
        "closedate",
        "createdate",
        "dealname",
        "dealstage",
        "hs_lastmodifieddate",
        "hs_object_id",
        "pipeline",
    ),
}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "EQ": lambda left, right: left == right,
    "GT": lambda left, right: left > right,
    "GTE": lambda left, right: left >= right,
    "LT": lambda left, right: left < right,
    "LTE": lambda left, right: left <= right,
}


class HubSpotError(Exception):
    """An error as HubSpot words it."""

    def __init__(self, status: int, category: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.headers: dict[str, str] = {}
        self._body = {
            "status": "error",
            "message": message,
            "correlationId": hashlib.blake2b(message.encode(), digest_size=16).hexdigest(),
            "category": category,
            **more,
        }

    @classmethod
    def throttled(cls, policy: str, retry_after: float | None = None) -> HubSpotError:
        """Too many calls for one of the three policies; HubSpot names no wait unless told to."""
        said = f"You have reached your {policy.lower()} limit."
        error = cls(429, "RATE_LIMITS", said, errorType="RATE_LIMIT", policyName=policy)
        if retry_after:
            error.headers["Retry-After"] = str(round(retry_after))
        return error

    @classmethod
    def expired(cls) -> HubSpotError:
        """The token was good once."""
        return cls(401, "EXPIRED_AUTHENTICATION", "The OAuth token used to make this call expired 5 minute(s) ago.")

    @classmethod
    def invalid(cls, message: str) -> HubSpotError:
        """The request itself is wrong."""
        return cls(400, "VALIDATION_ERROR", message, errors=[{"message": message, "in": "request"}])

    def response(self) -> Response:
        """The error as it goes over the wire."""
        return JSONResponse(self._body, self.status, self.headers)


class Switches(BaseModel):
    """What HubSpot allows, and how it stands; the admin endpoint can change each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calls_per_ten_seconds: int = Field(
        110, ge=1, description="For an app that comes with OAuth; searches do not count."
    )
    calls_per_day: int = Field(1_000_000, ge=1)
    searches_per_second: int = Field(5, ge=1)
    search_cap: int = Field(10_000, ge=1, description="Results that the pages of one search reach.")
    page_rows: int = Field(200, ge=1, description="Rows on a page at most, whatever `limit` asks for.")
    index_lag_seconds: int = Field(0, ge=0, description="Changes so short ago by the world's clock are not found yet.")
    longest_query: int = Field(
        8_000, ge=1, description="Characters of a URL's query; a longer one is refused with 414."
    )
    association_page: int = Field(500, ge=1, description="Associations of one object in one answer.")
    token_seconds: int = Field(TOKEN_SECONDS, ge=0, description="Life of the access tokens given out from now on.")
    rotate: bool = Field(True, description="Each refresh gives a new refresh token; its first use ends the older ones.")
    scopes: tuple[str, ...] = (CONTACTS_SCOPE, DEALS_SCOPE)
    poisoned_ids: tuple[int, ...] = Field((), description="Deals whose id fails a whole batch of associations.")


class State(BaseModel):
    """What outlives a restart."""

    switches: Switches = Switches()
    access_tokens: dict[str, float] = Field({}, description="Unix time at which each expires.")
    refresh_tokens: list[str] = Field([], description="Those given out that are still good, oldest first.")


class Thing(NamedTuple):
    """A contact or a deal."""

    number: int
    properties: dict[str, str | None]
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


@dataclass(frozen=True)
class Crm:
    """Everything the API tells of, at one clock; rows in order of their ids."""

    clock: datetime
    things: dict[str, list[Thing]]
    contacts_of: dict[int, list[int]]

    def listed(self, kind: str, *, archived: bool) -> list[Thing]:
        """Rows that are live, or archived and not forgotten yet."""
        if archived:
            return [t for t in self.things[kind] if t.archived_at and t.archived_at > self.clock - RESTORABLE]
        return [t for t in self.things[kind] if t.archived_at is None]


class HubSpot:
    """The API; tokens and switches live in `folder`, everything else in the world."""

    source = "hubspot"
    mount = "/hubspot"
    kinds = frozenset({"cursor_loop", "duplicate_page", "empty_page", "foreign_next", "expire_token", "revoke"})

    def __init__(self, worlds: WorldReader, folder: Path) -> None:
        self._worlds = worlds
        self._kept = Kept(State, folder, self.source)
        self._calls: deque[float] = deque()
        self._searches: deque[float] = deque()
        self._today = 0

    def app(self) -> Starlette:
        """The ASGI app, to be mounted at the source's base path."""
        return Starlette(routes=[Route("/{path:path}", self._serve, methods=["GET", "POST"])])

    def refuse(self, rule: Rule) -> Response | None:
        """Words a refusal; `code` of a throttle is the length of its policy in seconds: 10, 1 or 86400."""
        match rule.kind:
            case "status":
                category = "VALIDATION_ERROR" if rule.status < 500 else "INTERNAL_ERROR"
                return HubSpotError(rule.status, category, f"status {rule.status} as asked").response()
            case "throttle":
                policy = {1: "SECONDLY", 86_400: "DAILY"}.get(rule.code or 10, "TEN_SECONDLY_ROLLING")
                return HubSpotError.throttled(policy, rule.seconds).response()
            case _:
                return None

    def admin(self) -> list[Route]:
        """POST /switches changes what it names; POST /reset forgets tokens, switches and counted calls."""
        return [
            Route("/switches", self._switch, methods=["POST"]),
            Route("/reset", self._reset, methods=["POST"]),
        ]

    async def _switch(self, request: Request) -> JSONResponse:
        with self._kept.lock:
            try:
                asked = Switches.model_validate_json(await request.body())
            except ValidationError as error:
                return JSONResponse({"errors": error.errors(include_context=False, include_input=False)}, 422)
            named = {name: getattr(asked, name) for name in asked.model_fields_set}
            self._kept.state.switches = self._kept.state.switches.model_copy(update=named)
            self._forget_calls()
            self._kept.save()
        return JSONResponse({"changed": sorted(named)})

    async def _reset(self, _: Request) -> JSONResponse:
        with self._kept.lock:
            self._kept.state = State()
            self._forget_calls()
            self._kept.save()
        return JSONResponse({})

    async def _serve(self, request: Request) -> Response:
        body = await request.body()
        try:
            return await run_in_threadpool(self._answer, request, body)
        except HubSpotError as error:
            return error.response()
        except NoWorldError:
            return HubSpotError(503, "SERVICE_UNAVAILABLE", UNSEEDED).response()

    def _answer(self, request: Request, body: bytes) -> Response:
        path = request.path_params["path"]
        rule = request.scope.get("fault")
        fault = rule.kind if rule else None
        if _TOKEN.fullmatch(path) and request.method == "POST":
            return JSONResponse(self._grant(dict(parse_qsl(body.decode())), fault))
        objects, associations = _OBJECTS.fullmatch(path), _ASSOCIATIONS.fullmatch(path)
        method = "GET" if objects and objects[2] is None else "POST"
        if (objects or associations) is None:
            raise HubSpotError(404, "OBJECT_NOT_FOUND", f"resource not found: /{path}")
        if request.method != method:
            raise HubSpotError(405, "METHOD_NOT_ALLOWED", f"HTTP {request.method} is not allowed here")
        is_oauth = self._authenticate(request, fault)
        kinds = (objects[1],) if objects else associations.groups() if associations else ()
        self._check_scopes(kinds)
        if objects and objects[2] == "/search":
            self._count_search()
            return JSONResponse(self._search(objects[1], _read_json(body), rule))
        headers = self._count_call(is_oauth)
        if len(request.url.query) > self._kept.state.switches.longest_query:
            raise HubSpotError(414, "URI_TOO_LONG", "URI Too Long")
        if objects and objects[2] is None:
            answer, status = self._list(objects[1], request, rule), 200
        elif objects:
            archived = request.query_params.get("archived") == "true"
            answer, status = self._batch(objects[1], _read_json(body), archived=archived)
        else:
            answer, status = self._associations(kinds, _read_json(body))
        return JSONResponse(answer, status, headers)

    # Credentials and limits

    def _grant(self, form: Mapping[str, str], fault: str | None) -> dict[str, Any]:
        """Sells an access token for a refresh token; under `expire_token` one that has run out already."""
        with self._kept.lock:
            state, asked = self._kept.state, form.get("refresh_token", "")
            if form.get("grant_type") != "refresh_token":
                raise HubSpotError(400, "VALIDATION_ERROR", "grant_type must be refresh_token", error="invalid_request")
            if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
                raise HubSpotError(400, "VALIDATION_ERROR", "missing or unknown client id", error="invalid_client")
            # That of the installation stays good for ever: deploying again puts it back into the secret.
            if asked not in (REFRESH_TOKEN, *state.refresh_tokens) or fault == "revoke":
                said = "missing or invalid refresh token"
                raise HubSpotError(400, "VALIDATION_ERROR", said, error="invalid_grant", error_description=said)
            if asked != REFRESH_TOKEN:
                # A token that was rotated away stays good until its successor is used: an answer may get lost.
                state.refresh_tokens = state.refresh_tokens[state.refresh_tokens.index(asked) :]
            if state.switches.rotate:
                asked = f"na1-{secrets.token_hex(12)}"
                state.refresh_tokens.append(asked)
            access = f"CP-{secrets.token_hex(24)}"
            life = 0 if fault == "expire_token" else state.switches.token_seconds
            state.access_tokens = {token: end for token, end in state.access_tokens.items() if end > time.time() - 3600}
            state.access_tokens[access] = time.time() + life
            self._kept.save()
        return {
            "token_type": "bearer",
            "refresh_token": asked,
            "access_token": access,
            "expires_in": TOKEN_SECONDS if fault == "expire_token" else life,
            "hub_id": 4711,
            "scopes": list(state.switches.scopes),
        }

    def _authenticate(self, request: Request, fault: str | None) -> bool:
        """Whether the caller came with OAuth rather than with a service key; raises HubSpotError if with neither."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if fault == "expire_token":
            raise HubSpotError.expired()
        with self._kept.lock:
            expires_at = self._kept.state.access_tokens.get(token)
        if kind != "Bearer" or fault == "revoke" or (token != SERVICE_KEY and expires_at is None):
            raise HubSpotError(401, "INVALID_AUTHENTICATION", "Authentication credentials not found or not valid.")
        if expires_at is not None and expires_at <= time.time():
            raise HubSpotError.expired()
        return expires_at is not None

    def _check_scopes(self, kinds: Sequence[str]) -> None:
        wanted = [
            {"contacts": CONTACTS_SCOPE, "deals": DEALS_SCOPE}.get(kind, f"crm.objects.{kind}.read") for kind in kinds
        ]
        missing = [scope for scope in wanted if scope not in self._kept.state.switches.scopes]
        if missing:
            said = "This app hasn't been granted all required scopes to make this call."
            context = {"requiredScopes": missing}
            raise HubSpotError(403, "MISSING_SCOPES", said, errors=[{"message": said, "context": context}])

    def _count_search(self) -> None:
        with self._kept.lock:
            if not _counted(self._searches, 1.0, self._kept.state.switches.searches_per_second):
                raise HubSpotError.throttled("SECONDLY")

    def _count_call(self, is_oauth: bool) -> dict[str, str]:
        """Headers after one more call; an app with OAuth is not told of the daily limit."""
        with self._kept.lock:
            switches = self._kept.state.switches
            if self._today >= switches.calls_per_day:
                raise HubSpotError.throttled("DAILY")
            if not _counted(self._calls, 10.0, switches.calls_per_ten_seconds):
                raise HubSpotError.throttled("TEN_SECONDLY_ROLLING")
            self._today += 1
            headers = {
                "X-HubSpot-RateLimit-Max": str(switches.calls_per_ten_seconds),
                "X-HubSpot-RateLimit-Remaining": str(switches.calls_per_ten_seconds - len(self._calls)),
                "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            }
            if not is_oauth:
                headers["X-HubSpot-RateLimit-Daily"] = str(switches.calls_per_day)
                headers["X-HubSpot-RateLimit-Daily-Remaining"] = str(switches.calls_per_day - self._today)
            return headers

    def _forget_calls(self) -> None:
        self._calls.clear()
        self._searches.clear()
        self._today = 0

    # Objects

    def _list(self, kind: str, request: Request, rule: Rule | None) -> dict[str, Any]:
        params = dict(parse_qsl(request.url.query, keep_blank_values=True))
        _refuse_unknown(params, {"limit", "after", "properties", "archived"})
        limit = min(_limit(params.get("limit", "10"), _LIST_LIMIT), self._kept.state.switches.page_rows)
        things = self._worlds.read(read_crm).listed(kind, archived=params.get("archived") == "true")
        wanted = [name for name in params.get("properties", "").split(",") if name]
        first, _, turn = params.get("after", "0").partition("~")
        if not first.isdigit():
            raise HubSpotError.invalid("after is not a cursor of this API")
        rest = [thing for thing in things if thing.number >= int(first)]
        following = rest[limit].number if len(rest) > limit else None

        def link(after: str) -> str:
            host = str(request.url.replace(query=""))
            if rule and rule.kind == "foreign_next":
                host = f"{rule.host}/crm/objects"
            return f"{host}?{urlencode({**params, 'after': after})}"

        after = _spoiled(rule, first, turn, None if following is None else str(following))
        rows = [] if rule and rule.kind == "empty_page" else [_shown(kind, thing, wanted) for thing in rest[:limit]]
        paging = {"paging": {"next": {"after": after, "link": link(after)}}} if after is not None else {}
        return {"results": rows, **paging}

    def _search(self, kind: str, body: Mapping[str, Any], rule: Rule | None) -> dict[str, Any]:
        _refuse_unknown(body, {"filterGroups", "sorts", "properties", "limit", "after", "query"})
        limit = min(_limit(str(body.get("limit", 10)), _SEARCH_LIMIT), self._kept.state.switches.page_rows)
        first, _, turn = str(body.get("after", "0")).partition("~")
        cap = self._kept.state.switches.search_cap
        if not first.isdigit() or int(first) >= cap:
            raise HubSpotError.invalid(f"after must be a number below {cap}: a search has no more results")
        crm = self._worlds.read(read_crm)
        seen_until = crm.clock - timedelta(seconds=self._kept.state.switches.index_lag_seconds)
        found = [
            thing
            for thing in crm.listed(kind, archived=False)
            if thing.updated_at <= seen_until and _matches(thing, body.get("filterGroups", []))
        ]
        found.sort(key=_order(body.get("sorts", [])))
        begin = int(first)
        following = str(begin + limit) if begin + limit < len(found) else None
        after = _spoiled(rule, first, turn, following)
        rows = [] if rule and rule.kind == "empty_page" else found[begin : begin + limit]
        return {
            "total": len(found),
            "results": [_shown(kind, thing, body.get("properties", [])) for thing in rows],
            **({"paging": {"next": {"after": after}}} if after is not None else {}),
        }

    def _batch(self, kind: str, body: Mapping[str, Any], *, archived: bool) -> tuple[dict[str, Any], int]:
        _refuse_unknown(body, {"inputs", "properties"})
        live = {str(t.number): t for t in self._worlds.read(read_crm).listed(kind, archived=archived)}
        ids = [asked["id"] for asked in _inputs(body)]
        rows = [_shown(kind, live[number], body.get("properties", [])) for number in ids if number in live]
        missing = [number for number in ids if number not in live]
        return _partial(rows, [_not_found("Could not get some objects", {"ids": missing})] if missing else [])

    def _associations(self, kinds: Sequence[str], body: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        if tuple(kinds) != ("deals", "contacts"):
            raise HubSpotError.invalid(f"no associations from {kinds[0]} to {kinds[1]} in this simulator")
        inputs = _inputs(body)
        crm, switches = self._worlds.read(read_crm), self._kept.state.switches
        poisoned = {str(number) for number in switches.poisoned_ids} & {asked["id"] for asked in inputs}
        if poisoned:
            raise HubSpotError.invalid(f"invalid object id: {min(poisoned)}")
        live = {str(deal.number) for deal in crm.listed("deals", archived=False)}
        rows, errors = [], []
        for asked in inputs:
            number = asked["id"]
            contacts = crm.contacts_of.get(int(number), []) if number in live else []
            begin = int(asked.get("after", 0))
            to = [_association(contact) for contact in contacts[begin : begin + switches.association_page]]
            end = begin + len(to)
            if to:
                paging = {"paging": {"next": {"after": str(end)}}} if end < len(contacts) else {}
                rows.append({"from": {"id": number}, "to": to, **paging})
            elif number in live:
                said = f"No contact is associated with deal {number}."
                errors.append(
                    {
                        **_not_found(said, {"fromObjectId": [number]}),
                        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                    }
                )
            else:
                errors.append(_not_found(f"Deal {number} does not exist.", {"fromObjectId": [number]}))
        return _partial(rows, errors)


def read_crm(connection: Connection) -> Crm:
    """Reads the CRM as it stands at the world's clock."""
    clock = now(read_world(connection).clock)
    with connection.cursor(row_factory=dict_row) as cursor:
        contacts = [_contact(row) for row in cursor.execute("select * from crm.contacts order by contact_id")]
        contacts_of: dict[int, list[int]] = {}
        for row in cursor.execute("select deal_id, contact_id from crm.deal_contacts order by deal_id, contact_id"):
            contacts_of.setdefault(row["deal_id"], []).append(row["contact_id"])
        deals = [
            _deal(row, len(contacts_of.get(row["deal_id"], [])))
            for row in cursor.execute("select * from crm.deals order by deal_id")
        ]
    return Crm(clock, {"contacts": contacts, "deals": deals}, contacts_of)


def _contact(row: Mapping[str, Any]) -> Thing:
    email = row["email"] or ""
    return _thing(
        row["contact_id"],
        row,
        "contacts",
        {
            "email": row["email"],
            "firstname": row["first_name"],
            "lastname": row["last_name"],
            "phone": row["phone"],
            "city": row["city"],
            "company": row["company"],
            "hs_email_domain": email.rpartition("@")[2] if "@" in email else None,
            "lifecyclestage": row["lifecycle_stage"],
            "hubspot_owner_id": row["owner_id"],
            "hs_analytics_source": row["source"],
            "preferred_channels": ";".join(row["channels"]) or None,
            "customer_id": row["customer_id"],
            "hs_merged_object_ids": ";".join(map(str, row["merged_ids"])) or None,
        },
    )


def _deal(row: Mapping[str, Any], contacts: int) -> Thing:
    return _thing(
        row["deal_id"],
        row,
        "deals",
        {
            "dealname": row["name"],
            "pipeline": row["pipeline"],
            "dealstage": row["stage"],
            "amount": row["amount"],
            "deal_currency_code": row["currency"],
            "closedate": row["close_at"] and _iso(row["close_at"]),
            "dealtype": row["deal_type"],
            "hubspot_owner_id": row["owner_id"],
            "num_associated_contacts": contacts,
        },
    )


def _thing(number: int, row: Mapping[str, Any], kind: str, properties: Mapping[str, Any]) -> Thing:
    """Every property is text; one that was filled once and emptied since is an empty text, one never filled is null."""
    texts = {
        name: str(value) if value is not None else "" if draw(3, name, number) == 0 else None
        for name, value in properties.items()
    }
    system = {
        "hs_object_id": str(number),
        "createdate": _iso(row["created_at"]),
        _MODIFIED[kind]: _iso(row["updated_at"]),
    }
    return Thing(number, {**texts, **system}, row["created_at"], row["updated_at"], row["archived_at"])


def _shown(kind: str, thing: Thing, wanted: Sequence[str]) -> dict[str, Any]:
    """An object with the properties that were asked for; names that nobody knows are passed over."""
    names = {*wanted, "hs_object_id", "createdate", _MODIFIED[kind]} if wanted else set(_SHOWN[kind])
    return {
        "id": str(thing.number),
        "properties": {name: thing.properties[name] for name in sorted(names) if name in thing.properties},
        "createdAt": _iso(thing.created_at),
        "updatedAt": _iso(thing.updated_at),
        "archived": thing.archived_at is not None,
        **({"archivedAt": _iso(thing.archived_at)} if thing.archived_at else {}),
    }


def _matches(thing: Thing, groups: Any) -> bool:
    """Whether all filters of any group hold; without a group, everything does."""
    if len(groups) > _GROUPS:
        raise HubSpotError.invalid(f"no more than {_GROUPS} filterGroups")
    return not groups or any(_holds(thing, group.get("filters", [])) for group in groups)


def _holds(thing: Thing, filters: Any) -> bool:
    if len(filters) > _FILTERS:
        raise HubSpotError.invalid(f"no more than {_FILTERS} filters in a group")
    return all(_compare(thing, one) for one in filters)


def _compare(thing: Thing, one: Mapping[str, Any]) -> bool:
    operator, name = one.get("operator", ""), one.get("propertyName", "")
    if operator not in _COMPARE:
        raise HubSpotError.invalid(f"operator {operator} is not one of {', '.join(_COMPARE)}")
    if not isinstance(one.get("value"), str):
        raise HubSpotError.invalid(f"the value for {name} must be text")
    value = _number(thing, name)
    try:
        return value is not None and _COMPARE[operator](value, float(one["value"]))
    except ValueError as error:
        raise HubSpotError.invalid(f"{one['value']} is not a number; dates are epoch milliseconds") from error


def _number(thing: Thing, name: str) -> float | None:
    """A property as it is compared: numbers as such, times as epoch milliseconds."""
    text = thing.properties.get(name)
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp() * 1000
    except ValueError as error:
        raise HubSpotError.invalid(f"{name} is neither a number nor a time in this simulator") from error


def _order(sorts: Any) -> Callable[[Thing], tuple[float, int]]:
    if len(sorts) > 1:
        raise HubSpotError.invalid("only one sort is allowed")
    if not sorts:
        return lambda thing: (thing.created_at.timestamp(), thing.number)
    name = sorts[0].get("propertyName")
    sign = -1 if sorts[0].get("direction") == "DESCENDING" else 1
    return lambda thing: (sign * (_number(thing, name) or 0.0), thing.number)


def _spoiled(rule: Rule | None, first: str, turn: str, following: str | None) -> str | None:
    """The cursor of the next page, or the wrong one that a rule asks for."""
    match rule.kind if rule else None:
        case "cursor_loop":
            return f"{first}~{turn}" if turn else first
        case "duplicate_page" | "empty_page":
            return f"{first}~{int(turn or 0) + 1}"
        case "foreign_next":
            return following or first
        case _:
            return following


def _inputs(body: Mapping[str, Any]) -> list[dict[str, str]]:
    inputs: Any = body.get("inputs", [])
    if not inputs or len(inputs) > _BATCH_LIMIT:
        raise HubSpotError.invalid(f"between 1 and {_BATCH_LIMIT} inputs")
    if not all(isinstance(asked.get("id"), str) and asked["id"].isdigit() for asked in inputs):
        raise HubSpotError.invalid("each input has an id of digits, as text")
    return list(inputs)


def _partial(rows: list[dict[str, Any]], errors: list[dict[str, Any]]) -> tuple[dict[str, Any], int]:
    """The answer to a batch, with status 207 if some of it failed."""
    told = {"numErrors": len(errors), "errors": errors} if errors else {}
    moment = _iso(datetime.now(UTC))
    answer = {"status": "COMPLETE", "results": rows, **told, "startedAt": moment, "completedAt": moment}
    return answer, 207 if errors else 200


def _not_found(message: str, context: Mapping[str, list[str]]) -> dict[str, Any]:
    return {"status": "error", "category": "OBJECT_NOT_FOUND", "message": message, "context": dict(context)}


def _association(contact: int) -> dict[str, Any]:
    types = [{"category": "HUBSPOT_DEFINED", "typeId": 3, "label": None}]
    return {"toObjectId": contact, "associationTypes": types}


def _limit(text: str, longest: int) -> int:
    if not text.isdigit() or not 1 <= int(text) <= longest:
        raise HubSpotError.invalid(f"limit must be between 1 and {longest}")
    return int(text)


def _read_json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise HubSpotError.invalid("the body is not JSON") from error
    if not isinstance(value, dict):
        raise HubSpotError.invalid("the body is not an object")
    return value


def _refuse_unknown(given: Mapping[str, Any], known: set[str]) -> None:
    for name in given:
        if name not in known:
            raise HubSpotError.invalid(f"unknown parameter: {name}")


def _counted(calls: deque[float], seconds: float, most: int) -> bool:
    """Counts one more call in a rolling window unless it is one too many."""
    moment = time.monotonic()
    while calls and calls[0] <= moment - seconds:
        calls.popleft()
    if len(calls) >= most:
        return False
    calls.append(moment)
    return True


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
