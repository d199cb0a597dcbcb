"""The Marketing API keeps to its contract."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
import requests

from local import world
from local.postgres import free_port
from tests.support.simulators import ACCOUNT, RUPEE_ACCOUNT, TOKEN, Simulators, start, stop

INSIGHTS = {
    "level": "ad",
    "time_increment": "1",
    "fields": "account_id,account_currency,campaign_id,ad_id,impressions,clicks,spend,reach,frequency,"
    "actions,action_values",
}


def time_range(since: str, until: str) -> str:
    return json.dumps({"since": since, "until": until})


def error_of(response: requests.Response) -> dict[str, Any]:
    return response.json()["error"]


def all_pages(simulators: Simulators, path: str, **params: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while True:
        body = simulators.facebook(path, **params).json()
        rows += body["data"]
        if "next" not in body.get("paging", {}):
            return rows
        params["after"] = body["paging"]["cursors"]["after"]


def finished_report(simulators: Simulators, account: str = ACCOUNT, **params: Any) -> tuple[str, list[str]]:
    """The id of a completed report and the states it went through."""
    number = simulators.facebook(f"{account}/insights", "POST", **params).json()["report_run_id"]
    states: list[str] = []
    while not states or states[-1] not in ("Job Completed", "Job Failed", "Job Skipped"):
        states.append(simulators.facebook(number).json()["async_status"])
        assert len(states) < 20
    return number, states


def report_rows(simulators: Simulators, number: str) -> list[dict[str, Any]]:
    if error_of_maybe(response := simulators.facebook(f"{number}/insights", limit=1)) is not None:
        assert response.json()["error"]["code"] == 2637
    return all_pages(simulators, f"{number}/insights", limit=500)


def error_of_maybe(response: requests.Response) -> dict[str, Any] | None:
    return response.json().get("error")


def test_an_account_tells_its_currency_and_time_zone(simulators):
    body = simulators.facebook(RUPEE_ACCOUNT, fields="currency,timezone_name").json()
    assert body == {"id": RUPEE_ACCOUNT, "currency": "INR", "timezone_name": "Asia/Kolkata"}


@pytest.mark.parametrize(("edge", "total"), [("campaigns", 12), ("adsets", 30), ("ads", 72)])
def test_edges_page_by_cursor_to_the_last_row(simulators, edge, total):
    asked = {"limit": 4, "effective_status": "ACTIVE,PAUSED,ARCHIVED,DELETED"}
    ids = [
        row["id"] for account in (ACCOUNT, RUPEE_ACCOUNT) for row in all_pages(simulators, f"{account}/{edge}", **asked)
    ]
    assert len(ids) == len(set(ids)) == total


def test_the_last_page_has_a_cursor_and_no_next(simulators):
    paging = simulators.facebook(f"{ACCOUNT}/campaigns", limit=100).json()["paging"]
    assert paging["cursors"]["after"]
    assert "next" not in paging


def test_a_next_link_holds_host_and_token_and_works_without_a_header(simulators):
    link = simulators.facebook(f"{ACCOUNT}/ads", limit=5, fields="name").json()["paging"]["next"]
    assert link.startswith(f"{simulators.url}/facebook/v26.0/{ACCOUNT}/ads?")
    assert f"access_token={TOKEN}" in link
    assert len(requests.get(link, timeout=20).json()["data"]) == 5


def test_budgets_are_minor_units_as_text_and_times_carry_the_accounts_offset(simulators):
    [row] = simulators.facebook(f"{RUPEE_ACCOUNT}/adsets", limit=1, fields="daily_budget,start_time").json()["data"]
    assert int(row["daily_budget"]) % 100 == 0
    assert row["start_time"].endswith("+0530")


def test_filtering_by_time_of_change_is_strict(simulators):
    everything = all_pages(simulators, f"{ACCOUNT}/campaigns", fields="updated_time")
    times = [datetime.strptime(row["updated_time"], "%Y-%m-%dT%H:%M:%S%z").timestamp() for row in everything]

    def changed_after(epoch: float) -> int:
        condition = [{"field": "campaign.updated_time", "operator": "GREATER_THAN", "value": int(epoch)}]
        return len(all_pages(simulators, f"{ACCOUNT}/campaigns", filtering=json.dumps(condition)))

    assert changed_after(min(times)) < changed_after(min(times) - 1) == len(everything)
    assert changed_after(max(times)) == 0


@pytest.mark.parametrize(("edge", "kind"), [("campaigns", "campaign"), ("adsets", "adset"), ("ads", "ad")])
def test_what_is_put_away_or_deleted_is_told_to_those_who_ask_for_it(simulators, edge, kind):
    def statuses(*asked: str) -> set[str]:
        condition = [{"field": f"{kind}.effective_status", "operator": "IN", "value": asked}] if asked else []
        asked_for = {"fields": "status", "filtering": json.dumps(condition)}
        accounts = (ACCOUNT, RUPEE_ACCOUNT)
        return {
            row["status"] for account in accounts for row in all_pages(simulators, f"{account}/{edge}", **asked_for)
        }

    assert statuses() <= {"ACTIVE", "PAUSED"}
    assert statuses("PAUSED") == {"PAUSED"}
    assert statuses("ACTIVE", "PAUSED", "ARCHIVED", "DELETED") > {"ACTIVE", "PAUSED"}
    refused = simulators.facebook(f"{ACCOUNT}/{edge}", effective_status="GONE")
    assert (refused.status_code, error_of(refused)["error_subcode"]) == (400, 1487561)


def test_small_ranges_are_answered_at_once_and_every_number_is_text(simulators):
    rows = simulators.facebook(
        f"{ACCOUNT}/insights", limit=500, time_range=time_range("2017-12-25", "2017-12-31"), **INSIGHTS
    ).json()["data"]
    assert rows
    for row in rows:
        numbers = [value for key, value in row.items() if key not in ("actions", "action_values")]
        numbers += [action["value"] for action in row.get("actions", []) + row.get("action_values", [])]
        assert all(isinstance(value, str) for value in numbers)
        assert row["date_start"] == row["date_stop"]


def test_purchases_are_there_twice_under_overlapping_names_and_only_if_there_were_any(simulators):
    number, _ = finished_report(simulators, time_range=time_range("2017-01-01", "2017-12-31"), **INSIGHTS)
    kinds = [{action["action_type"] for action in row.get("actions", [])} for row in report_rows(simulators, number)]
    assert {"link_click", "purchase", "omni_purchase"} in kinds
    assert {"link_click"} in kinds


def test_long_ranges_must_go_through_a_report(simulators):
    response = simulators.facebook(f"{ACCOUNT}/insights", time_range=time_range("2017-12-01", "2017-12-31"), **INSIGHTS)
    assert response.status_code == 400
    assert error_of(response)["error_subcode"] == 1487534
    assert "reduce the amount of data" in error_of(response)["message"]


def test_a_report_starts_runs_and_completes(simulators):
    _, states = finished_report(simulators, time_range=time_range("2017-12-01", "2017-12-31"), **INSIGHTS)
    assert states == ["Job Not Started", "Job Running", "Job Completed"]


def test_a_running_report_may_show_a_hundred_percent(simulators):
    number = simulators.facebook(
        f"{ACCOUNT}/insights", "POST", time_range=time_range("2017-12-01", "2017-12-31"), **INSIGHTS
    ).json()["report_run_id"]
    simulators.facebook(number)
    running = simulators.facebook(number).json()
    assert (running["async_status"], running["async_percent_completion"]) == ("Job Running", 100)
    response = simulators.facebook(f"{number}/insights")
    assert (response.status_code, error_of(response)["code"]) == (400, 2637)


def test_results_may_come_late_after_completion(simulators):
    simulators.misbehave(source="facebook_ads", path="/insights$", kind="report_late", times=1)
    number, _ = finished_report(simulators, time_range=time_range("2017-12-01", "2017-12-02"), **INSIGHTS)
    codes = [error_of_maybe(simulators.facebook(f"{number}/insights")) for _ in range(3)]
    assert [code and (code["code"], code["error_subcode"]) for code in codes] == [(2637, 1815107)] * 2 + [None]


@pytest.mark.parametrize(("kind", "state"), [("report_failed", "Job Failed"), ("report_skipped", "Job Skipped")])
def test_a_report_may_fail_or_be_skipped(simulators, kind, state):
    simulators.misbehave(source="facebook_ads", kind=kind, times=1)
    number, states = finished_report(simulators, time_range=time_range("2017-12-01", "2017-12-02"), **INSIGHTS)
    assert states[-1] == state
    if state == "Job Failed":
        assert simulators.facebook(number).json()["error_code"] == 2


def test_reports_add_up_to_the_ledger(simulators):
    served: dict[tuple[int, date], Decimal] = defaultdict(Decimal)
    for account in (ACCOUNT, RUPEE_ACCOUNT):
        number, _ = finished_report(simulators, account, time_range=time_range("2017-01-01", "2017-12-31"), **INSIGHTS)
        for row in report_rows(simulators, number):
            spend = Decimal(row["spend"])
            if spend >= 0 and int(row.get("clicks", "0")) <= int(row["impressions"]):
                served[int(row["account_id"]), date.fromisoformat(row["date_start"])] += spend
    ledger = {(day.account_id, day.day): day.cost for day in world.ads_ledger(simulators.dsn) if day.rows}
    assert served == ledger


def test_breakdowns_add_up_to_the_row_they_divide(simulators):
    params = {"time_range": time_range("2017-12-25", "2017-12-26"), "limit": 500, "level": "ad", "time_increment": "1"}
    fields = "ad_id,impressions,clicks,spend"
    whole = all_pages(simulators, f"{ACCOUNT}/insights", fields=fields, **params)
    parts = all_pages(simulators, f"{ACCOUNT}/insights", fields=fields, breakdowns="age,gender", **params)
    assert {row["gender"] for row in parts} == {"female", "male", "unknown"}
    assert {row["age"] for row in parts} >= {"25-34", "35-44", "45-54"}
    for metric in ("impressions", "clicks", "spend"):
        totals: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for row in parts:
            totals[row["ad_id"], row["date_start"]] += Decimal(row.get(metric, "0"))
        assert totals == {(row["ad_id"], row["date_start"]): Decimal(row.get(metric, "0")) for row in whole}


def test_countries_add_up_to_the_row_they_divide(simulators):
    params = {"time_range": time_range("2017-12-25", "2017-12-26"), "limit": 500, "level": "ad", "time_increment": "1"}
    whole = all_pages(simulators, f"{ACCOUNT}/insights", fields="ad_id,impressions", **params)
    parts = all_pages(simulators, f"{ACCOUNT}/insights", fields="ad_id,impressions", breakdowns="country", **params)
    assert {row["country"] for row in parts} == {"US", "CA", "MX"}
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for row in parts:
        totals[row["ad_id"], row["date_start"]] += int(row["impressions"])
    assert totals == {(row["ad_id"], row["date_start"]): int(row["impressions"]) for row in whole}


def test_nobody_is_reached_whom_the_ad_set_is_not_for(simulators):
    sets = all_pages(simulators, f"{ACCOUNT}/adsets", fields="targeting")
    youngest = {row["id"]: row["targeting"]["age_min"] for row in sets}
    rows = all_pages(
        simulators,
        f"{ACCOUNT}/insights",
        fields="adset_id,impressions",
        level="ad",
        time_increment="1",
        breakdowns="age,gender",
        time_range=time_range("2017-12-25", "2017-12-26"),
    )
    last_age = {"18-24": 24, "25-34": 34, "35-44": 44, "45-54": 54, "55-64": 64, "65+": 99}
    assert all(last_age[row["age"]] >= youngest[row["adset_id"]] for row in rows)
    assert len({row["age"] for row in rows}) > 3


OLD = {"time_range": json.dumps({"since": "2016-11-30", "until": "2017-01-10"}), "level": "ad", "time_increment": "1"}


def test_reach_by_group_is_left_out_of_small_answers_about_days_older_than_thirteen_months(simulators):
    fields = "ad_id,impressions,reach,frequency"

    def fields_of(since: str, **params: str) -> set[str]:
        days = time_range(since, "2017-01-05")
        simulators.admin("limits", synchronous_days=60)
        answer = simulators.facebook(f"{ACCOUNT}/insights", fields=fields, level="ad", time_range=days, **params).json()
        return {name for row in answer["data"] for name in row}

    assert {"impressions", "age"} <= fields_of("2016-11-30", breakdowns="age")
    assert not {"reach", "frequency"} & fields_of("2016-11-30", breakdowns="age")
    assert {"reach", "frequency"} <= fields_of("2016-12-01", breakdowns="age")
    assert {"reach", "frequency"} <= fields_of("2016-11-30")


def test_ten_reports_a_day_tell_reach_by_group_for_old_days(simulators):
    simulators.admin("limits", old_reach_reports=2)
    used, told = [], []
    for _ in range(3):
        asked = simulators.facebook(
            f"{ACCOUNT}/insights", "POST", fields="ad_id,impressions,reach", breakdowns="gender", **OLD
        )
        used.append(json.loads(asked.headers["X-Fb-Ads-Insights-Reach-Throttle"])["acc_id_util_pct"])
        number = asked.json()["report_run_id"]
        for _ in range(3):
            simulators.facebook(number)
        told.append({"reach" in row for row in report_rows(simulators, number)})
    assert (used, told) == ([50, 100, 100], [{True}, {True}, {False}])
    recent = simulators.facebook(
        f"{ACCOUNT}/insights",
        "POST",
        breakdowns="gender",
        fields="reach",
        time_range=time_range("2017-12-01", "2017-12-31"),
    )
    assert "X-Fb-Ads-Insights-Reach-Throttle" not in recent.headers


def test_a_report_on_too_many_days_is_never_made(simulators):
    simulators.admin("limits", report_days=10)
    number = simulators.facebook(
        f"{ACCOUNT}/insights", "POST", time_range=time_range("2017-12-01", "2017-12-11"), **INSIGHTS
    ).json()["report_run_id"]
    assert [simulators.facebook(number).json()["async_status"] for _ in range(9)][-1] == "Job Running"
    _, states = finished_report(simulators, time_range=time_range("2017-12-01", "2017-12-10"), **INSIGHTS)
    assert states[-1] == "Job Completed"


def test_campaigns_are_the_sum_of_their_ads(simulators):
    params = {"time_range": time_range("2017-12-25", "2017-12-25"), "limit": 500, "time_increment": "1"}
    by_ad = all_pages(simulators, f"{ACCOUNT}/insights", level="ad", fields="campaign_id,impressions", **params)
    totals: dict[str, int] = defaultdict(int)
    for row in by_ad:
        totals[row["campaign_id"]] += int(row["impressions"])
    by_campaign = all_pages(
        simulators, f"{ACCOUNT}/insights", level="campaign", fields="campaign_id,impressions", **params
    )
    assert {row["campaign_id"]: int(row["impressions"]) for row in by_campaign} == totals


def test_windows_that_were_asked_for_appear_as_keys(simulators):
    rows = all_pages(
        simulators,
        f"{ACCOUNT}/insights",
        time_range=time_range("2017-12-25", "2017-12-26"),
        action_attribution_windows='["7d_click","1d_view"]',
        **INSIGHTS,
    )
    clicks = [action for row in rows for action in row.get("actions", []) if action["action_type"] == "link_click"]
    assert all(
        {"value", "7d_click"} <= action.keys() <= {"action_type", "value", "7d_click", "1d_view"} for action in clicks
    )


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"colour": "red"}, 100),
        ({"pretty": "1"}, 100),
        ({"level": "galaxy"}, 100),
        ({"fields": "impressions,agility"}, 100),
        ({"fields": "age", "breakdowns": "age"}, 100),
        ({"breakdowns": "shoe_size"}, 100),
        ({"breakdowns": "country,age"}, 100),
        ({"action_attribution_windows": '["28d_view"]'}, 100),
        ({"limit": "0"}, 100),
        ({"limit": "many"}, 100),
        ({"after": "!"}, 100),
        ({"time_range": "yesterday"}, 100),
        ({"time_range": time_range("2017-12-31", "2017-12-01")}, 100),
        ({"time_range": time_range("2014-11-30", "2014-11-30")}, 3018),
    ],
)
def test_what_the_api_would_refuse_is_refused(simulators, params, code):
    asked = {"time_range": time_range("2017-12-25", "2017-12-25"), **params}
    response = simulators.facebook(f"{ACCOUNT}/insights", **asked)
    assert (response.status_code, error_of(response)["code"]) == (400, code)


def test_history_reaches_back_thirty_seven_months(simulators):
    response = simulators.facebook(f"{ACCOUNT}/insights", time_range=time_range("2014-12-01", "2014-12-02"))
    assert response.json() == {"data": []}


def test_pages_that_are_too_long_are_refused_as_too_much_data(simulators):
    simulators.admin("limits", page_rows=10)
    response = simulators.facebook(f"{ACCOUNT}/ads", limit=11)
    assert (response.status_code, error_of(response)["code"]) == (500, 1)
    assert "reduce the amount of data" in error_of(response)["message"]
    assert simulators.facebook(f"{ACCOUNT}/ads", limit=10).ok


@pytest.mark.parametrize("token", [None, "EAAB-somebody-else"])
def test_nobody_passes_without_a_valid_token(simulators, token):
    response = simulators.facebook(ACCOUNT, token=token)
    assert (response.status_code, error_of(response)["code"]) == (400, 190 if token else 2500)


def test_a_token_may_come_as_a_parameter(simulators):
    assert simulators.facebook(ACCOUNT, token=None, access_token=TOKEN).ok


def test_an_expired_token_is_named_as_such_and_cannot_be_exchanged(simulators):
    simulators.admin("tokens", access_tokens={TOKEN: time.time() - 1})
    assert (
        error_of(simulators.facebook(ACCOUNT))["code"],
        error_of(simulators.facebook(ACCOUNT))["error_subcode"],
    ) == (
        190,
        463,
    )
    assert error_of(exchange(simulators))["code"] == 190


def test_a_valid_token_can_be_exchanged_for_a_long_lived_one(simulators):
    answer = exchange(simulators).json()
    assert answer["expires_in"] == 5_183_944
    assert simulators.facebook(ACCOUNT, token=answer["access_token"]).ok


def exchange(simulators: Simulators) -> requests.Response:
    return simulators.facebook(
        "oauth/access_token",
        token=None,
        grant_type="fb_exchange_token",
        client_id="1020000000000",
        client_secret="local-app-secret",
        fb_exchange_token=TOKEN,
    )


def test_the_app_may_require_a_proof_and_a_wrong_one_is_refused(simulators):
    proof = hmac.new(b"local-app-secret", TOKEN.encode(), hashlib.sha256).hexdigest()
    assert error_of(simulators.facebook(ACCOUNT, appsecret_proof="0" * 64))["code"] == 100
    simulators.admin("tokens", require_appsecret_proof=True)
    assert error_of(simulators.facebook(ACCOUNT))["code"] == 100
    assert simulators.facebook(ACCOUNT, appsecret_proof=proof).ok


def test_usage_rises_with_every_call_and_then_calls_are_refused(simulators):
    simulators.admin("limits", calls_per_hour=4)
    params = {"time_range": time_range("2017-12-25", "2017-12-25")}
    used = []
    for _ in range(4):
        headers = simulators.facebook(f"{ACCOUNT}/insights", **params).headers
        usage = json.loads(headers["X-Business-Use-Case-Usage"])[ACCOUNT.removeprefix("act_")][0]
        assert json.loads(headers["X-App-Usage"])["call_count"] == usage["call_count"]
        assert json.loads(headers["X-FB-Ads-Insights-Throttle"])["acc_id_util_pct"] == usage["call_count"]
        own = json.loads(headers["X-Ad-Account-Usage"])
        assert own["acc_id_util_pct"] == usage["call_count"]
        assert 3000 < own["reset_time_duration"] <= 3600
        used.append(usage["call_count"])
    assert used == [25, 50, 75, 100]
    response = simulators.facebook(f"{ACCOUNT}/insights", **params)
    assert (response.status_code, error_of(response)["code"], error_of(response)["is_transient"]) == (400, 80000, True)
    usage = json.loads(response.headers["X-Business-Use-Case-Usage"])[ACCOUNT.removeprefix("act_")][0]
    assert usage["estimated_time_to_regain_access"] == 60
    assert error_of(simulators.facebook(f"{ACCOUNT}/ads"))["code"] == 80004
    assert simulators.facebook(f"{RUPEE_ACCOUNT}/ads").ok


@pytest.mark.parametrize("path", ["act_1/campaigns", "12345", "act_102000000000001/pixels"])
def test_what_does_not_exist_is_an_unsupported_request(simulators, path):
    assert (error_of(simulators.facebook(path))["code"], error_of(simulators.facebook(path))["error_subcode"]) == (
        100,
        33,
    )


def test_a_dead_version_is_refused(simulators):
    response = requests.get(f"{simulators.url}/facebook/v20.0/{ACCOUNT}?access_token={TOKEN}", timeout=20)
    assert error_of(response)["code"] == 2635


def test_a_report_and_the_tokens_outlive_a_restart(simulators, tmp_path):
    port = free_port()
    here = Simulators(f"http://127.0.0.1:{port}", simulators.dsn)
    process = start(port, simulators.dsn, tmp_path)
    try:
        here.admin("tokens", access_tokens={TOKEN: None, "EAAB-second": None})
        number, _ = finished_report(here, time_range=time_range("2017-12-01", "2017-12-31"), **INSIGHTS)
    finally:
        stop(process)
    process = start(port, simulators.dsn, tmp_path)
    try:
        assert report_rows(here, number)
        assert here.facebook(ACCOUNT, token="EAAB-second").ok
    finally:
        stop(process)


def test_results_are_those_of_the_day_the_report_was_asked_for_and_a_step_changes_the_next(simulators):
    params = {"time_range": time_range("2017-12-01", "2018-01-31"), **INSIGHTS}
    number, _ = finished_report(simulators, **params)
    before = report_rows(simulators, number)
    world.advance(simulators.dsn, days=3, seed=1)
    try:
        assert report_rows(simulators, number) == before
        again, _ = finished_report(simulators, **params)
        after = report_rows(simulators, again)
        assert max(row["date_start"] for row in before) == "2017-12-31"
        assert max(row["date_start"] for row in after) == "2018-01-03"
    finally:
        world.seed(simulators.dsn, 7, households=50)
