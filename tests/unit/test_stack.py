"""A stack that does without some sources."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.routing import Mount

from headwater.config import Project
from headwater.deploy.deployment import Deployment
from headwater.deploy.migrations import migrations
from headwater.deploy.project import restricted
from headwater.errors import ConfigError
from headwater.warehouse.migrations import View
from local.counterparts import COUNTERPARTS, Place
from local.counterparts.kafka import Kafka
from local.counterparts.simulated import Simulated
from local.simulators.app import build_app
from local.stack import ROOT
from tests.support import declared


def test_what_is_left_of_a_project_is_what_its_sources_can_fill() -> None:
    project = restricted(declared.project("local"), frozenset({"rds_postgres"}))
    tables = {stream.table for stream in project.sources["rds_postgres"].streams.values()}
    assert set(project.sources) == {"rds_postgres"}
    assert set(project.quality) <= tables
    assert set(project.gold) == {
        "business_metrics",
        "channel_attribution",
        "cohort_retention",
        "customer_acquisition",
        "customer_analytics",
        "daily_kpis",
        "order_values",
        "person_analytics",
        "product_performance",
        "regional_sales",
    }


def test_a_view_goes_with_the_gold_table_that_it_reads() -> None:
    whole = declared.project("local")
    of_gold, of_runs = (
        {"view customer_recency", "view customer_rfm", "view marketing_monthly"},
        {"view run_health", "view check_health", "view table_freshness"},
    )
    assert set(_views(whole)) == of_gold | of_runs
    assert set(_views(restricted(whole, frozenset({"fx_rates"})))) == of_runs


def _views(project: Project) -> list[str]:
    return [migration.name for migration in migrations(Deployment(project, ROOT)) if isinstance(migration, View)]


def test_a_source_that_is_not_declared_is_told_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="no such source: shopify; known: clevertap, "):
        restricted(declared.project("local"), frozenset({"shopify", "fx_rates"}))


def test_every_declared_source_has_a_counterpart_of_its_name() -> None:
    assert set(COUNTERPARTS) == set(declared.project("local").sources)


def test_every_counterpart_that_is_simulated_is_mounted_in_the_simulators(tmp_path: Path) -> None:
    mounted = {route.path for route in build_app("", tmp_path).routes if isinstance(route, Mount)}
    simulated = {made.mount for made in COUNTERPARTS.values() if issubclass(made, Simulated)}
    assert simulated <= mounted


def test_two_stacks_that_start_at_once_have_no_port_of_kafka_in_common(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEADWATER_KAFKA_PORT", "HEADWATER_KAFKA_CONTROLLER_PORT"):
        monkeypatch.delenv(name, raising=False)
    brokers = [Kafka(Place(tmp_path / name, "", "", "", "")).broker for name in ("one", "other", "one")]
    one, other, again = ({broker.port, broker.controller_port} for broker in brokers)
    assert one.isdisjoint(other)
    assert one == again
