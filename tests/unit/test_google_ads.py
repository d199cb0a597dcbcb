"""Google's Ads API: what its errors call for, and queries that are read page by page, as YAML says."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.config import HttpSource, OAuth, WindowRead
from headwater.errors import (
    ClosedAccountError,
    ExpiredCursorError,
    ExpiredTokenError,
    FatalSourceError,
    PagingError,
    QuotaUsedUpError,
    RetriableSourceError,
    ThrottledError,
)
from headwater.ledger.positions import DaysPosition
from headwater.sources.apis.google_ads import classify, headers, seconds_of
from headwater.sources.http.client import HttpClient
from headwater.sources.http.flatten import flatten
from headwater.sources.http.messages import HttpRequest, HttpResponse
from headwater.sources.http.source import Part, read_pages
from headwater.sources.http.stream import read
from tests.support.declared import http_source, table
from tests.support.http_fakes import FakeClock, FakeSend, KeptFiles, answer, client

US, EUROPE = "3030000001", "3030000002"
TODAY = date(2018, 1, 1)


def google() -> HttpSource:
    return http_source("google_ads")


def part(stream: str, since: date = date(2017, 12, 1), until: date = date(2017, 12, 30)) -> Part:
    return Part(google(), google().streams[stream], US, since, until)


def ads(send: FakeSend, clock: FakeClock | None = None) -> HttpClient:
    return client(send, clock, name="google_ads", base_url="http://127.0.0.1:4570/google", classify=classify)


def error(
    category: str = "", code: str = "", status: int = 400, delay: Any = None, *, in_array: bool = False
) -> HttpResponse:
    body: dict[str, Any] = {"code": status, "message": "HttpRequest failed.", "status": "SOME_STATUS"}
    if category:
        reason: dict[str, Any] = {"errorCode": {category: code}, "message": "no"}
        if delay is not None:
            reason["details"] = {"quotaErrorDetails": {"rateScope": "ACCOUNT", "retryDelay": delay}}
        kind = "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure"
        body["details"] = [{"@type": kind, "errors": [reason], "requestId": "T7iy"}]
    whole: Any = {"error": body}
    return answer([whole] if in_array else whole, status, request_id="T7iy")


# Errors


@pytest.mark.parametrize("in_array", [False, True])
@pytest.mark.parametrize(
    ("category", "code", "status", "expected"),
    [
        ("quotaError", "RESOURCE_EXHAUSTED", 429, ThrottledError),
        ("quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED", 429, ThrottledError),
        ("quotaError", "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION", 429, ThrottledError),
        ("", "", 429, ThrottledError),
        ("quotaError", "ACCESS_PROHIBITED", 403, FatalSourceError),
        ("internalError", "INTERNAL_ERROR", 500, RetriableSourceError),
        ("internalError", "TRANSIENT_ERROR", 500, RetriableSourceError),
        ("internalError", "DEADLINE_EXCEEDED", 504, RetriableSourceError),
        ("", "", 500, RetriableSourceError),
        ("", "", 503, RetriableSourceError),
        ("authenticationError", "OAUTH_TOKEN_EXPIRED", 401, ExpiredTokenError),
        ("", "", 401, ExpiredTokenError),
        ("authenticationError", "OAUTH_TOKEN_REVOKED", 401, FatalSourceError),
        ("authenticationError", "OAUTH_TOKEN_INVALID", 401, FatalSourceError),
        ("requestError", "EXPIRED_PAGE_TOKEN", 400, ExpiredCursorError),
        ("requestError", "INVALID_PAGE_TOKEN", 400, ExpiredCursorError),
        ("requestError", "PAGE_SIZE_NOT_SUPPORTED", 400, FatalSourceError),
        ("queryError", "UNRECOGNIZED_FIELD", 400, FatalSourceError),
        ("authorizationError", "CUSTOMER_NOT_ENABLED", 403, ClosedAccountError),
        ("authorizationError", "USER_PERMISSION_DENIED", 403, FatalSourceError),
        ("authorizationError", "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION", 403, FatalSourceError),
        ("", "", 404, FatalSourceError),
    ],
)
def test_an_error_calls_for_what_its_code_says(category, code, status, expected, in_array):
    found = classify(error(category, code, status, in_array=in_array))
    assert type(found) is expected
    assert "T7iy" in str(found)


@pytest.mark.parametrize("in_array", [False, True])
def test_a_throttle_waits_as_long_as_it_says(in_array):
    throttle = classify(error("quotaError", "RESOURCE_EXHAUSTED", 429, "30s", in_array=in_array))
    assert isinstance(throttle, ThrottledError)
    assert throttle.retry_after == 30


@pytest.mark.parametrize("delay", [None, "soon", 30, {"seconds": 30}, "-3s"])
def test_a_throttle_that_does_not_say_leaves_the_wait_to_the_client(delay):
    throttle = classify(error("quotaError", "RESOURCE_EXHAUSTED", 429, delay))
    assert isinstance(throttle, ThrottledError)
    assert throttle.retry_after is None


def test_a_quota_that_is_back_tomorrow_is_not_waited_for():
    found = classify(error("quotaError", "RESOURCE_EXHAUSTED", 429, "43200s"))
    assert isinstance(found, QuotaUsedUpError)
    assert "hint: run again in 12.0 hours" in str(found)


def test_an_error_that_follows_rows_in_a_stream_is_found_under_status_200():
    chunks = [{"results": [{"campaign": {"id": "1"}}]}, json.loads(error("internalError", "TRANSIENT_ERROR", 500).body)]
    assert type(classify(answer(chunks))) is RetriableSourceError


@pytest.mark.parametrize(
    "response",
    [
        answer({"results": []}),
        answer([{"results": [{"campaign": {"name": '"error" is part of a name'}}]}]),
        answer({"results": [{"campaign": {"error": {"code": 500}}}]}),
        answer([]),
    ],
)
def test_an_answer_without_an_error_is_none(response):
    assert classify(response) is None


def test_an_error_page_that_is_not_json_is_told_by_its_status():
    assert type(classify(answer(b"<html>Bad gateway</html>", 502))) is RetriableSourceError


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["details", "errors", "errorCode", "code"]), inner)
        ),
    )
)
def test_an_error_of_any_shape_is_survived(body):
    assert classify(answer({"error": body}, 400)) is not None


@given(st.integers(0, 10**9), st.integers(0, 999))
def test_durations_are_read_as_protobuf_writes_them(whole, thousandths):
    assert seconds_of(f"{whole}.{thousandths:03}s") == float(f"{whole}.{thousandths:03}")
    assert seconds_of(f"{whole}s") == whole


def test_permission_errors_say_what_to_do():
    hint = "hint: the secret's login_customer_id must be the manager"
    assert hint in str(classify(error("authorizationError", "USER_PERMISSION_DENIED", 403)))


# Headers


def test_a_manager_is_named_by_digits():
    assert headers({"login_customer_id": "303-000-0000"}) == {"login-customer-id": "3030000000"}


def test_a_developer_token_is_sent_only_where_there_is_one():
    assert headers({"developer_token": "dev", "client_id": "x"}) == {"developer-token": "dev"}
    assert headers({"developer_token": "", "login_customer_id": ""}) == {}


# What is declared


def selected(query: str) -> list[str]:
    found = re.fullmatch(r"SELECT (.+?) FROM (\w+)(?: WHERE .+)?", query)
    assert found, query
    return [field.strip() for field in found[1].split(",")]


@pytest.mark.parametrize("stream", google().streams)
def test_each_query_selects_just_the_declared_raw_fields(stream):
    declared = google().streams[stream]
    assert declared.body is not None
    assert tuple(field.replace(".", "_") for field in selected(declared.body["query"])) == declared.raw


def test_both_platforms_fill_the_tables_that_are_no_breakdown():
    filled = [{stream.table for stream in it.streams.values()} for it in (google(), http_source("facebook_ads"))]
    assert filled[0] & filled[1] == {"ad_campaigns", "ad_sets", "ads", "ad_performance"}


def test_a_breakdown_is_read_again_as_long_as_what_it_divides():
    reads = {stream.read.reread_days for stream in google().streams.values() if isinstance(stream.read, WindowRead)}
    assert reads == {30 + 1}


def test_conversions_are_read_again_for_thirty_days():
    read = google().streams["ad_performance"].read
    assert isinstance(read, WindowRead)
    assert read.reread_days == 30 + 1


def test_access_tokens_are_bought_with_a_refresh_token():
    assert google().auth == OAuth(kind="oauth", token_url="https://oauth2.googleapis.com/token")


# Rows


def test_a_row_becomes_flat_fields_named_as_in_gaql():
    row = {
        "customer": {"resourceName": "customers/1", "currencyCode": "EUR"},
        "adGroupAd": {
            "resourceName": "x",
            "ad": {"resourceName": "y", "id": "7", "finalUrls": ["https://a", "https://b"]},
        },
        "adGroup": {"targetingSetting": {"targetRestrictions": [{"targetingDimension": "AGE_RANGE", "bidOnly": True}]}},
        "segments": {"date": "2017-12-01"},
        "metrics": {"costMicros": "2500000", "conversions": 0.5},
    }
    assert flatten(row, {"resource_name"}) == {
        "customer_currency_code": "EUR",
        "ad_group_ad_ad_id": "7",
        "ad_group_ad_ad_final_urls": ["https://a", "https://b"],
        "ad_group_targeting_setting_target_restrictions": [{"targetingDimension": "AGE_RANGE", "bidOnly": True}],
        "segments_date": "2017-12-01",
        "metrics_cost_micros": "2500000",
        "metrics_conversions": 0.5,
    }


class Rows:
    """Answers queries with numbered rows of one day each, in pages; page tokens are good for `lasting` pages."""

    def __init__(self, rows: int, length: int = 10_000, lasting: int = 10**9) -> None:
        self.rows = [
            {"segments": {"date": f"2017-12-{number % 30 + 1:02}"}, "adGroupAd": {"ad": {"id": str(number)}}}
            for number in range(rows)
        ]
        self.length = length
        self.lasting = lasting
        self.pages = 0
        self.send = FakeSend(handler=self.answer)

    def answer(self, request: HttpRequest) -> HttpResponse:
        assert request.method == "POST"
        assert request.body is not None
        body = json.loads(request.body)
        assert body.keys() <= {"query", "pageToken"}
        if "pageToken" in body:
            self.pages += 1
            if self.pages == self.lasting:
                return error("requestError", "EXPIRED_PAGE_TOKEN")
        start = int(body.get("pageToken", "0"))
        page: dict[str, Any] = {"fieldMask": "segments.date"}
        if self.rows[start : start + self.length]:
            page["results"] = self.rows[start : start + self.length]
        if start + self.length < len(self.rows):
            page["nextPageToken"] = str(start + self.length)
        return answer(page)


def flat(rows: Rows) -> list[dict[str, Any]]:
    return [flatten(row, {"resource_name"}) for row in rows.rows]


@given(st.integers(0, 60), st.integers(1, 60))
def test_pages_are_read_to_the_last_with_the_same_query(number, length):
    rows = Rows(number, length)
    assert list(read_pages(ads(rows.send), part("ad_performance"))) == flat(rows)
    queries = {json.loads(request.body or b"")["query"] for request in rows.send.requests}
    assert len(queries) == 1
    assert queries.pop().endswith("WHERE segments.date BETWEEN '2017-12-01' AND '2017-12-30'")


def test_a_query_is_asked_by_its_yaml():
    rows = Rows(20)
    assert list(read_pages(ads(rows.send), part("campaigns"))) == flat(rows)
    [request] = rows.send.requests
    assert request.url == f"http://127.0.0.1:4570/google/v26/customers/{US}/googleAds:search"
    assert request.headers["Content-Type"] == "application/json"
    assert request.params == {}


@pytest.mark.parametrize("stream", ["campaigns", "ads"])
@pytest.mark.parametrize("reply", [{"results": {}}, {}, {"result": []}, "text", [{"results": 3}], [["chunk"]]])
def test_an_answer_of_another_shape_needs_a_person(stream, reply):
    with pytest.raises(FatalSourceError, match="no list at `results"):
        list(read_pages(ads(FakeSend(answer(reply))), part(stream)))


def test_a_row_that_is_no_object_needs_a_person():
    with pytest.raises(FatalSourceError, match="a row is str, not an object"):
        extract(FakeSend(answer({"results": ["row"]})), accounts=(US,))


def test_a_token_that_comes_twice_ends_the_reading():
    send = FakeSend(handler=lambda request: answer({"results": [{"ad": {"id": "1"}}], "nextPageToken": "x"}))
    with pytest.raises(PagingError, match="came twice"):
        list(read_pages(ads(send), part("ads")))


# Extract


def extract(
    send: FakeSend, stream: str = "ads", position: DaysPosition | None = None, **changes: Any
) -> tuple[Any, KeptFiles]:
    files = KeptFiles()
    source = google().model_copy(update=changes)
    into = table(source.streams[stream].table)
    found = read(source, stream, into, {}, files, position, TODAY, None, ads(send))  # type: ignore[arg-type]
    return found, files


def test_a_query_whose_page_token_runs_out_is_asked_anew_and_doubles_nothing():
    rows = Rows(50, length=10, lasting=3)
    found, files = extract(rows.send, accounts=(US,))
    assert [row["ad_group_ad_ad_id"] for row in files.rows] == [str(number) for number in range(50)]
    assert found.position_after.accounts == (US,)


def test_a_page_token_that_always_runs_out_is_an_error():
    send = FakeSend(
        handler=lambda request: (
            error("requestError", "EXPIRED_PAGE_TOKEN")
            if "pageToken" in json.loads(request.body or b"")
            else answer({"results": [{"ad": {"id": "1"}}], "nextPageToken": "x"})
        )
    )
    with pytest.raises(ExpiredCursorError, match="EXPIRED_PAGE_TOKEN"):
        extract(send, accounts=(US,))
    assert len(send.requests) == 2 * 3


def closed(accounts: set[str], rows: Rows) -> FakeSend:
    """Refuses some accounts as not enabled."""

    def reply(request: HttpRequest) -> HttpResponse:
        if any(account in request.url for account in accounts):
            return error("authorizationError", "CUSTOMER_NOT_ENABLED", 403)
        return rows.answer(request)

    return FakeSend(handler=reply)


def test_an_account_that_is_not_enabled_is_skipped_and_the_others_are_read():
    found, files = extract(closed({EUROPE}, Rows(5)), "ad_performance")
    assert {row["_account"] for row in files.rows} == {US}
    assert found.position_after.accounts == (US,)
    assert {piece["account"] for piece in found.slices} == {US}


def test_an_account_that_closes_loses_no_rows_and_is_read_anew_when_it_is_back():
    first, _ = extract(Rows(60).send, "ad_performance")
    assert {piece["account"] for piece in first.slices} == {US, EUROPE}
    assert extract(closed({EUROPE}, Rows(60)), "ad_performance", first.position_after)[0] is None
    second, _ = extract(closed({EUROPE}, Rows(62)), "ad_performance", first.position_after)
    assert {piece["account"] for piece in second.slices} == {US}
    third, files = extract(Rows(62).send, "ad_performance", second.position_after)
    assert {row["_account"] for row in files.rows} == {EUROPE}
    assert len(files.rows) == 62
    assert len({piece["day"] for piece in third.slices if piece["account"] == EUROPE}) == 366


def test_accounts_that_are_all_closed_are_an_error():
    with pytest.raises(FatalSourceError, match="none of the accounts is served"):
        extract(closed({US, EUROPE}, Rows(1)), "ads")


def test_objects_without_times_are_one_slice_that_is_kept_while_it_reads_the_same():
    first, files = extract(Rows(5).send, "ads", accounts=(US,))
    assert len(files.rows) == 5
    assert first.slices == ({"account": US, "day": "9999-12-31"},)
    again, more = extract(Rows(5).send, "ads", first.position_after, accounts=(US,))
    assert (again, more.files) == (None, [])
    changed, files = extract(Rows(6).send, "ads", first.position_after, accounts=(US,))
    assert len(files.rows) == 6
    assert changed.position_after != first.position_after
