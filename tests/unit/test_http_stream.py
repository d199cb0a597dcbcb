"""Reading a stream by days: slices, digests, first load, backfill, and rows that are not as they should be."""

from __future__ import annotations

import gzip
import json
import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.config import HttpSource, Table
from headwater.errors import FatalSourceError, RetriableSourceError
from headwater.ledger import batch
from headwater.ledger.batch import BatchWriter
from headwater.ledger.positions import DaysPosition
from headwater.ledger.stream import Ledger
from headwater.sources.http import stream
from headwater.sources.http.messages import HttpRequest, HttpResponse
from headwater.sources.http.stream import Extraction
from headwater.sources.http.stream import read as read_stream
from tests.support.http_fakes import FakeSend, KeptFiles, answer, client, source, table

AS_OF = date(2018, 1, 10)
DAY = timedelta(days=1)


class Shop:
    """A shop that answers with its sales of the days asked for, in pages and in whatever order it likes."""

    def __init__(self, *sales: dict[str, Any], page_rows: int = 2, seed: int = 0) -> None:
        self.sales = list(sales)
        self.page_rows = page_rows
        self.random = random.Random(seed)
        self.send = FakeSend(handler=self.answer)

    def answer(self, request: HttpRequest) -> HttpResponse:
        account = request.url.split("/")[-2]
        asked = json.loads(request.params["range"])
        rows = [
            {name: value for name, value in sale.items() if name != "account"}
            for sale in self.sales
            if sale["account"] == account and asked["since"] <= sale["day"] <= asked["until"]
        ]
        start = int(request.params.get("after", "0"))
        page = rows[start : start + self.page_rows]
        more = start + self.page_rows < len(rows)
        return answer({"data": page, **({"after": str(start + self.page_rows)} if more else {})})

    def read(
        self,
        position: DaysPosition | None = None,
        as_of: date = AS_OF,
        window: tuple[date, date] | None = None,
        shop: HttpSource | None = None,
        sales: Table | None = None,
    ) -> tuple[Extraction | None, KeptFiles]:
        self.random.shuffle(self.sales)
        files = KeptFiles()
        asking, into = client(self.send), sales or table()
        found = read_stream(shop or source(), "sales", into, {}, files, position, as_of, window, asking)  # type: ignore[arg-type]
        return found, files

    def asked(self) -> list[tuple[str, str, str]]:
        ranges = [(request.url.split("/")[-2], json.loads(request.params["range"])) for request in self.send.requests]
        return [(account, asked["since"], asked["until"]) for account, asked in ranges]


def sale(account: str, number: int, day: date, amount: str = "1.00") -> dict[str, Any]:
    return {"account": account, "id": number, "day": day.isoformat(), "amount": amount}


def slices(found: Extraction | None) -> set[tuple[str, str]]:
    assert found is not None
    return {(covered["account"], covered["day"]) for covered in found.slices}


def position_of(found: Extraction | None) -> DaysPosition:
    assert found is not None
    assert found.position_after is not None
    return DaysPosition.model_validate_json(found.position_after.model_dump_json())


def test_the_first_load_reads_the_whole_history_in_chunks():
    shop = Shop(sale("1", 1, AS_OF), sale("1", 2, AS_OF - 9 * DAY), sale("1", 3, AS_OF - 10 * DAY), sale("2", 4, AS_OF))
    found, files = shop.read()
    assert shop.asked() == [
        (account, since, until)
        for account in ("1", "2")
        for since, until in [("2018-01-01", "2018-01-04"), ("2018-01-05", "2018-01-08"), ("2018-01-09", "2018-01-10")]
    ]
    assert [[row["id"] for row in file] for file in files.files] == [[2], [1], [4]]
    assert position_of(found).until.isoformat() == "2018-01-10"


def test_a_raw_row_is_what_the_source_sent_and_its_account():
    shop = Shop({**sale("1", 1, AS_OF), "new": {"b": [1, None], "a": True}})
    found, files = shop.read()
    assert files.rows == [
        {"_account": "1", "amount": "1.00", "day": "2018-01-10", "id": 1, "new": {"a": True, "b": [1, None]}}
    ]
    assert files.suffixes == [".jsonl.gz"]
    assert found is not None
    assert set(files.learned.seen) == {"amount", "day", "id", "new"}


def test_a_source_without_accounts_is_read_once():
    shop = FakeSend(answer({"data": [{"id": 1, "day": "2018-01-10"}]}))
    declared = source(
        accounts=[], stream={"read": {"kind": "window", "field": "day", "history_days": 9}, "path": "/sales"}
    )
    files = KeptFiles()
    found = read_stream(declared, "sales", table(), {}, files, None, AS_OF, None, client(shop))  # type: ignore[arg-type]
    assert files.rows == [{"id": 1, "day": "2018-01-10"}]
    assert ("", "2018-01-10") in slices(found)


def test_numbers_reach_the_file_exactly():
    shop = FakeSend(answer(b'{"data": [{"id": 1, "day": "2018-01-10", "amount": 1234567890123456.10}]}'))
    declared = source(accounts=[], stream={"read": {"kind": "window", "field": "day", "history_days": 9}})
    files = KeptFiles()
    read_stream(declared, "sales", table(), {}, files, None, AS_OF, None, client(shop))  # type: ignore[arg-type]
    assert str(files.rows[0]["amount"]) == "1234567890123456.10"


def test_the_next_run_reads_again_what_may_be_restated():
    shop = Shop(sale("1", 1, AS_OF))
    found, _ = shop.read()
    shop.send.requests.clear()
    shop.read(position_of(found), AS_OF + DAY)
    assert shop.asked() == [(account, "2018-01-08", "2018-01-11") for account in ("1", "2")]


def test_an_unchanged_window_gives_nothing_whatever_the_order_of_rows():
    shop = Shop(*(sale("1", number, AS_OF - (number % 3) * DAY) for number in range(9)))
    found, _ = shop.read()
    again, files = shop.read(position_of(found), AS_OF + DAY)
    assert (again, files.files) == (None, [])


def test_only_slices_that_differ_are_written():
    shop = Shop(sale("1", 1, AS_OF), sale("1", 2, AS_OF - DAY), sale("1", 3, AS_OF - DAY), sale("2", 4, AS_OF - DAY))
    found, _ = shop.read()
    next(row for row in shop.sales if row["id"] == 2)["amount"] = "2.50"
    again, files = shop.read(position_of(found), AS_OF + DAY)
    assert sorted(row["id"] for row in files.rows) == [2, 3]
    assert slices(again) == {("1", "2018-01-09")}
    assert shop.read(position_of(again), AS_OF + DAY)[0] is None


def test_a_slice_whose_rows_vanished_is_covered_by_no_rows():
    shop = Shop(sale("1", 1, AS_OF), sale("1", 2, AS_OF - DAY), sale("2", 3, AS_OF))
    found, _ = shop.read()
    shop.sales = [row for row in shop.sales if row["id"] != 2]
    again, files = shop.read(position_of(found), AS_OF)
    assert files.files == []
    assert slices(again) == {("1", "2018-01-09")}
    assert shop.read(position_of(again), AS_OF)[0] is None


def test_a_new_day_is_written_and_old_days_leave_the_position():
    shop = Shop(sale("1", 1, AS_OF), sale("1", 2, AS_OF - 2 * DAY))
    found, _ = shop.read()
    shop.sales.append(sale("1", 3, AS_OF + 2 * DAY))
    again, files = shop.read(position_of(found), AS_OF + 2 * DAY)
    assert [row["id"] for row in files.rows] == [3]
    assert set(position_of(again).slices) == {"1|2018-01-10", "1|2018-01-12"}


def test_days_without_a_run_are_caught_up():
    shop = Shop(sale("1", 1, AS_OF))
    found, _ = shop.read()
    shop.sales += [sale("1", number, AS_OF + number * DAY) for number in range(2, 30)]
    again, files = shop.read(position_of(found), AS_OF + 29 * DAY)
    assert sorted(row["id"] for row in files.rows) == list(range(2, 30))
    assert position_of(again).until.isoformat() == "2018-02-08"


def test_a_run_for_an_earlier_date_does_not_take_the_position_back():
    shop = Shop(sale("1", 1, AS_OF))
    found, _ = shop.read()
    shop.sales.append(sale("1", 2, AS_OF))
    again, _ = shop.read(position_of(found), AS_OF - 5 * DAY)
    assert position_of(again).until.isoformat() == "2018-01-10"


def test_a_new_account_gets_its_whole_history():
    shop = Shop(sale("1", 1, AS_OF), sale("2", 2, AS_OF - 9 * DAY))
    found, _ = shop.read(shop=source(accounts=["1"]))
    again, files = shop.read(position_of(found), AS_OF)
    assert [row["id"] for row in files.rows] == [2]
    assert position_of(again).accounts == ("1", "2")


def test_a_first_load_speaks_for_every_day_of_a_replacing_stream():
    found, files = Shop(sale("1", 1, AS_OF)).read(shop=source(accounts=["1"]))
    assert len(files.rows) == 1
    assert slices(found) == {("1", (AS_OF - number * DAY).isoformat()) for number in range(10)}


def test_a_first_load_of_a_merging_stream_covers_the_days_that_have_rows():
    merging = table(write={"kind": "merge"})
    assert slices(Shop(sale("1", 1, AS_OF)).read(sales=merging)[0]) == {("1", "2018-01-10")}
    assert Shop().read(sales=merging)[0] is None


def test_a_backfill_reads_its_window_and_leaves_the_position():
    shop = Shop(*(sale("1", number, AS_OF - number * DAY) for number in range(9)))
    before = position_of(shop.read()[0])
    shop.send.requests.clear()
    found, files = shop.read(before, AS_OF, (date(2018, 1, 4), date(2018, 1, 9)))
    assert list(dict.fromkeys(shop.asked())) == [
        (account, since, until)
        for account in ("1", "2")
        for since, until in [("2018-01-04", "2018-01-07"), ("2018-01-08", "2018-01-09")]
    ]
    assert sorted(row["id"] for row in files.rows) == [1, 2, 3, 4, 5, 6]
    assert position_of(found) == before.without(f"{account}|2018-01-0{day}" for account in "12" for day in (8, 9))
    assert slices(found) == {(account, f"2018-01-0{day}") for account in "12" for day in range(4, 10)}
    # What silver has by now is the backfill's, so the days that are read again have changed, and one that was not filled has not.
    again, files = shop.read(position_of(found), AS_OF)
    assert slices(again) == {(account, f"2018-01-0{day}") for account in "12" for day in (8, 9)}
    assert sorted(row["id"] for row in files.rows) == [1, 2]
    assert shop.read(position_of(again), AS_OF)[0] is None


AMOUNTS = st.dictionaries(st.tuples(st.sampled_from("12"), st.integers(0, 2)), st.sampled_from(["1.00", "2.00"]))


@given(st.lists(st.tuples(AMOUNTS, st.booleans()), min_size=1, max_size=5))
def test_after_a_run_silver_is_as_the_source_whatever_was_filled_meanwhile(states):
    """The source may go back to what it was before a backfill, to what it was before that, or to no rows."""
    shop, silver, position = Shop(), {}, None
    for amounts, fills in [*states, (states[0][0], False)]:
        shop.sales = [sale(account, age, AS_OF - age * DAY, amount) for (account, age), amount in amounts.items()]
        found, files = shop.read(position, window=(AS_OF - DAY, AS_OF) if fills else None)
        if found is None:
            continue
        position = position_of(found) if found.position_after else None
        silver = {covered: amount for covered, amount in silver.items() if covered not in slices(found)}
        silver |= {(row["_account"], row["day"]): row["amount"] for row in files.rows}
    assert silver == {(row["account"], row["day"]): row["amount"] for row in shop.sales}


def test_a_backfill_before_the_first_load_leaves_no_position():
    found, _ = Shop(sale("1", 1, AS_OF)).read(window=(AS_OF, AS_OF))
    assert found is not None
    assert found.position_after is None


class DeafShop(Shop):
    """A shop that answers with all of its sales, whatever days it is asked for."""

    def answer(self, request: HttpRequest) -> HttpResponse:
        return answer({"data": [row for row in self.sales if row["account"] in request.url]})


def test_rows_older_than_what_was_asked_for_are_left_and_none_is_doubled():
    shop = DeafShop(*(sale("1", number, AS_OF - number * DAY) for number in range(20)))
    found, files = shop.read(shop=source(accounts=["1"]))
    assert sorted(row["id"] for row in files.rows) == list(range(10))
    assert shop.read(position_of(found), AS_OF + DAY, shop=source(accounts=["1"]))[0] is None


def test_a_row_from_the_future_is_taken_once():
    shop = DeafShop(sale("1", 1, AS_OF), sale("1", 2, AS_OF + 40 * DAY))
    found, files = shop.read(shop=source(accounts=["1"]))
    assert sorted(row["id"] for row in files.rows) == [1, 2]
    assert shop.read(position_of(found), AS_OF + DAY, shop=source(accounts=["1"]))[0] is None
    shop.sales = [sale("1", 1, AS_OF)]
    corrected, _ = shop.read(position_of(found), AS_OF + DAY, shop=source(accounts=["1"]))
    assert slices(corrected) == {("1", (AS_OF + 40 * DAY).isoformat())}


class Stream:
    """The shop's stream in a ledger, read on real days by a machine whose clock and whose caller may be wrong."""

    def __init__(self, shop: Shop, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, declared: HttpSource) -> None:
        monkeypatch.setattr(stream, "open_client", lambda *_: nullcontext(client(shop.send)))
        self.monkeypatch, self.declared = monkeypatch, declared
        self.ledger = ledger.stream("shop", "sales")

    def run(self, today: date, as_of: date | None = None) -> set[int]:
        """The ids of the rows that a run reads on what the machine takes for today."""

        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime(today.year, today.month, today.day, 12, tzinfo=tz)

        self.monkeypatch.setattr(batch, "datetime", Clock)
        writer = BatchWriter.begin(self.ledger, "run", ["id", "day", "amount"])
        found = stream.extract(self.declared, "sales", table(), writer, None, as_of or today, today, {}, print)
        if found is None:
            return set()
        bodies = [self.ledger.bucket.read(file.key) or b"" for file in found.files]
        return {json.loads(line)["id"] for body in bodies for line in gzip.decompress(body).splitlines()}


def test_a_full_disk_leaves_no_batch_and_the_next_run_reads_all(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(*(sale("1", number, AS_OF) for number in range(200)))
    runs = Stream(shop, ledger, monkeypatch, source(accounts=["1"]))
    # A batch of half a file could not be read.
    with room_for(100), pytest.raises((OSError, EOFError)):
        runs.run(AS_OF)
    assert runs.ledger.latest() is None
    assert runs.run(AS_OF) == {*range(200)}


@contextmanager
def room_for(octets: int) -> Iterator[None]:
    """Lets no file of this process grow beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_clock_that_was_a_day_ahead_hides_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    read = {"kind": "window", "field": "day", "history_days": 9}
    shop = Shop(sale("1", 1, AS_OF))
    runs = Stream(shop, ledger, monkeypatch, source(accounts=["1"], stream={"read": read}))
    assert runs.run(AS_OF) == {1}
    shop.sales.append(sale("1", 2, AS_OF + DAY))
    assert runs.run(AS_OF + DAY) == {2}
    # What changes on the real day AS_OF after that run is read on that day, and if there is no other run on the next.
    shop.sales.append(sale("1", 3, AS_OF))
    assert runs.run(AS_OF + DAY) == {1, 3}
    shop.sales.append(sale("1", 4, AS_OF))
    assert runs.run(AS_OF) == {1, 3, 4}
    assert runs.run(AS_OF) == set()


def test_an_as_of_that_has_not_come_takes_no_position_there(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(sale("1", 1, AS_OF))
    runs = Stream(shop, ledger, monkeypatch, source(accounts=["1"]))
    assert runs.run(AS_OF, as_of=date(2099, 1, 1)) == {1}
    for day in range(1, 20):
        shop.sales.append(sale("1", 1 + day, AS_OF + day * DAY))
        assert runs.run(AS_OF + day * DAY) == {1 + day}


def test_the_days_since_an_earlier_version_went_too_far_are_read(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(sale("1", 1, AS_OF))
    runs = Stream(shop, ledger, monkeypatch, source(accounts=["1"]))
    runs.run(AS_OF)
    stored = runs.ledger.position()
    assert isinstance(stored, DaysPosition)
    for _ in range(2):
        far = stored.model_copy(update={"until": date(2099, 1, 1), "slices": {}})
        BatchWriter.begin(runs.ledger, "run", ["id"]).commit(far)
    shop.sales += [sale("1", 1 + day, AS_OF + day * DAY) for day in range(1, 20)]
    assert runs.run(AS_OF + 19 * DAY) == set(range(2, 21))
    assert runs.run(AS_OF + 19 * DAY) == set()


def test_a_backfill_takes_no_row_from_after_its_window():
    shop = DeafShop(*(sale("1", number, AS_OF - number * DAY) for number in range(9)))
    _, files = shop.read(window=(AS_OF - 3 * DAY, AS_OF - 2 * DAY), shop=source(accounts=["1"]))
    assert sorted(row["id"] for row in files.rows) == [2, 3]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": 1}, "shop.sales: a row lacks `day`"),
        ({"id": 1, "day": None}, "shop.sales: a row lacks `day`"),
        ({"id": 1, "day": "yesterday"}, "`day` is 'yesterday', neither an ISO date or time nor seconds since 1970"),
        ({"id": 1, "day": 20180110}, "`day` is 20180110"),
        ({"id": 1, "day": ["2018-01-10"]}, "`day` is"),
        ("2018-01-10", "a row is str, not an object"),
    ],
)
def test_a_row_without_a_day_needs_a_person(row, said):
    shop = FakeSend(answer({"data": [row]}))
    with pytest.raises(FatalSourceError, match=said):
        read_stream(source(), "sales", table(), {}, KeptFiles(), None, AS_OF, None, client(shop))  # type: ignore[arg-type]


def test_an_answer_without_rows_where_they_should_be_needs_a_person():
    shop = FakeSend(answer({"rows": []}))
    with pytest.raises(FatalSourceError, match="no list at `data`"):
        read_stream(source(), "sales", table(), {}, KeptFiles(), None, AS_OF, None, client(shop))  # type: ignore[arg-type]


def test_a_failure_midway_leaves_no_extraction():
    shop = Shop(sale("1", 1, AS_OF))
    shop.send.script = [answer({"data": [], "after": ""}), *(answer({}, 500) for _ in range(20))]
    with pytest.raises(RetriableSourceError):
        shop.read()


SALES = st.lists(
    st.tuples(st.sampled_from(["1", "2"]), st.integers(0, 9), st.sampled_from(["0.10", "2.00"])),
    max_size=20,
)


def shop_of(sales: list[tuple[str, int, str]], page_rows: int, seed: int) -> Shop:
    return Shop(
        *(sale(account, number, AS_OF - age * DAY, amount) for number, (account, age, amount) in enumerate(sales)),
        page_rows=page_rows,
        seed=seed,
    )


@given(SALES, st.integers(1, 7), st.integers(1, 7), st.integers(0, 99))
def test_page_lengths_and_order_change_neither_rows_nor_position(sales, page_rows, other_page_rows, seed):
    found, files = shop_of(sales, page_rows, seed).read()
    again, other_files = shop_of(sales, other_page_rows, seed + 1).read()
    assert found == again
    by_id = {row["id"]: row for row in files.rows}
    assert {row["id"]: row for row in other_files.rows} == by_id
    assert len(files.rows) == len(other_files.rows) == len(sales)


@given(SALES, SALES, st.integers(0, 4))
def test_after_every_run_silver_holds_what_the_source_tells(sales, restated, days):
    """Applies batches as the silver hop does: a covered slice is emptied, then filled with the batch's rows."""
    silver: dict[tuple[str, str], list[tuple[int, Decimal]]] = {}

    def apply(found: Extraction | None, files: KeptFiles) -> None:
        if found is None:
            assert files.files == []
            return
        for covered in slices(found):
            silver.pop(covered, None)
        for row in files.rows:
            assert (row["_account"], row["day"]) in slices(found)
            silver.setdefault((row["_account"], row["day"]), []).append((row["id"], row["amount"]))

    shop = shop_of(sales, 3, 0)
    found, files = shop.read()
    apply(found, files)
    # What is older than the days that are read again is settled; in the rest anything may happen.
    settled = [row for row in shop.sales if row["day"] < (AS_OF - 2 * DAY).isoformat()]
    as_of = AS_OF + days * DAY
    changes = [
        sale(account, 100 + number, as_of - (age % (3 + days)) * DAY, amount)
        for number, (account, age, amount) in enumerate(restated)
    ]
    shop.sales = settled + changes
    again, files = shop.read(position_of(found), as_of)
    apply(again, files)
    told: dict[tuple[str, str], list[tuple[int, Decimal]]] = {}
    for row in shop.sales:
        told.setdefault((row["account"], row["day"]), []).append((row["id"], row["amount"]))
    assert {key: sorted(rows) for key, rows in silver.items()} == {key: sorted(rows) for key, rows in told.items()}
    last = again or found
    assert shop.read(position_of(last), as_of)[0] is None
