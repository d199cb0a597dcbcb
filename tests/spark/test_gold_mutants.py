"""Mutation of gold's SQL: whatever is changed in a query, a case of tests/gold notices, or it is said why nobody could."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import sqlglot
import yaml
from pyspark.sql import SparkSession

from headwater.config import GoldTable
from tests.support.declared import project
from tests.support.gold_cases import TABLES, Case, Gold, cases, few_rows, together
from tests.support.gold_duckdb import alike
from tests.support.gold_shared import SHARED, Shared
from tests.support.mutants import Mutant, mutants
from tests.support.paths import ROOT

EQUIVALENT = yaml.safe_load((Path(__file__).parent / "equivalent_mutants.yaml").read_text())
AS_IT_IS = "as it is"
ONLY_SPARK = {"sales_pipeline"}
"""Its days are told from moments, which DuckDB translates otherwise."""


@pytest.fixture(scope="module", autouse=True)
def quick(spark: SparkSession) -> Iterator[None]:
    # That a mutant's query fails is what is looked for.
    spark.sparkContext.setLogLevel("OFF")
    with few_rows(spark):
        yield
    spark.sparkContext.setLogLevel("ERROR")


def survivors(gold: Gold, found: Sequence[Case], changed: Mapping[str, GoldTable], *, rows: bool) -> list[str]:
    """Names the definitions by which no case comes out otherwise; AnalysisException when Spark does not take one."""
    left = dict(changed)
    if rows:
        whole = together(found)
        if gold.table not in ONLY_SPARK:
            # What comes out otherwise in DuckDB would so in Spark, which takes half a second for each: the rest is Spark's to judge.
            same = alike(gold, whole, {name: table.rows for name, table in left.items()})
            left = {name: table for name, table in left.items() if name in same}
        for each, state in ((gold.anew_each, whole), (gold.increment_each, whole.then)):
            assert state is not None
            told = each(whole, left)
            left = {name: table for name, table in left.items() if told[name] == gold.expected(state)}
        return list(left)
    # What a step affects is told by each alone: among all, one may affect another's rows by chance.
    for case in [case for case in found if case.then]:
        told = gold.unaffected_each(case, left)
        left = {name: table for name, table in left.items() if not told[name]}
    return list(left)


@pytest.mark.parametrize("query", ["affected", "rows"])
@pytest.mark.parametrize("table", TABLES)
def test_a_mutation_of_any_expression_makes_a_case_fail(table: str, query: str, spark: SparkSession) -> None:
    gold = Gold(spark, table)
    sql = getattr(gold.declared, query)
    made = [_as_it_is(sql), *mutants(sql, gold.columns)]
    changed = {mutant.name: gold.declared.model_copy(update={query: mutant.sql}) for mutant in made}
    _hold(f"{table}.{query}", gold, changed, rows=query == "rows")


def test_every_shared_query_has_an_example() -> None:
    assert SHARED.keys() == {path.stem for path in (ROOT / "sql" / "shared").glob("*.sql")}


@pytest.mark.parametrize("name", SHARED)
def test_a_mutation_of_what_tables_share_makes_an_example_fail(name: str, spark: SparkSession) -> None:
    shared = Shared(spark, name)
    made = [_as_it_is(shared.sql), *mutants(shared.sql, shared.columns)]
    looked_at = {mutant.name: mutant.sql for mutant in made if mutant.name not in EQUIVALENT.get(name, {})}
    assert EQUIVALENT.get(name, {}).keys() <= {mutant.name for mutant in made}
    assert [mutant for mutant, rows in shared.rows(looked_at).items() if rows == shared.expected] == [AS_IT_IS]


def test_what_has_changed_in_a_shared_query_is_what_it_makes_of_changed_rows(spark: SparkSession) -> None:
    gold = Gold(spark, "customer_analytics")
    case = next(
        case
        for case in cases(gold.table)
        if case.name == "a customer whose only order is deleted is gone, and a new one comes"
    )
    assert case.then is not None
    with gold.named(gold.inputs(case.then), gold.changed(case), increment=True):
        # The order as it was, which is sold no more, and the new one.
        assert sorted(row.order_id for row in spark.table("changed_sold_orders").collect()) == [31, 32]
        assert [row.order_id for row in spark.table("sold_orders").collect()] == [32]


def _as_it_is(sql: str) -> Mutant:
    """The query as sqlglot writes it, without a change."""
    return Mutant(AS_IT_IS, sqlglot.parse_one(sql, read="spark").sql("spark"))


def _hold(place: str, gold: Gold, changed: Mapping[str, GoldTable], *, rows: bool) -> None:
    equivalent = EQUIVALENT.get(place, {})
    assert equivalent.keys() <= changed.keys()
    looked_at = {name: table for name, table in changed.items() if name not in equivalent}
    assert survivors(gold, cases(gold.table), looked_at, rows=rows) == [AS_IT_IS]


def test_every_column_of_every_table_is_mutated() -> None:
    for table in TABLES:
        gold = project().gold[table]
        types = {name: column.spark_type for name, column in gold.columns.items()}
        assert gold.columns.keys() <= {mutant.name.partition(": ")[0] for mutant in mutants(gold.rows, types)}


def test_a_mutant_that_no_case_notices_is_found(spark: SparkSession) -> None:
    gold = Gold(spark, "customer_analytics")
    found = [case for case in cases(gold.table) if case.name != "over 5,000 a customer is High"]
    made = [mutant for mutant in mutants(gold.declared.rows, gold.columns) if "> 5000" in mutant.name]
    changed = {mutant.name: gold.declared.model_copy(update={"rows": mutant.sql}) for mutant in made}
    assert survivors(gold, found, changed, rows=True)
