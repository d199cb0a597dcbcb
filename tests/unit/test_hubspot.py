"""What HubSpot's answers mean, and that no way of reading loses a row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.config import HttpSource, WindowRead
from headwater.errors import (
    ExpiredTokenError,
    FatalSourceError,
    PagingError,
    QuotaUsedUpError,
    RetriableSourceError,
    SourceError,
    ThrottledError,
)
from headwater.sources.apis import hubspot
from headwater.sources.apis.hubspot import (
    RefusedRequestError,
    TooManyPropertiesError,
    classify,
    paths,
    usage,
)
from headwater.sources.http.client import HttpClient
from headwater.sources.http.messages import HttpRequest, HttpResponse
from headwater.sources.http.source import Part
from tests.support.declared import http_source
from tests.support.http_fakes import FakeClock, FakeSend, answer, client

DAY = timedelta(days=1)
TODAY = date(2017, 12, 30)


def declared() -> HttpSource:
    return http_source("hubspot")


def part(stream: str, days: int = 2, **changes: Any) -> Part:
    source = declared().model_copy(update=changes)
    return Part(source, source.streams[stream], "", TODAY - (days - 1) * DAY, TODAY)


def first_load(stream: str) -> Part:
    read = declared().streams[stream].read
    assert isinstance(read, WindowRead)
    return part(stream, days=read.history_days + 1)


def error(
    status: int, category: str = "", message: str = "no", /, headers: dict[str, str] | None = None, **more: Any
) -> HttpResponse:
    body = {"status": "error", "message": message, "category": category, **more}
    return answer(body, status, **(headers or {}))


# Errors


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (error(429, policyName="TEN_SECONDLY_ROLLING"), ThrottledError),
        (error(429, policyName="SECONDLY"), ThrottledError),
        (error(429), ThrottledError),
        (error(429, policyName="DAILY"), QuotaUsedUpError),
        (error(401, "EXPIRED_AUTHENTICATION"), ExpiredTokenError),
        (error(401, "INVALID_AUTHENTICATION"), FatalSourceError),
        (error(403, "MISSING_SCOPES"), FatalSourceError),
        (error(403, "BANNED"), FatalSourceError),
        (error(400, "VALIDATION_ERROR"), RefusedRequestError),
        (answer(b"Bad request", 400), FatalSourceError),
        (error(404, "OBJECT_NOT_FOUND"), FatalSourceError),
        (answer(b"<html>URI Too Long</html>", 414), TooManyPropertiesError),
        (error(423), ThrottledError),
        (answer(b"", 477), ThrottledError),
        (error(500), RetriableSourceError),
        (answer(b"<html>A timeout occurred</html>", 524), RetriableSourceError),
        (answer(b"[]", 502), RetriableSourceError),
    ],
    ids=lambda value: str(value.status) if isinstance(value, HttpResponse) else value.__name__,
)
def test_an_error_calls_for_what_its_status_and_category_say(response, expected):
    assert type(classify(response)) is expected


@pytest.mark.parametrize("status", [200, 207])
def test_an_answer_even_in_part_is_none(status):
    assert classify(answer({"results": [], "errors": [{"category": "OBJECT_NOT_FOUND"}]}, status)) is None


@pytest.mark.parametrize(
    ("response", "seconds"),
    [
        (error(429, policyName="TEN_SECONDLY_ROLLING"), 10),
        (error(429, policyName="SECONDLY"), 1),
        (error(429), 10),
        (error(429, headers={"retry_after": "33"}, policyName="SECONDLY"), 33),
        (error(423), 2),
        (error(423, headers={"retry_after": "1"}), 2),
        (error(477, headers={"retry_after": "500"}), 500),
        (error(477), 60),
    ],
)
def test_a_wait_is_that_of_the_policy_unless_the_answer_names_one(response, seconds):
    refusal = classify(response)
    assert isinstance(refusal, ThrottledError)
    assert refusal.retry_after == seconds


def test_a_missing_scope_is_named():
    context = {"requiredScopes": ["crm.objects.deals.read"]}
    told = str(classify(error(403, "MISSING_SCOPES", "no", errors=[{"context": context}])))
    assert "hint: grant the app crm.objects.deals.read" in told


def test_the_day_s_limit_stops_the_run_at_once():
    send, clock = FakeSend(error(429, policyName="DAILY")), FakeClock()
    with pytest.raises(QuotaUsedUpError, match="hint: run again after midnight"):
        list(hubspot.read_objects(hub(send, clock), part("deals")))
    assert (len(send.requests), clock.slept) == (1, [])


@pytest.mark.parametrize(
    ("response", "seconds"),
    [
        (answer({}, x_hubspot_ratelimit_remaining="0", x_hubspot_ratelimit_interval_milliseconds="10000"), 10),
        (answer({}, x_hubspot_ratelimit_remaining="0"), 10),
        (answer({}, x_hubspot_ratelimit_remaining="1", x_hubspot_ratelimit_interval_milliseconds="10000"), None),
        (answer({}), None),
        (error(429, policyName="SECONDLY"), 1),
        (error(429, policyName="DAILY"), None),
    ],
)
def test_a_quota_that_is_used_up_means_quiet(response, seconds):
    assert usage(response) == seconds


@given(st.text(), st.text())
def test_a_rate_header_of_any_text_is_survived(left, interval):
    usage(answer({}, x_hubspot_ratelimit_remaining=left, x_hubspot_ratelimit_interval_milliseconds=interval))


@given(st.integers(200, 599), st.one_of(st.binary(), st.dictionaries(st.text(), st.text()), st.lists(st.integers())))
def test_an_error_body_of_any_kind_is_understood(status, body):
    found = classify(answer(body, status))
    assert found is None if status < 300 else isinstance(found, SourceError)


# Paths


def test_paths_follow_the_version():
    assert paths(part("deals")) == {"objects": "/crm/objects/2026-09", "associations": "/crm/associations/2026-09"}
    assert paths(part("deals", api_version="v3")) == {
        "objects": "/crm/v3/objects",
        "associations": "/crm/v4/associations",
    }


# Objects


def hub(send: FakeSend, clock: FakeClock | None = None) -> HttpClient:
    return client(send, clock, base_url="http://127.0.0.1:4570/hubspot", classify=classify, usage=usage)


def contact(number: int, changed: str = "2017-12-30T10:00:00.000Z", **properties: str | None) -> dict[str, Any]:
    return {
        "id": str(number),
        "properties": {"lastmodifieddate": changed, "hs_lastmodifieddate": changed, **properties},
        "createdAt": "2017-01-01T00:00:00.000Z",
        "updatedAt": changed,
        "archived": False,
    }


class Crm:
    """Lists, searches and reads associations as HubSpot does, its search in pages of `page` rows that end at `cap`."""

    def __init__(self, *rows: dict[str, Any], page: int = 3, cap: int = 10_000) -> None:
        self.rows = list(rows)
        self.page = page
        self.cap = cap
        self.longest_query = 10_000
        self.contacts: dict[str, list[int]] = {}
        self.refused: set[str] = set()
        self.send = FakeSend(handler=self.answer)

    def answer(self, request: HttpRequest) -> HttpResponse:
        path = request.url.removeprefix("http://127.0.0.1:4570/hubspot")
        body = json.loads(request.body) if request.body else {}
        if path.endswith("/search"):
            return self.search(body)
        if path.startswith("/crm/associations"):
            return self.associations(body)
        if path.partition("?")[0].endswith("/batch/read"):
            asked = {one["id"] for one in body["inputs"]}
            return answer({"results": [row for row in self.rows if row["id"] in asked]})
        if len(request.params.get("properties", "")) > self.longest_query:
            return answer(b"", 414)
        begin = int(request.params.get("after", "0"))
        rows = self.rows if "properties" in request.params else [{**row, "properties": {}} for row in self.rows]
        return self.paged(rows, begin, {})

    def search(self, body: dict[str, Any]) -> HttpResponse:
        limits = {
            (one["propertyName"], one["operator"]): int(one["value"]) for one in body["filterGroups"][0]["filters"]
        }
        beyond = limits.get(("hs_object_id", "GT"), 0)
        begin = int(body.get("after", "0"))
        if begin >= self.cap:
            return error(400, "VALIDATION_ERROR", "ten thousand")
        found = [row for row in sorted(self.rows, key=lambda row: int(row["id"])) if int(row["id"]) > beyond]
        return self.paged(found, begin, {"total": len(found)})

    def paged(self, rows: list[dict[str, Any]], begin: int, more: dict[str, Any]) -> HttpResponse:
        end = begin + self.page
        paging = {"paging": {"next": {"after": str(end)}}} if end < len(rows) else {}
        return answer({"results": rows[begin:end], **paging, **more})

    def associations(self, body: dict[str, Any]) -> HttpResponse:
        asked = [one["id"] for one in body["inputs"]]
        if self.refused & set(asked):
            return error(400, "VALIDATION_ERROR", "invalid id")
        results = [
            {"from": {"id": deal}, "to": [{"toObjectId": number} for number in self.contacts[deal]]}
            for deal in asked
            if self.contacts.get(deal)
        ]
        return answer({"results": results}, 200)


def bodies(send: FakeSend) -> Iterator[dict[str, Any]]:
    return (json.loads(request.body or b"{}") for request in send.requests)


def test_the_first_load_lists_and_later_runs_search():
    first, later = Crm(contact(1)), Crm(contact(1))
    listed = list(hubspot.read_objects(hub(first.send), first_load("contacts")))
    assert list(hubspot.read_objects(hub(later.send), part("contacts"))) == listed
    assert first.send.requests[0].params["archived"] == "false"
    assert [request.method for request in (*first.send.requests, *later.send.requests)] == ["GET", "POST"]


@pytest.mark.parametrize(("stream", "name"), [("contacts", "lastmodifieddate"), ("deals", "hs_lastmodifieddate")])
def test_a_search_has_fixed_bounds_in_milliseconds_and_the_order_of_ids(stream, name):
    crm = Crm(contact(7), contact(9), page=1)
    list(hubspot.read_objects(hub(crm.send), part(stream)))
    first, second = bodies(crm.send)
    assert first["filterGroups"] == [
        {
            "filters": [
                {"propertyName": name, "operator": "GTE", "value": "1514505600000"},
                {"propertyName": name, "operator": "LT", "value": "1514678400000"},
            ]
        }
    ]
    assert first["sorts"] == [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
    assert first["limit"] == 200
    beyond = {"propertyName": "hs_object_id", "operator": "GT", "value": "7"}
    assert second["filterGroups"] == [{"filters": [*first["filterGroups"][0]["filters"], beyond]}]
    assert "after" not in second


@given(st.sets(st.integers(1, 10**12), max_size=60), st.integers(1, 9), st.integers(1, 20))
def test_no_number_of_results_or_cap_loses_a_row(ids, page, cap):
    crm = Crm(*map(contact, sorted(ids)), page=page, cap=cap)
    read = [int(row["id"]) for row in hubspot.read_objects(hub(crm.send), part("contacts"))]
    assert read == sorted(ids)


def test_a_row_that_drops_out_while_the_search_is_read_hides_no_other():
    crm = Crm(*map(contact, range(1, 10)), page=3)
    rows = hubspot.read_objects(hub(crm.send), part("contacts"))
    read = [next(rows)["id"] for _ in range(3)]
    crm.rows = crm.rows[2:]
    assert [*read, *(row["id"] for row in rows)] == [str(number) for number in range(1, 10)]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ([{"total": 2, "results": [contact(2), contact(1)]}], "not in order of their ids"),
        ([{"total": 3, "results": [contact(1)]}], "1 of 3 results, and no page after them"),
        ([{"total": 3, "results": [contact(1)], "paging": {"next": {}}}], "has no `after`"),
        (
            [{"total": 1, "results": [contact(1)], "paging": {"next": {"after": "1"}}}] * 2,
            "not in order of their ids beyond 1",
        ),
    ],
)
def test_a_search_that_would_lose_rows_is_an_error(script, said):
    with pytest.raises(PagingError, match=said):
        list(hubspot.read_objects(hub(FakeSend(*map(answer, script))), part("contacts")))


def test_a_next_page_at_another_host_is_an_error():
    following = {"after": "2", "link": "http://169.254.169.254/crm/objects/2026-09/contacts?after=2"}
    send = FakeSend(answer({"results": [contact(1)], "paging": {"next": following}}))
    with pytest.raises(PagingError, match=r"169\.254\.169\.254"):
        list(hubspot.read_objects(hub(send), first_load("contacts")))


@pytest.mark.parametrize("row", [{"properties": {}}, {"id": 7}, {"id": "seven"}, "7", None])
def test_a_row_without_an_id_of_digits_needs_a_person(row):
    with pytest.raises(FatalSourceError, match="not a text of digits"):
        list(hubspot.read_objects(hub(FakeSend(answer({"results": [row]}))), first_load("contacts")))


@given(st.integers(0, 30), st.integers(1, 9))
def test_properties_that_are_too_many_for_a_url_come_by_batch_read(rows, page):
    crm = Crm(*map(contact, range(1, rows + 1)), page=page)
    whole = list(hubspot.read_objects(hub(crm.send), first_load("contacts")))
    crm.longest_query = 10
    assert list(hubspot.read_objects(hub(crm.send), first_load("contacts"))) == whole
    assert len(whole) == rows


def test_a_row_is_found_again_by_the_time_that_was_searched_for():
    late = {**contact(1, "2017-12-30T10:00:00.000Z"), "updatedAt": "2017-11-01T00:00:00.000Z"}
    bare = {**contact(2), "properties": {}}
    archived = {**contact(3), "archived": True, "archivedAt": "2017-12-29T08:00:00.000Z"}
    read = list(hubspot.read_objects(hub(Crm(late, bare, archived).send), first_load("contacts")))
    assert [row["modifiedAt"] for row in read] == [
        "2017-12-30T10:00:00.000Z",
        "2017-12-30T10:00:00.000Z",
        "2017-12-29T08:00:00.000Z",
    ]


def test_a_merged_contact_tells_of_those_it_took_over():
    winner = contact(5, hs_merged_object_ids="3;4", email="a@example.com")
    told = list(
        hubspot.read_objects(hub(Crm(winner, contact(6, hs_merged_object_ids="")).send), first_load("contacts"))
    )
    assert [(row["id"], row["archived"], row.get("mergedInto"), row["modifiedAt"]) for row in told] == [
        ("5", False, None, "2017-12-30T10:00:00.000Z"),
        ("3", True, "5", "2017-12-30T10:00:00.000Z"),
        ("4", True, "5", "2017-12-30T10:00:00.000Z"),
        ("6", False, None, "2017-12-30T10:00:00.000Z"),
    ]


def test_the_archive_is_read_whole():
    crm = Crm(*map(contact, range(8)))
    assert len(list(hubspot.read_archive(hub(crm.send), part("contacts_archived", days=1)))) == 8
    assert {request.params["archived"] for request in crm.send.requests} == {"true"}


# Associations


def associations(crm: Crm) -> dict[str, list[int] | None]:
    rows = list(hubspot.read_associations(hub(crm.send), part("associations")))
    assert all(set(row) == {"id", "contacts", "modifiedAt"} for row in rows)
    return {row["id"]: row["contacts"] and [one["toObjectId"] for one in row["contacts"]] for row in rows}


@given(
    st.dictionaries(st.integers(1, 250).map(str), st.lists(st.integers(1, 99), unique=True, max_size=4), max_size=120),
    st.sets(st.integers(1, 250).map(str), max_size=3),
)
def test_ids_that_are_refused_cost_no_other_deal_its_contacts(contacts, refused):
    crm = Crm(*(contact(int(deal)) for deal in contacts), page=200)
    crm.contacts, crm.refused = contacts, refused
    expected = {deal: None if deal in refused else sorted(numbers) for deal, numbers in contacts.items()}
    assert associations(crm) == expected


def test_deals_are_asked_for_a_hundred_at_a_time():
    crm = Crm(*map(contact, range(1, 251)), page=200)
    associations(crm)
    asked = [len(body["inputs"]) for body in bodies(crm.send) if "inputs" in body]
    assert asked == [100, 100, 50]


def test_contacts_of_a_deal_come_in_pages_too():
    found = answer({"total": 1, "results": [contact(1)]})
    first = {"from": {"id": "1"}, "to": [{"toObjectId": 9}], "paging": {"next": {"after": "1"}}}
    second = {"from": {"id": "1"}, "to": [{"toObjectId": "8"}]}
    send = FakeSend(found, answer({"results": [first]}), answer({"results": [second]}))
    [row] = hubspot.read_associations(hub(send), part("associations"))
    assert [one["toObjectId"] for one in row["contacts"]] == ["8", 9]
    assert json.loads(send.requests[2].body or b"") == {"inputs": [{"id": "1", "after": "1"}]}


def partly(*errors: dict[str, Any]) -> FakeSend:
    found = answer({"total": 2, "results": [contact(1), contact(2)]})
    results = [{"from": {"id": "1"}, "to": [{"toObjectId": 9}]}]
    return FakeSend(found, answer({"results": results, "numErrors": len(errors), "errors": errors}, 207))


def test_a_deal_without_contacts_has_none_and_a_deal_that_is_gone_no_row():
    lonely = {
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "context": {"fromObjectId": ["2"]},
    }
    rows = list(hubspot.read_associations(hub(partly(lonely)), part("associations")))
    assert [(row["id"], len(row["contacts"])) for row in rows] == [("1", 1), ("2", 0)]
    gone = {"category": "OBJECT_NOT_FOUND", "context": {"fromObjectId": ["2"]}}
    assert [row["id"] for row in hubspot.read_associations(hub(partly(gone)), part("associations"))] == ["1"]


def test_a_part_that_failed_for_another_reason_needs_a_person():
    with pytest.raises(FatalSourceError, match="a part of the batch failed: INTERNAL: no idea"):
        list(
            hubspot.read_associations(hub(partly({"category": "INTERNAL", "message": "no idea"})), part("associations"))
        )


def test_an_empty_archive_or_search_asks_for_nothing_more():
    crm = Crm()
    assert associations(crm) == {}
    assert len(crm.send.requests) == 1


def test_every_stream_has_a_reader():
    assert hubspot.API.readers.keys() == declared().streams.keys()
