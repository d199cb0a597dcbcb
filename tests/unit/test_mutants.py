"""Mutants of a query: one change each, each another, always the same."""

from __future__ import annotations

import pytest
import sqlglot

from tests.support.declared import project
from tests.support.mutants import mutants


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT a FROM t", {"a: always NULL"}),
        ("SELECT sum(x) AS a FROM t", {"a: always NULL", "a: SUM(x) -> MAX(x)"}),
        ("SELECT x > 9 AS a FROM t", {"a: always NULL", "a: x > 9 -> x >= 9", "a: 9 -> 10", "a: 9 -> 8"}),
        ("SELECT nullif(x, y) AS a FROM t", {"a: always NULL", "a: NULLIF(x, y) -> x"}),
        ("SELECT coalesce(x, y) AS a FROM t", {"a: always NULL", "a: COALESCE(x, y) -> x", "a: COALESCE(x, y) -> y"}),
        ("SELECT a FROM t JOIN u ON p", {"a: always NULL", "join: LEFT JOIN u"}),
        ("SELECT a FROM t LEFT JOIN u ON p", {"a: always NULL", "join: INNER JOIN u"}),
        (
            "SELECT a FROM t WHERE x AND y",
            {"a: always NULL", "where: without WHERE x AND y", "where: x AND y -> x", "where: x AND y -> y"}
            | {"where: x AND y -> x OR y"},
        ),
        ("SELECT CAST(x AS DECIMAL(9, 2)) AS a FROM t GROUP BY 1", {"a: always NULL"}),
        (
            "SELECT count(*) OVER (PARTITION BY x) AS a FROM t",
            {"a: always NULL", "a: COUNT(*) OVER (PARTITION BY x) -> CAST(1 AS BIGINT)"},
        ),
        (
            "SELECT avg(x) OVER (ORDER BY y RANGE BETWEEN 2 PRECEDING AND 2 PRECEDING) AS a FROM t",
            {"a: always NULL", "a: only 2 -> only 3", "a: only 2 -> only 1"},
        ),
        (
            "SELECT CASE WHEN x THEN 'p' ELSE 'q' END AS a FROM t",
            {"a: always NULL", "a: 'p' -> 'p_'", "a: 'q' -> 'q_'", "a: without WHEN x"},
        ),
    ],
)
def test_what_is_changed_of_a_query(sql: str, names: set[str]) -> None:
    assert {mutant.name for mutant in mutants(sql, {"a": "bigint"})} == names


@pytest.mark.parametrize("table", sorted(project().gold))
def test_each_mutant_has_a_name_of_its_own_and_is_another_query(table: str) -> None:
    gold = project().gold[table]
    types = {name: column.spark_type for name, column in gold.columns.items()}
    for sql in (gold.affected, gold.rows):
        made = list(mutants(sql, types))
        assert made == list(mutants(sql, types))
        assert len({mutant.name for mutant in made}) == len(made)
        assert sqlglot.parse_one(sql, read="spark").sql("spark") not in {mutant.sql for mutant in made}
