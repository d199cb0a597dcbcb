"""Gold tables: rows in, rows out, as tests/gold/<table>.yaml has them; computed anew, by increments, and through Delta."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from headwater.config import GoldColumn, GoldTable
from headwater.config.definition import definition_of
from headwater.errors import ConfigError
from headwater.lake.tables import Lake
from headwater.stages.gold import build_gold
from tests.support import declared
from tests.support.gold_cases import FOLDER, TABLES, VALUES, Gold, cases, few_rows, frame, project, together


@pytest.fixture(scope="module", autouse=True)
def quick(spark: SparkSession) -> Iterator[None]:
    with few_rows(spark):
        yield


def test_every_gold_table_has_cases_and_a_step_among_them() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == TABLES
    assert all(any(case.then for case in cases(table)) for table in TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_every_value_of_a_case_is_one_of_its_columns_type(table: str, spark: SparkSession) -> None:
    gold, case = Gold(spark, table), together(cases(table))
    assert case.then is not None
    for state in (case, case.then):
        for rows, columns in [
            (state.outputs, gold.columns),
            *((state.inputs.get(n, []), c) for n, c in gold.silver.items()),
        ]:
            read = frame(spark, rows, columns).collect()
            assert [{n for n in columns if row.get(n) is not None} for row in rows] == [
                {n for n, value in row.asDict().items() if value is not None} for row in read
            ]


@pytest.mark.parametrize("table", TABLES)
def test_rows_come_out_as_expected(table: str, spark: SparkSession) -> None:
    gold, case = Gold(spark, table), together(cases(table))
    assert gold.anew(case) == gold.expected(case)


@pytest.mark.parametrize("table", TABLES)
def test_a_step_comes_to_the_same_as_computing_all_anew(table: str, spark: SparkSession) -> None:
    gold, case = Gold(spark, table), together(cases(table))
    assert case.then is not None
    assert gold.increment(case) == gold.anew(case.then) == gold.expected(case.then)


# The stage knows no table from another: one with several inputs, shared queries and a history among them stands for all.
@pytest.mark.parametrize("table", ["business_metrics"])
def test_the_stage_comes_to_the_same_through_delta(table: str, spark: SparkSession, lake: Lake) -> None:
    gold, case = Gold(spark, table), together(cases(table))
    assert case.then is not None
    job: Any = SimpleNamespace(project=project(), lake=lake, spark=spark, run_id="this run", rebuild=frozenset())
    lease: Any = SimpleNamespace(check=lambda: None)
    target = lake.table("gold", table)
    for state in (case, case.then):
        for name, rows in gold.inputs(state).items():
            if state is case or gold.changed(case)[name].count():
                rows.write.format("delta").mode("overwrite").save(lake.table("silver", name).path)
        build_gold(job, table, lease)
        assert Counter(map(tuple, target.read().collect())) == gold.expected(state)
    version = target.version()
    assert version == 1
    build_gold(job, table, lease)
    assert target.version() == version
    assert [(field.name, field.dataType.simpleString()) for field in target.read().schema] == list(gold.columns.items())


def with_column(name: str, type_: str) -> GoldTable:
    """customer_analytics, one column declared as another type."""
    gold = declared.project().gold["customer_analytics"]
    column = GoldColumn(type=type_, note=gold.columns[name].note)
    return gold.model_copy(update={"columns": gold.columns | {name: column}})


def test_a_column_of_another_type_is_told_before_anything_is_written(spark: SparkSession, lake: Lake) -> None:
    gold = Gold(spark, "customer_analytics")
    for name, rows in gold.inputs(together(cases(gold.table))).items():
        rows.write.format("delta").save(lake.table("silver", name).path)
    other = project().model_copy(update={"gold": {gold.table: with_column("orders", "INTEGER")}})
    job: Any = SimpleNamespace(project=other, lake=lake, spark=spark, run_id="this run", rebuild=frozenset())
    said = r"sql/gold/customer_analytics\.sql: orders is bigint in Spark, which is not the header's INTEGER\. hint: CAST\(… AS INT\)"
    with pytest.raises(ConfigError, match=said):
        build_gold(job, gold.table, SimpleNamespace(check=lambda: None))  # type: ignore[arg-type]
    assert not lake.table("gold", gold.table).exists()


def test_a_column_that_the_header_lacks_is_told(spark: SparkSession) -> None:
    gold = declared.project().gold["customer_analytics"]
    columns = {name: column for name, column in gold.columns.items() if name != "last_visit_date"}
    changed = gold.model_copy(update={"columns": columns})
    with pytest.raises(ConfigError, match=r"rows selects .*, last_visit_date; the header names .*, conversion_value$"):
        Gold(spark, "customer_analytics", changed).anew(cases("customer_analytics")[0])


def test_a_text_that_the_warehouse_would_not_take_fails_before_it_is_written(spark: SparkSession) -> None:
    case = cases("customer_analytics")[0]
    with pytest.raises(Py4JJavaError, match=r"customer_analytics: a value of segment is longer than VARCHAR\(3\)"):
        Gold(spark, "customer_analytics", with_column("segment", "VARCHAR(3)")).anew(case)
    assert Gold(spark, "customer_analytics", with_column("segment", "VARCHAR(4)")).anew(case)


def test_a_row_without_its_grain_fails_before_it_is_written(spark: SparkSession) -> None:
    gold = declared.project().gold["customer_analytics"]
    case = next(case for case in cases("customer_analytics") if case.name == "an order of nobody makes no customer")
    everybody = gold.rows.replace("customer_id IN (SELECT customer_id FROM affected)", "TRUE")
    with pytest.raises(Py4JJavaError, match="customer_analytics: customer_id is null, but it is in the grain"):
        Gold(spark, "customer_analytics", gold.model_copy(update={"rows": everybody})).anew(case)


def test_a_table_that_is_read_no_more_makes_no_work(spark: SparkSession, lake: Lake) -> None:
    """Versions ride in gold's commits: those of a table that an older query read are there for ever."""
    gold = Gold(spark, "customer_analytics")
    for name, rows in gold.inputs(together(cases(gold.table))).items():
        rows.write.format("delta").save(lake.table("silver", name).path)
    target = lake.table("gold", gold.table)
    told = {
        "silver": {"customer_behavior": 0, "fx_rates": 0, "orders": 0, "customers": 7},
        "definition": definition_of(gold.declared, VALUES),
    }
    with target.transact("gold.customer_analytics", 1, **told):
        frame(spark, [], gold.columns).write.format("delta").save(target.path)
    job: Any = SimpleNamespace(project=project(), lake=lake, spark=spark, run_id="this run", rebuild=frozenset())
    build_gold(job, gold.table, SimpleNamespace(check=lambda: None))  # type: ignore[arg-type]
    assert target.version() == 0
