"""The dbt project, built in a small warehouse: each model means the same to Redshift, tests fail where they should, nobody is told."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from headwater.deploy.deployment import Deployment
from headwater.warehouse import data_api
from headwater.warehouse.migrations import Migrations, Migrator
from local.dbt.comparison import Compared, compare
from local.dbt.installation import program
from local.dbt.project import PROJECT, DbtError, DbtProject, Model, Warehouse
from local.gateway.server import running_gateway
from local.postgres import PostgresServer
from tests.support import declared
from tests.support.aws import Aws
from tests.support.paths import ROOT

DEPLOYMENT = Deployment(declared.project("local"), ROOT)
USER = f"IAMR:{DEPLOYMENT.modeller}"
MODELS = sorted(path.stem for folder in ("staging", "marts") for path in (PROJECT / "models" / folder).glob("*.sql"))
# Means something else in each dialect: Redshift replaces every match, PostgreSQL the first.
ODD = "select platform, regexp_replace(platform, 'o', '0') as spelled from {{ ref('stg_campaign_days') }}"

ORDERS = [
    # A gap of a month, an order of nobody, one without a rate, and a month of two customers.
    (1, "2024-01-03", 1, "USD", "100.00"),
    (2, "2024-01-31", 2, "USD", "33.33"),
    (3, "2024-02-01", 1, "EUR", "10.01"),
    (4, "2024-02-29", None, "USD", "7.00"),
    (5, "2024-04-30", 3, "XXX", None),
    (6, "2024-04-30", 3, "USD", "9000.00"),
    (7, "2024-05-01", 1, "USD", "0.00"),
]
CUSTOMERS = [
    (1, "110.01", 3, "2024-01-03", "2024-05-01", "Low"),
    (2, "33.33", 1, "2024-01-31", "2024-01-31", "Low"),
    (3, "9000.00", 2, "2024-04-30", "2024-04-30", "High"),
]
CAMPAIGN_DAYS = [
    ("2024-01-03", "facebook", "a", "c1", 1000, 10, "3.00", "2.00", "9.99"),
    ("2024-01-04", "google", "a", "c2", 500, 7, "0.07", "0.00", "0.00"),
    ("2024-01-31", "google", "a", "c2", 500, 7, None, "1.50", None),
    ("2024-03-01", "facebook", "a", "c1", 0, 0, "0.00", "0.00", "0.00"),
]
DEALS = [
    ("2024-01-01", "default", "closedwon", 2, 0, "300.00", "300.00", "0.6667"),
    ("2024-01-01", "default", "closedlost", 1, 0, "50.00", "0.00", "0.6667"),
    ("2024-01-01", "default", "contractsent", 3, 1, "20.00", "18.00", "0.6667"),
    ("2024-02-01", "unknown", "own", 1, 1, None, None, None),
]


@dataclass(frozen=True)
class Built:
    """A warehouse of a few rows in which dbt has built everything, and one model that is odd."""

    aws: Aws
    project: DbtProject
    place: Migrations
    models: list[Model]
    compared: dict[str, Compared]
    has_called: bool

    def change(self, *sqls: str) -> None:
        """Changes what is in the warehouse behind dbt's back."""
        data_api.run(self.aws.client("redshift-data"), self.place, sqls, 60, self.place.admin_secret)


@pytest.fixture(scope="module")
def built(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("dbt")
    with running_gateway(folder / "gateway", warehouse_dsn=postgres.dsn) as url:
        aws = Aws(url, folder / "gateway", "-")
        environment = DEPLOYMENT.project.environment.warehouse
        secret = aws.workgroup(environment.workgroup, environment.database)
        place = Migrations.model_validate({**DEPLOYMENT.migrations(), "admin_secret": secret})
        Migrator(aws.client("redshift-data"), place, "test").migrate()
        data_api.run(aws.client("redshift-data"), place, list(_filling()), 60, secret)
        copied = folder / "project"
        shutil.copytree(PROJECT, copied)
        (copied / "models" / "staging" / "odd.sql").write_text(ODD)
        project = DbtProject(Warehouse(postgres, environment.database, USER), folder / "out", copied)
        # What is not installed yet has to be called for.
        program()
        with socket.create_server(("127.0.0.1", 0)) as proxy, pytest.MonkeyPatch.context() as variables:
            # Whoever would call another host has to come by here.
            variables.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
            project.build()
            has_called = _was_called(proxy)

        def ask(sql: str) -> data_api.Rows:
            return data_api.query(aws.client("redshift-data"), place, sql, secret=secret)

        models = project.for_redshift()
        compared = {one.model: one for one in compare(models, ask)}
        yield Built(aws, project, place, models, compared, has_called)


def _filling() -> Iterator[str]:
    yield from _inserts(
        "order_values",
        "order_id, date, customer_id, currency, revenue, lines, adds_up",
        [(*order, 0, True) for order in ORDERS],
    )
    columns = "customer_id, lifetime_value, orders, first_order_date, last_order_date, segment"
    yield from _inserts("customer_analytics", columns, CUSTOMERS)
    columns = "date, platform, account_id, campaign_id, impressions, clicks, cost_reporting, conversions, conversion_value_reporting"
    yield from _inserts("marketing_performance", columns, CAMPAIGN_DAYS)
    columns = "month, pipeline, stage, deals, unvalued_deals, value, weighted_value, win_rate"
    yield from _inserts("sales_pipeline", columns, DEALS)
    yield (
        "INSERT INTO etl.runs (run_id, status, started_at, ended_at, rows_extracted, rows_inserted, rows_updated, rows_quarantined) "
        "VALUES ('run', 'succeeded', GETDATE(), GETDATE(), 1, 1, 0, 0), ('bad', 'failed', GETDATE(), GETDATE(), 0, 0, 0, 0)"
    )


def _inserts(table: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    values = ", ".join(f"({', '.join(_literal(value) for value in row)})" for row in rows)
    yield f"INSERT INTO analytics.{table} ({columns}) VALUES {values}"
    yield (
        "INSERT INTO etl.load_ledger (load_id, table_name, version, row_count, run_id, loaded_at) "
        f"VALUES ('{table}@1', '{table}', 1, {len(rows)}, 'run', GETDATE())"
    )


def _was_called(server: socket.socket) -> bool:
    server.setblocking(False)
    try:
        server.accept()
    except BlockingIOError:
        return False
    return True


def _literal(value: object) -> str:
    return "NULL" if value is None else f"'{value}'" if isinstance(value, str) else str(value)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_gives_redshift_the_rows_that_dbt_has_built(built: Built, model: str) -> None:
    compared = built.compared[model]
    assert compared.rows > 0
    assert compared.redshift == compared.built


def test_a_model_that_means_something_else_to_redshift_is_told(built: Built) -> None:
    assert not built.compared["odd"].is_alike


def test_what_is_compared_is_in_redshift_words(built: Built) -> None:
    [customers] = [model.select for model in built.models if model.name == "stg_customers"]
    assert "datediff(" in customers


def test_every_column_of_a_model_is_described(built: Built) -> None:
    nodes = json.loads((built.project.out / "aws" / "manifest.json").read_text())["nodes"]
    for model in built.models:
        if model.name == "odd":
            continue
        described = nodes[f"model.headwater.{model.name}"]["columns"]
        assert list(described) == sqlglot.parse_one(model.select, read="redshift").named_selects
        assert [name for name, column in described.items() if not column["description"]] == []


def test_redshift_keeps_the_digits_of_what_is_divided(built: Built) -> None:
    parsed = [sqlglot.parse_one(model.select, read="redshift") for model in built.models]
    divisions = [division for select in parsed for division in select.find_all(exp.Div)]
    assert len(divisions) > 5
    for division in divisions:
        by = division.expression
        assert isinstance(by, exp.Nullif)
        assert {str(side.args.get("to")) for side in (division.this, by.this)} == {"DECIMAL(18, 2)"}


def test_dbt_builds_in_the_name_of_the_modeller(built: Built) -> None:
    owners = "SELECT DISTINCT owner FROM (SELECT tableowner AS owner FROM pg_tables WHERE schemaname = 'marts' "
    owners += "UNION ALL SELECT viewowner FROM pg_views WHERE schemaname = 'marts') AS made"
    found = data_api.query(built.aws.client("redshift-data"), built.place, owners, secret=built.place.admin_secret)
    assert found.rows == ((USER,),)


def test_dbt_calls_nobody(built: Built) -> None:
    assert not built.has_called


def test_a_source_is_as_fresh_as_the_audit_says(built: Built) -> None:
    hours = "GETDATE() - INTERVAL '{} hours'"
    built.change(
        f"UPDATE etl.load_ledger SET loaded_at = {hours.format(30)} WHERE table_name = 'order_values'",
        f"UPDATE etl.runs SET ended_at = {hours.format(30)} WHERE status = 'succeeded'",
    )
    with pytest.raises(DbtError):
        built.project.freshness()
    found = json.loads((built.project.out / "local" / "sources.json").read_text())["results"]
    told = {result["unique_id"].removeprefix("source.headwater."): result["status"] for result in found}
    assert {name: told[name] for name in ("audit.runs", "gold.order_values", "gold.sales_pipeline")} == {
        "audit.runs": "error",
        "gold.order_values": "warn",
        "gold.sales_pipeline": "pass",
    }


def test_what_is_wrong_in_gold_or_in_a_mart_fails_its_test(built: Built) -> None:
    built.change(
        "UPDATE marts.monthly_revenue SET revenue = revenue + 0.01 WHERE month = '2024-01-01'",
        "UPDATE marts.marketing_efficiency SET cost = cost + 0.01 WHERE month = '2024-03-01'",
        "DELETE FROM marts.customer_value_bands WHERE segment = 'High'",
        "UPDATE marts.sales_pipeline_health SET won_deals = won_deals + 1 WHERE pipeline = 'default'",
        "INSERT INTO analytics.order_values (order_id, date, customer_id, adds_up) VALUES (7, '2024-05-01', 404, true)",
        "UPDATE analytics.customer_analytics SET segment = 'Best' WHERE customer_id = 3",
    )
    with pytest.raises(DbtError):
        built.project.test()
    results = json.loads((built.project.out / "local" / "run_results.json").read_text())["results"]
    failed = {result["unique_id"].split(".")[2] for result in results if result["status"] == "fail"}
    assert failed == {
        "revenue_is_that_of_gold",
        "cost_is_that_of_gold",
        "customers_are_those_of_gold",
        "deals_are_those_of_gold",
        "source_unique_together_gold_order_values_order_id",
        "unique_stg_orders_order_id",
        "relationships_stg_orders_customer_id__customer_id__ref_stg_customers_",
        "accepted_values_stg_customers_segment__VIP__High__Medium__Low",
    }
