"""The Google Ads API keeps to its contract."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import requests

from local.postgres import free_port
from local.world import google_ads
from tests.support.simulators import GOOGLE_ADS_DEFAULTS, Simulators, start, stop

US, EUROPE, MANAGER = (
    str(google_ads.CUSTOMERS[0].customer_id),
    str(google_ads.CUSTOMERS[1].customer_id),
    str(google_ads.MANAGER_ID),
)
GRANT = {
    "grant_type": "refresh_token",
    "client_id": "headwater.apps.googleusercontent.com",
    "client_secret": "GOCSPX-local",
    "refresh_token": "1//local-refresh-token",
}
BY_DAY = (
    "SELECT customer.currency_code, ad_group_ad.ad.id, segments.date, metrics.impressions, metrics.clicks,"
    " metrics.cost_micros, metrics.conversions FROM ad_group_ad WHERE segments.date BETWEEN '{}' AND '{}'"
)


class Ads:
    """A caller with an access token of its own."""

    def __init__(self, simulators: Simulators) -> None:
        self.url = simulators.url
        self.simulators = simulators
        self.token = self.grant().json()["access_token"]

    def grant(self, **changes: str) -> requests.Response:
        return requests.post(f"{self.url}/google/token", data={**GRANT, **changes}, timeout=20)

    def __call__(
        self, query: str | None, customer: str = US, method: str = "search", login: str | None = MANAGER, **body: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}", **({"login-customer-id": login} if login else {})}
        url = f"{self.url}/google/v26/customers/{customer}/googleAds:{method}"
        asked = body if query is None else {"query": query, **body}
        return requests.post(url, json=asked, headers=headers, timeout=20)

    def pages(self, query: str, customer: str = US) -> Iterator[dict[str, Any]]:
        token: dict[str, str] = {}
        while True:
            page = self(query, customer, **token).json()
            yield page
            if "nextPageToken" not in page:
                return
            token = {"pageToken": page["nextPageToken"]}

    def rows(self, query: str, customer: str = US) -> list[dict[str, Any]]:
        return [row for page in self.pages(query, customer) for row in page.get("results", [])]

    def admin(self, name: str, **body: Any) -> None:
        self.simulators.admin(f"google_ads/{name}", **body)


@pytest.fixture
def ads(simulators: Simulators) -> Ads:
    for name, body in GOOGLE_ADS_DEFAULTS.items():
        simulators.admin(f"google_ads/{name}", **body)
    return Ads(simulators)


def reason(response: requests.Response) -> tuple[int, str, str]:
    """Status, category and code of an error."""
    body = response.json()
    error = (body[0] if isinstance(body, list) else body)["error"]
    assert error["code"] == response.status_code
    if "details" not in error:
        return response.status_code, "", error["status"]
    [failure] = error["details"]
    assert failure["@type"] == "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure"
    assert failure["requestId"] == response.headers["request-id"]
    [(category, code)] = failure["errors"][0]["errorCode"].items()
    return response.status_code, category, code


# Tokens and permission


def test_a_refresh_token_buys_an_access_token(ads):
    answer = ads.grant().json()
    assert answer["access_token"].startswith("ya29.")
    assert {**answer, "access_token": ""} == {
        "access_token": "",
        "expires_in": 3599,
        "scope": "https://www.googleapis.com/auth/adwords",
        "token_type": "Bearer",
    }


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"refresh_token": "1//someone-else"}, 400, "invalid_grant"),
        ({"client_secret": "GOCSPX-wrong"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_a_wrong_grant_is_refused_in_the_words_of_oauth(ads, changes, status, error):
    response = ads.grant(**changes)
    assert (response.status_code, response.json()["error"]) == (status, error)


def test_nobody_passes_without_a_good_token(ads):
    good, query = ads.token, "SELECT campaign.id FROM campaign"
    ads.token = ""
    assert reason(ads(query)) == (401, "", "UNAUTHENTICATED")
    ads.token = "ya29.someone-else"
    assert reason(ads(query)) == (401, "authenticationError", "OAUTH_TOKEN_INVALID")
    ads.admin("tokens", access_tokens={good: time.time() - 1})
    ads.token = good
    assert reason(ads(query)) == (401, "authenticationError", "OAUTH_TOKEN_EXPIRED")


def test_only_the_manager_is_accessible_by_itself(ads):
    url = f"{ads.url}/google/v26/customers:listAccessibleCustomers"
    response = requests.get(url, headers={"Authorization": f"Bearer {ads.token}"}, timeout=20)
    assert response.json() == {"resourceNames": [f"customers/{MANAGER}"]}
    assert reason(ads("SELECT campaign.id FROM campaign", login=None)) == (
        403,
        "authorizationError",
        "USER_PERMISSION_DENIED",
    )


def test_the_manager_lists_the_accounts_below_it(ads):
    query = "SELECT customer_client.id, customer_client.level, customer_client.currency_code FROM customer_client"
    below = ads.rows(f"{query} WHERE customer_client.manager = FALSE", MANAGER)
    assert [row["customerClient"]["id"] for row in below] == [US, EUROPE]
    assert below[1]["customerClient"]["currencyCode"] == "EUR"
    assert len(ads.rows(query, MANAGER)) == 3


def test_a_manager_has_no_metrics(ads):
    response = ads("SELECT customer.id, metrics.clicks FROM customer", MANAGER)
    assert reason(response) == (400, "queryError", "REQUESTED_METRICS_FOR_MANAGER")


def test_a_closed_account_is_refused(ads):
    ads.admin("accounts", not_enabled=[int(EUROPE)])
    query = "SELECT campaign.id FROM campaign"
    assert reason(ads(query, EUROPE)) == (403, "authorizationError", "CUSTOMER_NOT_ENABLED")
    assert ads(query, US).ok


def test_every_answer_has_a_request_id(ads):
    good, bad = ads("SELECT campaign.id FROM campaign"), ads("SELECT campaign.id FROM nowhere")
    assert good.headers["request-id"] != bad.headers["request-id"]


# Rows


def test_a_row_is_nested_with_integers_as_text_and_doubles_as_numbers(ads):
    [row, *_] = ads.rows(
        "SELECT customer.time_zone, campaign.id, campaign.advertising_channel_type, segments.date, metrics.cost_micros,"
        " metrics.conversions FROM campaign WHERE segments.date = '2017-12-20' ORDER BY metrics.conversions DESC LIMIT 1"
    )
    assert row["customer"] == {"resourceName": f"customers/{US}", "timeZone": "America/New_York"}
    assert row["campaign"]["resourceName"] == f"customers/{US}/campaigns/{row['campaign']['id']}"
    assert row["campaign"]["advertisingChannelType"] in {"SEARCH", "SHOPPING", "DISPLAY"}
    assert row["segments"] == {"date": "2017-12-20"}
    assert row["metrics"]["costMicros"].isdecimal()
    assert isinstance(row["metrics"]["conversions"], float)


def test_what_has_no_value_is_left_out(ads):
    fields = "ad_group_ad.ad.id, ad_group_ad.ad.name, ad_group_ad.ad.type"
    named = {
        row["adGroupAd"]["ad"]["type"]: "name" in row["adGroupAd"]["ad"]
        for row in ads.rows(f"SELECT {fields} FROM ad_group_ad")
    }
    assert named == {"RESPONSIVE_SEARCH_AD": False, "SHOPPING_PRODUCT_AD": False, "IMAGE_AD": True}


def test_an_answer_without_rows_has_no_results(ads):
    query = "SELECT campaign.id FROM campaign WHERE campaign.id = 1"
    assert "results" not in ads(query).json()
    [chunk] = ads(query, method="searchStream").json()
    assert chunk.keys() == {"fieldMask", "requestId"}


def test_the_field_mask_names_what_was_selected(ads):
    page = ads("SELECT campaign.id, ad_group_ad.ad.final_urls FROM ad_group_ad LIMIT 1").json()
    assert page["fieldMask"] == "campaign.id,adGroupAd.ad.finalUrls"


def test_daily_rows_add_up_to_the_ledger(ads):
    served: dict[tuple[int, date], tuple[Decimal, int, Decimal]] = defaultdict(lambda: (Decimal(0), 0, Decimal(0)))
    for customer in (US, EUROPE):
        for row in ads.rows(BY_DAY.format("2017-01-01", "2018-01-31"), customer):
            metrics = row["metrics"]
            if int(metrics["costMicros"]) < 0 or int(metrics["clicks"]) > int(metrics["impressions"]):
                continue
            key = int(customer), date.fromisoformat(row["segments"]["date"])
            cost, clicks, conversions = served[key]
            served[key] = (
                cost + Decimal(metrics["costMicros"]) / 1_000_000,
                clicks + int(metrics["clicks"]),
                conversions + Decimal(str(metrics["conversions"])),
            )
    ledger = google_ads.google_ledger(ads.simulators.dsn)
    assert served == {(day.customer_id, day.day): (day.cost, day.clicks, day.conversions) for day in ledger if day.rows}


def test_campaigns_are_the_sum_of_their_ads(ads):
    days = "WHERE segments.date BETWEEN '2017-11-01' AND '2017-11-30'"
    by_ad: dict[str, int] = defaultdict(int)
    for row in ads.rows(f"SELECT campaign.id, segments.date, metrics.impressions FROM ad_group_ad {days}"):
        by_ad[row["campaign"]["id"]] += int(row["metrics"]["impressions"])
    whole = ads.rows(f"SELECT campaign.id, metrics.impressions FROM campaign {days}")
    assert {row["campaign"]["id"]: int(row["metrics"]["impressions"]) for row in whole} == {
        row["campaign"]["id"]: by_ad.get(row["campaign"]["id"], 0) for row in whole
    }
    assert "0" in {row["metrics"]["impressions"] for row in whole}


PARTS = (
    "SELECT ad_group.id, {}, segments.date, metrics.impressions, metrics.cost_micros FROM {}"
    " WHERE segments.date BETWEEN '2017-11-01' AND '2017-11-30'"
)


def test_a_criterion_is_told_with_its_ad_group(ads):
    [row, *_] = ads.rows(PARTS.format("ad_group_criterion.age_range.type", "age_range_view"))
    ad_group = row["adGroup"]["id"]
    assert row["ageRangeView"]["resourceName"] == f"customers/{US}/ageRangeViews/{ad_group}~503001"
    assert row["adGroupCriterion"] == {
        "resourceName": f"customers/{US}/adGroupCriteria/{ad_group}~503001",
        "ageRange": {"type": "AGE_RANGE_18_24"},
    }
    genders = ads.rows(PARTS.format("ad_group_criterion.gender.type", "gender_view"))
    assert {row["adGroupCriterion"]["gender"]["type"] for row in genders} == {"MALE", "FEMALE", "UNDETERMINED"}


def test_a_country_is_told_apart_by_what_else_is_asked_for(ads):
    query = (
        "SELECT {}geographic_view.country_criterion_id, geographic_view.location_type, metrics.impressions"
        " FROM geographic_view WHERE segments.date BETWEEN '2017-11-01' AND '2017-11-30'"
    )
    by_country = ads.rows(query.format(""))
    [row, *_] = by_country
    assert row["geographicView"] == {
        "resourceName": f"customers/{US}/geographicViews/2840~LOCATION_OF_PRESENCE",
        "countryCriterionId": "2840",
        "locationType": "LOCATION_OF_PRESENCE",
    }
    assert len(by_country) == 4
    for fields in ("campaign.id, ", "campaign.id, ad_group.id, "):
        finer = ads.rows(query.format(fields))
        assert len(finer) > 4
        assert _shown(finer) == _shown(by_country)


def _shown(rows: list[dict[str, Any]]) -> int:
    return sum(int(row["metrics"]["impressions"]) for row in rows)


def test_conditions_order_and_limit_are_obeyed(ads):
    ids = "SELECT ad_group_ad.ad.id, ad_group_ad.status FROM ad_group_ad"
    paused = ads.rows(f"{ids} WHERE ad_group_ad.status = 'PAUSED'")
    others = ads.rows(f"{ids} WHERE ad_group_ad.status NOT IN ('PAUSED')")
    assert len(paused) + len(others) == len(ads.rows(ids))
    newest = ads.rows(f"{ids} WHERE ad_group_ad.ad.id > 1 ORDER BY ad_group_ad.ad.id DESC LIMIT 2")
    found = [int(row["adGroupAd"]["ad"]["id"]) for row in newest]
    assert found == sorted(found, reverse=True)
    assert len(found) == 2


# Pages


def test_pages_are_of_fixed_length_and_end_without_a_token(ads):
    query = BY_DAY.format("2017-12-01", "2017-12-31")
    whole = ads.rows(query)
    ads.admin("limits", page_rows=100)
    pages = list(ads.pages(query))
    assert [len(page["results"]) for page in pages[:-1]] == [100] * (len(pages) - 1)
    assert [row for page in pages for row in page["results"]] == whole
    assert len(whole) > 200


def test_a_page_token_belongs_to_its_query(ads):
    ads.admin("limits", page_rows=5)
    token = ads("SELECT ad_group.id FROM ad_group").json()["nextPageToken"]
    invalid = (400, "requestError", "INVALID_PAGE_TOKEN")
    assert reason(ads("SELECT ad_group.id  FROM ad_group", pageToken=token)) == invalid
    assert reason(ads("SELECT ad_group.id FROM ad_group", EUROPE, pageToken=token)) == invalid
    assert reason(ads("SELECT ad_group.id FROM ad_group", pageToken="!")) == invalid
    assert ads("SELECT ad_group.id FROM ad_group", pageToken=token).ok


def test_a_page_token_runs_out(ads):
    ads.admin("limits", page_rows=5, page_token_seconds=0)
    query = "SELECT ad_group.id FROM ad_group"
    token = ads(query).json()["nextPageToken"]
    assert reason(ads(query, pageToken=token)) == (400, "requestError", "EXPIRED_PAGE_TOKEN")


def test_a_stream_is_an_array_of_chunks(ads):
    ads.admin("limits", page_rows=5)
    query = "SELECT ad_group.id FROM ad_group"
    response = ads(query, method="searchStream")
    chunks = response.json()
    assert [len(chunk["results"]) for chunk in chunks] == [5, 5, 3]
    assert {chunk["requestId"] for chunk in chunks} == {response.headers["request-id"]}
    assert [row for chunk in chunks for row in chunk["results"]] == ads.rows(query)


def test_totals_are_told_on_request(ads):
    settings = {"omitResults": True, "returnTotalResultsCount": True}
    page = ads("SELECT ad_group.id FROM ad_group", searchSettings=settings).json()
    assert page["totalResultsCount"] == "13"
    assert "results" not in page


# Strictness


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("campaign.id FROM campaign", "EXPECTED_SELECT"),
        ("SELECT campaign.id", "EXPECTED_FROM"),
        ("SELECT FROM campaign", "EXPECTED_DIMENSION_FIELD_IN_SELECT_CLAUSE"),
        ("SELECT campaign.id campaign.name FROM campaign", "UNEXPECTED_INPUT"),
        ("SELECT campaign.id, FROM campaign", "UNEXPECTED_INPUT"),
        ("SELECT campaign.id FROM campaigns", "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE"),
        ("SELECT campaign.colour FROM campaign", "UNRECOGNIZED_FIELD"),
        ("SELECT campaign.start_date FROM campaign", "UNRECOGNIZED_FIELD"),
        ("SELECT ad_group.id FROM campaign", "PROHIBITED_RESOURCE_TYPE_IN_SELECT_CLAUSE"),
        ("SELECT ad_group_ad.ad.id FROM age_range_view", "PROHIBITED_RESOURCE_TYPE_IN_SELECT_CLAUSE"),
        ("SELECT ad_group_criterion.gender.type FROM geographic_view", "PROHIBITED_RESOURCE_TYPE_IN_SELECT_CLAUSE"),
        ("SELECT gender_view.gender FROM gender_view", "UNRECOGNIZED_FIELD"),
        ("SELECT segments.date, metrics.clicks FROM gender_view", "EXPECTED_FILTERS_ON_DATE_RANGE"),
        (
            "SELECT customer_client.id, metrics.clicks FROM customer_client",
            "PROHIBITED_METRIC_IN_SELECT_OR_WHERE_CLAUSE",
        ),
        ("SELECT segments.date, metrics.clicks FROM campaign", "EXPECTED_FILTERS_ON_DATE_RANGE"),
        ("SELECT segments.date FROM campaign WHERE segments.date >= '2017-01-01'", "EXPECTED_FILTERS_ON_DATE_RANGE"),
        ("SELECT segments.date FROM campaign WHERE segments.date = '1.1.2017'", "INVALID_DATE_FORMAT"),
        ("SELECT segments.date FROM campaign WHERE segments.date DURING FOREVER", "INVALID_VALUE_WITH_DURING_OPERATOR"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id ! 3", "BAD_SYMBOL"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id LIKE 3", "BAD_OPERATOR"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id = 3 OR campaign.id = 4", "EXPECTED_AND"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id", "UNEXPECTED_END_OF_QUERY"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id IN 3", "EXPECTED_LIST"),
        ("SELECT campaign.id FROM campaign ORDER campaign.id", "EXPECTED_BY"),
        ("SELECT campaign.id FROM campaign ORDER BY campaign.name", "EXPECTED_REFERENCED_FIELD_IN_SELECT_CLAUSE"),
        ("SELECT campaign.id FROM campaign LIMIT 0", "BAD_LIMIT_VALUE"),
    ],
)
def test_a_wrong_query_is_refused(ads, query, code):
    assert reason(ads(query)) == (400, "queryError", code)


def test_nobody_chooses_the_length_of_a_page(ads):
    response = ads("SELECT campaign.id FROM campaign", pageSize=100)
    assert reason(response) == (400, "requestError", "PAGE_SIZE_NOT_SUPPORTED")


@pytest.mark.parametrize(
    ("method", "body"),
    [("search", {"pagesize": 1}), ("search", {"searchSettings": {"x": 1}}), ("searchStream", {"pageToken": "x"})],
)
def test_unknown_names_in_the_body_are_refused(ads, method, body):
    response = ads("SELECT campaign.id FROM campaign", method=method, **body)
    assert reason(response) == (400, "", "INVALID_ARGUMENT")
    assert "Unknown name" in response.text


def test_a_query_must_be_there_and_json(ads):
    assert reason(ads(None)) == (400, "requestError", "REQUIRED_FIELD_MISSING")
    url = f"{ads.url}/google/v26/customers/{US}/googleAds:search"
    sent = {"Authorization": f"Bearer {ads.token}", "login-customer-id": MANAGER}
    assert requests.post(url, data={"query": "SELECT"}, headers=sent, timeout=20).status_code == 400


@pytest.mark.parametrize("customer", ["303-000-0001", "123", "9999999999"])
def test_accounts_are_ten_digits_that_exist(ads, customer):
    status, _, code = reason(ads("SELECT campaign.id FROM campaign", customer))
    assert (status, code) == (
        (403, "USER_PERMISSION_DENIED") if customer == "9999999999" else (400, "INVALID_CUSTOMER_ID")
    )


def test_a_dead_version_is_refused(ads):
    url = f"{ads.url}/google/v22/customers/{US}/googleAds:search"
    sent = {"Authorization": f"Bearer {ads.token}", "login-customer-id": MANAGER}
    response = requests.post(url, json={"query": "SELECT campaign.id FROM campaign"}, headers=sent, timeout=20)
    assert response.json()["error"]["details"][0]["errors"][0]["errorCode"] == {"requestError": "UNSUPPORTED_VERSION"}


# Quotas


@pytest.mark.parametrize("method", ["search", "searchStream"])
def test_a_throttle_says_how_long_to_wait_in_an_object_and_in_an_array(ads, method):
    ads.simulators.misbehave(source="google_ads", path=":search", kind="throttle", seconds=30, times=1)
    response = ads("SELECT campaign.id FROM campaign", method=method)
    assert reason(response) == (429, "quotaError", "RESOURCE_EXHAUSTED")
    assert isinstance(response.json(), list) is (method == "searchStream")
    assert re.search(r'"retryDelay": ?"30s"', response.text)
    assert ads("SELECT campaign.id FROM campaign", method=method).ok


def test_each_account_has_a_bucket_of_calls(ads):
    ads.admin("limits", calls_per_second=2)
    query = "SELECT campaign.id FROM campaign"
    answers = [ads(query) for _ in range(8)]
    refused = [reason(answer) for answer in answers if not answer.ok]
    assert set(refused) == {(429, "quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED")}
    assert answers[0].ok
    assert ads(query, EUROPE).ok


def test_a_query_is_one_operation_however_many_pages(ads):
    ads.admin("limits", page_rows=2, operations_per_day=2)
    query = "SELECT ad_group.id FROM ad_group"
    assert len(list(ads.pages(query))) == 7
    assert ads(query).ok
    response = ads(query)
    assert reason(response) == (429, "quotaError", "RESOURCE_EXHAUSTED")
    details = response.json()["error"]["details"][0]["errors"][0]["details"]["quotaErrorDetails"]
    assert details["rateScope"] == "DEVELOPER"
    assert re.fullmatch(r"\d+s", details["retryDelay"])


# Faults


def test_paging_misbehaves_as_asked(ads):
    ads.admin("limits", page_rows=5)
    query = "SELECT ad_group.id FROM ad_group"
    first = ads(query).json()
    ads.simulators.misbehave(source="google_ads", kind="cursor_loop", times=1)
    assert ads(query, pageToken=first["nextPageToken"]).json()["nextPageToken"] == first["nextPageToken"]
    ads.simulators.misbehave(source="google_ads", kind="duplicate_page", times=1)
    again = ads(query).json()
    assert ads(query, pageToken=again["nextPageToken"]).json()["results"] == again["results"] == first["results"]
    ads.simulators.misbehave(source="google_ads", kind="empty_page", times=1)
    empty = ads(query).json()
    assert "results" not in empty
    assert ads(query, pageToken=empty["nextPageToken"]).json()["results"] == first["results"]
    ads.simulators.misbehave(source="google_ads", kind="expire_cursor", times=2)
    assert ads(query).ok
    assert reason(ads(query, pageToken=first["nextPageToken"])) == (400, "requestError", "EXPIRED_PAGE_TOKEN")


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [
        ({"kind": "expire_token"}, (401, "authenticationError", "OAUTH_TOKEN_EXPIRED")),
        ({"kind": "revoke"}, (401, "authenticationError", "OAUTH_TOKEN_REVOKED")),
        ({"kind": "status", "status": 500}, (500, "internalError", "INTERNAL_ERROR")),
        ({"kind": "status", "status": 503}, (503, "", "UNAVAILABLE")),
    ],
)
def test_refusals_are_worded_as_the_api_does(ads, kind, refusal):
    ads.simulators.misbehave(source="google_ads", times=1, **kind)
    assert reason(ads("SELECT campaign.id FROM campaign")) == refusal


def test_a_revoked_permission_buys_no_token(ads):
    ads.simulators.misbehave(source="google_ads", kind="revoke")
    assert ads.grant().json()["error"] == "invalid_grant"


def test_a_wrong_switch_is_refused(simulators):
    response = requests.post(f"{simulators.url}/_admin/google_ads/limits", json={"page_rows": 0}, timeout=20)
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["page_rows"]


def test_tokens_outlive_a_restart(simulators, tmp_path):
    port = free_port()
    here = Simulators(f"http://127.0.0.1:{port}", simulators.dsn)
    process = start(port, simulators.dsn, tmp_path)
    try:
        caller = Ads(here)
    finally:
        stop(process)
    process = start(port, simulators.dsn, tmp_path)
    try:
        assert caller("SELECT campaign.id FROM campaign").ok
    finally:
        stop(process)
