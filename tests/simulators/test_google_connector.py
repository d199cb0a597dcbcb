"""The Google Ads connector, over a real wire, against an API that behaves and that does not."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from headwater.config import HttpSource
from headwater.deploy.project import load_project
from headwater.errors import ClosedAccountError, FatalSourceError, QuotaUsedUpError
from headwater.ledger.positions import DaysPosition
from headwater.sources.http.connect import open_client
from headwater.sources.http.stream import Extraction
from headwater.sources.http.stream import read as read_stream
from local import world
from local.counterparts import credentials
from local.stack import ROOT
from local.world import google_ads
from tests.support.declared import table
from tests.support.http_fakes import KeptFiles, never_saved
from tests.support.simulators import GOOGLE_ADS_DEFAULTS, Simulators, own_world

CLOCK = date(2018, 1, 1)
US, EUROPE = (str(customer.customer_id) for customer in google_ads.CUSTOMERS)
SECRET = credentials("google_ads")


class Extract:
    """Runs the Extract of one stream; waits are kept in `slept` and pass at once, on the clock as well."""

    def __init__(self, simulators: Simulators) -> None:
        self.simulators = simulators
        declared = load_project(ROOT, "local").source("google_ads")
        assert isinstance(declared, HttpSource)
        self.source = declared.model_copy(update={"base_url": f"{simulators.url}/google"})
        self.slept: list[float] = []

    def __call__(
        self,
        stream: str,
        position: DaysPosition | None = None,
        as_of: date = CLOCK,
        secret: Mapping[str, str] = SECRET,
        window: tuple[date, date] | None = None,
        **changes: Any,
    ) -> tuple[Extraction | None, KeptFiles]:
        changed = self.source.model_copy(update=changes)
        files = KeptFiles()
        with open_client(changed, secret, never_saved, self.slept.append, self._clock) as client:
            into = table(changed.streams[stream].table)
            found = read_stream(changed, stream, into, secret, files, position, as_of, window, client)  # type: ignore[arg-type]
        return found, files

    def _clock(self) -> float:
        return time.monotonic() + sum(self.slept)

    def asked(self, path: str) -> int:
        listed = self.simulators.admin("requests", "GET")["requests"]
        return sum(request["path"].endswith(path) for request in listed)

    def admin(self, name: str, **body: Any) -> None:
        self.simulators.admin(f"google_ads/{name}", **body)


@pytest.fixture
def run(simulators: Simulators) -> Extract:
    for name, body in GOOGLE_ADS_DEFAULTS.items():
        simulators.admin(f"google_ads/{name}", **body)
    return Extract(simulators)


def cost_by_day(rows: list[dict[str, Any]]) -> dict[tuple[int, date], Decimal]:
    """Cost of the rows that hold up; a day on which none does has none."""
    costs: dict[tuple[int, date], Decimal] = {}
    for row in rows:
        micros = Decimal(row["metrics_cost_micros"])
        if micros >= 0 and int(row["metrics_clicks"]) <= int(row["metrics_impressions"]):
            key = int(row["_account"]), date.fromisoformat(row["segments_date"])
            costs[key] = costs.get(key, Decimal(0)) + micros / 1_000_000
    return costs


def test_the_declared_accounts_are_those_below_the_manager(run):
    assert set(run.source.accounts) == {US, EUROPE}


@pytest.mark.parametrize(
    ("stream", "key", "number"), [("campaigns", "campaign_id", 8), ("ad_groups", "ad_group_id", 20)]
)
def test_every_object_of_both_accounts_is_read_in_one_page_each(run, stream, key, number):
    found, files = run(stream)
    assert len({row[key] for row in files.rows}) == len(files.rows) == number
    assert set(files.learned.seen) <= set(run.source.streams[stream].raw)
    assert run.asked(":search") == 2
    assert run(stream, found.position_after)[0] is None


@pytest.mark.parametrize(
    ("stream", "key"),
    [
        ("ad_group_ages", ("ad_group_id", "ad_group_criterion_age_range_type")),
        ("ad_group_genders", ("ad_group_id", "ad_group_criterion_gender_type")),
        (
            "campaign_countries",
            ("campaign_id", "geographic_view_country_criterion_id", "geographic_view_location_type"),
        ),
    ],
)
def test_breakdowns_cost_what_the_ads_cost_that_hold_up(run, stream, key):
    window = (CLOCK - timedelta(days=40), CLOCK - timedelta(days=1))
    whole, parts = (run(name, window=window)[1] for name in ("ad_performance", stream))
    assert {day: cost for day, cost in cost_by_day(whole.rows).items() if cost} == cost_by_day(parts.rows)
    keys = {(row["_account"], row["segments_date"], *(row[name] for name in key)) for row in parts.rows}
    assert len(keys) == len(parts.rows)
    assert set(parts.learned.seen) <= set(run.source.streams[stream].raw)


def test_performance_of_a_year_is_that_of_the_world(run, simulators):
    found, files = run("ad_performance")
    ledger = google_ads.google_ledger(simulators.dsn)
    first = date(2017, 1, 1)
    assert len(files.rows) == sum(day.rows + day.defects for day in ledger if day.day >= first)
    assert cost_by_day(files.rows) == {(day.customer_id, day.day): day.cost for day in ledger if day.rows}
    assert {row["customer_currency_code"] for row in files.rows} == {"USD", "EUR"}
    assert run("ad_performance", found.position_after)[0] is None


def test_one_access_token_serves_a_whole_read(run):
    run("ad_performance")
    assert run.asked("/token") == 1


def test_short_pages_give_the_same_rows(run):
    whole = run("ad_performance")[1].rows
    run.admin("limits", page_rows=97)
    assert run("ad_performance")[1].rows == whole


def test_an_access_token_that_runs_out_during_a_read_is_renewed(run):
    whole = run("ads")[1].rows
    run.admin("limits", page_rows=5)
    run.simulators.misbehave(source="google_ads", path=":search", kind="expire_token", times=1, after=3)
    assert run("ads")[1].rows == whole
    assert run.asked("/token") == 2 + 1


def test_access_tokens_of_a_minute_are_renewed_before_they_run_out(run):
    run.admin("limits", access_token_seconds=60)
    run("campaigns")
    statuses = {request["status"] for request in run.simulators.admin("requests", "GET")["requests"]}
    assert statuses == {200}


def test_a_page_token_that_runs_out_restarts_the_query_and_doubles_nothing(run):
    whole = run("ads")[1].rows
    run.admin("limits", page_rows=5)
    run.simulators.misbehave(
        source="google_ads", path=f"{US}/googleAds:search$", kind="expire_cursor", times=2, after=1
    )
    assert run("ads")[1].rows == whole


def test_a_throttle_is_waited_out_as_it_says(run):
    run.simulators.misbehave(source="google_ads", path=":search", kind="throttle", seconds=1.5, times=1)
    run("ads")
    assert max(run.slept) == 1.5


def test_a_quota_of_the_day_that_is_used_up_ends_the_read_at_once(run):
    run.admin("limits", operations_per_day=1)
    with pytest.raises(QuotaUsedUpError, match=r"RESOURCE_EXHAUSTED.*hint: run again in"):
        run("ads")
    assert run.slept == []
    assert run.asked(":search") <= 1 + run.source.rate.concurrent


def test_an_account_that_is_not_enabled_is_skipped_and_read_whole_when_it_is_back(run):
    _, whole = run("ad_performance")
    run.admin("accounts", not_enabled=[int(EUROPE)])
    found, files = run("ad_performance")
    assert {row["_account"] for row in files.rows} == {US}
    assert {piece["account"] for piece in found.slices} == {US}
    run.admin("accounts", not_enabled=[])
    _, back = run("ad_performance", found.position_after)
    assert back.rows == [row for row in whole.rows if row["_account"] == EUROPE]


def test_a_closed_account_among_others_does_not_empty_its_days(run):
    found, _ = run("ad_performance")
    run.admin("accounts", not_enabled=[int(EUROPE)])
    later, _ = run("ad_performance", found.position_after, date(2018, 1, 3))
    assert later is None or {piece["account"] for piece in later.slices} == {US}


def test_no_account_that_is_served_is_an_error(run):
    run.admin("accounts", not_enabled=[int(US), int(EUROPE)])
    with pytest.raises(FatalSourceError, match="none of the accounts is served") as caught:
        run("ads")
    assert not isinstance(caught.value, ClosedAccountError)


def test_an_account_below_a_manager_needs_the_managers_name(run):
    with pytest.raises(FatalSourceError, match=r"USER_PERMISSION_DENIED.*hint: the secret's login_customer_id"):
        run("ads", secret={name: value for name, value in SECRET.items() if name != "login_customer_id"})


def test_a_manager_among_the_accounts_is_told_as_such(run):
    with pytest.raises(FatalSourceError, match=r"REQUESTED_METRICS_FOR_MANAGER.*hint: declare the accounts below"):
        run("ad_performance", accounts=(str(google_ads.MANAGER_ID),))


def test_a_refresh_token_that_was_taken_back_needs_a_person_at_once(run):
    run.admin("tokens", refresh_tokens=[])
    with pytest.raises(FatalSourceError, match="invalid_grant") as caught:
        run("ads")
    assert run.asked("/token") <= run.source.rate.concurrent
    assert run.asked(":search") == 0
    assert SECRET["refresh_token"] not in str(caught.value)


def test_a_query_the_api_does_not_know_is_told_at_once(run):
    broken = run.source.streams["ads"].model_copy(update={"body": {"query": "SELECT ad.colour FROM ad_group_ad"}})
    with pytest.raises(FatalSourceError, match=r"UNRECOGNIZED_FIELD.*ad\.colour.*request id"):
        run("ads", streams={"ads": broken}, accounts=(US,))
    assert run.asked(":search") == 1


def test_what_google_restates_arrives_and_nothing_else(tmp_path: Path) -> None:
    """Silver as the replacing write would make it follows the world through three steps."""
    with own_world(tmp_path) as simulators:
        _follow(Extract(simulators), simulators.dsn)


def _follow(run: Extract, dsn: str) -> None:
    positions: dict[str, DaysPosition | None] = {"ad_performance": None, "ads": None}
    silver: dict[tuple[str, str], list[dict[str, Any]]] = {}
    names: dict[str, str] = {}
    for days in (0, 1, 9, 2):
        if days:
            world.advance(dsn, days, seed=days)
        today = world.clock(dsn)
        found, files = run("ad_performance", positions["ad_performance"], today)
        assert found is not None
        if days:
            assert len(found.slices) <= 2 * (31 + days)
        for covered in found.slices:
            silver.pop((covered["account"], covered["day"]), None)
        for row in files.rows:
            silver.setdefault((row["_account"], row["segments_date"]), []).append(row)
        assert run("ad_performance", found.position_after, today)[0] is None
        positions["ad_performance"] = found.position_after
        expected = {(day.customer_id, day.day): day.cost for day in google_ads.google_ledger(dsn) if day.rows}
        assert cost_by_day([row for rows in silver.values() for row in rows]) == expected
        changed, files = run("ads", positions["ads"], today)
        assert changed is not None
        positions["ads"] = changed.position_after
        names.update({row["ad_group_ad_ad_id"]: row["ad_group_ad_status"] for row in files.rows})
    assert "REMOVED" in names.values()
