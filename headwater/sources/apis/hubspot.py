"""HubSpot's CRM: its errors and limits, the search that finds what changed, and the associations of deals.

Contract: developers.hubspot.com/docs (CRM objects, search, associations, usage guidelines), dated paths of 2026-09; the paths of
v3 and v4 work until September 2027. The first load reads the list endpoint, which gives every live row; later runs search by the
time of the last change, which is faster and lags by moments; archived rows are in a list of their own, which takes no filter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import jmespath

from headwater.config import WindowRead
from headwater.errors import (
    ExpiredTokenError,
    FatalSourceError,
    HandledSourceError,
    PagingError,
    QuotaUsedUpError,
    SourceError,
    ThrottledError,
)
from headwater.ledger.raw import Row
from headwater.ledger.untrusted import read_json
from headwater.log import get_logger
from headwater.sources.days import DAY, midnight
from headwater.sources.http.classify import classify_by_status, error_answer, retry_after
from headwater.sources.http.client import HttpClient
from headwater.sources.http.messages import HttpResponse, shorten
from headwater.sources.http.paging import check_origin, walk
from headwater.sources.http.source import Api, Part

SEARCH_ROWS = 200
BATCH_ROWS = 100
MODIFIED = "modifiedAt"
MERGED_INTO = "mergedInto"
_WAITS = {"TEN_SECONDLY_ROLLING": 10.0, "SECONDLY": 1.0}
_LOCKED_SECONDS = 2.0
_MIGRATION_SECONDS = 60.0

# The legacy paths have the version first, and another one for associations.
_DATED = {"objects": "/crm/objects/{version}", "associations": "/crm/associations/{version}"}
_LEGACY = {"objects": "/crm/v3/objects", "associations": "/crm/v4/associations"}

log = get_logger(__name__)


class TooManyPropertiesError(HandledSourceError):
    """The names of the properties make the URL too long: read them in batches."""


class RefusedRequestError(HandledSourceError):
    """The request itself is refused; of a batch it may be a single id that is wrong."""


def classify(response: HttpResponse) -> SourceError | None:
    """Reads HubSpot's category and policy out of an error; an answer in part (207) is none."""
    if response.status < 300:
        return None
    answer = error_answer(response)
    answer = answer if isinstance(answer, Mapping) else {}
    category, message = str(answer.get("category", "")), str(answer.get("message", ""))
    said = f"HTTP {response.status} {category}: {message}"
    asked = retry_after(response.headers)
    match response.status:
        case 429:
            return _throttled(said, str(answer.get("policyName", "")), asked)
        case 401 if category == "EXPIRED_AUTHENTICATION":
            return ExpiredTokenError(said)
        case 403 if category == "MISSING_SCOPES":
            return FatalSourceError(f"{said} hint: grant the app {_scopes(answer)}")
        case 400 if category:
            return RefusedRequestError(said)
        case 414:
            return TooManyPropertiesError(said)
        case 423:
            return ThrottledError(said, max(_LOCKED_SECONDS, asked or 0.0))
        case 477:
            return ThrottledError(said, asked or _MIGRATION_SECONDS)
        case _:
            return classify_by_status(response)


def _throttled(said: str, policy: str, asked: float | None) -> SourceError:
    if policy == "DAILY":
        return QuotaUsedUpError(f"{said} hint: run again after midnight of the account's time zone, or raise its limit")
    return ThrottledError(f"{said} ({policy})", asked or _WAITS.get(policy, _WAITS["TEN_SECONDLY_ROLLING"]))


def _scopes(answer: Mapping[str, Any]) -> str:
    errors = answer.get("errors")
    found = [jmespath.search("context.requiredScopes", error) for error in errors] if isinstance(errors, list) else []
    names = [str(name) for scopes in found if isinstance(scopes, list) for name in scopes]
    return ", ".join(names) or "the scopes crm.objects.contacts.read and crm.objects.deals.read"


def usage(response: HttpResponse) -> float | None:
    """Seconds to pause: until a limit that was met passes, or once another client has used up the app's quota."""
    if response.status == 429:
        error = classify(response)
        return error.retry_after if isinstance(error, ThrottledError) else None
    left = response.headers.get("x-hubspot-ratelimit-remaining", "")
    if not left.isdecimal() or int(left) > 0:
        return None
    interval = response.headers.get("x-hubspot-ratelimit-interval-milliseconds", "")
    return int(interval) / 1000 if interval.isdecimal() else _WAITS["TEN_SECONDLY_ROLLING"]


def paths(part: Part) -> dict[str, str]:
    """The paths of objects and of associations in the API's version: one with a date, or a legacy one such as v3."""
    version = part.source.api_version
    table = _LEGACY if version.startswith("v") else _DATED
    return {name: path.replace("{version}", version) for name, path in table.items()}


def read_objects(client: HttpClient, part: Part) -> Iterator[Row]:
    """Reads contacts or deals: all of them for the first load, later those that changed."""
    for rows in _changed(client, part, part.params["properties"]):
        for row in rows:
            yield row
            yield from _merged_away(row)


def read_archive(client: HttpClient, part: Part) -> Iterator[Row]:
    """Reads everything in the archive; it cannot be asked for a time."""
    for rows in _list(client, part, part.params["properties"], archived=True):
        yield from rows


def read_associations(client: HttpClient, part: Part) -> Iterator[Row]:
    """Reads, for every deal that changed, the contacts it has now; a deal whose id HubSpot refuses gets null."""
    for deals in _changed(client, part, _modified(_type(part))):
        for start in range(0, len(deals), BATCH_ROWS):
            chunk = deals[start : start + BATCH_ROWS]
            contacts = _contacts(client, part, [deal["id"] for deal in chunk])
            for deal in chunk:
                # A deal that was archived since it was found comes from the archive.
                if deal["id"] in contacts:
                    yield {"id": deal["id"], "contacts": contacts[deal["id"]], MODIFIED: deal[MODIFIED]}


def _type(part: Part) -> str:
    return part.path.rsplit("/", 1)[-1]


def _modified(kind: str) -> str:
    """The property that tells when an object changed last: contacts have a name of their own for it."""
    return "lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"


def _id(client: HttpClient, path: str, row: Any) -> int:
    number = jmespath.search("id", row)
    if not isinstance(number, str) or not number.isdecimal():
        raise FatalSourceError(f"{client.name}: {path}: a row's id is {number!r}, not a text of digits")
    return int(number)


def _with_modified(client: HttpClient, part: Part, path: str, rows: Sequence[Any]) -> list[Row]:
    """Adds to each object the time by which it is found again: that of its archival, or of the last change."""
    changed = f"properties.{_modified(_type(part))}"
    for row in rows:
        _id(client, path, row)
    return [
        {**row, MODIFIED: row.get("archivedAt") or jmespath.search(changed, row) or row.get("updatedAt")}
        for row in rows
    ]


def _merged_away(row: Row) -> Iterator[Row]:
    """The contacts that were merged into this one: they are in no list any more, not even in that of the archive."""
    losers = jmespath.search("properties.hs_merged_object_ids", row)
    for loser in losers.split(";") if isinstance(losers, str) else ():
        if loser:
            yield {
                "id": loser,
                "properties": {},
                "createdAt": None,
                "updatedAt": row.get("updatedAt"),
                "archived": True,
                MODIFIED: row[MODIFIED],
                MERGED_INTO: row["id"],
            }


def _changed(client: HttpClient, part: Part, properties: str) -> Iterator[list[Row]]:
    read = part.stream.read
    if isinstance(read, WindowRead) and (part.until - part.since).days >= read.history_days:
        yield from _list(client, part, properties, archived=False)
    else:
        yield from _search(client, part, properties)


def _list(client: HttpClient, part: Part, properties: str, *, archived: bool) -> Iterator[list[Row]]:
    """Reads the list endpoint page by page; if it refuses so many properties, they come by batch read."""
    path = f"{paths(part)['objects']}/{_type(part)}"
    asked = {"limit": str(BATCH_ROWS), "archived": "true" if archived else "false"}
    by_batch = False

    def fetch(after: str | None) -> Any:
        nonlocal by_batch
        params = {**asked, **({"after": after} if after else {})}
        if not by_batch:
            try:
                return client.get(path, {**params, "properties": properties})
            except TooManyPropertiesError:
                by_batch = True
        answer = client.get(path, params)
        inputs = [{"id": str(_id(client, path, row))} for row in part.rows(answer)]
        if not inputs:
            return answer
        body = {"inputs": inputs, "properties": properties.split(",")}
        return {
            **answer,
            "results": part.rows(client.post_json(f"{path}/batch/read?archived={asked['archived']}", body)),
        }

    for page in walk(f"{client.name}: {path}", fetch, part.rows, lambda answer: _after(client, path, answer)):
        yield _with_modified(client, part, path, page.rows)


def _search(client: HttpClient, part: Part, properties: str) -> Iterator[list[Row]]:
    """Searches for what changed in the part's days, in order of the ids, each page from the last id of the one before.

    The pages of one search reach no further than 10,000 results, and their numbers shift when a row drops out of the result
    while it is read. An id does neither, so only an empty page that promises more is asked for by its number.
    """
    kind = _type(part)
    path = f"{paths(part)['objects']}/{kind}/search"
    modified = _modified(kind)
    days = [
        _filter(modified, "GTE", _milliseconds(midnight(part.since))),
        _filter(modified, "LT", _milliseconds(midnight(part.until + DAY))),
    ]
    last = 0

    def fetch(cursor: str | None) -> Any:
        _, _, after = (cursor or "").partition("+")
        beyond = [_filter("hs_object_id", "GT", last)] if last else []
        body = {
            "filterGroups": [{"filters": [*days, *beyond]}],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": properties.split(","),
            "limit": SEARCH_ROWS,
            **({"after": after} if after else {}),
        }
        return client.post_json(path, body)

    def next_cursor(answer: Any) -> str | None:
        nonlocal last
        rows, after = part.rows(answer), _after(client, path, answer)
        ids = [last, *(_id(client, path, row) for row in rows)]
        if any(left >= right for left, right in pairwise(ids)):
            raise PagingError(f"{client.name}: {path}: the rows are not in order of their ids beyond {last}")
        if after is None and isinstance(answer.get("total"), int) and answer["total"] > len(rows):
            raise PagingError(
                f"{client.name}: {path}: {len(rows)} of {answer['total']} results, and no page after them"
            )
        last = ids[-1]
        return None if after is None else f"{last}+{'' if rows else after}"

    for page in walk(f"{client.name}: {path}", fetch, part.rows, next_cursor):
        yield _with_modified(client, part, path, page.rows)


def _filter(name: str, operator: str, value: int) -> dict[str, str]:
    return {"propertyName": name, "operator": operator, "value": str(value)}


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


def _after(client: HttpClient, path: str, answer: Any) -> str | None:
    """The cursor of the next page; PagingError when its link, which is not followed, leads elsewhere."""
    following = jmespath.search("paging.next", answer)
    if following is None:
        return None
    link, after = jmespath.search("link", following), jmespath.search("after", following)
    if isinstance(link, str):
        check_origin(client.name, client.base_url, link)
    if after is None or after == "":
        raise PagingError(f"{client.name}: {path}: `paging.next` promises another page, but has no `after`")
    return str(after)


def _contacts(client: HttpClient, part: Part, deals: list[str]) -> dict[str, list[Any] | None]:
    """The contacts of each deal, in order of their ids; deals that are gone are left out.

    One id that HubSpot refuses may fail the whole batch, which is then read in halves; alone, it gets None.
    """
    path = f"{paths(part)['associations']}/{_type(part)}/contacts/batch/read"
    found: dict[str, list[Any] | None] = {deal: [] for deal in deals}

    def fetch(further: str | None) -> Any:
        inputs = read_json(further) if further else [{"id": deal} for deal in deals]
        answer = client.post_json(path, {"inputs": inputs})
        for deal in _gone(path, client.name, answer):
            found.pop(deal, None)
        return answer

    def further(answer: Any) -> str | None:
        cursors = [(jmespath.search("from.id", result), _after(client, path, result)) for result in part.rows(answer)]
        inputs = [{"id": deal, "after": after} for deal, after in cursors if after is not None]
        return json.dumps(inputs) if inputs else None

    try:
        for page in walk(f"{client.name}: {path}", fetch, part.rows, further):
            for result in page.rows:
                deal = str(jmespath.search("from.id", result))
                contacts = [*(found.get(deal) or []), *result["to"]]
                found[deal] = sorted(contacts, key=lambda contact: int(contact["toObjectId"]))
    except RefusedRequestError as refusal:
        if len(deals) == 1:
            log.warning("id refused", source=client.name, id=deals[0], error=shorten(str(refusal)))
            return {deals[0]: None}
        middle = len(deals) // 2
        return {**_contacts(client, part, deals[:middle]), **_contacts(client, part, deals[middle:])}
    return found


def _gone(path: str, name: str, answer: Any) -> set[str]:
    """Deals that no longer exist, by the errors of an answer in part; FatalSourceError for an error of another kind."""
    gone: set[str] = set()
    for error in answer.get("errors") or []:
        if error.get("subCategory") == "crm.associations.NO_ASSOCIATIONS_FOUND":
            continue
        if error.get("category") != "OBJECT_NOT_FOUND":
            said = shorten(f"{error.get('category')}: {error.get('message')}")
            raise FatalSourceError(f"{name}: {path}: a part of the batch failed: {said}")
        ids = jmespath.search("context.fromObjectId", error) or jmespath.search("context.ids", error) or []
        gone.update(str(number) for number in ids)
    return gone


API = Api(
    classify=classify,
    usage=usage,
    readers={
        "contacts": read_objects,
        "deals": read_objects,
        "associations": read_associations,
        "contacts_archived": read_archive,
        "deals_archived": read_archive,
    },
)
