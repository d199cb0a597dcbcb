"""CleverTap: exports of events and of profiles, each begun by a POST and fetched page by page.

Contract: Get Events and Get User Profiles, developer.clevertap.com. What a POST begins may take a while to be ready; its cursor
arrives percent-encoded and goes back as it came. Events tell the project's local time and neither their name nor its zone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import jmespath

from headwater.errors import (
    ConfigError,
    ExpiredCursorError,
    FatalSourceError,
    HandledSourceError,
    PagingError,
    RetriableSourceError,
    SourceError,
    ThrottledError,
)
from headwater.ledger.raw import Row
from headwater.ledger.untrusted import read_json
from headwater.log import get_logger
from headwater.sources.http.classify import classify_by_status, retry_after
from headwater.sources.http.client import HttpClient
from headwater.sources.http.messages import HttpResponse
from headwater.sources.http.paging import walk
from headwater.sources.http.source import Api, Part

EVENT_NAMES = "event_names"
"""Parameter of a stream: a JSON array of the events to export, which the API takes one at a time."""

_IN_PROGRESS = 2
_ACCOUNT_HEADER = "X-CleverTap-Account-Id"
_CURSOR = re.compile(r"[A-Za-z0-9%._~+/=-]+")
_TIMESTAMP = re.compile(r"\d{14}")

log = get_logger(__name__)


class ExportNotAllowedError(HandledSourceError):
    """The platform exports no events of this name, such as those of its own notifications."""


def classify(response: HttpResponse) -> SourceError | None:
    """Reads the refusal out of an answer; the most frequent one, that an export is not ready yet, has status 200."""
    if response.status == 202:
        return RetriableSourceError("HTTP 202: the export is still being prepared")
    if response.status == 200 and b'"fail"' not in response.body:
        return None
    try:
        answer = response.json()
    except RetriableSourceError as malformed:
        return malformed if response.status == 200 else classify_by_status(response)
    if not isinstance(answer, dict) or answer.get("status") != "fail":
        return None if response.status == 200 else classify_by_status(response)
    return error_of(response, answer.get("code"), str(answer.get("error", "")))


def error_of(response: HttpResponse, code: Any, said: str) -> SourceError:
    """Classifies a refusal by its code, its text and the status it came with."""
    told = f"HTTP {response.status}, code {code}: {said}"
    if code == _IN_PROGRESS:
        return RetriableSourceError(told)
    if "export not allowed" in said.lower():
        return ExportNotAllowedError(told)
    if "cursor" in said.lower() and 400 in (response.status, code):
        # How long one lives is not documented, nor what is said of one that has run out: the export is begun anew.
        return ExpiredCursorError(told)
    if 429 in (response.status, code):
        return ThrottledError(told, retry_after(response.headers))
    if response.status >= 500 or (isinstance(code, int) and 500 <= code < 600):
        return RetriableSourceError(told)
    if response.status in (401, 403) or code in (401, 403):
        return FatalSourceError(
            f"{told} hint: look at the account's passcode in the source's secret, and at its region"
        )
    return FatalSourceError(told)


def read_events(client: HttpClient, part: Part) -> Iterator[Row]:
    """Reads events as they come, with what the records leave out: their name, their local day and their time zone."""
    zone = zone_of(part)
    for name in _names(part):
        try:
            for record in _export(client, part, name):
                day = event_day(record, zone) or part.until
                yield {**record, "event_name": name, "event_day": day.isoformat(), "time_zone": zone.key}
        except ExportNotAllowedError as refused:
            log.warning("events left out", account=part.account, event_name=name, refused=str(refused))


def read_profiles(client: HttpClient, part: Part) -> Iterator[Row]:
    """Reads the profiles of users who did an event, with the local day on which they last did."""
    zone = zone_of(part)
    for name in _names(part):
        for record in _export(client, part, name):
            day = active_day(record, name, zone) or part.until
            yield {**record, "active_day": day.isoformat()}


def event_day(record: Mapping[str, Any], zone: ZoneInfo) -> date | None:
    """The local day of an event, which `ts` (version 1) or `occurredAt` (version 2) tells; None if neither does."""
    digits = str(record.get("ts", ""))
    if _TIMESTAMP.fullmatch(digits):
        return _day(lambda: date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])))
    return _iso_day(record.get("occurredAt"), zone)


def active_day(record: Mapping[str, Any], event: str, zone: ZoneInfo) -> date | None:
    """The local day on which a user last did an event, by `events` (version 1) or `activity` (version 2); None if neither does."""
    events, activity = record.get("events"), record.get("activity")
    if isinstance(events, Mapping):
        seen = jmespath.search("last_seen", events.get(event))
        return _day(lambda: datetime.fromtimestamp(seen, UTC).astimezone(zone).date())
    done = [item for item in activity if jmespath.search("event", item) == event] if isinstance(activity, list) else []
    return _iso_day(jmespath.search("lastSeen", done[0]), zone) if done else None


def _iso_day(text: Any, zone: ZoneInfo) -> date | None:
    def read() -> date:
        moment = datetime.fromisoformat(text)
        return (moment.astimezone(zone) if moment.tzinfo else moment).date()

    return _day(read)


def _day(read: Callable[[], date]) -> date | None:
    """A day that may be unreadable; such a row still has to land, for the quality policy to refuse it."""
    try:
        return read()
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def zone_of(part: Part) -> ZoneInfo:
    """The time zone of an account's project; ConfigError when none is declared."""
    where = f"{part.source.name}: time_zones"
    name = part.source.time_zones.get(part.account)
    if name is None:
        raise ConfigError(
            f"{where}: none for account {part.account}. hint: the project's settings in CleverTap tell it"
        )
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        raise ConfigError(f"{where}.{part.account}: {name!r} is no IANA time zone") from None


def _names(part: Part) -> list[str]:
    names: list[str] = read_json(part.params[EVENT_NAMES])
    return names


def _export(client: HttpClient, part: Part, event: str) -> Iterator[Row]:
    """Starts the export of one event's days and fetches it to the last page."""
    headers = {_ACCOUNT_HEADER: part.account}
    asked = urlencode({name: value for name, value in part.params.items() if name != EVENT_NAMES})
    days = {"from": int(f"{part.since:%Y%m%d}"), "to": int(f"{part.until:%Y%m%d}")}

    def cursor(answer: Any, name: str) -> str | None:
        found = jmespath.search(name, answer)
        if found is None:
            return None
        # It becomes part of a URL as it is, so it must be nothing but a value.
        if not isinstance(found, str) or not _CURSOR.fullmatch(found):
            raise PagingError(f"{client.name}: {part.path}: `{name}` is {found!r}, not a percent-encoded cursor")
        return found

    first = cursor(client.post_json(f"{part.path}?{asked}", {"event_name": event, **days}, headers), "cursor")
    if first is None:
        raise FatalSourceError(f"{client.name}: {part.path}: the answer has no `cursor`")
    for page in walk(
        f"{client.name}: {part.path}",
        lambda at: client.get(f"{part.path}?cursor={at}", headers=headers),
        part.rows,
        lambda answer: cursor(answer, "next_cursor"),
        first,
    ):
        for record in page.rows:
            if not isinstance(record, dict):
                raise FatalSourceError(
                    f"{client.name}: {part.path}: a record is {type(record).__name__}, not an object"
                )
            yield record


API = Api(classify=classify, readers={"events": read_events, "profiles": read_profiles})
