"""CleverTap: what its refusals call for, exports in two steps, cursors that go back as they came, and days by time zone."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.config import HttpSource
from headwater.errors import (
    ConfigError,
    ExpiredCursorError,
    FatalSourceError,
    PagingError,
    RetriableSourceError,
    ThrottledError,
)
from headwater.ledger.raw import RowFile
from headwater.sources.apis import clevertap
from headwater.sources.apis.clevertap import ExportNotAllowedError, active_day, classify, event_day, zone_of
from headwater.sources.http.client import HttpClient
from headwater.sources.http.messages import HttpRequest, HttpResponse, MalformedAnswerError
from headwater.sources.http.source import Part
from headwater.sources.http.stream import read
from tests.support.declared import http_source, table
from tests.support.http_fakes import FakeClock, FakeSend, KeptFiles, answer, client

ACCOUNT = "4R7-5K6-466Z"
KOLKATA = ZoneInfo("Asia/Kolkata")
PHOENIX = ZoneInfo("America/Phoenix")
IN_PROGRESS = {"status": "fail", "error": "HttpRequest still in progress, please retry later", "code": 2}
NOT_ALLOWED = {"status": "fail", "error": "Export not allowed for this event", "code": 400}
CURSOR = "ZyZj%2FQ%2BKz8%3D"


def declared(**changes: Any) -> HttpSource:
    return HttpSource.model_validate({**dict(http_source("clevertap")), **changes})


def part(stream: str = "events", source: HttpSource | None = None, names: list[str] | None = None) -> Part:
    source = source or declared()
    found = source.streams[stream]
    if names is not None:
        found = found.model_copy(update={"params": {**found.params, "event_names": json.dumps(names)}})
    return Part(source, found, ACCOUNT, date(2017, 12, 1), date(2017, 12, 31))


def connect(send: FakeSend, clock: FakeClock | None = None) -> HttpClient:
    return client(send, clock, base_url="http://127.0.0.1:4570/clevertap", classify=classify)


def fail(error: str, code: int, status: int = 400) -> HttpResponse:
    return answer({"status": "fail", "error": error, "code": code}, status)


# Refusals


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer(IN_PROGRESS), RetriableSourceError),
        (answer(b"", 202), RetriableSourceError),
        (answer({"status": "success"}, 202), RetriableSourceError),
        (fail("Too many concurrent requests", 429, 429), ThrottledError),
        (fail("Too many concurrent requests", 429, 200), ThrottledError),
        (answer(b"slow down", 429), ThrottledError),
        (answer(NOT_ALLOWED, 400), ExportNotAllowedError),
        (answer(NOT_ALLOWED, 200), ExportNotAllowedError),
        (fail('["Invalid event : X"]', 400, 200), FatalSourceError),
        (fail("Invalid cursor", 400), ExpiredCursorError),
        (fail("Invalid Credentials", 401, 401), FatalSourceError),
        (fail("Invalid Credentials", 401, 200), FatalSourceError),
        (fail("broken", 503, 503), RetriableSourceError),
        (fail("broken", 500, 200), RetriableSourceError),
        (answer(b"<html>Bad gateway</html>", 502), RetriableSourceError),
        (answer(b'{"status": "fail", "er'), MalformedAnswerError),
        (answer(["fail"], 404), FatalSourceError),
        (fail("what", 0), FatalSourceError),
    ],
)
def test_a_refusal_calls_for_what_its_code_says(response, expected):
    assert type(classify(response)) is expected


@pytest.mark.parametrize(
    "response",
    [
        answer({"status": "success", "cursor": CURSOR}),
        answer({"status": "success", "records": [{"event_props": {"result": "fail"}}]}),
        answer(["fail"]),
    ],
)
def test_an_answer_that_is_no_refusal_is_none(response):
    assert classify(response) is None


@given(st.binary() | st.text().map(str.encode), st.sampled_from([200, 400, 401, 429, 500, 503]))
def test_a_body_of_any_bytes_is_survived(body, status):
    found = classify(answer(body, status))
    assert found is None or isinstance(found, FatalSourceError | RetriableSourceError)


def test_wrong_credentials_are_told_at_once_with_what_to_look_at():
    send = FakeSend(fail("Invalid Credentials", 401, 401))
    with pytest.raises(FatalSourceError, match="passcode in the source's secret"):
        list(clevertap.read_events(connect(send), part(names=["Charged"])))
    assert len(send.requests) == 1


# Exports


class Exports:
    """Exports `pages` of each event; `pending` answers come before each first page, `refused` events are not exported."""

    def __init__(
        self, *pages: list[dict[str, Any]], pending: int = 0, refused: tuple[str, ...] = (), **last: Any
    ) -> None:
        self.pages = pages
        self.pending = pending
        self.refused = refused
        self.last = last
        self.asked: list[dict[str, Any]] = []
        self.send = FakeSend(handler=self.answer)

    def answer(self, request: HttpRequest) -> HttpResponse:
        query = urlsplit(request.url).query
        if request.method == "POST":
            self.asked.append(json.loads(request.body or b""))
            self.waited = 0
            if self.asked[-1]["event_name"] in self.refused:
                return answer(NOT_ALLOWED, 400)
            return answer({"status": "success", "cursor": "page%2F0%3D"})
        self.waited += 1
        if self.waited <= self.pending:
            return answer(IN_PROGRESS)
        number = int(query.removeprefix("cursor=page%2F").removesuffix("%3D"))
        more = {"next_cursor": f"page%2F{number + 1}%3D"} if number + 1 < len(self.pages) else self.last
        return answer({"status": "success", "records": self.pages[number], **more})


def event(ts: Any = 20171205101500, **more: Any) -> dict[str, Any]:
    return {"profile": {"objectId": "__1"}, "ts": ts, "event_props": {"Amount": 300}, **more}


def events(exports: Exports, names: list[str], clock: FakeClock | None = None) -> list[Any]:
    return list(clevertap.read_events(connect(exports.send, clock), part(names=names)))


def test_each_event_is_asked_for_by_itself_with_whole_local_days():
    exports = Exports([])
    events(exports, ["App Launched", "Charged"])
    assert exports.asked == [
        {"event_name": name, "from": 20171201, "to": 20171231} for name in ("App Launched", "Charged")
    ]
    post = exports.send.requests[0]
    assert post.url == (
        "http://127.0.0.1:4570/clevertap/1/events.json?batch_size=5000&app=true&events=false&profile=false"
    )
    assert (post.headers["X-CleverTap-Account-Id"], post.headers["Content-Type"]) == (ACCOUNT, "application/json")
    get = exports.send.requests[1]
    assert get.headers["X-CleverTap-Account-Id"] == ACCOUNT
    assert "Content-Type" not in get.headers


def test_a_cursor_goes_back_as_it_came():
    exports = Exports([event()], [event()])
    events(exports, ["Charged"])
    urls = [request.url for request in exports.send.requests if request.method == "GET"]
    assert urls == [f"http://127.0.0.1:4570/clevertap/1/events.json?cursor=page%2F{number}%3D" for number in (0, 1)]
    assert all(not request.params for request in exports.send.requests)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_every_page_is_read_to_the_last_one(sizes):
    numbers = iter(range(1000))
    pages = [[event(event_props={"n": next(numbers)}) for _ in range(size)] for size in sizes]
    found = events(Exports(*pages), ["Charged"])
    assert [row["event_props"]["n"] for row in found] == list(range(sum(sizes)))


def test_an_export_that_is_not_ready_is_asked_for_again_with_the_same_cursor():
    clock = FakeClock()
    exports = Exports([event()], pending=5)
    assert len(events(exports, ["Charged"], clock)) == 1
    assert clock.slept == [1, 2, 4, 8, 16]
    assert len(exports.asked) == 1


def test_an_export_that_is_never_ready_is_an_error():
    with pytest.raises(RetriableSourceError, match=r"still in progress.*gave up after 8 tries"):
        events(Exports([event()], pending=10**6), ["Charged"])


def test_an_event_that_is_not_exported_is_left_out_and_reported(caplog):
    exports = Exports([event()], refused=("Notification Sent",))
    with caplog.at_level("WARNING", "headwater"):
        found = events(exports, ["Notification Sent", "Charged"])
    assert [row["event_name"] for row in found] == ["Charged"]
    [line] = [json.loads(record.message) for record in caplog.records]
    assert (line["event"], line["event_name"], line["account"]) == ("events left out", "Notification Sent", ACCOUNT)


@pytest.mark.parametrize("cursor", [7, "", "a b", "x&from=1", "x#y", "x\r\nHost: evil", ["x"], "http://evil/?cursor=1"])
def test_a_cursor_that_is_no_value_is_not_sent(cursor):
    with pytest.raises(PagingError, match="not a percent-encoded cursor"):
        events(Exports([event()], next_cursor=cursor), ["Charged"])


def test_a_cursor_that_comes_twice_is_an_error():
    with pytest.raises(PagingError, match="came twice"):
        events(Exports([event()], next_cursor="page%2F0%3D"), ["Charged"])


def test_an_answer_without_a_cursor_needs_a_person():
    with pytest.raises(FatalSourceError, match="no `cursor`"):
        list(clevertap.read_events(connect(FakeSend(answer({"status": "success"}))), part(names=["Charged"])))


@pytest.mark.parametrize("record", [None, "text", 7, []])
def test_a_record_that_is_no_object_needs_a_person(record):
    with pytest.raises(FatalSourceError, match="not an object"):
        events(Exports([record]), ["Charged"])


def test_profiles_are_asked_for_in_multiples_of_23():
    asked = declared().streams["profiles"].params["batch_size"]
    assert int(asked) % 23 == 0
    assert int(asked) <= 5000
    assert int(declared().streams["events"].params["batch_size"]) <= 5000


# Days


def test_a_row_has_what_the_record_leaves_out():
    [row] = events(Exports([event(session_props={"utm_source": "google-play"})]), ["Charged"])
    assert row == {
        **event(session_props={"utm_source": "google-play"}),
        "event_name": "Charged",
        "event_day": "2017-12-05",
        "time_zone": "Asia/Kolkata",
    }


@pytest.mark.parametrize(
    ("record", "zone", "day"),
    [
        ({"ts": 20221119054937}, KOLKATA, date(2022, 11, 19)),
        ({"ts": "20221119054937"}, KOLKATA, date(2022, 11, 19)),
        ({"occurredAt": "2022-11-19T05:49:37+05:30"}, KOLKATA, date(2022, 11, 19)),
        ({"occurredAt": "2022-11-18T23:49:37Z"}, KOLKATA, date(2022, 11, 19)),
        ({"occurredAt": "2022-11-19T05:49:37+00:00"}, PHOENIX, date(2022, 11, 18)),
        ({"occurredAt": "2022-11-19T05:49:37"}, PHOENIX, date(2022, 11, 19)),
        ({"ts": 0}, KOLKATA, None),
        ({"ts": 20221340054937}, KOLKATA, None),
        ({"ts": None}, KOLKATA, None),
        ({"occurredAt": None}, KOLKATA, None),
        ({"occurredAt": "yesterday"}, KOLKATA, None),
        ({}, KOLKATA, None),
    ],
)
def test_an_event_belongs_to_its_day_in_the_project(record, zone, day):
    assert event_day(record, zone) == day


@pytest.mark.parametrize(
    ("record", "day"),
    [
        ({"events": {"App Launched": {"last_seen": 1668817177}, "Charged": {"last_seen": 0}}}, date(2022, 11, 19)),
        ({"activity": [{"event": "App Launched", "lastSeen": "2022-11-19T00:19:37+00:00"}]}, date(2022, 11, 19)),
        ({"activity": [{"event": "App Launched", "lastSeen": "2022-11-18T18:29:59+00:00"}]}, date(2022, 11, 18)),
        ({"events": {}}, None),
        ({"events": {"App Launched": {"last_seen": "soon"}}}, None),
        ({"events": {"App Launched": {"last_seen": 10**30}}}, None),
        ({"activity": ["App Launched"]}, None),
        ({}, None),
    ],
)
def test_a_profile_belongs_to_the_local_day_on_which_its_user_was_last_there(record, day):
    assert active_day(record, "App Launched", KOLKATA) == day


@given(st.dictionaries(st.sampled_from(["ts", "occurredAt", "events", "activity"]), st.from_type(object) | st.text()))
def test_a_record_of_any_shape_has_a_day_or_none(record):
    assert isinstance(event_day(record, KOLKATA), date | None)
    assert isinstance(active_day(record, "App Launched", KOLKATA), date | None)


def test_an_event_whose_time_cannot_be_read_lands_on_the_last_day_that_was_asked_for():
    [row] = events(Exports([event(ts=0)]), ["Charged"])
    assert row["event_day"] == "2017-12-31"


def test_every_account_has_a_time_zone_that_exists():
    source = declared()
    assert set(source.time_zones) == set(source.accounts)
    assert {ZoneInfo(name).key for name in source.time_zones.values()} == set(source.time_zones.values())


def test_an_account_without_time_zone_is_an_error_before_the_first_call():
    send = FakeSend()
    with pytest.raises(ConfigError, match=f"none for account {ACCOUNT}.*hint"):
        list(clevertap.read_events(connect(send), part(source=declared(time_zones={}))))
    assert send.requests == []


def test_a_time_zone_that_does_not_exist_is_an_error():
    with pytest.raises(ConfigError, match="no IANA time zone"):
        zone_of(part(source=declared(time_zones={ACCOUNT: "Asia/Nowhere"})))


# Both versions


class QuarantiningFiles(KeptFiles):
    """A batch writer that knows version 1 and flags rows of another shape."""

    def open_rows(self, path: Path) -> RowFile:
        known = {"event_name": "string", "event_day": "string", "time_zone": "string", "ts": "number"}
        return RowFile(path, known, frozenset(declared().streams["events"].raw_fields), flag=True)


def two_versions(
    share: float, files: KeptFiles | None = None, unannounced: bool = False
) -> tuple[Exports, list[dict[str, Any]]]:
    """Reads a day of the four accounts, of which a share is answered by version 2."""
    exports, files = Exports(), files or KeptFiles()

    def handler(request: HttpRequest) -> HttpResponse:
        second = "/clevertap/2/" in request.url
        if request.method == "POST":
            return answer({"status": "success", "cursor": CURSOR})
        new, old = {"occurredAt": "2017-12-05T12:00:00Z"}, {"ts": 20171205101500}
        return answer({"status": "success", "data" if second else "records": [new if second or unannounced else old]})

    exports.send.handler = handler
    source = declared(rollout={"events": {"parser": "v2", "share": share}})
    day = date(2017, 12, 5)
    secret = {f"{account}.passcode": f"passcode of {account}" for account in source.accounts}
    read(source, "events", table("app_events"), secret, files, None, day, (day, day), connect(exports.send))  # type: ignore[arg-type]
    return exports, files.rows


@pytest.mark.parametrize(("share", "accounts"), [(0, 0), (0.25, 1), (0.5, 2), (1, 4)])
def test_a_share_of_the_accounts_is_read_by_the_other_version(share, accounts):
    exports, rows = two_versions(share)
    second = {row["_account"] for row in rows if row.get("_parser") == "v2"}
    assert len(second) == accounts
    assert all(("occurredAt" in row) == (row["_account"] in second) for row in rows)
    assert {row["event_day"] for row in rows} == {"2017-12-05"}
    for request in exports.send.requests:
        assert ("/2/" in request.url) == (request.headers["X-CleverTap-Account-Id"] in second)


def test_every_call_carries_the_passcode_of_its_own_account():
    exports, _ = two_versions(0.5)
    asked_by = {request.headers["X-CleverTap-Account-Id"] for request in exports.send.requests}
    assert asked_by == set(declared().accounts)
    for request in exports.send.requests:
        account = request.headers["X-CleverTap-Account-Id"]
        assert request.headers["X-CleverTap-Passcode"] == f"passcode of {account}"


def test_the_other_version_fills_every_column_whose_fields_it_renames():
    for stream in declared().streams.values():
        shape = stream.parsers["v2"]
        old = {name for name in stream.raw if name not in (shape.raw or ())}
        for name in table(stream.table).sourced:
            source = stream.columns.get(name, name)
            if source is not None and any(field in source for field in old):
                assert name in shape.columns


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_rows_of_a_version_that_was_rolled_out_are_of_no_foreign_shape(share):
    _, rows = two_versions(share, QuarantiningFiles())
    assert len(rows) == 16
    assert [row for row in rows if "_problem" in row] == []


def test_rows_of_a_version_that_came_unannounced_are():
    _, rows = two_versions(0.5, QuarantiningFiles(), unannounced=True)
    flagged = {row["_account"] for row in rows if row.get("_problem") == "schema_drift"}
    assert flagged == {row["_account"] for row in rows if "_parser" not in row}
    assert len(flagged) == 2
