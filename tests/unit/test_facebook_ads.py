"""Meta's Marketing API: what its errors call for, when to keep quiet, and reports that take their time."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.config import HttpSource
from headwater.errors import ExpiredCursorError, FatalSourceError, RetriableSourceError, ThrottledError
from headwater.sources.apis import facebook_ads
from headwater.sources.apis.facebook_ads import ReportFailedError, TooMuchDataError, classify, sign, usage
from headwater.sources.http.client import HttpClient
from headwater.sources.http.messages import HttpRequest, HttpResponse
from headwater.sources.http.source import Part
from headwater.sources.http.stream import read as read_stream
from tests.support.declared import http_source, table
from tests.support.http_fakes import FakeClock, FakeSend, KeptFiles, answer, client

ACCOUNT = "102000000000001"


def facebook() -> HttpSource:
    return http_source("facebook_ads")


def part(stream: str, since: date = date(2017, 12, 1), until: date = date(2017, 12, 30)) -> Part:
    return Part(facebook(), facebook().streams[stream], ACCOUNT, since, until)


def graph(send: FakeSend, clock: FakeClock | None = None) -> HttpClient:
    return client(send, clock, base_url="http://127.0.0.1:4570/facebook", classify=classify, usage=usage)


def error(
    code: int,
    subcode: int | None = None,
    message: str = "no",
    status: int = 400,
    transient: bool = False,
    **headers: str,
) -> HttpResponse:
    body: dict[str, Any] = {"message": message, "type": "OAuthException", "code": code, "is_transient": transient}
    if subcode is not None:
        body["error_subcode"] = subcode
    return answer({"error": body}, status, **headers)


def busy(percent: int, minutes: int) -> str:
    meter = {"call_count": percent, "total_time": 3, "total_cputime": 4, "estimated_time_to_regain_access": minutes}
    return json.dumps({ACCOUNT: [{"type": "ads_insights", **meter}]})


# Errors


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (error(190, 463), FatalSourceError),
        (error(190, 463, transient=True), FatalSourceError),
        (error(190, status=200), FatalSourceError),
        (error(10), FatalSourceError),
        (error(200, status=403), FatalSourceError),
        (error(100), FatalSourceError),
        (error(2500), FatalSourceError),
        (error(2635), FatalSourceError),
        (error(3018), FatalSourceError),
        (error(987654), FatalSourceError),
        (error(2, 1504041), FatalSourceError),
        (error(2, 1504042, status=500, transient=True), FatalSourceError),
        (error(100, 3191001), FatalSourceError),
        (error(2), RetriableSourceError),
        (error(2, 1504043), RetriableSourceError),
        (error(2, 1504044), RetriableSourceError),
        (error(-2, 2490547), RetriableSourceError),
        (error(104), RetriableSourceError),
        (error(960), RetriableSourceError),
        (error(2637, 1815107), RetriableSourceError),
        (error(2601, 1815107), ExpiredCursorError),
        (error(1, 99), RetriableSourceError),
        (error(1, status=500), RetriableSourceError),
        (error(987654, transient=True), RetriableSourceError),
        (answer(b"<html>Bad gateway</html>", 502), RetriableSourceError),
        (answer({"error": "not an object"}, 500), RetriableSourceError),
        (error(100, 1487534), TooMuchDataError),
        (error(100, 1504018), TooMuchDataError),
        (error(2, 1504038, transient=True), TooMuchDataError),
        (error(-3, 1504045), TooMuchDataError),
        (error(1, message="Please reduce the amount of data you're asking for", status=500), TooMuchDataError),
        *[(error(code, transient=True), ThrottledError) for code in (4, 17, 32, 613, *range(80000, 80007), 80014)],
    ],
)
def test_an_error_calls_for_what_its_code_says(response, expected):
    assert type(classify(response)) is expected


@pytest.mark.parametrize(
    "response",
    [
        answer({"data": []}),
        answer({"data": [{"name": '"error" is part of a name'}]}),
        answer({"async_status": "Job Failed", "error_code": 2}),
    ],
)
def test_an_answer_without_an_error_is_none(response):
    assert classify(response) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x_business_use_case_usage": busy(100, 4)}, 240),
        ({"x_business_use_case_usage": busy(100, 0)}, 60),
        ({"x_ad_account_usage": '{"acc_id_util_pct": 99.5, "reset_time_duration": 100}'}, 100),
        ({"x_business_use_case_usage": "broken"}, 60),
        ({}, 60),
    ],
)
def test_a_throttle_waits_as_long_as_the_platform_says(headers, seconds):
    throttle = classify(error(80000, 2446079, **headers))
    assert isinstance(throttle, ThrottledError)
    assert throttle.retry_after == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x_business_use_case_usage": busy(96, 5)}, 300),
        ({"x_business_use_case_usage": busy(94, 5)}, None),
        ({"x_app_usage": '{"call_count": 28, "total_time": 25, "total_cputime": 25}'}, None),
        ({"x_app_usage": '{"call_count": 28, "total_time": 97, "total_cputime": 25}'}, 60),
        ({"x_fb_ads_insights_throttle": '{"app_id_util_pct": 10, "acc_id_util_pct": 95}'}, 60),
        ({"x_ad_account_usage": '{"acc_id_util_pct": 9.67, "reset_time_duration": 100}'}, None),
        ({"x_app_usage": "[]", "x_business_use_case_usage": '{"1": {"call_count": 100}}'}, None),
        ({}, None),
    ],
)
def test_a_nearly_used_up_quota_means_quiet(headers, seconds):
    assert usage(answer({}, **headers)) == seconds


@given(st.text())
def test_a_usage_header_of_any_text_is_survived(text):
    usage(answer({}, x_app_usage=text, x_business_use_case_usage=text, x_ad_account_usage=text))


def test_a_bad_token_is_told_at_once():
    send = FakeSend(error(190, 463, "Error validating access token"))
    with pytest.raises(
        FatalSourceError, match=r"190/463.*hint: an expired token cannot be exchanged: generate a new one"
    ):
        list(facebook_ads.read_edge(graph(send), part("campaigns")))
    assert len(send.requests) == 1


def test_an_app_secret_proves_the_token():
    proof = hmac.new(b"app", b"token", hashlib.sha256).hexdigest()
    assert sign({"access_token": "token", "app_secret": "app"}) == {"appsecret_proof": proof}
    assert sign({"access_token": "token"}) == {}


# Edges


class Edge:
    """Gives its rows page by page, and refuses pages that are longer than it likes."""

    def __init__(self, rows: int, longest: int) -> None:
        self.rows = [{"id": str(number), "updated_time": "2017-12-05T10:00:00+0000"} for number in range(rows)]
        self.longest = longest
        self.send = FakeSend(handler=self.answer)

    def answer(self, request: HttpRequest) -> HttpResponse:
        limit = int(request.params["limit"])
        if limit > self.longest:
            return error(1, message="Please reduce the amount of data you're asking for, then retry", status=500)
        start = int(request.params.get("after", "0"))
        end = start + limit
        paging: dict[str, Any] = {"cursors": {"before": str(start), "after": str(end)}}
        if end < len(self.rows):
            paging["next"] = f"http://127.0.0.1:4570/facebook/v26.0/act_1/ads?after={end}"
        return answer({"data": self.rows[start:end], "paging": paging})


@given(st.integers(0, 120), st.integers(1, 120))
def test_pages_are_halved_until_the_platform_is_content(rows, longest):
    edge = Edge(rows, longest)
    assert list(facebook_ads.read_edge(graph(edge.send), part("ads"))) == edge.rows


def test_a_platform_that_is_never_content_is_an_error():
    with pytest.raises(TooMuchDataError):
        list(facebook_ads.read_edge(graph(Edge(10, 0).send), part("ads")))


def test_an_edge_is_asked_for_what_changed_since():
    edge = Edge(1, 100)
    list(facebook_ads.read_edge(graph(edge.send), part("ad_sets", since=date(2018, 1, 1))))
    [request] = edge.send.requests
    assert request.url == f"http://127.0.0.1:4570/facebook/v26.0/act_{ACCOUNT}/adsets"
    changed, statuses = json.loads(request.params["filtering"])
    assert changed == {"field": "adset.updated_time", "operator": "GREATER_THAN", "value": 1514764799}
    assert {"DELETED", "ARCHIVED"} < set(statuses["value"])
    assert request.params["fields"].startswith("id,account_id,campaign_id,name")


# Reports


class Reports:
    """Makes reports of one row a day; `fates` are the states that the next reports end in.

    Reports of more than `longest_days` are refused, those of more than `made_days` are never made.
    """

    def __init__(
        self, *fates: dict[str, Any], polls: int = 2, late: int = 0, longest_days: int = 1000, made_days: int = 1000
    ) -> None:
        self.fates = list(fates)
        self.polls = polls
        self.late = late
        self.longest_days = longest_days
        self.made_days = made_days
        self.made: list[tuple[date, date, dict[str, Any]]] = []
        self.polled: dict[int, int] = {}
        self.send = FakeSend(handler=self.answer)

    def answer(self, request: HttpRequest) -> HttpResponse:
        last = request.url.rsplit("/", 2)
        if request.method == "POST":
            asked = json.loads(request.params["time_range"])
            since, until = date.fromisoformat(asked["since"]), date.fromisoformat(asked["until"])
            if (until - since).days >= self.longest_days:
                return error(100, 1487534)
            self.made.append((since, until, self.fates.pop(0) if self.fates else {"async_status": "Job Completed"}))
            return answer({"report_run_id": str(len(self.made) - 1)})
        if last[2] == "insights":
            if self.late:
                self.late -= 1
                return error(2637, 1815107)
            since, until, fate = self.made[int(last[1])]
            return answer({"data": [] if "empty" in fate else list(rows_between(since, until)), "paging": {}})
        number = int(last[2])
        self.polled[number] = self.polled.get(number, 0) + 1
        since, until, _ = self.made[number]
        if self.polled[number] < self.polls or (until - since).days >= self.made_days:
            return answer({"async_status": "Job Running", "async_percent_completion": 100})
        return answer(self.made[number][2])


def rows_between(since: date, until: date) -> Iterator[dict[str, Any]]:
    for number in range((until - since).days + 1):
        yield {"ad_id": "1", "date_start": (since + timedelta(days=number)).isoformat()}


FAILED = {"async_status": "Job Failed", "error_code": 2, "error_subcode": 1504044, "error_message": "again, please"}
SKIPPED = {"async_status": "Job Skipped"}


def insights(reports: Reports, clock: FakeClock | None = None, **days: date) -> list[Any]:
    return list(facebook_ads.read_insights(graph(reports.send, clock), part("ads_insights", **days)))


MONTH = list(rows_between(date(2017, 12, 1), date(2017, 12, 30)))


def test_a_report_is_asked_for_waited_for_and_read():
    reports, clock = Reports(polls=5), FakeClock()
    assert insights(reports, clock) == MONTH
    post = reports.send.requests[0]
    assert (post.method, post.url) == ("POST", f"http://127.0.0.1:4570/facebook/v26.0/act_{ACCOUNT}/insights")
    assert "limit" not in post.params
    assert json.loads(post.params["time_range"]) == {"since": "2017-12-01", "until": "2017-12-30"}
    assert clock.slept == [0.1, 0.2, 0.4, 0.8]


def test_all_of_the_work_done_is_not_completed():
    reports = Reports(polls=3)
    insights(reports)
    assert reports.polled == {0: 3}


@pytest.mark.parametrize("fate", [FAILED, SKIPPED])
def test_a_failed_report_is_asked_for_once_more(fate):
    reports = Reports(fate)
    assert insights(reports) == MONTH
    assert len(reports.made) == 2


@pytest.mark.parametrize("fate", [FAILED, SKIPPED])
def test_a_report_that_failed_twice_is_split(fate):
    reports = Reports(fate, fate)
    assert insights(reports) == MONTH
    assert [(since.day, until.day) for since, until, _ in reports.made] == [(1, 30), (1, 30), (1, 15), (16, 30)]


def test_a_single_day_that_failed_twice_is_an_error():
    reports = Reports(*[FAILED] * 1000)
    with pytest.raises(ReportFailedError, match=r"from 2017-12-01 to 2017-12-01 failed 2 times.*again, please"):
        insights(reports)
    assert len(reports.made) == 12


def test_a_report_that_fails_for_good_is_told_at_once():
    reports = Reports({**FAILED, "error_code": 190, "error_subcode": None, "error_message": "session expired"})
    with pytest.raises(FatalSourceError, match="190: session expired"):
        insights(reports)
    assert len(reports.made) == 1


@pytest.mark.parametrize("longest_days", [1, 2, 7, 29])
def test_a_range_that_is_too_much_is_split(longest_days):
    assert insights(Reports(longest_days=longest_days)) == MONTH


def test_a_report_that_fails_for_its_size_is_split_at_once():
    reports = Reports({**FAILED, "error_code": 100, "error_subcode": 1487534})
    assert insights(reports) == MONTH
    assert len(reports.made) == 3


EMPTY = {"async_status": "Job Completed", "empty": True}


@pytest.mark.parametrize(("empty", "rows"), [(1, MONTH), (2, []), (1000, [])])
def test_a_report_without_rows_is_believed_the_second_time(empty, rows):
    reports = Reports(*[EMPTY] * empty)
    assert insights(reports) == rows
    assert len(reports.made) == 2


def test_results_that_come_late_are_waited_for():
    clock = FakeClock()
    assert insights(Reports(late=7), clock) == MONTH
    assert sum(clock.slept) > 60


def test_results_that_never_come_are_an_error():
    reports = Reports(late=1000)
    with pytest.raises(RetriableSourceError, match="2637/1815107"):
        insights(reports)
    assert len(reports.send.requests) < 20


def test_a_report_that_is_never_made_is_given_up():
    clock = FakeClock()
    reports = Reports(polls=10**9)
    with pytest.raises(ReportFailedError, match="not made within 3600 s"):
        insights(reports, clock, until=date(2017, 12, 1))
    assert len(reports.send.requests) < 300


def test_a_report_that_is_not_made_in_time_is_asked_for_once_more_and_then_split():
    reports, clock = Reports(made_days=10), FakeClock()
    assert insights(reports, clock) == MONTH
    lengths = [(until - since).days + 1 for since, until, _ in reports.made]
    assert lengths == [30, 30, 15, 15, 8, 7, 15, 15, 8, 7]
    assert 6 * facebook_ads.REPORT_SECONDS < sum(clock.slept) < 7 * facebook_ads.REPORT_SECONDS


@pytest.mark.parametrize("stream", ["ads_insights_demographics", "ads_insights_countries"])
def test_breakdowns_are_asked_for_beside_the_fields_and_come_with_every_row(stream):
    declared = facebook().streams[stream]
    fields, breakdowns = (declared.params[name].split(",") for name in ("fields", "breakdowns"))
    assert {*fields, *breakdowns} == {*declared.raw}
    assert not {*fields} & {*breakdowns}
    assert set(breakdowns) <= set(table(declared.table).key)


@pytest.mark.parametrize("reply", [{}, {"report_run_id": None}, {"report_run_id": "../me?x="}, []])
def test_an_answer_without_a_usable_report_id_needs_a_person(reply):
    with pytest.raises(FatalSourceError, match="no `report_run_id`"):
        list(facebook_ads.read_insights(graph(FakeSend(answer(reply))), part("ads_insights")))


def test_insights_are_extracted_in_months_for_each_account():
    reports, files = Reports(), KeptFiles()
    into, day = table("ad_performance"), date(2018, 1, 1)
    found = read_stream(facebook(), "ads_insights", into, {}, files, None, day, None, graph(reports.send))  # type: ignore[arg-type]
    assert found is not None
    assert len(reports.made) == len(files.files) == 2 * 13
    # Parts are read some at a time, in whatever order they come.
    first, last = min(made[0] for made in reports.made), max(made[1] for made in reports.made)
    assert (first, last) == (date(2017, 1, 1), date(2018, 1, 1))
    assert len(files.rows) == 2 * 366
    assert {row["_account"] for row in files.rows} == set(facebook().accounts)
