"""Zendesk's simulator keeps to its contract, and the declared source reads all of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import requests

from headwater.config import HttpSource
from headwater.deploy.project import load_project
from headwater.errors import FatalSourceError, ThrottledError
from headwater.sources.http.connect import open_client
from headwater.sources.http.stream import Extraction, HttpPosition
from headwater.sources.http.stream import read as read_stream
from local import world
from local.simulators.zendesk import API_TOKEN, EMAIL
from local.stack import ROOT
from local.world.truth import now
from local.world.zendesk import Desk, read_desk
from tests.support.declared import table
from tests.support.http_fakes import KeptFiles, never_saved
from tests.support.simulators import Simulators

EXPORT = "api/v2/incremental/tickets/cursor.json"
RATINGS = "api/v2/satisfaction_ratings.json"
AUTH = (f"{EMAIL}/token", API_TOKEN)


def get(simulators: Simulators, path: str, auth: tuple[str, str] | None = AUTH, **params: Any) -> requests.Response:
    return requests.get(f"{simulators.url}/zendesk/{path}", params=params, auth=auth, timeout=20)


def desk(simulators: Simulators) -> Desk:
    with psycopg.connect(simulators.dsn) as connection:
        return read_desk(connection)


def exported(simulators: Simulators, start: int, size: int) -> Iterator[dict[str, Any]]:
    answer = get(simulators, EXPORT, start_time=start, per_page=size).json()
    while True:
        yield from answer["tickets"]
        if answer["end_of_stream"]:
            return
        answer = requests.get(answer["after_url"], auth=AUTH, timeout=20).json()


@pytest.mark.parametrize("size", [7, 1000])
def test_the_export_has_every_ticket_that_changed_since_then_in_that_order(simulators, size):
    tickets = desk(simulators).tickets
    start = int(tickets[len(tickets) // 3].generated_at.timestamp())
    expected = [ticket.ticket_id for ticket in tickets if int(ticket.generated_at.timestamp()) >= start]
    found = list(exported(simulators, start, size))
    assert sorted(row["id"] for row in found) == sorted(expected)
    times = [row["generated_timestamp"] for row in found]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        (EXPORT, {}, 400),
        (EXPORT, {"start_time": "yesterday"}, 400),
        (EXPORT, {"start_time": 1, "colour": "red"}, 400),
        (EXPORT, {"start_time": 1, "cursor": "MS4wfHwxfDA="}, 400),
        (EXPORT, {"cursor": "x"}, 400),
        (EXPORT, {"start_time": 1, "per_page": 1001}, 400),
        (RATINGS, {}, 400),
        (RATINGS, {"page[size]": 101}, 400),
        ("api/v2/tickets.json", {}, 404),
    ],
)
def test_what_cannot_be_answered_says_so(simulators, path, params, status):
    response = get(simulators, path, **params)
    assert (response.status_code, set(response.json()) - {"description"}) == (status, {"error"})


def test_a_start_within_the_last_minute_is_too_recent(simulators):
    clock = int(now(world.clock(simulators.dsn)).timestamp())
    assert get(simulators, EXPORT, start_time=clock - 30).status_code == 422
    assert get(simulators, EXPORT, start_time=clock - 60).status_code == 200


@pytest.mark.parametrize("auth", [None, (EMAIL, API_TOKEN), (f"{EMAIL}/token", "other")])
def test_nobody_else_may_read(simulators, auth):
    assert get(simulators, EXPORT, auth=auth, start_time=1).status_code == 401


# The declared source


class Extract:
    """Runs the Extract of one stream; waits are kept in `slept` and pass at once, on the clock as well."""

    def __init__(self, simulators: Simulators) -> None:
        declared = load_project(ROOT, "local").source("zendesk")
        assert isinstance(declared, HttpSource)
        self.simulators = simulators
        self.source = declared.model_copy(update={"base_url": f"{simulators.url}/zendesk"})
        self.slept: list[float] = []

    def __call__(
        self, stream: str, position: HttpPosition | None = None, token: str = API_TOKEN, **changes: Any
    ) -> tuple[Extraction | None, KeptFiles]:
        source = self.source.model_copy(update=changes)
        files, secret = KeptFiles(), {"email": EMAIL, "api_token": token}
        today = world.clock(self.simulators.dsn)
        with open_client(
            source, secret, never_saved, self.slept.append, lambda: time.monotonic() + sum(self.slept)
        ) as client:
            found = read_stream(
                source, stream, table(source.streams[stream].table), secret, files, position, today, None, client
            )  # type: ignore[arg-type]
        return found, files


@pytest.fixture
def run(simulators: Simulators) -> Extract:
    return Extract(simulators)


def with_pages_of(run: Extract, stream: str, **params: str) -> dict[str, Any]:
    declared = run.source.streams[stream]
    return {stream: declared.model_copy(update={"params": {**declared.params, **params}})}


@pytest.mark.parametrize(
    ("stream", "size"), [("tickets", {"per_page": "5"}), ("satisfaction_ratings", {"page[size]": "3"})]
)
def test_short_pages_give_all_there_is(run, stream, size):
    held = desk(run.simulators)
    expected = (
        {row.ticket_id for row in held.tickets} if stream == "tickets" else {row.rating_id for row in held.ratings}
    )
    _, whole = run(stream)
    assert {row["id"] for row in whole.rows} == expected
    assert len(whole.rows) == len(expected)
    _, files = run(stream, streams=with_pages_of(run, stream, **size))
    assert files.rows == whole.rows


def test_ten_exports_a_minute_are_kept_to(run):
    run.simulators.misbehave(source="zendesk", path="incremental", kind="quota", calls=10, seconds=60)
    with pytest.raises(ThrottledError):
        # Real time stands still here while the waits pass: the eleventh call is refused however patient it is.
        run("tickets", streams=with_pages_of(run, "tickets", per_page="2"))
    listed = run.simulators.admin("requests", "GET")["requests"]
    assert [request["status"] for request in listed[:11]] == [200] * 10 + [429]
    assert sum(run.slept[:1]) > 50


def test_a_token_that_was_taken_back_needs_a_person_and_is_not_told(run):
    with pytest.raises(FatalSourceError, match=r"HTTP 401.*hint: look at the source's secret") as caught:
        run("tickets", token="zd-another-token")
    assert "zd-another-token" not in str(caught.value)
