"""Sources go wrong when they are told to, and only then."""

from __future__ import annotations

import json
import time

import pytest
import requests

from tests.support.simulators import ACCOUNT, TOKEN

FX = "v1/2017-12-01..2017-12-31"


def test_a_rule_spoils_matching_requests_so_many_times_after_so_many(simulators):
    simulators.misbehave(source="fx_rates", path="^/v1/", kind="status", status=503, after=1, times=2)
    assert [simulators.fx(FX).status_code for _ in range(5)] == [200, 503, 503, 200, 200]


def test_a_rule_leaves_other_paths_and_sources_alone(simulators):
    simulators.misbehave(source="fx_rates", path="^/v2/", kind="status", status=500)
    assert simulators.fx(FX).ok
    assert simulators.facebook(ACCOUNT).ok
    assert simulators.fx("v2/rates").status_code == 500


def test_rules_end_when_they_are_deleted(simulators):
    simulators.misbehave(source="fx_rates", kind="status", status=500)
    simulators.admin("misbehave", "DELETE")
    assert simulators.fx(FX).ok


def test_a_truncated_answer_ends_before_its_length(simulators):
    simulators.misbehave(source="fx_rates", kind="truncate", times=1)
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        simulators.fx(FX)
    assert simulators.fx(FX).ok


def test_a_delayed_answer_is_late_and_whole(simulators):
    simulators.misbehave(source="fx_rates", kind="delay", seconds=0.5, times=1)
    started = time.monotonic()
    assert simulators.fx(FX).json()["rates"]
    assert time.monotonic() - started >= 0.5


def test_a_dripping_answer_is_slow_and_whole(simulators):
    whole = simulators.fx(FX).content
    simulators.misbehave(source="fx_rates", kind="drip", seconds=0.5, times=1)
    started = time.monotonic()
    assert simulators.fx(FX).content == whole
    assert time.monotonic() - started >= 0.4


@pytest.mark.parametrize("source", ["facebook_ads", "fx_rates"])
def test_html_may_come_instead_of_json(simulators, source):
    simulators.misbehave(source=source, kind="html", times=1)
    response = simulators.fx(FX) if source == "fx_rates" else simulators.facebook(ACCOUNT)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize("code", [80000, 80004, 17, 4])
def test_a_throttle_names_its_code_and_its_wait_in_minutes(simulators, code):
    simulators.misbehave(source="facebook_ads", kind="throttle", code=code, seconds=90, times=1)
    response = simulators.facebook(ACCOUNT)
    assert (response.status_code, response.json()["error"]["code"]) == (400, code)
    [[usage]] = json.loads(response.headers["X-Business-Use-Case-Usage"]).values()
    assert usage["estimated_time_to_regain_access"] == 2


def test_rates_are_throttled_with_429_and_retry_after(simulators):
    simulators.misbehave(source="fx_rates", kind="throttle", seconds=3, times=1)
    response = simulators.fx(FX)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "3")


@pytest.mark.parametrize(("kind", "subcode"), [("expire_token", 463), ("revoke", 458)])
def test_a_token_may_end_in_the_middle(simulators, kind, subcode):
    simulators.misbehave(source="facebook_ads", kind=kind, after=1, times=1)
    assert simulators.facebook(ACCOUNT).ok
    error = simulators.facebook(ACCOUNT).json()["error"]
    assert (error["code"], error["error_subcode"]) == (190, subcode)


def test_a_looping_cursor_points_to_its_own_page(simulators):
    simulators.misbehave(source="facebook_ads", path="/ads$", kind="cursor_loop")
    after = simulators.facebook(f"{ACCOUNT}/ads", limit=5).json()["paging"]["cursors"]["after"]
    page = simulators.facebook(f"{ACCOUNT}/ads", limit=5, after=after).json()
    assert page["paging"]["cursors"]["after"] == after
    assert page["paging"]["next"]


@pytest.mark.parametrize(("kind", "repeated"), [("duplicate_page", 5), ("empty_page", 0)])
def test_a_page_may_come_twice_or_be_empty_without_an_end(simulators, kind, repeated):
    whole = [row["id"] for row in simulators.facebook(f"{ACCOUNT}/ads", limit=500).json()["data"]]
    simulators.misbehave(source="facebook_ads", path="/ads$", kind=kind, after=1, times=1)
    ids, params, cursors = [], {}, []
    while True:
        page = simulators.facebook(f"{ACCOUNT}/ads", limit=5, **params).json()
        ids += [row["id"] for row in page["data"]]
        if "next" not in page["paging"]:
            break
        params = {"after": page["paging"]["cursors"]["after"]}
        cursors.append(params["after"])
    assert len(cursors) == len(set(cursors))
    assert len(ids) == len(whole) + repeated
    assert set(ids) == set(whole)


def test_a_next_link_may_point_to_a_stranger(simulators):
    simulators.misbehave(source="facebook_ads", kind="foreign_next", host="http://192.0.2.9:81", times=1)
    link = simulators.facebook(f"{ACCOUNT}/ads", limit=5).json()["paging"]["next"]
    assert link.startswith(f"http://192.0.2.9:81/facebook/v26.0/{ACCOUNT}/ads?")


@pytest.mark.parametrize(
    "rule",
    [
        {"source": "fx_rates", "kind": "cursor_loop"},
        {"source": "fx_rates", "kind": "status", "path": "("},
        {"source": "somebody", "kind": "status"},
        {"source": "fx_rates", "kind": "explode"},
        {"source": "fx_rates", "kind": "status", "tmies": 1},
    ],
)
def test_a_rule_that_means_nothing_is_refused(simulators, rule):
    response = requests.post(f"{simulators.url}/_admin/misbehave", json=rule, timeout=20)
    assert response.status_code == 422
    assert response.json()["errors"]


def test_the_log_has_every_request_and_no_secret(simulators):
    simulators.fx(FX, symbols="USD")
    simulators.facebook(ACCOUNT, token=None, access_token=TOKEN, appsecret_proof="f" * 64)
    log = simulators.admin("requests", "GET")["requests"]
    assert [(entry["source"], entry["method"], entry["path"], entry["status"]) for entry in log] == [
        ("fx_rates", "GET", f"/{FX}", 200),
        ("facebook_ads", "GET", f"/v26.0/{ACCOUNT}", 400),
    ]
    assert log[0]["query"] == {"symbols": "USD"}
    assert TOKEN not in json.dumps(log)
    assert "f" * 64 not in json.dumps(log)
