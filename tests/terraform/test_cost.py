from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import yaml

from headwater.config import load_project
from headwater.deploy.cost import Item, Prices, Workload, bill, page
from headwater.deploy.deployment import Deployment
from tests.support.paths import ROOT

WORKLOAD: dict[str, Any] = {
    "title": "t",
    "environment": "prod",
    "gb_a_day": 500,
    "runs_a_day": 1,
    "stored_months": 12,
    "compressed": "0.25",
    "silver_share": "0.6",
    "gold_gb": 100,
    "gb_for_a_dpu_hour": {"extract": 30, "check": 60, "silver": 25, "gold": 75},
    "least_minutes": 3,
    "warehouse_hours_a_day": 2,
    "athena_tb": 3,
    "maintain_dpu_hours": 10,
}


@pytest.fixture
def prices() -> Prices:
    return Prices.model_validate(yaml.safe_load((ROOT / "config" / "cost" / "prices.yaml").read_text()))


def costs(prices: Prices, environment: str = "prod", **changed: Any) -> dict[tuple[str, str], Item]:
    workload = Workload.model_validate({**WORKLOAD, **changed})
    deployment = Deployment(load_project(ROOT, environment), ROOT)
    return {(item.service, item.what): item for item in bill(deployment, workload, prices)}


def test_the_page_is_what_the_config_comes_to() -> None:
    assert (ROOT / "docs" / "cost.md").read_text() == page(ROOT), "hint: make docs"


def test_a_stage_costs_what_its_volume_takes(prices: Prices) -> None:
    extract = costs(prices)["Glue", "extract"]
    assert extract.quantity == Decimal(500)  # 500 GB x 30 days at 30 GB for a DPU hour
    assert extract.usd == Decimal(220)  # at 0.44


def test_a_stage_costs_at_least_what_starting_its_jobs_takes(prices: Prices) -> None:
    # One Gold job a day of 2 G.2X workers for 3 minutes: 4 DPUs x 0.05 h x 30.
    assert costs(prices, gb_a_day="0.001")["Glue", "gold"].quantity == Decimal(6)


def test_raw_files_move_on_as_the_retention_says(prices: Prices) -> None:
    found = costs(prices)
    assert [found["S3", f"raw, {kind}"].quantity for kind in ("standard", "infrequent access", "archive")] == [
        125 * 30,
        125 * 60,
        125 * 270,
    ]


def test_the_warehouse_never_costs_more_than_its_limit(prices: Prices) -> None:
    limit = load_project(ROOT, "prod").environment.warehouse.rpu_hours_a_day
    assert costs(prices, warehouse_hours_a_day=24)["Redshift", "capacity"].quantity == 2 * limit * 30


def test_prices_for_a_thousand_are_for_a_thousand(prices: Prices) -> None:
    transitions = costs(prices)["Step Functions", "state transitions"]
    assert transitions.usd == transitions.quantity / 1000 * Decimal("0.025")


def test_endpoints_cost_only_where_they_are(prices: Prices) -> None:
    assert ("VPC", "endpoints") in costs(prices)
    assert ("VPC", "endpoints") not in costs(prices, environment="dev")
