from __future__ import annotations

from typing import Any

import pytest

from headwater.errors import ConfigError
from headwater.ledger.positions import KeyPosition
from headwater.ledger.stream import Ledger
from headwater.open_project import OpenProject
from headwater.redaction import redact
from headwater.run.plan import plan_run
from tests.unit.test_ledger import writer

STARTED = "2024-05-06T07:08:09.123Z"


def plan(opened: OpenProject, **asked: Any) -> dict[str, Any]:
    return plan_run(opened, "run-1", STARTED, asked)


def test_a_run_without_input_takes_every_source_for_the_day_it_started(opened: OpenProject) -> None:
    planned = plan(opened)
    assert [item["source"] for item in planned["sources"]] == list(opened.project.sources)
    assert (planned["as_of"], planned["start_from"], planned["mode"]) == ("2024-05-06", "Extract", "incremental")


@pytest.mark.parametrize(
    ("tables", "sources", "stage"),
    [
        (["orders"], ["rds_postgres"], "Silver"),
        (["ads", "orders"], ["facebook_ads", "google_ads", "rds_postgres"], "Silver"),
        (["business_metrics"], [], "Gold"),
        (["customer_identities"], [], "Gold"),
        (["business_metrics", "orders"], ["rds_postgres"], "Silver"),
    ],
)
def test_a_rebuild_starts_where_its_tables_are_made_and_reads_no_source(
    opened: OpenProject, tables: list[str], sources: list[str], stage: str
) -> None:
    planned = plan(opened, rebuild=tables)
    assert (planned["rebuild"], planned["start_from"]) == (",".join(tables), stage)
    assert [item["source"] for item in planned["sources"]] == sources
    assert plan(opened)["rebuild"] == "-"


@pytest.mark.parametrize("day", ["2018-01-10", "2024-05-06"])
def test_a_run_may_be_for_any_day_that_has_begun(opened: OpenProject, day: str) -> None:
    assert plan(opened, as_of=day)["as_of"] == day


def test_a_stream_gets_its_history_first_and_increments_after(opened: OpenProject, ledger: Ledger) -> None:
    writer(ledger.stream("fx_rates", "rates")).commit(KeyPosition(key=1))
    planned = {item["source"]: item["streams"] for item in plan(opened)["sources"]}
    assert planned["fx_rates"] == {"rates": "incremental"}
    assert planned["rds_postgres"]["orders"] == "history"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"sources": ["nope"]}, "known: .*facebook_ads"),
        ({"start_from": "Middle"}, "known: Extract, Check"),
        ({"mode": "full"}, "known: incremental, backfill"),
        ({"rebuild": ["nope"]}, "known: .*orders.*business_metrics"),
        ({"rebuild": ["orders"], "start_from": "Gold", "mode": "backfill"}, "goes without mode, start_from"),
        ({"mode": "backfill", "sources": ["fx_rates"]}, "write {from, to}"),
        (
            {"mode": "backfill", "sources": ["fx_rates"], "window": {"from": "2024-02-01", "to": "2024-01-01"}},
            "from not after to",
        ),
        ({"window": {"from": "2024-01-01", "to": "2024-01-02"}}, "belongs to mode backfill"),
        ({"sorces": []}, "sorces unknown; known:"),
        ({"as_of": "2024-05-07"}, "as_of 2024-05-07 is after the day on which the run started, 2024-05-06"),
        ({"as_of": "2099-01-01", "sources": ["fx_rates"]}, "hint: leave as_of out for today"),
    ],
)
def test_an_input_that_cannot_be_carried_out_is_refused(opened: OpenProject, asked: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(opened, **asked)


def test_a_backfill_of_a_stream_without_days_is_refused(opened: OpenProject) -> None:
    project = opened.project
    source = project.sources["rds_postgres"]
    items = source.streams["order_items"].model_copy(update={"day": None})
    without = source.model_copy(update={"streams": {**source.streams, "order_items": items}})
    lacking = OpenProject(project.model_copy(update={"sources": {**project.sources, "rds_postgres": without}}))
    window = {"from": "2024-01-01", "to": "2024-02-01"}
    with pytest.raises(ConfigError, match=r"rds_postgres\.order_items cannot be read by days\. hint: declare `day`"):
        plan(lacking, mode="backfill", window=window)
    planned = plan(opened, mode="backfill", sources=["rds_postgres"], window=window)["sources"]
    assert set(planned[0]["streams"].values()) == {"backfill"}


def test_what_comes_by_itself_is_left_out_of_a_backfill_and_refused_where_it_is_named(opened: OpenProject) -> None:
    window = {"from": "2024-01-01", "to": "2024-02-01"}
    planned = {source["source"] for source in plan(opened, mode="backfill", window=window)["sources"]}
    assert planned == set(opened.project.sources) - {"http_push", "kinesis", "s3_drops"}
    with pytest.raises(ConfigError, match="s3_drops cannot be asked for what has been"):
        plan(opened, mode="backfill", sources=["fx_rates", "s3_drops"], window=window)


@pytest.mark.parametrize("name", ["access_token", "client_secret", "passcode", "password", "refresh_token"])
@pytest.mark.parametrize("form", ["{name}={value}&x=1", '"{name}": "{value}"', "{name}: {value}"])
def test_whatever_is_named_like_a_secret_is_struck_out(name: str, form: str) -> None:
    assert "s3cr3t" not in redact(form.format(name=name, value="s3cr3t"))
