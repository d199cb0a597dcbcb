"""HubSpot's CRM API for the shop: contacts, deals, their associations and the archive, in its dated and its legacy paths."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.simulators.faults import Rule
from local.simulators.hubspot.access import Access, State, Switches
from local.simulators.hubspot.crm import read_crm, shown
from local.simulators.hubspot.messages import HubSpotError, iso, limit_of, read_json, refuse_unknown
from local.simulators.hubspot.search import matches, order
from local.simulators.worlds import UNSEEDED, WorldReader
from local.world.truth import NoWorldError

_DATED = ("2026-03", "2026-09")


_OBJECTS = re.compile(rf"crm/(?:objects/(?:{'|'.join(_DATED)})|v3/objects)/(contacts|deals)(/search|/batch/read)?")


_ASSOCIATIONS = re.compile(rf"crm/(?:associations/(?:{'|'.join(_DATED)})|v4/associations)/(\w+)/(\w+)/batch/read")


_TOKEN = re.compile(rf"oauth/(?:{'|'.join(_DATED)})/token")


_LIST_LIMIT = 100


_SEARCH_LIMIT = 200


_BATCH_LIMIT = 100


class HubSpot:
    """The API; tokens and switches live in `folder`, everything else in the world."""

    source = "hubspot"
    mount = "/hubspot"
    kinds = frozenset({"cursor_loop", "duplicate_page", "empty_page", "foreign_next", "expire_token", "revoke"})

    def __init__(self, worlds: WorldReader, folder: Path) -> None:
        self._worlds = worlds
        self._access = Access(folder, self.source)

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
        with self._access.kept.lock:
            try:
                asked = Switches.model_validate_json(await request.body())
            except ValidationError as error:
                return JSONResponse({"errors": error.errors(include_context=False, include_input=False)}, 422)
            named = {name: getattr(asked, name) for name in asked.model_fields_set}
            self._access.kept.state.switches = self._access.kept.state.switches.model_copy(update=named)
            self._access.forget_calls()
            self._access.kept.save()
        return JSONResponse({"changed": sorted(named)})

    async def _reset(self, _: Request) -> JSONResponse:
        with self._access.kept.lock:
            self._access.kept.state = State()
            self._access.forget_calls()
            self._access.kept.save()
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
            return JSONResponse(self._access.grant(dict(parse_qsl(body.decode())), fault))
        objects, associations = _OBJECTS.fullmatch(path), _ASSOCIATIONS.fullmatch(path)
        method = "GET" if objects and objects[2] is None else "POST"
        if (objects or associations) is None:
            raise HubSpotError(404, "OBJECT_NOT_FOUND", f"resource not found: /{path}")
        if request.method != method:
            raise HubSpotError(405, "METHOD_NOT_ALLOWED", f"HTTP {request.method} is not allowed here")
        is_oauth = self._access.authenticate(request, fault)
        kinds = (objects[1],) if objects else associations.groups() if associations else ()
        self._access.check_scopes(kinds)
        if objects and objects[2] == "/search":
            self._access.count_search()
            return JSONResponse(self._search(objects[1], read_json(body), rule))
        headers = self._access.count_call(is_oauth)
        if len(request.url.query) > self._access.kept.state.switches.longest_query:
            raise HubSpotError(414, "URI_TOO_LONG", "URI Too Long")
        if objects and objects[2] is None:
            answer, status = self._list(objects[1], request, rule), 200
        elif objects:
            archived = request.query_params.get("archived") == "true"
            answer, status = self._batch(objects[1], read_json(body), archived=archived)
        else:
            answer, status = self._associations(kinds, read_json(body))
        return JSONResponse(answer, status, headers)

    def _list(self, kind: str, request: Request, rule: Rule | None) -> dict[str, Any]:
        params = dict(parse_qsl(request.url.query, keep_blank_values=True))
        refuse_unknown(params, {"limit", "after", "properties", "archived"})
        limit = min(limit_of(params.get("limit", "10"), _LIST_LIMIT), self._access.kept.state.switches.page_rows)
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
        rows = [] if rule and rule.kind == "empty_page" else [shown(kind, thing, wanted) for thing in rest[:limit]]
        paging = {"paging": {"next": {"after": after, "link": link(after)}}} if after is not None else {}
        return {"results": rows, **paging}

    def _search(self, kind: str, body: Mapping[str, Any], rule: Rule | None) -> dict[str, Any]:
        refuse_unknown(body, {"filterGroups", "sorts", "properties", "limit", "after", "query"})
        limit = min(limit_of(str(body.get("limit", 10)), _SEARCH_LIMIT), self._access.kept.state.switches.page_rows)
        first, _, turn = str(body.get("after", "0")).partition("~")
        cap = self._access.kept.state.switches.search_cap
        if not first.isdigit() or int(first) >= cap:
            raise HubSpotError.invalid(f"after must be a number below {cap}: a search has no more results")
        crm = self._worlds.read(read_crm)
        seen_until = crm.clock - timedelta(seconds=self._access.kept.state.switches.index_lag_seconds)
        found = [
            thing
            for thing in crm.listed(kind, archived=False)
            if thing.updated_at <= seen_until and matches(thing, body.get("filterGroups", []))
        ]
        found.sort(key=order(body.get("sorts", [])))
        begin = int(first)
        following = str(begin + limit) if begin + limit < len(found) else None
        after = _spoiled(rule, first, turn, following)
        rows = [] if rule and rule.kind == "empty_page" else found[begin : begin + limit]
        return {
            "total": len(found),
            "results": [shown(kind, thing, body.get("properties", [])) for thing in rows],
            **({"paging": {"next": {"after": after}}} if after is not None else {}),
        }

    def _batch(self, kind: str, body: Mapping[str, Any], *, archived: bool) -> tuple[dict[str, Any], int]:
        refuse_unknown(body, {"inputs", "properties"})
        live = {str(t.number): t for t in self._worlds.read(read_crm).listed(kind, archived=archived)}
        ids = [asked["id"] for asked in _inputs(body)]
        rows = [shown(kind, live[number], body.get("properties", [])) for number in ids if number in live]
        missing = [number for number in ids if number not in live]
        return _partial(rows, [_not_found("Could not get some objects", {"ids": missing})] if missing else [])

    def _associations(self, kinds: Sequence[str], body: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        if tuple(kinds) != ("deals", "contacts"):
            raise HubSpotError.invalid(f"no associations from {kinds[0]} to {kinds[1]} in this simulator")
        inputs = _inputs(body)
        crm, switches = self._worlds.read(read_crm), self._access.kept.state.switches
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
    moment = iso(datetime.now(UTC))
    answer = {"status": "COMPLETE", "results": rows, **told, "startedAt": moment, "completedAt": moment}
    return answer, 207 if errors else 200


def _not_found(message: str, context: Mapping[str, list[str]]) -> dict[str, Any]:
    return {"status": "error", "category": "OBJECT_NOT_FOUND", "message": message, "context": dict(context)}


def _association(contact: int) -> dict[str, Any]:
    types = [{"category": "HUBSPOT_DEFINED", "typeId": 3, "label": None}]
    return {"toObjectId": contact, "associationTypes": types}
