"""Whatever JSON an API answers with, a stream's reading ends in rows or in an error that names the source."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.config import Retry
from headwater.errors import FatalSourceError, SourceError
from headwater.sources.apis import APIS
from headwater.sources.http.messages import HttpRequest, HttpResponse
from headwater.sources.http.stream import read
from tests.support.declared import http_source, project
from tests.support.http_fakes import FakeSend, KeptFiles, answer, client

STREAMS = [(name, stream) for name in APIS for stream in http_source(name).streams]
DAY = "2018-01-09"
MOMENT = f"{DAY}T10:00:00.000Z"
# What each API may answer, to whatever it is asked: its reader takes of it what it looks for.
WELL_FORMED: dict[str, dict[str, Any]] = {
    "hubspot": {
        "results": [
            {
                "id": "5",
                "properties": {"hs_lastmodifieddate": MOMENT, "lastmodifieddate": MOMENT, "name": "createdate"},
                "createdAt": MOMENT,
                "updatedAt": MOMENT,
                "archivedAt": MOMENT,
                "from": {"id": "5"},
                "to": [{"toObjectId": 7, "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": 3}]}],
                "name": "amount",
            }
        ],
        "errors": [{"category": "OBJECT_NOT_FOUND", "context": {"fromObjectId": ["9"]}}],
        "total": 1,
    },
    "facebook_ads": {
        "report_run_id": "1",
        "async_status": "Job Completed",
        "async_percent_completion": 100,
        "timezone_name": "Europe/Berlin",
        "currency": "EUR",
        "data": [{"id": "5", "date_start": DAY, "date_stop": DAY, "spend": "1.5", "actions": [{"value": "1"}]}],
        "paging": {"cursors": {"after": "a"}},
    },
    "google_ads": {
        "results": [{"segments": {"date": DAY}, "metrics": {"clicks": "1"}, "campaign": {"id": "5"}, "customer": {}}],
        "nextPageToken": "",
        "fieldMask": "campaign.id",
    },
    "clevertap": {
        "status": "success",
        "cursor": "a",
        "records": [{"ts": 20180109100000, "profile": {"objectId": "5", "platformInfo": [{}]}, "event_props": {}}],
    },
}
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
ODD = st.sampled_from([[None], [[]], [{}], {"": None}, {"id": {}}, "9" * 400, 10**400, -1, "", "0", [], {}])
MISSHAPEN = st.none() | st.booleans() | NUMBERS | st.text(max_size=3) | ODD


def places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value within JSON."""
    yield at
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        yield from places(value, (*at, key))


def changed(node: Any, at: tuple[Any, ...], value: Any) -> Any:
    """The JSON with another value in one place; without the place for `GONE`."""
    if not at:
        return None if value is GONE else value
    copy = node.copy()
    if len(at) == 1 and value is GONE:
        del copy[at[0]]
    else:
        copy[at[0]] = changed(node[at[0]], at[1:], value)
    return copy


GONE = object()


def answers(source: str) -> st.SearchStrategy[list[Any]]:
    """Answers of which each is the well-formed one with one or two values gone or replaced."""

    @st.composite
    def misshapen(draw: st.DrawFn) -> Any:
        made: Any = WELL_FORMED[source]
        for _ in range(draw(st.integers(0, 2))):
            made = changed(made, draw(st.sampled_from([*places(made)])), draw(MISSHAPEN | st.just(GONE)))
        return made

    return st.lists(misshapen(), min_size=1, max_size=4)


def outcome(name: str, stream: str, given_answers: list[Any]) -> str | None:
    """Reads a stream whose source gives these answers again and again; what the error says, None without one."""
    source, api = http_source(name), APIS[name]
    following, asked, one_at_a_time = itertools.cycle(given_answers), itertools.count(), threading.Lock()

    def handle(_request: HttpRequest) -> HttpResponse:
        with one_at_a_time:
            if next(asked) > 40:
                raise FatalSourceError("asked often enough")
            return answer(next(following))

    table = project().tables[source.streams[stream].table]
    asking = client(
        FakeSend(handler=handle), None, Retry(attempts=2), name=name, classify=api.classify, usage=api.usage
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "sleep", lambda _seconds: None)
        try:
            read(source, stream, table, {}, KeptFiles(), None, date(2018, 1, 10), None, asking)  # type: ignore[arg-type]
        except SourceError as error:
            return str(error)
    return None


@pytest.mark.parametrize(("source", "stream"), STREAMS)
@settings(max_examples=20)
@given(data=st.data())
def test_whatever_is_answered_ends_in_rows_or_in_an_error_of_the_source(
    source: str, stream: str, data: st.DataObject
) -> None:
    said = outcome(source, stream, data.draw(answers(source)))
    assert said is None or source in said


@pytest.mark.parametrize(("source", "stream"), STREAMS)
def test_a_well_formed_answer_is_read_as_far_as_it_goes(source: str, stream: str) -> None:
    said = outcome(source, stream, [WELL_FORMED[source]])
    assert said is None or "not of the form" not in said, said
