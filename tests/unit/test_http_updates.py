"""Reading what was updated since a mark: nothing is lost, nothing new gives nothing, and the mark never goes astray."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headwater.config import HttpSource
from headwater.errors import ClosedAccountError, FatalSourceError
from headwater.ledger.positions import MarksPosition
from headwater.sources.http.messages import HttpRequest, HttpResponse
from headwater.sources.http.stream import Extraction
from headwater.sources.http.stream import read as read_stream
from tests.support.http_fakes import FakeSend, KeptFiles, answer, client, source, table

TODAY = date(2018, 1, 10)
NOW = datetime(2018, 1, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def shop(*accounts: str, **read: Any) -> HttpSource:
    stream = {
        "read": {"kind": "updated_since", "field": "changed", "history_days": 30, "overlap_minutes": 10, **read},
        "params": {"since": "{since_time}"},
        "raw": ["id", "changed"],
    }
    return source(accounts=list(accounts or ("1",)), stream=stream)


def told(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Shop:
    """Answers with the rows that changed at or since a moment; rows may come to light after later ones."""

    def __init__(self) -> None:
        self.rows: dict[int, str] = {}
        self.send = FakeSend(handler=self.answer)

    def set(self, number: int, moment: datetime) -> None:
        self.rows[number] = told(moment)

    def answer(self, request: HttpRequest) -> HttpResponse:
        since = request.params["since"].replace("Z", ".000000Z")
        return answer({"data": [{"id": n, "changed": at} for n, at in self.rows.items() if at >= since]})

    def asked(self) -> list[str]:
        return [request.params["since"] for request in self.send.requests]


MERGED = table(write={"kind": "merge"})


def read(
    send: FakeSend,
    position: Any = None,
    as_of: date = TODAY,
    declared: HttpSource | None = None,
    days: tuple[date, date] | None = None,
    **changes: Any,
) -> tuple[Extraction | None, KeptFiles]:
    files = KeptFiles()
    asking = client(send, **changes)
    found = read_stream(declared or shop(), "sales", MERGED, {}, files, position, as_of, days, asking)  # type: ignore[arg-type]
    return found, files


def marks(found: Extraction | None) -> MarksPosition:
    assert found is not None
    assert isinstance(found.position_after, MarksPosition)
    return found.position_after


def test_the_first_read_takes_the_history_and_the_next_what_is_new_less_an_overlap():
    served = Shop()
    served.set(1, NOW - 40 * MINUTE)
    served.set(2, NOW)
    found, files = read(served.send)
    assert [row["id"] for row in files.rows] == [1, 2]
    assert marks(found).marks["1"].watermark == "2018-01-10T12:00:00+00:00"
    served.set(1, NOW + MINUTE)
    _, files = read(served.send, marks(found))
    assert [row["id"] for row in files.rows] == [1]
    assert served.asked() == ["2017-12-11T00:00:00Z", "2018-01-10T11:50:00Z"]


def test_nothing_new_gives_nothing():
    served = Shop()
    for number in range(30):
        served.set(number, NOW - number * MINUTE)
    found, _ = read(served.send)
    again, files = read(served.send, marks(found))
    assert (again, files.files) == (None, [])


# What a source does: a row changes now, or one comes to light that is dated up to the overlap back; a run is committed, or dies.
DOES = st.lists(
    st.tuples(st.sampled_from(["change", "late", "run", "dies"]), st.integers(0, 4), st.integers(0, 599)), max_size=40
)


@given(DOES)
def test_no_change_is_lost_whenever_it_shows_within_the_overlap_and_runs_die(does):
    served, kept, clock = Shop(), {}, NOW
    position: MarksPosition | None = None
    for what, number, seconds in [*does, ("run", 0, 0)]:
        clock += timedelta(seconds=7)
        if what == "change":
            served.set(number, clock)
        elif what == "late" and clock - timedelta(seconds=seconds) > datetime.fromisoformat(
            served.rows.get(number, "2000-01-01T00:00:00Z")
        ):
            served.set(number, clock - timedelta(seconds=seconds))
        elif what in {"run", "dies"}:
            found, files = read(served.send, position)
            if what == "dies" or found is None:
                continue
            position = marks(found)
            kept.update({row["id"]: row["changed"] for row in files.rows})
    assert kept == served.rows
    assert read(served.send, position)[0] is None


def test_a_row_from_the_future_is_read_and_moves_no_mark():
    served = Shop()
    served.set(1, NOW)
    served.set(2, NOW + timedelta(days=3650))
    found, files = read(served.send)
    assert len(files.rows) == 2
    assert marks(found).marks["1"].watermark == "2018-01-10T12:00:00+00:00"


def test_what_changes_while_the_rest_is_read_moves_no_mark():
    """A row on a page before may have changed meanwhile, too."""
    began = datetime.now(UTC)
    served = Shop()
    served.set(1, began - 60 * MINUTE)
    served.set(2, began + 30 * MINUTE)
    found, _ = read(served.send, as_of=began.date() + timedelta(days=1))
    assert datetime.fromisoformat(marks(found).marks["1"].watermark) == began - 60 * MINUTE
    served.set(1, began + 10 * MINUTE)
    _, files = read(served.send, marks(found), as_of=began.date() + timedelta(days=1))
    assert 1 in {row["id"] for row in files.rows}


def test_a_mark_never_goes_back():
    served = Shop()
    served.set(1, NOW)
    found, _ = read(served.send)
    served.rows.clear()
    gone, _ = read(served.send, marks(found))
    assert marks(gone).marks["1"].watermark == "2018-01-10T12:00:00+00:00"
    assert read(served.send, marks(gone))[0] is None
    assert read(served.send, marks(gone), TODAY - timedelta(days=5))[0] is None


def test_rows_older_than_asked_for_are_taken_as_they_come():
    found, _ = read(FakeSend(answer({"data": [{"id": 1, "changed": told(NOW)}]})))
    known, older = ({"id": 1, "changed": told(NOW)}, {"id": 2, "changed": told(NOW - 100 * MINUTE)})
    _, files = read(FakeSend(answer({"data": [known, older]})), marks(found))
    assert [row["id"] for row in files.rows] == [2]


def test_each_account_has_a_mark_and_a_new_one_its_history():
    served = {"1": Shop(), "2": Shop()}
    served["1"].set(1, NOW)
    served["2"].set(2, NOW - 60 * MINUTE)
    send = FakeSend(handler=lambda request: served[request.url.split("/")[-2]].answer(request))
    found, _ = read(send)
    found, files = read(send, marks(found), declared=shop("1", "2"))
    assert [row["_account"] for row in files.rows] == ["2"]
    assert sorted(marks(found).marks) == ["1", "2"]
    send.requests.clear()
    assert read(send, marks(found), declared=shop("1", "2"))[0] is None
    assert sorted(request.params["since"] for request in send.requests) == [
        "2018-01-10T10:50:00Z",
        "2018-01-10T11:50:00Z",
    ]


def test_an_account_that_closes_is_read_anew_when_it_is_back():
    def closes(response: HttpResponse) -> ClosedAccountError | None:
        return ClosedAccountError("closed") if response.status == 403 else None

    rows = answer({"data": [{"id": 1, "changed": told(NOW)}]})
    more = answer({"data": [{"id": 2, "changed": told(NOW + MINUTE)}]})
    found, _ = read(FakeSend(rows, rows), declared=shop("1", "2"))
    send = FakeSend(handler=lambda request: more if "/1/" in request.url else answer({}, 403))
    found, _ = read(send, marks(found), declared=shop("1", "2"), classify=closes)
    assert sorted(marks(found).marks) == ["1"]


def test_a_backfill_reads_the_days_it_is_asked_for_and_leaves_the_mark():
    served = Shop()
    served.set(1, NOW - timedelta(days=3))
    served.set(2, NOW)
    found, _ = read(served.send)
    day = TODAY - timedelta(days=3)
    filled, files = read(served.send, marks(found), days=(day, day))
    assert [row["id"] for row in files.rows] == [1]
    assert filled is not None
    assert marks(filled) == marks(found).doubted()
    # The overlap is read as new, since silver has what the backfill found.
    again, files = read(served.send, marks(filled))
    assert [row["id"] for row in files.rows] == [2]
    assert marks(again) == marks(found)


def test_seconds_are_moments_as_well():
    rows = answer({"data": [{"id": 1, "changed": 1515585600}, {"id": 2, "changed": 1515585660}]})
    found, _ = read(FakeSend(rows))
    assert marks(found).marks["1"].watermark == "2018-01-10T12:01:00+00:00"
    assert read(FakeSend(rows), marks(found))[0] is None


@pytest.mark.parametrize(
    "row", [{"id": 1}, {"id": 1, "changed": None}, {"id": 1, "changed": "soon"}, {"id": 1, "changed": 7}]
)
def test_a_row_that_does_not_tell_when_it_changed_needs_a_person(row):
    with pytest.raises(FatalSourceError, match=r"shop\.sales: (a row lacks `changed`|`changed` is)"):
        read(FakeSend(answer({"data": [row]})))


def test_the_old_word_for_a_way_of_reading_names_the_new_one():
    with pytest.raises(ValidationError, match="is called read now"):
        source(stream={"window": {"field": "day", "history_days": 1}})
