"""Crawls: only of tables whose schema has changed, only of those that exist, and a failed one comes again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.config import Project
from headwater.errors import CrawlError
from headwater.ledger.schemas import Schemas, digest_of
from headwater.open_project import OpenProject
from headwater.run import crawl
from headwater.run.crawl import crawl_changed

LAKE = "headwater-local-lake"
GOLD, SILVER, RATES = "headwater-local-gold", "headwater-local-silver", "headwater-local-bronze-fx_rates"
STARTED = datetime(2024, 5, 6, tzinfo=UTC)


@dataclass
class FakeGlue:
    """Crawlers whose crawls end when a test says so."""

    class exceptions:  # noqa: N801 - boto3's own name
        class CrawlerRunningException(Exception):  # noqa: N818
            pass

    tables: dict[str, list[str]]
    running: set[str] = field(default_factory=set)
    last: dict[str, dict[str, Any]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)

    def get_crawler(self, *, Name: str) -> dict[str, Any]:  # noqa: N803
        targets = [{"DeltaTables": self.tables[Name], "CreateNativeDeltaTable": True}]
        last = {"LastCrawl": self.last[Name]} if Name in self.last else {}
        state = "RUNNING" if Name in self.running else "READY"
        return {"Crawler": {"Name": Name, "State": state, "Targets": {"DeltaTargets": targets}, **last}}

    def update_crawler(self, *, Name: str, Targets: dict[str, Any]) -> None:  # noqa: N803
        self._refuse(Name)
        [target] = Targets["DeltaTargets"]
        assert target["CreateNativeDeltaTable"]
        self.tables[Name] = target["DeltaTables"]

    def start_crawler(self, *, Name: str) -> None:  # noqa: N803
        self._refuse(Name)
        self.running.add(Name)
        self.started.append(Name)

    def _refuse(self, name: str) -> None:
        if name in self.running:
            raise self.exceptions.CrawlerRunningException

    def end(self, name: str, status: str = "SUCCEEDED") -> None:
        self.running.discard(name)
        self.last[name] = {
            "Status": status,
            "StartTime": STARTED + timedelta(seconds=len(self.last) + len(self.started)),
        }


@pytest.fixture
def opened(opened: OpenProject) -> OpenProject:
    s3 = opened.ledger.bucket.s3
    s3.create_bucket(Bucket=LAKE, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return opened


@pytest.fixture
def glue(project: Project) -> FakeGlue:
    zones = ("bronze", "silver", "gold", "quarantine")
    return FakeGlue(
        {
            name: [f"s3://{LAKE}/{zone}/{table}" for table in tables]
            for zone in zones
            for name, tables in project.crawled(zone).items()
        }
    )


def write(opened: OpenProject, table: str, schema: str = "id bigint") -> None:
    """Makes a table, `<zone>/<table>`, and notes its schema as its writer does."""
    opened.ledger.bucket.s3.put_object(Bucket=LAKE, Key=f"{table}/_delta_log/00000000000000000000.json", Body=b"{}")
    Schemas(opened.ledger.bucket).note(table, schema)


def crawled(opened: OpenProject, glue: FakeGlue, before: Any = None) -> dict[str, Any]:
    answer = crawl_changed(opened, glue, before or {})
    assert set(answer) == {"done", "since", "crawlers", "failed"}
    return answer


def crawl_well(opened: OpenProject, glue: FakeGlue) -> list[str]:
    """Crawls what has changed, and lists which crawlers that took."""
    before = len(glue.started)
    answer = crawled(opened, glue)
    for name in list(answer["crawlers"]):
        glue.end(name)
    assert crawled(opened, glue, answer)["done"]
    return sorted(glue.started[before:])


def test_a_run_crawls_the_tables_that_are_new_and_the_next_one_none(opened: OpenProject, glue: FakeGlue) -> None:
    write(opened, "bronze/fx_rates/rates")
    write(opened, "silver/fx_rates")
    assert crawl_well(opened, glue) == [RATES, SILVER]
    assert crawl_well(opened, glue) == []


def test_a_new_column_is_crawled_and_nothing_else(opened: OpenProject, glue: FakeGlue) -> None:
    write(opened, "bronze/fx_rates/rates")
    write(opened, "silver/fx_rates")
    crawl_well(opened, glue)
    write(opened, "bronze/fx_rates/rates", "id bigint, rate decimal")
    write(opened, "silver/fx_rates")
    assert crawl_well(opened, glue) == [RATES]


def test_a_crawler_is_pointed_at_the_tables_that_exist(opened: OpenProject, glue: FakeGlue) -> None:
    write(opened, "silver/fx_rates")
    # One whose schema was never noted, as a stack has it that ran before.
    opened.ledger.bucket.s3.put_object(
        Bucket=LAKE, Key="silver/orders/_delta_log/00000000000000000000.json", Body=b"{}"
    )
    crawl_well(opened, glue)
    assert glue.tables[SILVER] == [f"s3://{LAKE}/silver/fx_rates", f"s3://{LAKE}/silver/orders"]


def test_the_crawl_before_does_not_count(opened: OpenProject, glue: FakeGlue) -> None:
    glue.last[SILVER] = {"Status": "SUCCEEDED", "StartTime": STARTED}
    write(opened, "silver/fx_rates")
    waits = crawled(opened, glue)
    # As Glue may answer just after a start: ready, with the crawl before.
    glue.running.clear()
    waits = crawled(opened, glue, waits)
    assert not waits["done"]
    glue.end(SILVER)
    assert crawled(opened, glue, waits)["done"]


def test_a_crawl_that_somebody_else_has_started_is_waited_for_and_then_done_anew(
    opened: OpenProject, glue: FakeGlue
) -> None:
    write(opened, "silver/fx_rates")
    glue.running.add(SILVER)
    waits = crawled(opened, glue)
    assert glue.started == []
    glue.end(SILVER)
    waits = crawled(opened, glue, waits)
    assert (waits["done"], glue.started) == (False, [SILVER])


def test_a_failed_crawl_fails_once_the_others_have_ended_and_comes_again(opened: OpenProject, glue: FakeGlue) -> None:
    write(opened, "silver/fx_rates")
    write(opened, "bronze/fx_rates/rates")
    waits = crawled(opened, glue)
    glue.end(SILVER, "FAILED")
    waits = crawled(opened, glue, waits)
    assert not waits["done"]
    glue.end(RATES)
    with pytest.raises(CrawlError, match=f"{SILVER} FAILED"):
        crawled(opened, glue, waits)
    assert crawl_well(opened, glue) == [SILVER]


def test_a_schema_that_changes_while_it_is_crawled_is_crawled_again(opened: OpenProject, glue: FakeGlue) -> None:
    write(opened, "bronze/fx_rates/rates")
    waits = crawled(opened, glue)
    write(opened, "bronze/fx_rates/rates", "id bigint, rate decimal")
    glue.end(RATES)
    assert crawled(opened, glue, waits)["done"]
    assert crawl_well(opened, glue) == [RATES]


def test_a_crawl_that_never_ends_fails_in_time(
    opened: OpenProject, glue: FakeGlue, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(opened, "silver/fx_rates")
    waits = crawled(opened, glue)
    monkeypatch.setattr(crawl, "CRAWL_SECONDS", -1)
    with pytest.raises(CrawlError, match=f"{SILVER}: has not ended since"):
        crawled(opened, glue, waits)


def test_the_state_has_room_for_the_crawlers_of_hundreds_of_sources(opened: OpenProject, glue: FakeGlue) -> None:
    for zone in ("bronze", "silver", "gold", "quarantine"):
        for table in opened.project.table_paths(zone):
            write(opened, f"{zone}/{table}")
    answer = crawled(opened, glue)
    assert len(json.dumps(answer)) / len(answer["crawlers"]) < 262_144 / 500


@settings(max_examples=100)
@given(
    noted=st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["1", "2"])),
    other=st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["1", "2"])),
)
def test_a_digest_differs_just_when_a_schema_does(noted: dict[str, str], other: dict[str, str]) -> None:
    tables = ["c", "a", "b"]
    own = {table: tag for table, tag in noted.items() if table in tables}
    others = {table: tag for table, tag in other.items() if table in tables}
    assert (digest_of(tables, noted) == digest_of(reversed(tables), other)) == (own == others)
