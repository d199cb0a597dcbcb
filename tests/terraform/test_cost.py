from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml

from headwater.deploy import cost
from headwater.deploy.cost import Item, Prices, Workload, bill, page
from headwater.deploy.deployment import Deployment
from headwater.deploy.project import load_project
from headwater.deploy.resource_policies import KEYS
from tests.support.paths import ROOT
from tests.terraform.test_rules import resources

MODULES = ROOT / "terraform" / "modules"

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


def test_alarms_are_counted_as_terraform_makes_them() -> None:
    alarms = {
        name: body
        for (kind, name), body in resources(MODULES / "alerts").items()
        if kind == "aws_cloudwatch_metric_alarm"
    }
    by_source = [name for name, body in alarms.items() if body.get("for_each") == "${var.extract_logs}"]
    by_end = [name for name, body in alarms.items() if body.get("for_each") == "${toset(local.ends_badly)}"]
    [ends] = [block["ends_badly"] for block in local_values(MODULES / "alerts") if "ends_badly" in block]
    single = [name for name, body in alarms.items() if "for_each" not in body]
    assert len(by_source) + len(by_end) + len(single) == len(alarms)
    assert len(single) + len(by_end) * len(ends) == cost._ALARMS
    assert len(by_source) == cost._ALARMS_A_SOURCE


def test_keys_and_endpoints_are_counted_as_they_are_made() -> None:
    assert len(KEYS) == cost._KEYS
    [services] = [block["services"] for block in local_values(MODULES / "entrances") if "services" in block]
    assert len(services) == cost._ENDPOINTS


def local_values(folder: Path) -> list[dict[str, Any]]:
    return [block for path in folder.glob("*.tf") for block in hcl2.loads(path.read_text()).get("locals", [])]
