"""What the cost model counts is what the modules of Terraform make, and budgets fit what is forecast."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import hcl2
import pytest

from headwater.deploy.cost import services
from headwater.deploy.cost.bill import Bills
from headwater.deploy.cost.workload import Work, load_work
from headwater.deploy.resource_policies import KEYS
from tests.support import declared
from tests.support.paths import ROOT
from tests.terraform.test_rules import resources

MODULES = ROOT / "terraform" / "modules"
WORK = load_work(ROOT)


@pytest.mark.parametrize("name", WORK.workloads)
def test_the_budget_of_an_environment_fits_what_its_workload_costs(name: str) -> None:
    # Of a forecast above four fifths the alert always rings, and of one far below it never would.
    assert fits(WORK, name)


def test_a_budget_that_the_forecast_reaches_does_not_fit() -> None:
    dear = WORK.workloads["prod"].model_copy(update={"gb_a_day": Decimal(1000)})
    assert not fits(WORK.model_copy(update={"workloads": {"prod": dear}}), "prod")


def fits(work: Work, name: str) -> bool:
    found = Bills(declared.checkout(), work).of(work.workloads[name])
    budget = found.month.project.environment.budget_usd
    return budget * Decimal("0.4") <= found.usd <= budget * Decimal("0.8")


def test_1_gb_a_day_costs_less_than_100_usd_in_prod() -> None:
    small = WORK.workloads["small"]
    assert (small.environment, small.gb_a_day) == ("prod", 1)
    assert Bills(declared.checkout(), WORK).of(small).usd < 100


def test_metrics_of_alarms_are_counted_as_terraform_makes_them() -> None:
    alarms = {
        name: body
        for (kind, name), body in resources(MODULES / "alerts").items()
        if kind == "aws_cloudwatch_metric_alarm"
    }
    by_source = [body for body in alarms.values() if body.get("for_each") == "${var.extract_logs}"]
    single = [body for body in alarms.values() if "for_each" not in body]
    assert len(by_source) + len(single) == len(alarms)
    assert sum(map(metrics_of, single)) == services.ALARM_METRICS
    assert sum(map(metrics_of, by_source)) == services.ALARM_METRICS_A_SOURCE


def metrics_of(alarm: dict[str, Any]) -> int:
    """What CloudWatch charges an alarm for: each metric that it reads, and three for one with a band of what is usual."""
    if "threshold_metric_id" in alarm:
        return 3
    queries = [query for block in alarm.get("dynamic", []) for query in block.values()]
    return sum(query["for_each"].count('"') // 2 for query in queries) or 1


def test_custom_metrics_are_counted_as_terraform_makes_them() -> None:
    made = {name for (kind, name) in resources(MODULES / "alerts") if kind == "aws_cloudwatch_log_metric_filter"}
    [local] = [block for block in local_values(MODULES / "alerts") if "silver_counts" in block]
    assert made == {"silver", "token", "extract"}
    # Of the token there is one for all sources; the others have the source as their dimension.
    assert len(local["silver_counts"]) + len(local["extract_events"]) == services.METRICS_A_SOURCE
    assert services.METRICS == 1


def test_keys_endpoints_and_memory_are_counted_as_terraform_makes_them() -> None:
    assert len(KEYS) == services.KEYS
    [names] = [block["services"] for block in local_values(MODULES / "entrances") if "services" in block]
    assert len(names) == services.ENDPOINTS
    function = resources(MODULES / "lambdas")["aws_lambda_function", "this"]
    assert function["memory_size"] == services.LAMBDA_GB * 1024


def local_values(folder: Path) -> list[dict[str, Any]]:
    return [block for path in folder.glob("*.tf") for block in hcl2.loads(path.read_text()).get("locals", [])]
