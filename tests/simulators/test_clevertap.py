"""CleverTap keeps to its contract, and the connector reads every row of it through whatever it does."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import Any
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo

import psycopg
import pytest
import requests

from headwater.config import Retry, Rollout
from headwater.errors import FatalSourceError, PagingError, RetriableSourceError, ThrottledError
from headwater.ledger.positions import DaysPosition
from headwater.sources.http.connect import open_client
from headwater.sources.http.stream import Extraction, read
from local.simulators.clevertap import passcodes
from local.world.clevertap import CHARGED, LAUNCHED, PROJECTS, AppWorld, read_app
from tests.support.declared import http_source, table
from tests.support.http_fakes import KeptFiles, never_saved
from tests.support.simulators import Simulators

CLOCK = date(2018, 1, 1)
YEAR = (date(2017, 1, 1), date(2017, 12, 31))
MONTH = (date(2017, 11, 21), date(2017, 12, 20))
WEEK = (date(2017, 12, 18), date(2017, 12, 24))
ACCOUNT = PROJECTS[0].account
ZONES = {project.account: ZoneInfo(project.time_zone) for project in PROJECTS}
USUAL = {
    "passcodes": passcodes(),
    "page_rows": 5000,
    "quick_days": 100,
    "pending_answers": 1,
    "pending_status": 200,
    "call_seconds": 0,
    "unannounced": False,
}


@pytest.fixture
def tap(simulators: Simulators) -> Iterator[CleverTap]:
    simulators.admin("clevertap/settings", **USUAL)
    yield CleverTap(simulators)
    simulators.admin("clevertap/settings", **USUAL)


@pytest.fixture
def app(simulators: Simulators) -> AppWorld:
    with psycopg.connect(simulators.dsn) as connection:
        return read_app(connection)


class CleverTap:
    """The API as its own clients see it."""

    def __init__(self, simulators: Simulators) -> None:
        self.simulators = simulators

    def set(self, **settings: Any) -> None:
        self.simulators.admin("clevertap/settings", **settings)

    def call(
        self,
        method: str,
        query: str = "",
        body: Any = None,
        *,
        api: str = "events",
        version: int = 1,
        account: str = ACCOUNT,
        passcode: str | None = None,
    ) -> requests.Response:
        code = passcodes()[account] if passcode is None else passcode
        headers = {"X-CleverTap-Account-Id": account, "X-CleverTap-Passcode": code}
        # Put together by hand, so that nothing encodes a cursor once more.
        url = f"{self.simulators.url}/clevertap/{version}/{api}.json?{query}"
        return requests.request(method, url, json=body, headers=headers, timeout=20)

    def begin(self, event: str, days: tuple[date, date] = MONTH, rows: int = 5000, **where: Any) -> requests.Response:
        since, until = (int(f"{day:%Y%m%d}") for day in days)
        return self.call("POST", f"batch_size={rows}", {"event_name": event, "from": since, "to": until}, **where)

    def pages(self, event: str, days: tuple[date, date] = MONTH, rows: int = 5000, **where: Any) -> list[list[Any]]:
        cursor = self.begin(event, days, rows, **where).json()["cursor"]
        pages = []
        while cursor is not None:
            page = self.call("GET", f"cursor={cursor}", **where).json()
            pages.append(page["records" if where.get("version", 1) == 1 else "data"])
            cursor = page.get("next_cursor")
        return pages


# The contract


def test_an_export_is_begun_by_a_post_and_read_page_by_page(tap, app):
    pages = tap.pages(LAUNCHED, rows=10)
    assert [len(page) for page in pages[:-1]] == [10] * (len(pages) - 1)
    rows = [row for page in pages for row in page]
    expected = [
        int(f"{local:%Y%m%d%H%M%S}")
        for event in app.events[ACCOUNT, LAUNCHED]
        if MONTH[0] <= (local := event.occurred_at.astimezone(ZONES[ACCOUNT])).date() <= MONTH[1]
    ]
    assert [row["ts"] for row in rows] == expected
    assert len(pages) > 1


def test_a_cursor_is_percent_encoded_already(tap):
    cursor = tap.begin(LAUNCHED).json()["cursor"]
    assert "%" in cursor
    assert tap.call("GET", f"cursor={cursor}").json()["status"] == "success"
    assert tap.call("GET", f"cursor={quote(cursor, safe='')}").json() == {
        "status": "fail",
        "error": "Invalid cursor",
        "code": 400,
    }
    assert unquote(cursor) != cursor


def test_a_cursor_is_good_for_its_own_account_and_api_only(tap):
    cursor = tap.begin(LAUNCHED).json()["cursor"]
    assert tap.call("GET", f"cursor={cursor}", account=PROJECTS[1].account).status_code == 400
    assert tap.call("GET", f"cursor={cursor}", api="profiles").status_code == 400
    assert tap.call("GET", f"cursor={cursor}", version=2).status_code == 400
    assert tap.call("POST", f"cursor={cursor}").json()["status"] == "success"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("batch_size=5001", {"event_name": LAUNCHED, "from": 20171201, "to": 20171202}),
        ("batch_size=0", {"event_name": LAUNCHED, "from": 20171201, "to": 20171202}),
        ("colour=red", {"event_name": LAUNCHED, "from": 20171201, "to": 20171202}),
        ("", {"event_name": LAUNCHED, "from": "20171201", "to": 20171202}),
        ("", {"event_name": LAUNCHED, "from": 20171301, "to": 20171202}),
        ("", {"event_name": LAUNCHED, "from": 20171203, "to": 20171202}),
        ("", {"event_name": LAUNCHED, "from": 20171201}),
        ("", [1]),
        ("", None),
    ],
)
def test_what_cannot_be_asked_is_refused(tap, query, body):
    response = tap.call("POST", query, body)
    assert (response.status_code, response.json()["status"]) == (400, "fail")


def test_profiles_come_in_multiples_of_23(tap):
    assert tap.begin(LAUNCHED, api="profiles", rows=50).status_code == 400
    assert tap.begin(LAUNCHED, api="profiles", rows=46).json()["status"] == "success"


def test_an_unknown_event_is_refused_with_status_200_and_a_notification_with_400(tap):
    unknown, notification = tap.begin("X"), tap.begin("Notification Sent")
    assert (unknown.status_code, unknown.json()["error"]) == (200, '["Invalid event : X"]')
    assert (notification.status_code, notification.json()["error"]) == (400, "Export not allowed for this event")


def test_a_wrong_passcode_is_refused(tap):
    assert tap.begin(LAUNCHED, passcode="wrong").status_code == 401
    tap.set(passcodes={ACCOUNT: "other"})
    assert tap.begin(LAUNCHED).status_code == 401
    assert tap.begin(LAUNCHED, passcode="other").ok


@pytest.mark.parametrize(("status", "body"), [(200, b'"code":2'), (202, b"")])
def test_a_long_export_is_not_ready_at_once(tap, status, body):
    tap.set(pending_answers=2, pending_status=status)
    cursor = tap.begin(LAUNCHED, YEAR).json()["cursor"]
    answers = [tap.call("GET", f"cursor={cursor}") for _ in range(3)]
    assert [response.status_code for response in answers] == [status, status, 200]
    assert body in answers[0].content
    assert answers[2].json()["records"]


def test_a_fourth_call_at_the_same_time_is_one_too_many(tap):
    tap.set(call_seconds=1)
    with ThreadPoolExecutor(6) as pool:
        at_events = [pool.submit(tap.begin, LAUNCHED) for _ in range(4)]
        elsewhere = [pool.submit(tap.begin, LAUNCHED, api="profiles", rows=23)]
        elsewhere.append(pool.submit(tap.begin, LAUNCHED, account=PROJECTS[1].account))
        answers = [future.result() for future in at_events]
    assert sorted(response.status_code for response in answers) == [200, 200, 200, 429]
    [refused] = [response for response in answers if response.status_code == 429]
    assert refused.json() == {"status": "fail", "error": "Too many concurrent requests", "code": 429}
    assert "Retry-After" not in refused.headers
    assert all(future.result().ok for future in elsewhere)


def test_both_versions_tell_the_same_events_in_their_own_shape(tap):
    [first], [second] = tap.pages(CHARGED), tap.pages(CHARGED, version=2)
    assert len(first) == len(second) > 0
    for old, new in zip(first, second, strict=True):
        assert set(new) - {"sessionProperties"} == {"user", "occurredAt", "eventProperties"}
        assert old["profile"]["objectId"] == new["user"]["deviceId"]
        assert str(old["ts"]) == f"{datetime.fromisoformat(new['occurredAt']):%Y%m%d%H%M%S}"
        assert old["event_props"] == {name: typed["value"] for name, typed in new["eventProperties"].items()}


def test_version_one_may_change_without_notice(tap):
    tap.set(unannounced=True)
    [rows] = tap.pages(CHARGED)
    assert all("occurredAt" in row and "ts" not in row for row in rows)


def test_a_profile_tells_what_its_user_did(tap, app):
    [rows] = tap.pages(LAUNCHED, (date(2017, 1, 1), date(2017, 1, 31)), api="profiles", rows=4991)
    assert rows
    done = Counter((event.profile_id, name) for (_, name), events in app.events.items() for event in events)
    by_object = {device.object_id: profile for profile in app.profiles.values() for device in profile.devices}
    for row in rows:
        profile = by_object[row["platformInfo"][0]["objectId"]]
        assert row.get("identity") == profile.identity
        assert {name: seen["count"] for name, seen in row["events"].items()} == {
            name: count for (number, name), count in done.items() if number == profile.profile_id
        }


@pytest.mark.parametrize("settings", [{"page_rows": 0}, {"pages": 3}, {"pending_status": 500}])
def test_a_setting_that_means_nothing_is_refused(simulators, settings):
    response = requests.post(f"{simulators.url}/_admin/clevertap/settings", json=settings, timeout=20)
    assert response.status_code == 422


def test_no_passcode_is_told(tap):
    said = json.dumps(tap.simulators.admin("clevertap/settings", "GET"))
    tap.begin(LAUNCHED)
    said += json.dumps(tap.simulators.admin("requests", "GET"))
    assert not any(code in said for code in passcodes().values())


# The connector


class Extract:
    """Runs the Extract of one stream; waits are kept in `slept` and pass at once, on the clock as well."""

    def __init__(self, url: str) -> None:
        self.source = http_source("clevertap").model_copy(update={"base_url": f"{url}/clevertap"})
        self.secret = {f"{account}.passcode": code for account, code in passcodes().items()}
        self.slept: list[float] = []

    def _clock(self) -> float:
        return time.monotonic() + sum(self.slept)

    def __call__(
        self,
        stream: str = "events",
        position: DaysPosition | None = None,
        window: tuple[date, date] | None = None,
        **changes: Any,
    ) -> tuple[Extraction | None, list[dict[str, Any]]]:
        source = self.source.model_copy(update=changes)
        files: Any = KeptFiles()
        with open_client(source, self.secret, never_saved, self.slept.append, self._clock) as client:
            found = read(
                source, stream, table(source.streams[stream].table), self.secret, files, position, CLOCK, window, client
            )
        return found, files.rows


@pytest.fixture
def run(tap: CleverTap) -> Extract:
    return Extract(tap.simulators.url)


def test_every_event_of_every_account_is_read_and_a_second_run_adds_nothing(run, app):
    found, rows = run()
    assert Counter((row["_account"], row["event_name"]) for row in rows) == {
        key: len(events) for key, events in app.events.items()
    }
    expected = Counter(
        (account, event.occurred_at.astimezone(ZONES[account]).date().isoformat())
        for (account, _), events in app.events.items()
        for event in events
        if not event.clock_lost
    )
    assert Counter((row["_account"], row["event_day"]) for row in rows if row["ts"]) == expected
    assert {name for row in rows for name in row} == {*run.source.streams["events"].raw, "_account"}
    assert run(position=found.position_after) == (None, [])


def test_every_profile_whose_user_opened_the_app_is_read(run, app):
    found, rows = run("profiles")
    launched = {event.profile_id for (_, name), events in app.events.items() if name == LAUNCHED for event in events}
    objects = {device.object_id for number in launched for device in app.profiles[number].devices}
    assert {device["objectId"] for row in rows for device in row["platformInfo"]} == objects
    assert len(rows) == len(launched)
    assert {name for row in rows for name in row} == {*run.source.streams["profiles"].raw, "_account"}
    assert run("profiles", found.position_after) == (None, [])


def test_short_pages_give_the_same_rows(run, tap):
    whole = run(window=WEEK)[1]
    tap.set(page_rows=3)
    assert run(window=WEEK)[1] == whole
    assert len(whole) > 20


@pytest.mark.parametrize("status", [200, 202])
def test_a_pending_export_is_waited_for(run, tap, status):
    whole = run(window=WEEK)[1]
    tap.set(quick_days=0, pending_answers=4, pending_status=status)
    assert run(window=WEEK)[1] == whole
    exports = len(run.source.accounts) * 4
    assert len(run.slept) >= 4 * exports


def test_the_connector_stays_within_three_calls_at_a_time(run, tap):
    tap.set(call_seconds=0.05)
    streams = {
        "events": run.source.streams["events"].model_copy(
            update={"read": run.source.streams["events"].read.model_copy(update={"chunk_days": 1})}
        )
    }
    run(window=WEEK, streams=streams, accounts=(ACCOUNT,))
    log = tap.simulators.admin("requests", "GET")["requests"]
    assert len(log) >= 7 * 4 * 2
    assert {entry["status"] for entry in log} == {200}


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "status", "status": 500, "times": 2},
        {"kind": "status", "status": 503, "times": 1, "after": 1},
        {"kind": "truncate", "times": 2},
        {"kind": "html", "times": 2},
        {"kind": "throttle", "times": 3},
        {"kind": "drip", "seconds": 0.2, "times": 1},
        {"kind": "empty_page", "times": 2},
    ],
    ids=lambda rule: "-".join(str(value) for value in rule.values()),
)
def test_what_passes_costs_no_row(run, tap, rule):
    def key(row: dict[str, Any]) -> str:
        return json.dumps(row, sort_keys=True, default=str)

    whole = run(window=WEEK)[1]
    tap.simulators.misbehave(source="clevertap", **rule)
    assert sorted(run(window=WEEK)[1], key=key) == sorted(whole, key=key)


def test_a_duplicate_page_doubles_rows_and_nothing_else(run, tap):
    tap.set(page_rows=4)
    whole = run(window=WEEK, accounts=(ACCOUNT,))[1]
    tap.simulators.misbehave(source="clevertap", kind="duplicate_page", times=1, after=1)
    rows = run(window=WEEK, accounts=(ACCOUNT,))[1]
    assert len(whole) < len(rows) <= len(whole) + 4
    assert all(row in whole for row in rows)


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"kind": "status", "status": 500}, RetriableSourceError),
        ({"kind": "status", "status": 404}, FatalSourceError),
        ({"kind": "truncate"}, FatalSourceError),
        ({"kind": "html"}, FatalSourceError),
        ({"kind": "throttle"}, ThrottledError),
        ({"kind": "revoke"}, FatalSourceError),
        ({"kind": "cursor_loop"}, PagingError),
        ({"kind": "empty_page"}, PagingError),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
def test_what_does_not_pass_is_an_error(run, tap, rule, error):
    tap.simulators.misbehave(source="clevertap", **rule)
    with pytest.raises(error) as caught:
        run(window=WEEK, accounts=(ACCOUNT,), rate=run.source.rate.model_copy(update={"calls": 500}))
    assert type(caught.value) is error
    assert not any(code in str(caught.value) for code in passcodes().values())


def test_a_wrong_passcode_is_no_retry_storm(run, tap):
    tap.set(passcodes={})
    with pytest.raises(FatalSourceError, match="passcode"):
        run(window=WEEK, retry=Retry(attempts=9))
    assert len(tap.simulators.admin("requests", "GET")["requests"]) <= run.source.rate.concurrent
    assert run.slept == []


def test_notifications_are_left_out_and_the_rest_is_read(run):
    whole = run(window=WEEK)[1]
    events = run.source.streams["events"]
    names = [*json.loads(events.params["event_names"]), "Notification Sent"]
    asked = events.model_copy(update={"params": {**events.params, "event_names": json.dumps(names)}})
    assert run(window=WEEK, streams={"events": asked})[1] == whole


def test_both_versions_have_their_rows_on_the_same_days(run):
    by_version = []
    for share in (0, 1):
        rollout = {name: Rollout(parser="v2", share=share) for name in ("events", "profiles")}
        rows = [*run(window=WEEK, rollout=rollout)[1], *run("profiles", rollout=rollout)[1]]
        by_version.append(Counter((row["_account"], row.get("event_day"), row.get("active_day")) for row in rows))
    assert by_version[0] == by_version[1]
    assert sum(by_version[0].values()) > 50
