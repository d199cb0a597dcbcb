"""The real connectors, over a real wire, against sources that behave and that do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from headwater.config import HttpSource, Retry
from headwater.errors import FatalSourceError, PagingError, RetriableSourceError, SourceError, ThrottledError
from headwater.ledger.positions import DaysPosition
from headwater.sources.http.connect import open_client
from headwater.sources.http.stream import Extraction
from headwater.sources.http.stream import read as read_stream
from local import world
from local.world import facebook_ads, fx_rates
from tests.support.declared import http_source, table
from tests.support.http_fakes import KeptFiles, never_saved
from tests.support.simulators import TOKEN, Simulators, own_world

SECRET = {"access_token": TOKEN, "app_secret": "local-app-secret"}
CLOCK = date(2018, 1, 1)


class Extract:
    """Runs the Extract of one stream; waits are kept in `slept` and pass at once, on the clock as well."""

    def __init__(self, url: str) -> None:
        # One part at a time, so that requests can be counted and one part's waits do not pass for another's.
        self.sources = {
            name: source.model_copy(
                update={"base_url": f"{url}/{path}", "rate": source.rate.model_copy(update={"concurrent": 1})}
            )
            for name, path in (("facebook_ads", "facebook"), ("fx_rates", "fx"))
            for source in [http_source(name)]
        }
        self.slept: list[float] = []

    def _clock(self) -> float:
        return time.monotonic() + sum(self.slept)

    def __call__(
        self,
        source: str,
        stream: str,
        position: DaysPosition | None = None,
        as_of: date = CLOCK,
        window: tuple[date, date] | None = None,
        **changes: Any,
    ) -> tuple[Extraction | None, KeptFiles]:
        changed = self.sources[source].model_copy(update=changes)
        files = KeptFiles()
        with open_client(changed, SECRET, never_saved, self.slept.append, self._clock) as client:
            into = table(changed.streams[stream].table)
            found = read_stream(changed, stream, into, SECRET, files, position, as_of, window, client)  # type: ignore[arg-type]
        return found, files


@pytest.fixture
def run(simulators: Simulators) -> Extract:
    return Extract(simulators.url)


@pytest.fixture
def asked(simulators: Simulators) -> Callable[[], int]:
    return lambda: len(simulators.admin("requests", "GET")["requests"])


def short_pages(source: HttpSource, limit: int) -> dict[str, Any]:
    streams = {
        name: stream.model_copy(update={"params": {**stream.params, "limit": str(limit)}})
        for name, stream in source.streams.items()
    }
    return {"streams": streams}


def test_the_declared_accounts_are_those_of_the_world():
    assert set(http_source("facebook_ads").accounts) == {str(account.account_id) for account in facebook_ads.ACCOUNTS}


@pytest.mark.parametrize(("stream", "number"), [("campaigns", 12), ("ad_sets", 30), ("ads", 72)])
def test_every_object_of_both_accounts_is_read(run, stream, number):
    found, files = run("facebook_ads", stream)
    assert len({row["id"] for row in files.rows}) == len(files.rows) == number
    assert {row["_account"] for row in files.rows} == set(run.sources["facebook_ads"].accounts)
    assert set(files.learned.seen) <= set(run.sources["facebook_ads"].streams[stream].raw)
    assert run("facebook_ads", stream, found.position_after)[0] is None


def test_insights_of_a_year_are_those_of_the_world(run, simulators):
    found, files = run("facebook_ads", "ads_insights")
    expected = world.ads_ledger(simulators.dsn)
    assert len(files.rows) == sum(day.rows + day.defects for day in expected)
    costs: dict[tuple[str, str], Decimal] = {}
    for row in files.rows:
        bad = int(row["clicks"]) > int(row["impressions"]) or Decimal(row["spend"]) < 0
        key = (row["_account"], row["date_start"])
        costs[key] = costs.get(key, Decimal(0)) + (Decimal(0) if bad else Decimal(row["spend"]))
    assert costs == {(str(day.account_id), day.day.isoformat()): day.cost for day in expected}
    assert {row["account_currency"] for row in files.rows} == {"USD", "INR"}
    again, more = run("facebook_ads", "ads_insights", found.position_after)
    assert (again, more.files) == (None, [])


@pytest.mark.parametrize(
    ("stream", "breakdowns"),
    [("ads_insights_demographics", ("age", "gender")), ("ads_insights_countries", ("country",))],
)
def test_breakdowns_add_up_to_the_insights(run, stream, breakdowns):
    window = (CLOCK - timedelta(days=40), CLOCK - timedelta(days=1))
    whole, parts = (run("facebook_ads", name, window=window)[1].rows for name in ("ads_insights", stream))
    for figure in ("impressions", "clicks", "spend"):
        totals: dict[tuple[str, str], Decimal] = {}
        for row in parts:
            key = row["ad_id"], row["date_start"]
            totals[key] = totals.get(key, Decimal(0)) + Decimal(row.get(figure, "0"))
        assert totals == {(row["ad_id"], row["date_start"]): Decimal(row.get(figure, "0")) for row in whole}
    keys = {(row["ad_id"], row["date_start"], *(row[name] for name in breakdowns)) for row in parts}
    assert len(keys) == len(parts) > len(whole)


def test_a_users_token_is_exchanged_and_the_new_one_signs_and_proves(run, simulators):
    kept = [SECRET | {"app_id": "1020000000000"}]
    simulators.admin("tokens", access_tokens={TOKEN: time.time() + 86_400}, require_appsecret_proof=True)
    for _ in range(2):
        with open_client(run.sources["facebook_ads"], kept[-1], kept.append, run.slept.append) as client:
            # The old token does not open this any more.
            simulators.admin("tokens", access_tokens={kept[-1]["access_token"]: None})
            assert client.get("/v26.0/act_102000000000001")["id"] == "act_102000000000001"
    assert len(kept) == 2
    assert kept[1]["access_token"] != TOKEN


def test_an_expired_token_says_how_to_get_another(run, simulators):
    simulators.admin("tokens", access_tokens={TOKEN: time.time() - 1})
    with pytest.raises(
        FatalSourceError, match=r"190/463: .* hint: an expired token cannot be exchanged: generate a new one"
    ):
        run("facebook_ads", "campaigns")


def test_reports_that_are_never_made_are_split_until_they_are(run, simulators):
    window = (CLOCK - timedelta(days=15), CLOCK - timedelta(days=1))
    whole = run("facebook_ads", "ads_insights_demographics", window=window)[1].rows
    simulators.admin("limits", report_days=10)
    assert run("facebook_ads", "ads_insights_demographics", window=window)[1].rows == whole
    assert sum(run.slept) > 2 * 3600


def test_rates_are_those_of_the_world(run):
    found, files = run("fx_rates", "rates")
    days = fx_rates.published_days(CLOCK - timedelta(days=375), CLOCK, CLOCK)
    assert {(row["date"], row["quote"]) for row in files.rows} == {
        (day.isoformat(), quote) for day in days for quote in ("GBP", "INR", "USD")
    }
    assert run("fx_rates", "rates", found.position_after)[0] is None


def test_short_pages_give_the_same_rows(run):
    whole = run("facebook_ads", "ads")[1].rows
    assert run("facebook_ads", "ads", **short_pages(run.sources["facebook_ads"], 7))[1].rows == whole


def test_pages_that_are_too_long_for_the_platform_are_shortened(run, simulators):
    whole = run("facebook_ads", "ads")[1].rows
    simulators.admin("limits", page_rows=9)
    assert run("facebook_ads", "ads")[1].rows == whole


def test_an_app_that_demands_a_proof_gets_one(run, simulators):
    simulators.admin("tokens", require_appsecret_proof=True)
    assert len(run("facebook_ads", "campaigns")[1].rows) == 12


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "status", "status": 500, "times": 2},
        {"kind": "status", "status": 503, "times": 1, "after": 1},
        {"kind": "truncate", "times": 2},
        {"kind": "html", "times": 2},
        {"kind": "throttle", "seconds": 200, "times": 2},
        {"kind": "throttle", "seconds": 200, "code": 17, "times": 1},
        {"kind": "drip", "seconds": 0.2, "times": 1},
        {"kind": "empty_page", "times": 3},
        {"kind": "report_failed", "times": 1},
        {"kind": "report_skipped", "times": 2},
        {"kind": "report_late"},
        {"kind": "report_lost", "times": 2},
        {"kind": "report_empty", "times": 1},
    ],
    ids=lambda rule: "-".join(str(value) for value in rule.values()),
)
def test_what_passes_costs_no_row(run, simulators, rule):
    window = (CLOCK - timedelta(days=5), CLOCK - timedelta(days=1))
    whole = run("facebook_ads", "ads_insights", window=window)[1].rows
    path = "/act_" if rule["kind"].startswith("report") else "/insights"
    simulators.misbehave(source="facebook_ads", path=path, **rule)
    assert run("facebook_ads", "ads_insights", window=window)[1].rows == whole
    assert whole


def test_a_throttle_is_waited_out_as_its_header_says(run, simulators):
    simulators.misbehave(source="facebook_ads", kind="throttle", seconds=200, times=1)
    run("facebook_ads", "campaigns")
    assert run.slept[0] == 240


def test_retry_after_is_waited_out(run, simulators):
    simulators.misbehave(source="fx_rates", kind="throttle", seconds=33, times=1)
    run("fx_rates", "rates")
    assert run.slept == [33]


def test_a_duplicate_page_doubles_rows_but_no_key(run, simulators):
    whole = run("facebook_ads", "ads")[1].rows
    simulators.misbehave(source="facebook_ads", path="/ads", kind="duplicate_page", times=1)
    rows = run("facebook_ads", "ads", **short_pages(run.sources["facebook_ads"], 7))[1].rows
    assert len(rows) == len(whole) + 7
    assert {row["id"] for row in rows} == {row["id"] for row in whole}


@pytest.mark.parametrize(
    ("rule", "error", "most_requests"),
    [
        ({"kind": "status", "status": 500}, RetriableSourceError, 8),
        ({"kind": "status", "status": 404}, FatalSourceError, 1),
        ({"kind": "truncate"}, FatalSourceError, 3),
        ({"kind": "html"}, FatalSourceError, 3),
        ({"kind": "throttle", "seconds": 9999}, ThrottledError, 8),
        ({"kind": "expire_token"}, FatalSourceError, 1),
        ({"kind": "expire_token", "after": 1}, FatalSourceError, 2),
        ({"kind": "revoke"}, FatalSourceError, 1),
        ({"kind": "cursor_loop"}, PagingError, 2),
        ({"kind": "duplicate_page"}, PagingError, 11),
        ({"kind": "empty_page"}, PagingError, 100),
        ({"kind": "foreign_next"}, PagingError, 1),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
def test_what_does_not_pass_is_an_error_after_few_requests(run, simulators, asked, rule, error, most_requests):
    simulators.misbehave(source="facebook_ads", **rule)
    with pytest.raises(error) as caught:
        run("facebook_ads", "ads", **short_pages(run.sources["facebook_ads"], 7))
    assert type(caught.value) is error
    assert 1 <= asked() <= most_requests
    assert sum(run.slept) <= run.sources["facebook_ads"].retry.total_wait_seconds
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "error", "most_requests"),
    [
        ({"kind": "status", "status": 500}, RetriableSourceError, 8),
        ({"kind": "status", "status": 422}, FatalSourceError, 1),
        ({"kind": "truncate"}, FatalSourceError, 3),
        ({"kind": "html"}, FatalSourceError, 3),
        ({"kind": "throttle", "seconds": 99999}, ThrottledError, 8),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
def test_rates_that_do_not_come_are_an_error(run, simulators, asked, rule, error, most_requests):
    simulators.misbehave(source="fx_rates", **rule)
    with pytest.raises(error):
        run("fx_rates", "rates")
    assert asked() <= most_requests


def test_an_answer_that_drips_ends_with_the_deadline(run, simulators, asked):
    simulators.misbehave(source="fx_rates", kind="drip", seconds=20)
    with pytest.raises(RetriableSourceError, match="gave up after 2 tries"):
        run("fx_rates", "rates", timeout_seconds=0.5, retry=Retry(attempts=2))
    assert asked() == 2


@pytest.mark.parametrize("kind", ["report_failed", "report_skipped"])
def test_reports_that_always_fail_are_an_error(run, simulators, asked, kind):
    simulators.misbehave(source="facebook_ads", path="/act_", kind=kind)
    window = (CLOCK - timedelta(days=8), CLOCK - timedelta(days=1))
    with pytest.raises(SourceError, match="failed 2 times"):
        run("facebook_ads", "ads_insights", window=window)
    assert asked() <= 4 * 2 * 4


def test_an_expired_token_is_no_retry_storm(run, simulators, asked):
    simulators.admin("tokens", access_tokens={TOKEN: 1.0})
    with pytest.raises(FatalSourceError, match="190/463"):
        run("facebook_ads", "ads_insights")
    assert (asked(), run.slept) == (1, [])


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[tuple[str, Extract]]:
    """A world of its own, which may be moved on."""
    with own_world(tmp_path) as simulators:
        yield simulators.dsn, Extract(simulators.url)


def test_what_the_platforms_restate_arrives_and_nothing_else(moving):
    """Silver as the replace and merge writes would make it follows the world through three steps."""
    dsn, run = moving
    streams = [("facebook_ads", "ads_insights"), ("fx_rates", "rates"), ("facebook_ads", "ads")]
    positions: dict[str, DaysPosition | None] = {stream: None for _, stream in streams}
    silver: dict[str, dict[tuple[str, str], list[dict[str, Any]]]] = {stream: {} for _, stream in streams}
    for days in (0, 1, 9, 2):
        if days:
            world.advance(dsn, days, seed=days)
        today = world.clock(dsn)
        for source, stream in streams:
            found, files = run(source, stream, positions[stream], today)
            if found is None:
                continue
            positions[stream] = found.position_after
            for covered in found.slices:
                silver[stream].pop((covered["account"], covered["day"]), None)
            field = run.sources[source].streams[stream].read.field
            for row in files.rows:
                day = row[field] if stream != "ads" else row["id"]
                silver[stream].setdefault((row.get("_account", ""), day[:10] if stream != "ads" else day), []).append(
                    row
                )
            if stream == "ads_insights" and days:
                assert len(found.slices) <= 2 * (29 + days)
            assert run(source, stream, found.position_after, today)[0] is None
        costs = {
            (account, day): sum(
                (
                    Decimal(row["spend"])
                    for row in rows
                    if int(row["clicks"]) <= int(row["impressions"]) and Decimal(row["spend"]) >= 0
                ),
                Decimal(0),
            )
            for (account, day), rows in silver["ads_insights"].items()
        }
        expected = world.ads_ledger(dsn)
        assert costs == {(str(day.account_id), day.day.isoformat()): day.cost for day in expected}
        rates = {(row["date"], row["quote"]): row["rate"] for rows in silver["rates"].values() for row in rows}
        for (day, quote), rate in rates.items():
            published = fx_rates.rates_on(date.fromisoformat(day), today, 7)
            assert published is not None
            assert Decimal(str(rate)) == published[quote]
        assert len(silver["ads"]) == len(ads_of(dsn))


def ads_of(dsn: str) -> tuple[facebook_ads.Ad, ...]:
    import psycopg

    with psycopg.connect(dsn) as connection:
        return facebook_ads.read_ads(connection).ads
