"""The dbt project as files: sources that follow gold, packages that are locked, and what `make dbt` says where it cannot."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from headwater.client import Client
from headwater.config.gold import GoldColumn, GoldTable
from headwater.deploy import dbt_sources as made
from headwater.errors import HeadwaterError, QueryError
from headwater.warehouse.data_api import Rows
from local.dbt.comparison import compare, digest
from local.dbt.project import PROJECT, Model
from local.dbt.stack import StackWarehouse
from local.stack import Stack
from tests.support import declared
from tests.support.paths import ROOT

GOLD = declared.project("prod").gold
SOURCES = yaml.safe_load(made.dbt_sources(declared.checkout()))["sources"][0]["tables"]


@pytest.mark.parametrize("source", SOURCES, ids=[source["name"] for source in SOURCES])
def test_a_source_has_gold_columns_and_tests_of_its_grain(source: dict[str, Any]) -> None:
    table = GOLD[source["name"]]
    assert [(column["name"], column["data_type"]) for column in source["columns"]] == [
        (name, column.type) for name, column in table.columns.items()
    ]
    assert source["data_tests"] == [{"unique_together": {"arguments": {"columns": list(table.grain)}}}]
    asked = {column["name"] for column in source["columns"] if column.get("data_tests") == ["not_null"]}
    assert asked == set(table.grain)
    assert f"'{source['name']}'" in source["config"]["loaded_at_query"]


def test_a_run_is_late_when_the_alert_says_so() -> None:
    [audit] = yaml.safe_load((PROJECT / "models" / "sources" / "audit.yml").read_text())["sources"]
    hours = declared.project("prod").environment.alerts.fresh_hours
    assert audit["tables"][0]["config"]["freshness"]["error_after"] == {"count": hours, "period": "hour"}


def test_every_gold_table_is_a_source() -> None:
    assert [source["name"] for source in SOURCES] == list(GOLD)


def test_a_note_with_braces_is_no_template_to_dbt() -> None:
    column = GoldColumn(type="BIGINT", note="as {{ told }}", unit="{%")
    table = GoldTable(
        purpose="what", owner="Shop", grain=("id",), distribution="ALL", sort_key=("id",), columns={"id": column},
        inputs=("orders",), affected="", rows="",
    )  # fmt: skip
    assert made._table("one", table)["columns"][0]["description"] == "[(%] as (( told ))"


def test_dbt_has_no_packages_but_those_of_its_lock() -> None:
    assert [name for name in ("packages.yml", "dependencies.yml") if (PROJECT / name).exists()] == []
    lock = (PROJECT / "requirements.lock").read_text()
    # The package that fetches its program while it is installed, and its hash holds the fetching alone.
    assert "experimental-parser" not in lock
    assert len(re.findall(r"^\S+==\S+ \\$", lock, re.MULTILINE)) == len(re.findall(r"^\S", lock, re.MULTILINE)) > 50


@pytest.mark.parametrize("path", sorted((PROJECT / "models" / "marts").glob("*.sql")), ids=lambda path: path.stem)
def test_the_page_lists_every_mart(path: Path) -> None:
    assert f"| `{path.stem}` |" in (ROOT / "docs" / "dbt.md").read_text()


@dataclass
class Answers:
    """A client whose warehouse has these tables by schema, and so many loads."""

    tables: dict[str, list[str]] = field(default_factory=dict)
    loads: int = 1

    def query(self, engine: str, sql: str) -> Rows:
        if "load_ledger LIMIT" in sql:
            return Rows(("one",), (("1",),) * self.loads)
        [schema] = re.findall(r"table_schema = '(\w+)'", sql)
        return Rows(("table_name",), tuple((name,) for name in self.tables.get(schema, [])))


def warehouse(answers: Answers) -> StackWarehouse:
    return StackWarehouse(Stack.default(), cast("Client", answers))


@pytest.mark.parametrize(
    ("answers", "hint"),
    [
        (Answers(), "nothing is deployed to the local stack. hint: headwater deploy"),
        (Answers({"etl": ["load_ledger"]}, loads=0), "no run has loaded the warehouse yet. hint: headwater run --wait"),
    ],
)
def test_what_has_to_come_first_is_said(answers: Answers, hint: str) -> None:
    with pytest.raises(HeadwaterError) as refused:
        warehouse(answers).require_run()
    assert str(refused.value).startswith(hint)


def test_gold_tables_that_a_stack_does_not_make_are_named() -> None:
    there = [name for name in GOLD if name != "sales_pipeline"]
    assert warehouse(Answers({"etl": ["load_ledger"], "analytics": there})).missing() == ["sales_pipeline"]


def test_without_a_stack_the_way_out_is_said(tmp_path: Path) -> None:
    ports = {f"HEADWATER_{name}_PORT": "1" for name in ("AWS", "RDS", "MYSQL", "WAREHOUSE", "SIMULATORS")}
    done = subprocess.run(
        [sys.executable, "-m", "local.dbt"],
        env={"HEADWATER_HOME": str(tmp_path), "HOME": str(tmp_path), **ports},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (
        1,
        "the local stack is down. hint: headwater up && headwater deploy",
    )


def test_rows_are_alike_in_any_order_and_not_with_another_value_or_column() -> None:
    rows = Rows(("a", "b"), (("1", None), ("1", "x"), ("1", "x")))
    assert digest(rows) == digest(Rows(rows.columns, rows.rows[::-1]))
    others = (
        Rows(("b", "a"), rows.rows),
        Rows(rows.columns, rows.rows[:2]),
        Rows(rows.columns, (("1", "None"), *rows.rows[1:])),
        Rows(rows.columns, (("1.0", None), *rows.rows[1:])),
    )
    assert digest(rows) not in map(digest, others)


def test_a_select_that_redshift_refuses_is_no_match() -> None:
    def ask(sql: str) -> Rows:
        if sql == "SELECT * FROM marts.one":
            return Rows(("a",), (("1",),))
        raise QueryError("syntax error")

    [compared] = compare([Model("one", "SELECT tag", "marts.one")], ask)
    assert not compared.is_alike
    assert str(compared).startswith("one: 1 rows, differs: ")
    assert str(compared).endswith("refused: syntax error")
