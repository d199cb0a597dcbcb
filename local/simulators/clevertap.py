"""CleverTap's exports for the four projects of the shop's app, in the API's versions 1 and 2.

Version 2 is a draft of ours of what a provider may come up with: the same rows under other names, in another structure.
"""

from __future__ import annotations

import base64
import json
import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, quote, unquote
from zoneinfo import ZoneInfo

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.simulators.faults import Rule
from local.simulators.worlds import UNSEEDED, WorldReader
from local.world.clevertap import PROJECTS, AppWorld, Event, Profile, read_app
from local.world.truth import Connection, NoWorldError

CONCURRENT = 3
"""Calls that one account may have under way at one API."""
LONGEST_PAGE = 5000
PROFILE_PAGE = 23
"""A page of profiles must be a multiple of this."""
NOT_EXPORTED = frozenset({"Notification Sent", "Notification Viewed", "Notification Clicked", "Push Impressions"})

_ZONES = {project.account: ZoneInfo(project.time_zone) for project in PROJECTS}
_KNOWN_QUERY = {"batch_size", "app", "events", "profile"}
_PAGE_FAULTS = ("cursor_loop", "duplicate_page", "empty_page")

Api = Literal["events", "profiles"]


def passcodes() -> dict[str, str]:
    """The passcode of each account, unless the admin endpoint has set others."""
    return {project.account: f"local-passcode-{number}" for number, project in enumerate(PROJECTS, 1)}


class Settings(BaseModel):
    """What the admin endpoint can change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    passcodes: dict[str, str] = Field(default_factory=passcodes)
    page_rows: int = Field(default=LONGEST_PAGE, ge=1, description="Longest page, whatever batch_size was asked for.")
    quick_days: int = Field(default=100, ge=0, description="Exports of so many days are ready at once.")
    pending_answers: int = Field(default=1, ge=0, description="Answers of longer exports before they are ready.")
    pending_status: Literal[200, 202] = Field(default=200, description="How an answer says 'not ready yet'.")
    call_seconds: float = Field(default=0, ge=0, description="How long every call is under way.")
    unannounced: bool = Field(default=False, description="Version 1 answers with the records of version 2.")


class ExportError(Exception):
    """A refusal as the platform words it."""

    def __init__(self, status: int, message: str, code: int) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def response(self) -> Response:
        """The answer."""
        return JSONResponse({"status": "fail", "error": str(self), "code": self.code}, self.status)


class Cursor(NamedTuple):
    """Where a page of an export begins; `turn` tells apart cursors that point to the same row."""

    version: str
    api: str
    account: str
    event: str
    since: int
    until: int
    rows: int
    parts: str
    offset: int = 0
    turn: int = 0
    fault: str = ""

    def encode(self) -> str:
        """As the platform gives it: percent-encoded Base64, which always has something to encode."""
        text = json.dumps(self)
        return quote(base64.b64encode((text + " " * (1 - len(text) % 3)).encode()), safe="")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Raises ExportError for anything that `encode` did not make, such as a cursor that was encoded once more."""
        try:
            return cls(*json.loads(base64.b64decode(unquote(text), validate=True)))
        except (ValueError, TypeError) as error:
            raise ExportError(400, "Invalid cursor", 400) from error


@dataclass
class _App:
    """The app's world, with what exports look for in it."""

    app: AppWorld
    days: dict[tuple[str, str], list[date]] = field(default_factory=dict)
    done: dict[int, dict[str, list[int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for (account, name), events in self.app.events.items():
            self.days[account, name] = [event.occurred_at.astimezone(_ZONES[account]).date() for event in events]
            for event in events:
                seen = int(event.occurred_at.timestamp())
                stats = self.done.setdefault(event.profile_id, {}).setdefault(name, [0, seen, seen])
                stats[:] = [stats[0] + 1, min(stats[1], seen), max(stats[2], seen)]

    def events(self, account: str, name: str, since: date, until: date) -> list[Event]:
        """Events of one name from the first to the last local day, in the order of their time."""
        days = self.days.get((account, name), [])
        return self.app.events.get((account, name), [])[bisect_left(days, since) : bisect_right(days, until)]

    def profiles(self, account: str, name: str, since: date, until: date) -> list[Profile]:
        """Profiles of those who did an event in these days, oldest profile first."""
        numbers = sorted({event.profile_id for event in self.events(account, name, since, until)})
        return [self.app.profiles[number] for number in numbers]


class CleverTap:
    """The API; every row comes from the world."""

    source = "clevertap"
    mount = "/clevertap"
    kinds = frozenset({*_PAGE_FAULTS, "expire_cursor", "revoke"})

    def __init__(self, worlds: WorldReader) -> None:
        self._worlds = worlds
        self._lock = threading.Lock()
        self._settings = Settings()
        self._under_way: Counter[tuple[str, str]] = Counter()
        self._asked: Counter[str] = Counter()

    def app(self) -> Starlette:
        """The ASGI app, to be mounted at the source's base path."""
        return Starlette(
            routes=[
                Route("/{version}/events.json", partial(self._serve, "events"), methods=["GET", "POST"]),
                Route("/{version}/profiles.json", partial(self._serve, "profiles"), methods=["GET", "POST"]),
            ]
        )

    def refuse(self, rule: Rule) -> Response | None:
        """Words a refusal; a throttled call is told neither when to come back nor how many there were."""
        match rule.kind:
            case "status":
                return ExportError(rule.status, f"status {rule.status} as asked", rule.status).response()
            case "throttle":
                return _too_many().response()
            case "revoke":
                return ExportError(401, "Invalid Credentials", 401).response()
            case _:
                return None

    def admin(self) -> list[Route]:
        """POST /settings replaces what it names and forgets which exports were asked for; GET shows no passcode."""
        return [Route("/settings", self._change, methods=["GET", "POST"])]

    async def _change(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                asked = Settings.model_validate_json(await request.body())
            except ValidationError as error:
                return JSONResponse({"errors": error.errors(include_context=False, include_input=False)}, 422)
            named = {name: getattr(asked, name) for name in asked.model_fields_set}
            self._settings = self._settings.model_copy(update=named)
            self._asked.clear()
        return JSONResponse(self._settings.model_dump(exclude={"passcodes"}))

    async def _serve(self, api: Api, request: Request) -> Response:
        try:
            account = self._authenticate(request)
            # Counted on the event loop's one thread, so nothing needs a lock.
            if self._under_way[account, api] >= CONCURRENT:
                raise _too_many()
            self._under_way[account, api] += 1
            try:
                await anyio.sleep(self._settings.call_seconds)
                body = await request.body()
                return await run_in_threadpool(self._answer, api, account, request, body)
            finally:
                self._under_way[account, api] -= 1
        except ExportError as error:
            return error.response()
        except NoWorldError:
            return ExportError(503, UNSEEDED, 503).response()

    def _authenticate(self, request: Request) -> str:
        account = request.headers.get("x-clevertap-account-id", "")
        passcode = self._settings.passcodes.get(account)
        if passcode is None or request.headers.get("x-clevertap-passcode") != passcode:
            raise ExportError(401, "Invalid Credentials", 401)
        return account

    def _answer(self, api: Api, account: str, request: Request, body: bytes) -> Response:
        version = request.path_params["version"]
        if version not in ("1", "2"):
            raise ExportError(404, f"Unknown version {version}", 404)
        rule = request.scope.get("fault")
        fault = rule.kind if rule else ""
        # The query as it came: to decode it here would make a cursor that was encoded twice look right.
        name, _, text = request.scope["query_string"].decode("latin-1").partition("=")
        if name == "cursor":
            return self._page(Cursor.decode(text), text, (version, api, account), fault)
        if request.method != "POST":
            raise ExportError(400, "Cursor is missing", 400)
        cursor = self._begin(version, api, account, request, body)
        # A cursor that has run out has been a good one: only a page is refused.
        carried = "" if fault == "expire_cursor" else fault
        return JSONResponse({"status": "success", "cursor": cursor._replace(fault=carried).encode()})

    def _begin(self, version: str, api: Api, account: str, request: Request, body: bytes) -> Cursor:
        query = dict(parse_qsl(request.url.query, keep_blank_values=True))
        if unknown := query.keys() - _KNOWN_QUERY:
            raise ExportError(400, f"Unknown parameter : {min(unknown)}", 400)
        rows = query.get("batch_size", "50")
        if (
            not rows.isdecimal()
            or not 1 <= int(rows) <= LONGEST_PAGE
            or (api == "profiles" and int(rows) % PROFILE_PAGE)
        ):
            raise ExportError(400, f"Invalid batch_size : {rows}", 400)
        if request.headers.get("content-type") != "application/json":
            raise ExportError(400, "Content-Type must be application/json", 400)
        try:
            asked = json.loads(body)
        except ValueError as error:
            raise ExportError(400, "Invalid JSON", 400) from error
        if not isinstance(asked, dict) or asked.keys() != {"event_name", "from", "to"}:
            raise ExportError(400, "Payload must have event_name, from and to", 400)
        event, since, until = asked["event_name"], asked["from"], asked["to"]
        if _day(since) > _day(until):
            raise ExportError(400, "Invalid date range", 400)
        if event in NOT_EXPORTED:
            raise ExportError(400, "Export not allowed for this event", 400)
        known = {name for _, name in self._read().app.events}
        if event not in known:
            # Sent with status 200, as the platform does.
            raise ExportError(200, json.dumps([f"Invalid event : {event}"]), 400)
        parts = [name for name in ("app", "events", "profile") if query.get(name, "true") == "true"]
        return Cursor(version, api, account, event, since, until, int(rows), ",".join(parts))

    def _page(self, cursor: Cursor, text: str, asked_at: tuple[str, str, str], fault: str) -> Response:
        if (cursor.version, cursor.api, cursor.account) != asked_at:
            raise ExportError(400, "Invalid cursor", 400)
        if fault == "expire_cursor":
            raise ExportError(400, "Invalid cursor", 400)
        settings = self._settings
        since, until = _day(cursor.since), _day(cursor.until)
        if cursor.offset == 0 and (until - since).days >= settings.quick_days:
            with self._lock:
                self._asked[text] += 1
                pending = self._asked[text] <= settings.pending_answers
            if pending and settings.pending_status == 202:
                return Response(status_code=202)
            if pending:
                raise ExportError(200, "Request still in progress, please retry later", 2)
        rows, limit = self._rows(cursor), min(cursor.rows, settings.page_rows)
        fault = fault or cursor.fault
        data = [] if fault == "empty_page" else rows[cursor.offset : cursor.offset + limit]
        following = cursor._replace(offset=cursor.offset + limit, turn=0, fault="")
        more = following.offset < len(rows)
        if fault in ("duplicate_page", "empty_page"):
            following, more = cursor._replace(turn=cursor.turn + 1, fault=""), True
        answer: dict[str, Any] = {"status": "success", "records" if cursor.version == "1" else "data": data}
        if fault == "cursor_loop":
            answer["next_cursor"] = text
        elif more:
            answer["next_cursor"] = following.encode()
        return JSONResponse(answer)

    def _rows(self, cursor: Cursor) -> list[dict[str, Any]]:
        app, parts = self._read(), frozenset(cursor.parts.split(","))
        since, until = _day(cursor.since), _day(cursor.until)
        second = cursor.version == "2" or self._settings.unannounced
        zone = _ZONES[cursor.account]
        if cursor.api == "events":
            event_record = _event_2 if second else _event_1
            found = app.events(cursor.account, cursor.event, since, until)
            return [
                event_record(event, app.app.profiles[event.profile_id], app.done[event.profile_id], zone, parts)
                for event in found
            ]
        profile_record = _profile_2 if second else _profile_1
        chosen = app.profiles(cursor.account, cursor.event, since, until)
        return [profile_record(profile, app.done[profile.profile_id]) for profile in chosen]

    def _read(self) -> _App:
        return self._worlds.read(_read)


def _read(connection: Connection) -> _App:
    return _App(read_app(connection))


def _too_many() -> ExportError:
    return ExportError(429, "Too many concurrent requests", 429)


def _day(number: Any) -> date:
    try:
        # A number, and nothing that only looks like one.
        if isinstance(number, bool) or not isinstance(number, int):
            raise ExportError(400, f"Invalid date : {number}", 400)
        return datetime.strptime(str(number), "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise ExportError(400, f"Invalid date : {number}", 400) from error


def _event_1(
    event: Event, profile: Profile, done: Mapping[str, list[int]], zone: ZoneInfo, parts: frozenset[str]
) -> dict[str, Any]:
    device = profile.devices[event.device]
    told: dict[str, Any] = {"objectId": device.object_id, "platform": device.platform, "identity": profile.identity}
    if "app" in parts:
        told |= {name: getattr(device, name) for name in ("app_version", "os_version", "make", "model")}
    if "profile" in parts:
        told |= {"email": profile.email, "phone": profile.phone, "profileData": profile.attributes}
    if "events" in parts:
        told["events"] = _stats(done)
    ts = 0 if event.clock_lost else int(f"{event.occurred_at.astimezone(zone):%Y%m%d%H%M%S}")
    record = {"profile": _told(told), "ts": ts, "event_props": event.properties}
    return record | ({"session_props": event.session} if event.session else {})


def _event_2(
    event: Event, profile: Profile, done: Mapping[str, list[int]], zone: ZoneInfo, parts: frozenset[str]
) -> dict[str, Any]:
    device = profile.devices[event.device]
    user: dict[str, Any] = {"deviceId": device.object_id, "platform": device.platform, "userId": profile.identity}
    if "app" in parts:
        user |= {
            "app": {"version": device.app_version},
            "os": {"version": device.os_version},
            "hardware": {"make": device.make, "model": device.model},
        }
    if "profile" in parts:
        user |= {"contact": _contact(profile), "attributes": _typed(profile.attributes)}
    if "events" in parts:
        user["activity"] = _activity(done)
    record = {
        "user": _told(user),
        "occurredAt": None if event.clock_lost else event.occurred_at.astimezone(zone).isoformat(),
        "eventProperties": _typed(event.properties),
    }
    return record | ({"sessionProperties": _typed(event.session)} if event.session else {})


def _profile_1(profile: Profile, done: Mapping[str, list[int]]) -> dict[str, Any]:
    devices = [
        {
            "platform": device.platform,
            "objectId": device.object_id,
            "app_version": device.app_version,
            "os_version": device.os_version,
            "make": device.make,
            "model": device.model,
        }
        for device in profile.devices
    ]
    record = {
        "identity": profile.identity,
        "all_identities": list(profile.identities),
        "name": profile.name,
        "email": profile.email,
        "phone": profile.phone,
        "profileData": profile.attributes,
        "events": _stats(done),
        "platformInfo": devices,
    }
    return _told(record)


def _profile_2(profile: Profile, done: Mapping[str, list[int]]) -> dict[str, Any]:
    devices = [
        {
            "platform": device.platform,
            "deviceId": device.object_id,
            "app": {"version": device.app_version},
            "os": {"version": device.os_version},
            "hardware": {"make": device.make, "model": device.model},
        }
        for device in profile.devices
    ]
    record = {
        "userId": profile.identity,
        "userIds": list(profile.identities),
        "contact": _contact(profile),
        "attributes": _typed(profile.attributes),
        "activity": _activity(done),
        "devices": devices,
    }
    return _told(record)


def _contact(profile: Profile) -> dict[str, Any]:
    return _told({"name": profile.name, "email": profile.email, "phone": profile.phone})


def _stats(done: Mapping[str, list[int]]) -> dict[str, Any]:
    return {name: {"count": n, "first_seen": first, "last_seen": last} for name, (n, first, last) in done.items()}


def _activity(done: Mapping[str, list[int]]) -> list[dict[str, Any]]:
    moment: Callable[[int], str] = lambda seconds: datetime.fromtimestamp(seconds, UTC).isoformat()  # noqa: E731
    return [
        {"event": name, "count": n, "firstSeen": moment(first), "lastSeen": moment(last)}
        for name, (n, first, last) in done.items()
    ]


def _typed(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"type": _type(value), "value": value} for name, value in properties.items()}


def _type(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return "list"
        case _:
            return "map"


def _told(record: Mapping[str, Any]) -> dict[str, Any]:
    """What is not known is left out."""
    return {name: value for name, value in record.items() if value is not None}
