"""HubSpot's simulator keeps to its contract, and the connector to what it tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from psycopg.rows import dict_row

from headwater.config import BearerAuth, Retry
from headwater.errors import (
    ExpiredTokenError,
    FatalSourceError,
    PagingError,
    QuotaUsedUpError,
    RetriableSourceError,
    ThrottledError,
)
from headwater.ledger.positions import DaysPosition
from headwater.sources.http.connect import open_client
from headwater.sources.http.stream import Extraction, read
from local import world
from local.simulators.hubspot.access import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, SERVICE_KEY
from local.world.truth import now
from tests.support.declared import http_source, table
from tests.support.http_fakes import KeptFiles
from tests.support.simulators import Simulators, own_world

CLOCK = date(2018, 1, 1)
SECRET = {
    "client_id": CLIENT_ID,
    "client_secret": CLIENT_SECRET,
    "refresh_token": REFRESH_TOKEN,
    "service_key": SERVICE_KEY,
}
LIVE = "archived_at is null"
DAY = timedelta(days=1)


@dataclass
class Hub:
    """The API, called as its users do, with a service key."""

    url: str
    dsn: str
    admin: Callable[..., dict[str, Any]]

    def get(self, path: str, /, token: str = SERVICE_KEY, **params: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.get(f"{self.url}/{path}", params=params, headers=headers, timeout=20)

    def post(self, path: str, body: Any, token: str = SERVICE_KEY) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.post(f"{self.url}/{path}", json=body, headers=headers, timeout=20)

    def grant(self, **changes: str) -> requests.Response:
        form = {"grant_type": "refresh_token", **SECRET, **changes}
        return requests.post(f"{self.url}/oauth/2026-03/token", data=form, timeout=20)

    def search(self, kind: str = "contacts", **body: Any) -> requests.Response:
        return self.post(f"crm/objects/2026-09/{kind}/search", body)

    def switch(self, **switches: Any) -> None:
        self.admin("hubspot/switches", **switches)

    def ask(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def hub(simulators: Simulators) -> Hub:
    simulators.admin("hubspot/reset")
    return Hub(f"{simulators.url}/hubspot", simulators.dsn, simulators.admin)


# The simulator


@pytest.mark.parametrize(
    "path", ["crm/objects/2026-09/contacts", "crm/objects/2026-03/deals", "crm/v3/objects/contacts"]
)
def test_both_orders_of_the_version_are_served(hub, path):
    assert len(hub.get(path).json()["results"]) == 10


@pytest.mark.parametrize(
    "path",
    [
        "crm/2026-09/objects/contacts",
        "crm/objects/v3/contacts",
        "crm/v4/objects/contacts",
        "crm/objects/2025-01/contacts",
        "crm/objects/2026-09/tickets",
        "contacts",
    ],
)
def test_other_paths_are_not_there(hub, path):
    response = hub.get(path)
    assert (response.status_code, response.json()["category"]) == (404, "OBJECT_NOT_FOUND")


def test_a_list_has_every_live_row_once_in_pages(hub):
    ids, after = [], {}
    while True:
        answer = hub.get("crm/objects/2026-09/contacts", limit=20, **after).json()
        ids += [int(row["id"]) for row in answer["results"]]
        if "paging" not in answer:
            break
        assert answer["paging"]["next"]["link"].startswith(f"{hub.url}/crm/objects/2026-09/contacts?")
        after = {"after": answer["paging"]["next"]["after"]}
    assert ids == [row["contact_id"] for row in hub.ask(f"select * from crm.contacts where {LIVE} order by 1")]


def test_every_property_is_text_or_null_and_an_unknown_one_is_passed_over(hub):
    asked_for = "amount,dealtype,num_associated_contacts,no_such"
    rows = hub.get("crm/objects/2026-09/deals", limit=100, properties=asked_for).json()["results"]
    assert set(rows[0]["properties"]) == {
        "amount",
        "createdate",
        "dealtype",
        "hs_lastmodifieddate",
        "hs_object_id",
        "num_associated_contacts",
    }
    assert {type(value) for row in rows for value in row["properties"].values()} == {str, type(None)}
    assert {"", None, "newbusiness"} <= {row["properties"]["dealtype"] for row in rows}


@pytest.mark.parametrize("params", [{"limit": 101}, {"limit": 0}, {"colour": "red"}, {"after": "x"}])
def test_a_wrong_parameter_is_refused(hub, params):
    response = hub.get("crm/objects/2026-09/contacts", **params)
    assert (response.status_code, response.json()["category"]) == (400, "VALIDATION_ERROR")


def test_too_many_properties_are_refused_by_the_length_of_the_url(hub):
    hub.switch(longest_query=50)
    assert hub.get("crm/objects/2026-09/contacts", properties="x" * 50).status_code == 414


def test_the_archive_forgets_after_ninety_days(hub):
    rows = hub.get("crm/objects/2026-09/contacts", archived="true", limit=100).json()["results"]
    expected = hub.ask(f"select contact_id from crm.contacts where archived_at > '{now(CLOCK) - 90 * DAY}' order by 1")
    assert [int(row["id"]) for row in rows] == [row["contact_id"] for row in expected]
    assert all(row["archived"] and row["archivedAt"] for row in rows)


def test_a_search_filters_by_milliseconds_sorts_by_id_and_tells_its_total(hub):
    since = datetime(2017, 10, 1, tzinfo=UTC)
    filters = [{"propertyName": "lastmodifieddate", "operator": "GTE", "value": str(int(since.timestamp() * 1000))}]
    sorts = [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
    answer = hub.search(filterGroups=[{"filters": filters}], sorts=sorts, limit=200).json()
    expected = hub.ask(f"select contact_id from crm.contacts where {LIVE} and updated_at >= '{since}' order by 1")
    assert [int(row["id"]) for row in answer["results"]] == [row["contact_id"] for row in expected]
    assert answer["total"] == len(expected) > 0


def test_a_search_ends_at_its_cap(hub):
    hub.switch(search_cap=20)
    assert hub.search(limit=10, after="10").ok
    assert hub.search(limit=10, after="20").status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"colour": "red"},
        {"sorts": [{"propertyName": "createdate"}, {"propertyName": "hs_object_id"}]},
        {"filterGroups": [{"filters": []}] * 6},
        {"filterGroups": [{"filters": [{"propertyName": "hs_object_id", "operator": "GT", "value": "1"}] * 7}]},
        {"filterGroups": [{"filters": [{"propertyName": "hs_object_id", "operator": "GT", "value": 1}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "hs_object_id", "operator": "LIKE", "value": "1"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "createdate", "operator": "GT", "value": "2017-01-01"}]}]},
    ],
)
def test_a_search_that_hubspot_would_refuse_is_refused(hub, body):
    assert hub.search(**body).status_code == 400


def test_the_index_lags(hub):
    hub.switch(index_lag_seconds=90 * 86_400)
    fewer, every = hub.search().json()["total"], len(hub.ask(f"select * from crm.contacts where {LIVE}"))
    assert 0 < fewer < every


def test_a_batch_with_an_unknown_id_is_answered_in_part(hub):
    known = hub.get("crm/objects/2026-09/contacts", limit=1).json()["results"][0]["id"]
    body = {"inputs": [{"id": known}, {"id": "1"}], "properties": ["email"]}
    response = hub.post("crm/objects/2026-09/contacts/batch/read", body)
    answer = response.json()
    assert (response.status_code, [row["id"] for row in answer["results"]], answer["numErrors"]) == (207, [known], 1)


def test_associations_tell_which_deals_have_none(hub):
    [pair] = hub.ask("select deal_id, count(*) as n from crm.deal_contacts group by 1 order by 2 desc, 1 limit 1")
    [lonely] = hub.ask(
        f"select deal_id from crm.deals where {LIVE} and deal_id not in (select deal_id from crm.deal_contacts) limit 1"
    )
    body = {"inputs": [{"id": str(pair["deal_id"])}, {"id": str(lonely["deal_id"])}]}
    response = hub.post("crm/associations/2026-09/deals/contacts/batch/read", body)
    assert response.status_code == 207
    assert len(response.json()["results"][0]["to"]) == pair["n"]
    assert response.json()["errors"][0]["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"


def test_a_token_lives_as_long_as_told(hub):
    token = hub.grant().json()["access_token"]
    assert hub.get("crm/objects/2026-09/contacts", token=token).ok
    hub.switch(token_seconds=0)
    answer = hub.grant().json()
    assert answer["expires_in"] == 0
    refused = hub.get("crm/objects/2026-09/contacts", token=answer["access_token"])
    assert (refused.status_code, refused.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")


def test_a_rotated_token_is_good_until_its_successor_is_used(hub):
    first = hub.grant().json()["refresh_token"]
    second = hub.grant(refresh_token=first).json()["refresh_token"]
    assert hub.grant(refresh_token=first).ok
    assert hub.grant(refresh_token=second).ok
    assert hub.grant(refresh_token=first).status_code == 400


@pytest.mark.parametrize("wrong", [{"client_secret": "x"}, {"refresh_token": "x"}, {"grant_type": "password"}])
def test_a_wrong_grant_buys_nothing(hub, wrong):
    assert hub.grant(**wrong).status_code == 400


def test_an_unknown_token_and_a_missing_scope_are_told_apart(hub):
    unknown = hub.get("crm/objects/2026-09/contacts", token="nobody")
    assert (unknown.status_code, unknown.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    hub.switch(scopes=["crm.objects.deals.read"])
    missing = hub.get("crm/objects/2026-09/contacts")
    assert (missing.status_code, missing.json()["category"]) == (403, "MISSING_SCOPES")
    assert missing.json()["errors"][0]["context"]["requiredScopes"] == ["crm.objects.contacts.read"]
    assert hub.get("crm/objects/2026-09/deals").ok


def test_searches_have_a_limit_of_their_own_and_no_headers(hub):
    hub.switch(calls_per_ten_seconds=2, searches_per_second=3)
    calls = [hub.get("crm/objects/2026-09/contacts") for _ in range(3)]
    assert [call.status_code for call in calls] == [200, 200, 429]
    assert calls[2].json()["policyName"] == "TEN_SECONDLY_ROLLING"
    assert [call.headers.get("X-HubSpot-RateLimit-Remaining") for call in calls] == ["1", "0", None]
    searches = [hub.search() for _ in range(4)]
    assert [call.status_code for call in searches] == [200, 200, 200, 429]
    assert searches[3].json()["policyName"] == "SECONDLY"
    assert not any(name.lower().startswith("x-hubspot") for name in searches[0].headers)


def test_only_a_service_key_is_told_of_the_day(hub):
    hub.switch(calls_per_day=2)
    assert hub.get("crm/objects/2026-09/contacts").headers["X-HubSpot-RateLimit-Daily-Remaining"] == "1"
    with_oauth = hub.get("crm/objects/2026-09/contacts", token=hub.grant().json()["access_token"])
    assert "X-HubSpot-RateLimit-Daily-Remaining" not in with_oauth.headers
    assert hub.get("crm/objects/2026-09/contacts").json()["policyName"] == "DAILY"


# The connector


class RealWaits(list[float]):
    """Waits for as long as it is told to, and forgets it."""

    def append(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class Runs:
    """Runs the Extract of one stream; waits are kept in `slept` and pass at once, on the clock as well."""

    url: str
    secret: dict[str, str] = field(default_factory=lambda: dict(SECRET))
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = http_source("hubspot").model_copy(update={"base_url": f"{self.url}/hubspot"})

    def _clock(self) -> float:
        return time.monotonic() + sum(self.slept)

    def __call__(
        self,
        stream: str,
        position: DaysPosition | None = None,
        as_of: date = CLOCK,
        window: tuple[date, date] | None = None,
        **changes: Any,
    ) -> tuple[Extraction | None, KeptFiles]:
        changed = self.source.model_copy(update=changes)
        files = KeptFiles()
        with open_client(changed, self.secret, self.secret.update, self.slept.append, self._clock) as client:
            into = table(changed.streams[stream].table)
            found = read(changed, stream, into, self.secret, files, position, as_of, window, client)  # type: ignore[arg-type]
        return found, files


@pytest.fixture
def run(hub: Hub, simulators: Simulators) -> Runs:
    # Waits pass at once here, so the limits, which count in real time, must not be met.
    hub.switch(calls_per_ten_seconds=100_000, searches_per_second=100_000)
    return Runs(simulators.url)


def asked(simulators: Simulators) -> list[dict[str, Any]]:
    return list(simulators.admin("requests", "GET")["requests"])


EVERYTHING = (date(2010, 1, 1), CLOCK)
STREAMS = {
    "contacts": f"select contact_id as id from crm.contacts where {LIVE}",
    "deals": f"select deal_id as id from crm.deals where {LIVE}",
    "associations": f"select deal_id as id from crm.deals where {LIVE}",
    "contacts_archived": f"select contact_id as id from crm.contacts where archived_at > '{now(CLOCK) - 90 * DAY}'",
    "deals_archived": f"select deal_id as id from crm.deals where archived_at > '{now(CLOCK) - 90 * DAY}'",
}


@pytest.mark.parametrize("stream", STREAMS)
def test_the_first_load_has_every_row_and_the_next_run_nothing(run, hub, stream):
    found, files = run(stream)
    assert sorted(int(row["id"]) for row in files.rows) == sorted(row["id"] for row in hub.ask(STREAMS[stream]))
    assert {name for row in files.rows for name in row} <= set(run.source.streams[stream].raw)
    assert run(stream, found.position_after)[0] is None


def test_associations_are_those_of_the_world(run, hub):
    told = {
        int(row["id"]): [contact["toObjectId"] for contact in row["contacts"]] for row in run("associations")[1].rows
    }
    expected: dict[int, list[int]] = {row["id"]: [] for row in hub.ask(STREAMS["associations"])}
    for pair in hub.ask("select deal_id, contact_id from crm.deal_contacts order by 1, 2"):
        if pair["deal_id"] in expected:
            expected[pair["deal_id"]].append(pair["contact_id"])
    assert told == expected
    hub.switch(association_page=1)
    assert {int(row["id"]): len(row["contacts"]) for row in run("associations")[1].rows} == {
        deal: len(contacts) for deal, contacts in expected.items()
    }


def test_a_window_is_searched_past_the_cap(run, hub, simulators):
    whole = run("contacts")[1].rows
    hub.switch(search_cap=10, page_rows=7)
    simulators.admin("requests", "DELETE")
    searched = run("contacts", window=EVERYTHING)[1].rows
    assert sorted(searched, key=lambda row: row["id"]) == sorted(whole, key=lambda row: row["id"])
    assert {entry["status"] for entry in asked(simulators)} == {200}


def test_the_legacy_paths_tell_the_same(run, hub):
    for stream in ("contacts", "associations"):
        dated = run(stream)[1].rows
        assert run(stream, api_version="v3")[1].rows == dated != []


def test_a_service_key_reads_as_well(run, simulators):
    assert run("deals", auth=BearerAuth(kind="bearer", token="service_key"))[1].rows == run("deals")[1].rows
    assert [entry["path"] for entry in asked(simulators)].count("/oauth/2026-03/token") == 1


@pytest.mark.parametrize("stream", ["contacts", "deals_archived"])
def test_properties_that_are_too_many_for_a_url_come_in_batches(run, hub, stream):
    whole = run(stream)[1].rows
    hub.switch(longest_query=60)
    assert run(stream)[1].rows == whole != []


def test_a_refused_id_costs_its_own_contacts_and_no_other_deals(run, hub):
    whole = {row["id"]: row["contacts"] for row in run("associations")[1].rows}
    bad = next(deal for deal, contacts in whole.items() if contacts)
    hub.switch(poisoned_ids=[int(bad)])
    assert {row["id"]: row["contacts"] for row in run("associations")[1].rows} == {**whole, bad: None}


def test_a_token_that_runs_out_in_mid_run_is_renewed_and_the_rotated_one_kept(run, hub, simulators):
    hub.switch(page_rows=5)
    whole = run("contacts")[1].rows
    before = run.secret["refresh_token"]
    assert before != REFRESH_TOKEN
    simulators.misbehave(source="hubspot", path="/crm", kind="expire_token", after=3, times=1)
    assert run("contacts")[1].rows == whole
    assert run.secret["refresh_token"] not in (before, REFRESH_TOKEN)
    assert [entry["path"] for entry in asked(simulators)].count("/oauth/2026-03/token") == 3


def test_a_throttled_token_endpoint_is_waited_for(run, simulators):
    simulators.misbehave(source="hubspot", path="/oauth", kind="throttle", seconds=7, times=1)
    assert run("deals")[1].rows
    assert run.slept[0] == 7


@pytest.mark.parametrize(("code", "seconds", "wait"), [(10, 0, 10), (1, 0, 1), (10, 33, 33), (None, 0, 10)], ids=str)
def test_a_throttle_is_waited_out_as_its_policy_says(run, simulators, code, seconds, wait):
    simulators.misbehave(source="hubspot", path="/crm", kind="throttle", code=code, seconds=seconds, times=1)
    run("contacts")
    assert run.slept[0] == wait


def test_searches_stay_below_their_limit_in_real_time(run, hub, simulators):
    hub.switch(page_rows=4, searches_per_second=5)
    run.slept = RealWaits()
    assert run("contacts", window=EVERYTHING)[1].rows
    searches = [entry["status"] for entry in asked(simulators) if entry["path"].endswith("/search")]
    assert searches == [200] * len(searches)
    assert len(searches) > 10


PASSING = [
    {"kind": "status", "status": 500, "times": 2},
    {"kind": "status", "status": 524, "times": 1},
    {"kind": "status", "status": 423, "times": 1},
    {"kind": "status", "status": 477, "times": 1},
    {"kind": "truncate", "times": 1},
    {"kind": "html", "times": 1},
    {"kind": "duplicate_page", "times": 1},
    {"kind": "empty_page", "times": 1},
]
LASTING = [
    ({"kind": "status", "status": 500}, RetriableSourceError, 8),
    ({"kind": "status", "status": 404}, FatalSourceError, 1),
    ({"kind": "truncate"}, FatalSourceError, 3),
    ({"kind": "html"}, FatalSourceError, 3),
    ({"kind": "throttle", "seconds": 9999}, ThrottledError, 8),
    ({"kind": "throttle", "code": 86400}, QuotaUsedUpError, 1),
    ({"kind": "expire_token"}, ExpiredTokenError, 2),
    ({"kind": "revoke"}, FatalSourceError, 1),
    ({"kind": "cursor_loop"}, PagingError, 30),
    ({"kind": "duplicate_page"}, PagingError, 110),
    ({"kind": "empty_page"}, PagingError, 101),
]


def name_of(rule: Any) -> str | None:
    return "-".join(str(part) for part in rule.values()) if isinstance(rule, dict) else None


@pytest.mark.parametrize("rule", PASSING, ids=name_of)
@pytest.mark.parametrize(
    ("stream", "window"), [("contacts", None), ("associations", EVERYTHING)], ids=["list", "search"]
)
def test_what_passes_costs_no_row(run, hub, simulators, rule, stream, window):
    hub.switch(page_rows=9)
    whole = {row["id"]: row for row in run(stream, window=window)[1].rows}
    simulators.misbehave(source="hubspot", path="/crm/objects", after=1, **rule)
    assert {row["id"]: row for row in run(stream, window=window)[1].rows} == whole


def test_a_search_whose_cursor_loops_goes_on_by_its_ids(run, hub, simulators):
    hub.switch(page_rows=9)
    whole = run("contacts", window=EVERYTHING)[1].rows
    simulators.misbehave(source="hubspot", path="/search", after=1, kind="cursor_loop", times=3)
    assert run("contacts", window=EVERYTHING)[1].rows == whole


@pytest.mark.parametrize(("rule", "error", "most_requests"), LASTING, ids=name_of)
@pytest.mark.parametrize("window", [None, EVERYTHING], ids=["list", "search"])
def test_what_does_not_pass_is_an_error_after_few_requests(run, hub, simulators, rule, error, most_requests, window):
    hub.switch(page_rows=9)
    simulators.misbehave(source="hubspot", path="/crm", **rule)
    with pytest.raises(error) as caught:
        run("contacts", window=window)
    assert 1 <= sum(entry["path"].startswith("/crm") for entry in asked(simulators)) <= most_requests
    assert sum(run.slept) <= 900
    assert not any(secret in str(caught.value) for secret in run.secret.values())


def test_a_list_whose_next_page_is_elsewhere_is_not_followed(run, simulators):
    simulators.misbehave(source="hubspot", kind="foreign_next")
    with pytest.raises(PagingError, match=r"not at the configured origin"):
        run("contacts")


def test_a_missing_scope_is_told_at_once(run, hub, simulators):
    hub.switch(scopes=[])
    with pytest.raises(FatalSourceError, match=r"grant the app crm\.objects\.contacts\.read"):
        run("contacts")
    assert len(asked(simulators)) == 2


def test_revoked_credentials_are_told_at_once(run, simulators):
    simulators.misbehave(source="hubspot", path="/oauth", kind="revoke")
    with pytest.raises(FatalSourceError, match="invalid_grant"):
        run("contacts", retry=Retry(attempts=3))
    assert (len(asked(simulators)), run.slept) == (1, [])


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[tuple[Hub, Runs]]:
    """A world of its own, which may be moved on."""
    with own_world(tmp_path) as simulators:
        yield Hub(f"{simulators.url}/hubspot", simulators.dsn, simulators.admin), Runs(simulators.url)


Silver = dict[int, dict[str, Any]]


def merge(silver: Silver, files: KeptFiles) -> None:
    """Keeps the newest row of each id, as silver does."""
    for row in files.rows:
        known = silver.get(int(row["id"]))
        if known is None or row["modifiedAt"] >= known["modifiedAt"]:
            silver[int(row["id"])] = row


def test_silver_follows_the_crm_through_changes_archive_restorations_and_merges(moving):
    hub, run = moving
    tables: dict[str, Silver] = {"contacts": {}, "deals": {}, "associations": {}}
    positions: dict[str, DaysPosition | None] = dict.fromkeys(STREAMS)
    for days in (0, 1, 12, 3):
        if days:
            world.advance(hub.dsn, days, seed=days)
        today = world.clock(hub.dsn)
        for stream in STREAMS:
            found, files = run(stream, positions[stream], today)
            if found is not None:
                positions[stream] = found.position_after
                merge(tables[stream.removesuffix("_archived")], files)
            assert run(stream, positions[stream], today)[0] is None
    for kind, key in (("contacts", "contact_id"), ("deals", "deal_id")):
        rows = hub.ask(f"select *, {key} as id from crm.{kind}")
        live = {row["id"]: row["updated_at"] for row in rows if row["archived_at"] is None}
        silver = {number: row for number, row in tables[kind].items() if not row["archived"]}
        assert {number: datetime.fromisoformat(row["updatedAt"]) for number, row in silver.items()} == live
        archived = {row["id"] for row in rows if row["archived_at"] and row["archived_at"] > now(CLOCK) - 90 * DAY}
        merged = {
            row["loser_id"]: row["winner_id"] for row in hub.ask("select * from crm.merges") if kind == "contacts"
        }
        assert tables[kind].keys() - live.keys() == archived | merged.keys()
        told = {number: int(row["mergedInto"]) for number, row in tables[kind].items() if row.get("mergedInto")}
        assert told.keys() == merged.keys()
    pairs = {
        (deal, contact["toObjectId"])
        for deal, row in tables["associations"].items()
        for contact in row["contacts"]
        if not tables["deals"][deal]["archived"]
    }
    query = f"select deal_id, contact_id from crm.deal_contacts join crm.deals using (deal_id) where {LIVE}"
    assert pairs == {(row["deal_id"], row["contact_id"]) for row in hub.ask(query)}


def test_what_the_index_shows_late_arrives_with_the_next_run(moving):
    hub, run = moving
    found, _ = run("contacts")
    world.advance(hub.dsn, 1, seed=1)
    hub.switch(index_lag_seconds=12 * 3600)
    today = world.clock(hub.dsn)
    early, first = run("contacts", found.position_after, today)
    hub.switch(index_lag_seconds=0)
    late, second = run("contacts", early.position_after, today)
    newest: Silver = {}
    merge(newest, first)
    before = set(newest)
    merge(newest, second)
    expected = hub.ask(f"select contact_id from crm.contacts where {LIVE} and updated_at >= '{now(CLOCK)}'")
    assert {row["contact_id"] for row in expected} <= newest.keys()
    assert not {row["contact_id"] for row in expected} <= before
    assert run("contacts", late.position_after, today)[0] is None
