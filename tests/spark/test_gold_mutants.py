"""Mutation of gold's SQL: whatever is changed in a query, a case of tests/gold notices, or it is said why nobody could."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import sqlglot
import yaml
from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import SparkSession

from headwater.errors import ConfigError
from tests.support.declared import project
from tests.support.gold_cases import TABLES, Case, Gold, cases, few_rows, together
from tests.support.mutants import Mutant, mutants

EQUIVALENT = yaml.safe_load((Path(__file__).parent / "equivalent_mutants.yaml").read_text())


@pytest.fixture(scope="module", autouse=True)
def quick(spark: SparkSession) -> Iterator[None]:
    # That a mutant's query fails is what is looked for.
    spark.sparkContext.setLogLevel("OFF")
    with few_rows(spark):
        yield
    spark.sparkContext.setLogLevel("ERROR")


@dataclass(frozen=True)
class Noticing:
    """The cases of a table, and whether one of them fails with another text for one of its two queries."""

    gold: Gold
    query: str
    cases: Sequence[Case]

    @cached_property
    def _whole(self) -> Case:
        return together(self.cases)

    def notices(self, sql: str) -> bool:
        """Computes all cases with another query; AnalysisException when Spark does not take it."""
        changed = self.gold.declared.model_copy(update={self.query: sql})
        # What a step affects is told by each alone: among all, one may affect another's rows by chance.
        steps = [case for case in self.cases if case.then] if self.query == "affected" else [self._whole]
        try:
            if self.gold.anew(self._whole, changed) != self.gold.expected(self._whole):
                return True
            return any(
                self.gold.increment(case, changed) != self.gold.expected(case.then) for case in steps if case.then
            )
        except AnalysisException:
            raise
        except (ConfigError, PySparkException, Py4JJavaError):
            return True

    def survivors(self, made: Iterable[Mutant]) -> list[str]:
        """Names the mutants that no case notices."""
        return [mutant.name for mutant in made if not self.notices(mutant.sql)]


@pytest.mark.parametrize("query", ["affected", "rows"])
@pytest.mark.parametrize("table", TABLES)
def test_a_mutation_of_any_expression_makes_a_case_fail(table: str, query: str, spark: SparkSession) -> None:
    gold = Gold(spark, table)
    sql = getattr(gold.declared, query)
    noticing = Noticing(gold, query, cases(table))
    assert not noticing.notices(sqlglot.parse_one(sql, read="spark").sql("spark"))
    made, equivalent = list(mutants(sql, gold.columns)), EQUIVALENT[table][query]
    assert equivalent.keys() <= {mutant.name for mutant in made}
    assert noticing.survivors(mutant for mutant in made if mutant.name not in equivalent) == []


def test_every_column_of_every_table_is_mutated() -> None:
    for table in TABLES:
        gold = project().gold[table]
        types = {name: column.spark_type for name, column in gold.columns.items()}
        assert gold.columns.keys() <= {mutant.name.partition(": ")[0] for mutant in mutants(gold.rows, types)}


def test_a_mutant_that_no_case_notices_is_found(spark: SparkSession) -> None:
    gold = Gold(spark, "customer_analytics")
    found = [case for case in cases(gold.table) if case.name != "over 5,000 a customer is High"]
    made = [mutant for mutant in mutants(gold.declared.rows, gold.columns) if "> 5000" in mutant.name]
    assert Noticing(gold, "rows", found).survivors(made)
