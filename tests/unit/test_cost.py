from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.deploy.cost.bill import Bill, Bills
from headwater.deploy.cost.cron import fires_a_day
from headwater.deploy.cost.measured import shown
from headwater.deploy.cost.page import cost_page
from headwater.deploy.cost.prices import Price, PriceList, prices_of
from headwater.deploy.cost.run import Run, Way, load_way, run_of
from headwater.deploy.cost.workload import Assumed, Option, Work, Workload, chosen, load_work
from headwater.deploy.deployment import Deployment
from headwater.errors import ConfigError
from tests.support import declared
from tests.support.paths import ROOT

WORK = load_work(ROOT)
DAILY = {"daily": {"cron": "0 4 * * ? *"}, "incoming": None, "ads": None}


@pytest.fixture(scope="module")
def bills() -> Bills:
    return Bills(declared.checkout(), WORK)


def costs(bills: Bills, *, changes: dict[str, Any] | None = None, **workload: Any) -> Bill:
    changed = Option(
        title="t", changes={"schedules": DAILY, **(changes or {})}, workload={"drops_a_day": 0, **workload}
    )
    return bills.of(chosen(WORK.workloads["prod"], changed))


def amounts(found: Bill) -> dict[tuple[str, str], Decimal]:
    return {(item.quantity.service, item.quantity.what): item.quantity.amount for item in found.items}


def test_the_page_is_what_the_config_comes_to() -> None:
    assert (ROOT / "docs" / "cost.md").read_text() == cost_page(declared.checkout()), "hint: make docs"


# Schedules


@pytest.mark.parametrize(
    ("cron", "a_day"),
    [
        ("0 4 * * ? *", 1),
        ("40 * * * ? *", 24),
        ("30 8-20/4 * * ? *", 4),
        ("0/20 1/12 * * ? *", 6),
        ("0 2 ? * SUN *", Decimal(52) / 365),
        ("0 2 ? * MON-FRI *", Decimal(261) / 365),
        ("0 2 1,15 * ? *", Decimal(24) / 365),
        ("0 2 L * ? *", Decimal(12) / 365),
        ("0 2 1 JAN ? *", Decimal(1) / 365),
    ],
)
def test_a_schedule_fires_as_often_as_its_cron_says(cron: str, a_day: Decimal) -> None:
    assert fires_a_day(cron) == pytest.approx(a_day)


@st.composite
def fields(draw: st.DrawFn, least: int, most: int) -> tuple[str, set[int]]:
    first = draw(st.integers(least, most))
    last = draw(st.integers(first, most))
    step = draw(st.integers(1, most))
    return draw(
        st.sampled_from(
            [
                ("*", set(range(least, most + 1))),
                (str(first), {first}),
                (f"{first},{last}", {first, last}),
                (f"{first}-{last}", set(range(first, last + 1))),
                (f"{first}/{step}", set(range(first, most + 1, step))),
                (f"{first}-{last}/{step}", set(range(first, last + 1, step))),
            ]
        )
    )


@given(fields(0, 59), fields(0, 23), fields(1, 31), fields(1, 12))
def test_a_schedule_fires_at_each_minute_that_its_fields_hold(
    minutes: tuple[str, set[int]], hours: tuple[str, set[int]], days: tuple[str, set[int]], months: tuple[str, set[int]]
) -> None:
    year = (date(2027, 1, 1) + timedelta(number) for number in range(365))
    wanted = sum(day.day in days[1] and day.month in months[1] for day in year) * len(minutes[1]) * len(hours[1])
    assert fires_a_day(f"{minutes[0]} {hours[0]} {days[0]} {months[0]} ? *") == Decimal(wanted) / 365


@pytest.mark.parametrize("cron", ["0 4 ? * MON#1 *", "61 4 * * ? *", "0 x * * ? *", "0 20-8 * * ? *"])
def test_a_cron_that_is_not_understood_is_refused_rather_than_counted_wrong(cron: str) -> None:
    with pytest.raises(ConfigError, match="is not understood"):
        fires_a_day(cron)


def test_runs_are_those_that_schedules_and_drops_start_each_with_its_sources(bills: Bills) -> None:
    schedules = {**DAILY, "ads": {"cron": "30 8-20/4 * * ? *", "sources": ["facebook_ads"]}}
    found = costs(bills, changes={"schedules": schedules}, drops_a_day=3).month
    everything = len(found.project.sources)
    assert [(runs.a_month, runs.sources) for runs in found.runs] == [(30, everything), (120, 1), (90, 1)]


# A run


MACHINE: dict[str, Any] = {
    "StartAt": "Plan",
    "States": {
        "Plan": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Next": "Each"},
        "Each": {
            "Type": "Map",
            "ItemProcessor": {
                "StartAt": "Work",
                "States": {
                    "Work": {
                        "Type": "Task",
                        "Resource": "arn:aws:states:::glue:startJobRun.sync",
                        "Parameters": {"JobName.$": "States.Format('p-{}-extract', $.source)"},
                        "End": True,
                    }
                },
            },
            "Next": "Look",
        },
        "Look": {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:glue:getCrawler", "Next": "Done"},
        "Done": {"Type": "Choice", "Choices": [{"Next": "End"}, {"Next": "Broken"}], "Default": "Wait"},
        "Wait": {"Type": "Wait", "Seconds": 30, "Next": "Look"},
        "Broken": {"Type": "Fail"},
        "End": {"Type": "Succeed"},
    },
}
WAY = Way(choices={"Done": ("End",)}, each_source=("Each",), waits={"Wait": "crawl_seconds"})


def walked(way: Way = WAY, seconds: int = 70) -> Run:
    return run_of(json.dumps(MACHINE), way, 3, {"crawl_seconds": Decimal(seconds)})


def test_a_run_enters_each_state_as_often_as_its_maps_and_waits_say() -> None:
    found = walked()
    assert found.visits == {"Plan": 1, "Each": 1, "Work": 3, "Look": 4, "Done": 4, "Wait": 3, "End": 1}
    assert found.transitions == 17
    assert (found.calls("lambda:invoke"), found.job_runs("extract"), found.job_runs("check")) == (1, 3, 0)


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ({"choices": {}}, "Choice Done of the state machine is missing"),
        ({"each_source": ()}, "Map Each of the state machine is missing"),
        ({"waits": {}}, "Wait Wait of the state machine is missing"),
        ({"choices": {"Done": ("Nowhere",)}}, "choices.Done: Nowhere is none of Broken, End, Wait"),
    ],
)
def test_a_state_of_which_the_way_says_nothing_is_refused(way: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=f"config/cost/run.yaml: {says}"):
        walked(WAY.model_copy(update=way))


def test_a_run_starts_one_extract_for_each_source_and_one_gold(bills: Bills) -> None:
    month = costs(bills).month
    [runs] = month.runs
    assert (runs.run.job_runs("extract"), runs.run.job_runs("gold")) == (len(month.project.sources), 1)


def test_the_way_leads_through_the_state_machine_to_success() -> None:
    definition = Deployment(declared.project("prod"), ROOT).definition()
    found = run_of(definition, load_way(ROOT), 2, dict.fromkeys(WORK.assumed, Decimal()))
    assert found.visits["Succeeded"] == 1
    assert not [name for name in found.visits if "Fail" in name and name != "CountFailures"]


# Glue


def test_a_stage_costs_its_volume_and_the_starts_of_its_jobs(bills: Bills) -> None:
    found = amounts(costs(bills, gb_a_day=500))
    # 15000 GB at 80 for a DPU hour, and 30 runs of 2 G.2X workers for 120 seconds.
    assert found["Glue", "gold"] == Decimal("187.5") + 30 * 4 * Decimal(120) / 3600


def test_a_job_run_costs_a_minute_at_least() -> None:
    quick = WORK.with_measured({"gold_seconds": Assumed(value=Decimal(3), why="t", measured=True)})
    found = amounts(costs(Bills(declared.checkout(), quick), gb_a_day="0.0001"))
    assert found["Glue", "gold"] == pytest.approx(30 * 4 * Decimal(60) / 3600, rel=Decimal("0.001"))


def test_a_crawl_costs_ten_minutes_however_short_it_is_and_only_where_it_runs(bills: Bills) -> None:
    assert WORK.assumed["crawl_seconds"].value < 600
    hours = amounts(costs(bills))["Glue", "crawls"]
    assert hours == WORK.assumed["crawls_a_month"].value * 2 / 6
    # However many runs there are.
    assert amounts(costs(bills, changes={"schedules": {"daily": {"cron": "0 * * * ? *"}}}))["Glue", "crawls"] == hours


def test_spare_capacity_has_its_own_price(bills: Bills) -> None:
    [gold] = [
        item
        for item in costs(bills, changes={"stages": {"gold": {"flex": True}}}).items
        if (item.quantity.service, item.quantity.what) == ("Glue", "gold")
    ]
    assert gold.price.usd == Decimal("0.29")


# The warehouse


def test_a_run_keeps_the_warehouse_awake_for_a_minute_at_least() -> None:
    quick = {name: Assumed(value=Decimal(1), why="t") for name in ("load_seconds", "audit_seconds")}
    found = amounts(
        costs(Bills(declared.checkout(), WORK.with_measured(quick)), changes={"warehouse": {"base_capacity": 32}})
    )
    assert found["Redshift", "loads and audits"] == 30 * Decimal(60) / 3600 * 32


def test_the_warehouse_never_costs_more_than_its_limit(bills: Bills) -> None:
    found = costs(bills, queried_hours_a_day=24)
    limit = found.month.project.environment.warehouse.rpu_hours_a_day
    hours = amounts(found)
    assert hours["Redshift", "loads and audits"] + hours["Redshift", "people's queries"] == 2 * limit * 30


# Storage, entrances and the rest


def test_raw_files_move_on_as_the_retention_says(bills: Bills) -> None:
    found = amounts(costs(bills, gb_a_day=500, stored_months=12))
    classes = ("standard", "infrequent access", "archive")
    assert [found["S3", f"raw, {name}"] for name in classes] == [125 * 30, 125 * 60, 125 * 270]


def test_what_is_overwritten_costs_as_long_as_versions_are_kept(bills: Bills) -> None:
    def kept(days: int) -> Decimal:
        return amounts(costs(bills, changes={"retention": {"old_versions": days}}))[
            "S3", "versions that are not current"
        ]

    # In its table until VACUUM, half a week on average after its days, and then as a version that is not current.
    assert kept(30) / kept(10) == (30 + Decimal("3.5") + 30) / (10 + Decimal("3.5") + 10)


def test_each_stream_on_demand_costs_its_hours(bills: Bills) -> None:
    found = costs(bills)
    streams = found.month.project.source("kinesis").streams
    assert amounts(found)["Kinesis", "streams on demand"] == len(streams) * 720
    without = costs(bills, sources=["fx_rates"])
    entered = [what for service, what in amounts(without) if service in {"Kinesis", "SQS", "API Gateway"}]
    assert entered == ["queries"]


@pytest.mark.parametrize(("endpoints", "what"), [(True, "endpoints"), (False, "NAT gateway")])
def test_a_network_has_endpoints_or_a_nat_gateway(endpoints: bool, what: str, bills: Bills) -> None:
    found = amounts(costs(bills, changes={"network": {"endpoints": endpoints}}))
    assert {name for service, name in found if service == "VPC"} == {what, f"through {what}"}
    assert not [what for service, what in amounts(costs(bills, changes={"network": None})) if service == "VPC"]


def test_a_proxy_costs_its_least_vcpus(bills: Bills) -> None:
    proxy = {"shop": {"source": "rds_mysql", "engine_family": "MYSQL", "instance": "shop"}}
    found = amounts(costs(bills, changes={"network": {"rds_proxies": proxy}}))
    assert found["RDS Proxy", "vCPU hours"] == 2 * 720


@pytest.mark.parametrize(
    "service",
    [
        *(
            "Glue",
            "S3",
            "Redshift",
            "Athena",
            "Step Functions",
            "Lambda",
            "EventBridge",
            "KMS",
            "Secrets Manager",
            "Kinesis",
        ),
        *("SQS", "API Gateway", "VPC", "Data transfer", "CloudWatch", "X-Ray", "CloudTrail"),
    ],
)
def test_every_service_is_on_the_bill(service: str, bills: Bills) -> None:
    assert costs(bills).services[service] > 0


# Prices, options and what was measured


def test_a_price_for_a_thousand_is_for_a_thousand() -> None:
    assert Price(Decimal("0.025"), "1000 transitions").of(Decimal(4000)) == Decimal("0.1")
    assert Price(Decimal("0.44"), "DPU hour").of(Decimal(2)) == Decimal("0.88")


def test_prices_are_those_of_the_environments_region(bills: Bills) -> None:
    here, there = costs(bills), costs(bills, changes={"region": "us-east-1"})
    assert here.month.project.environment.region == "eu-west-1"
    assert here.services["VPC"] > there.services["VPC"]
    assert here.prices.prices["log_ingestion"].usd == Decimal("0.57")


def test_a_region_without_prices_is_refused_with_the_way_out(bills: Bills) -> None:
    with pytest.raises(
        ConfigError, match=r"no prices of region eu-west-2.* known: eu-west-1, us-east-1. hint: add the region"
    ):
        costs(bills, changes={"region": "eu-west-2"})


def test_a_price_that_a_region_lacks_is_refused() -> None:
    listed = {
        "as_of": "2026-11-29",
        "regions": {"us-east-1": {"source": "t"}, "eu-west-1": {"source": "t"}},
        "prices": {"metric": {"per": "metric", "page": "t", "usd": {"us-east-1": "0.30"}}},
    }
    with pytest.raises(ValueError, match=r"prices.metric.usd: lists us-east-1; the regions are us-east-1, eu-west-1"):
        PriceList.model_validate(listed)


def test_every_price_that_is_listed_is_used(bills: Bills) -> None:
    proxy = {"shop": {"source": "rds_mysql", "engine_family": "MYSQL", "instance": "shop"}}
    ways = [{"network": {"rds_proxies": proxy}}, {"network": {"endpoints": False}}]
    used = {item.quantity.price for changes in ways for item in costs(bills, changes=changes).items}
    assert used == prices_of(ROOT, "eu-west-1").prices.keys()


def test_every_assumption_is_used(bills: Bills) -> None:
    assert {name for item in costs(bills).items for name in item.quantity.assumes} == WORK.assumed.keys()


def test_a_change_that_the_environment_does_not_know_is_refused(bills: Bills) -> None:
    with pytest.raises(
        ConfigError, match=r"workload '500 GB a day': changes: budget: no such key budget, did you mean budget_usd"
    ):
        costs(bills, changes={"budget": 3})
    with pytest.raises(ConfigError, match=r"option 't': gb_a_day: "):
        costs(bills, gb_a_day=0)
    with pytest.raises(ConfigError, match="nope"):
        costs(bills, sources=["nope"])


def test_what_was_measured_takes_the_place_of_what_is_assumed_and_is_told_apart(bills: Bills) -> None:
    shown = {
        "gold_seconds": Assumed(value=Decimal(600), why="5 runs", measured=True),
        "gold_gb_a_dpu_hour": Assumed(value=Decimal(40), why="5 runs", measured=True),
    }
    found = costs(Bills(declared.checkout(), WORK.with_measured(shown)), gb_a_day=500)
    assert amounts(found)["Glue", "gold"] == Decimal(375) + 30 * 4 * Decimal(600) / 3600
    basis = {(item.quantity.service, item.quantity.what): found.basis(item) for item in found.items}
    assert (basis["Glue", "gold"], basis["Glue", "silver"], basis["KMS", "keys"]) == ("measured", "assumed", "config")


def job_run(run_id: str, seconds: int, **more: Any) -> dict[str, Any]:
    size = {"WorkerType": "G.1X", "NumberOfWorkers": 2}
    return {"Arguments": {"--run_id": run_id}, "ExecutionTime": seconds, **size, **more}


def test_small_runs_show_what_a_start_takes_and_large_ones_the_rate() -> None:
    runs = [job_run("a", 50), job_run("b", 70), job_run("c", 90), job_run("large", 7200)]
    found = dict(shown("dev", "silver", runs, {"a": Decimal("0.1"), "large": Decimal(80)}))
    assert {name: one.value for name, one in found.items()} == {"silver_seconds": 70, "silver_gb_a_dpu_hour": 20}
    assert all(one.measured for one in found.values())
    assert found["silver_seconds"].why == "median of 3 small run(s) in dev"


def test_dpu_seconds_count_where_glue_tells_them() -> None:
    # Five workers at most, of which auto scaling took two.
    found = dict(shown("dev", "gold", [job_run("a", 50, NumberOfWorkers=5, DPUSeconds=240.0)], {}))
    assert found["gold_seconds"].value == 120
    found = dict(shown("dev", "gold", [job_run("a", 50, NumberOfWorkers=5, DPUSeconds=7200.0)], {"a": Decimal(10)}))
    assert found["gold_gb_a_dpu_hour"].value == 5


def test_what_too_few_bytes_cannot_show_stays_assumed() -> None:
    assert "silver_gb_a_dpu_hour" not in dict(shown("local", "silver", [job_run("a", 2)], {"a": Decimal("0.001")}))


def test_a_budget_carries_as_much_as_costs_no_more(bills: Bills) -> None:
    prod = WORK.workloads["prod"]
    carried = bills.carried(prod, Decimal(2000))

    def usd(gb_a_day: int) -> Decimal:
        share = Decimal(gb_a_day) / prod.gb_a_day
        grown = ("gb_a_day", "gold_gb", "streamed_gb_a_day", "pushed_events_a_day", "athena_tb")
        return bills.of(Workload(**{**prod.model_dump(), **{name: getattr(prod, name) * share for name in grown}})).usd

    assert usd(carried) <= 2000 < usd(carried + 1)


def test_an_unknown_workload_is_refused() -> None:
    with pytest.raises(ConfigError, match="no workload prd, did you mean prod"):
        Work.workload(WORK, "prd")
