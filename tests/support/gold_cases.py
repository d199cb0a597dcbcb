"""Rows in and rows out of gold tables: the cases of tests/gold/<table>.yaml, and the stage's own code over them without Delta."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from string import Template
from typing import Any

import yaml
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.config import GoldTable, Project
from headwater.deploy.gold_sql import silver_columns
from headwater.lake.session import having
from headwater.stages.gold import computed
from tests.support import declared
from tests.support.paths import ROOT

FOLDER = ROOT / "tests" / "gold"
TABLES = sorted(path.stem for path in (ROOT / "sql" / "gold").glob("*.sql"))
VALUES = {"reporting_currency": "USD", "business_time_zone": "America/New_York", "attribution_days": "30"}
THOUSANDS = """-- thousands: how many rates have an id within each thousand.
-- Grain: thousand
-- Owner: tests
-- Distribution: AUTO
-- Sort key: thousand
-- thousand BIGINT: the thousand
-- rates BIGINT: how many
-- affected
SELECT DISTINCT id DIV 1000 AS thousand FROM changed_fx_rates
-- rows
SELECT id DIV 1000 AS thousand, count(*) AS rates FROM fx_rates
WHERE id DIV 1000 IN (SELECT thousand FROM affected) GROUP BY ALL
"""
"""A small gold table over the exchange rates' ids."""

_SIDE_BY_SIDE = 6000
"""Characters of queries that are computed by one job: Spark plans more of them at once slower than one after another."""

Rows = Sequence[Mapping[str, Any]]


def project() -> Project:
    """The declared project where gold's placeholders have `VALUES`."""
    found = declared.project()
    return found.model_copy(update={"environment": found.environment.model_copy(update=VALUES)})


@dataclass(frozen=True, eq=False)
class Case:
    """Rows of silver tables and the gold rows that come of them; perhaps what both are after a step.

    A case is itself alone: what is made of its rows is made once.
    """

    name: str
    inputs: Mapping[str, Rows]
    outputs: Rows
    then: Case | None = None


def cases(table: str) -> list[Case]:
    """Reads the cases of a gold table."""
    found = yaml.safe_load((FOLDER / f"{table}.yaml").read_text())
    return [_case(name, **case) for name, case in found.items()]


def _case(name: str, inputs: dict[str, Rows], outputs: Rows, then: dict[str, Any] | None = None) -> Case:
    after = Case(name, inputs | then["inputs"], then["outputs"]) if then else None
    return Case(name, inputs, outputs, after)


def together(found: Iterable[Case]) -> Case:
    """All cases as one, with one step; each has days and keys of its own, so none changes what comes of another."""
    every = list(found)
    return replace(_union(every), then=_union([case.then or case for case in every]))


def _union(found: Sequence[Case]) -> Case:
    tables = {table for case in found for table in case.inputs}
    inputs = {table: [row for case in found for row in case.inputs.get(table, ())] for table in tables}
    return Case("all cases together", inputs, [row for case in found for row in case.outputs])


class Gold:
    """A gold table, computed from the rows of cases."""

    def __init__(self, spark: SparkSession, table: str, gold: GoldTable | None = None) -> None:
        self.spark = spark
        self.table = table
        self.declared = gold or declared.project().gold[table]
        self._made: dict[tuple[str, Case], Any] = {}

    @cached_property
    def silver(self) -> dict[str, dict[str, str]]:
        """Columns of its inputs."""
        known = silver_columns(declared.project())
        return {name: dict(known[name]) for name in self.declared.inputs}

    @property
    def columns(self) -> dict[str, str]:
        """Its own columns."""
        return {name: column.spark_type for name, column in self.declared.columns.items()}

    def expected(self, case: Case) -> Counter[Any]:
        """The rows that should come of a case."""
        if ("expected", case) not in self._made:
            rows = frame(self.spark, case.outputs, self.columns).collect()
            self._made["expected", case] = Counter(map(tuple, rows))
        return Counter(self._made["expected", case])

    def inputs(self, case: Case) -> dict[str, DataFrame]:
        """The case's silver tables."""
        return self._frames("inputs", case, {name: case.inputs.get(name, ()) for name in self.silver})

    def changed(self, case: Case) -> dict[str, DataFrame]:
        """The rows that a case's step changes, as they were and as they are."""
        assert case.then is not None
        differing = {}
        for name in self.silver:
            before, after = case.inputs.get(name, ()), case.then.inputs.get(name, ())
            differing[name] = [row for row in before if row not in after] + [row for row in after if row not in before]
        return self._frames("changed", case, differing)

    def _frames(self, what: str, case: Case, rows: Mapping[str, Rows]) -> dict[str, DataFrame]:
        if (what, case) not in self._made:
            made = {name: frame(self.spark, rows[name], columns) for name, columns in self.silver.items()}
            self._made[what, case] = made
        found: dict[str, DataFrame] = self._made[what, case]
        return found

    def anew(self, case: Case, gold: GoldTable | None = None) -> Counter[Any]:
        """Computes all rows from a case's inputs."""
        rows, _ = self._compute(gold or self.declared, self.inputs(case), self.inputs(case), increment=False)
        return rows

    def increment(self, case: Case, gold: GoldTable | None = None) -> Counter[Any]:
        """Computes the rows after a case's step from those before, and from what the step has changed."""
        assert case.then is not None
        rows, affected = self._compute(
            gold or self.declared, self.inputs(case.then), self.changed(case), increment=True
        )
        return self.left(case, affected) + rows

    def anew_each(self, case: Case, tables: Mapping[str, GoldTable]) -> dict[str, Counter[Any] | None]:
        """Computes all rows from a case's inputs by each of several definitions, together; None where it has other types."""
        with self.named(self.inputs(case), self.inputs(case), increment=False):
            return self._collected({name: self._frame(table.rows) for name, table in tables.items()})

    def increment_each(self, case: Case, tables: Mapping[str, GoldTable]) -> dict[str, Counter[Any] | None]:
        """Computes the rows after a case's step by each of several definitions of `rows`, together; None where it has other types."""
        assert case.then is not None
        with self.named(self.inputs(case.then), self.changed(case), increment=True) as affected:
            kept = self.left(case, affected)
            found = self._collected({name: self._frame(table.rows) for name, table in tables.items()})
        return {name: None if rows is None else kept + rows for name, rows in found.items()}

    def unaffected_each(self, case: Case, tables: Mapping[str, GoldTable]) -> dict[str, Counter[Any]]:
        """The rows that a case's step adds, changes or takes away, and that each of several definitions does not say it affects."""
        assert case.then is not None
        before, after = self.expected(case), self.expected(case.then)
        touched = (before - after) + (after - before)
        with self.named(self.inputs(case.then), self.changed(case), increment=True):
            frames = {name: self._frame(table.affected) for name, table in tables.items()}
            found = side_by_side(frames, self.declared.affected)
        # Of a query that fails nothing is affected.
        rows = {name: found.get(name, Counter()) for name in frames}
        return {name: self._without(touched, frames[name].columns, affected) for name, affected in rows.items()}

    @contextmanager
    def named(
        self, silver: Mapping[str, DataFrame], changed: Mapping[str, DataFrame], *, increment: bool
    ) -> Iterator[list[Any]]:
        """What the queries read has its names in the block, shared queries as the rows that they give; what is affected."""
        with computed(self.spark, self.table, self.declared, silver, changed, VALUES, increment=increment) as (
            found,
            _,
        ):
            affected = [row.asDict() for row in found.collect()] if increment else []
            names = [
                *self.declared.shared,
                *(f"changed_{n}" for n, q in self.declared.shared.items() if q.follows_changes),
            ]
            given = {name: self.spark.table(name) for name in names}
            for name, rows in given.items():
                as_rows(rows).createOrReplaceTempView(name)
            yield affected

    def _frame(self, sql: str) -> DataFrame:
        return self.spark.sql(Template(sql).substitute(VALUES))

    def _collected(self, frames: Mapping[str, DataFrame]) -> dict[str, Counter[Any] | None]:
        fitting = {
            name: rows
            for name, rows in frames.items()
            if [(field.name, field.dataType.simpleString()) for field in rows.schema] == list(self.columns.items())
        }
        found = side_by_side(fitting, self.declared.rows)
        return {name: found.get(name) for name in frames}

    def left(self, case: Case, affected: Sequence[Mapping[str, Any]]) -> Counter[Any]:
        """The rows that a case has before its step and that are not affected."""
        columns = list(affected[0]) if affected else []
        return self._without(self.expected(case), columns, [tuple(row.values()) for row in affected])

    def _without(self, rows: Counter[Any], columns: Sequence[str], affected: Collection[Any]) -> Counter[Any]:
        names = list(self.columns)
        place = [names.index(name) for name in columns]
        gone = set(affected)
        return Counter({row: n for row, n in rows.items() if tuple(row[i] for i in place) not in gone})

    def _compute(
        self, gold: GoldTable, silver: Mapping[str, DataFrame], changed: Mapping[str, DataFrame], *, increment: bool
    ) -> tuple[Counter[Any], list[Any]]:
        with computed(self.spark, self.table, gold, silver, changed, VALUES, increment=increment) as (affected, rows):
            found = Counter(map(tuple, rows.collect()))
            return found, [row.asDict() for row in affected.collect()] if increment else []


def side_by_side(frames: Mapping[str, DataFrame], like: str) -> dict[str, Counter[Any]]:
    """Collects the rows of several queries, which are about as long as one of them, by few jobs; a query that fails has none here."""
    at_once = max(1, _SIDE_BY_SIDE // len(like))
    found: dict[str, Counter[Any]] = {}
    names = list(frames)
    for first in range(0, len(names), at_once):
        some = names[first : first + at_once]
        try:
            found |= _collected({name: frames[name] for name in some})
        except (PySparkException, Py4JJavaError):
            for name in some:
                with suppress(PySparkException, Py4JJavaError):
                    found |= _collected({name: frames[name]})
    return found


def _collected(frames: Mapping[str, DataFrame]) -> dict[str, Counter[Any]]:
    found: dict[str, Counter[Any]] = {name: Counter() for name in frames}
    every = [rows.select(F.lit(name), "*") for name, rows in frames.items()]
    for name, *row in reduce(DataFrame.unionAll, every).collect():
        found[name][tuple(row)] += 1
    return found


def as_rows(found: DataFrame) -> DataFrame:
    """The rows of a query as they are, so that whoever reads them does not compute them again."""
    types = {field.name: field.dataType.simpleString() for field in found.schema}
    return frame(found.sparkSession, [row.asDict() for row in found.collect()], types)


def frame(spark: SparkSession, rows: Rows, columns: Mapping[str, str]) -> DataFrame:
    """Makes rows of text, cast to the columns' types; columns that a row lacks are null."""
    unknown = {name for row in rows for name in row} - columns.keys()
    assert not unknown, f"{', '.join(sorted(unknown))} not among {', '.join(columns)}"
    if not rows:
        return spark.sql(
            f"SELECT {', '.join(f'CAST(NULL AS {type_}) AS `{n}`' for n, type_ in columns.items())} WHERE false"
        )
    values = ", ".join(f"({', '.join(_literal(row.get(name)) for name in columns)})" for row in rows)
    names = ", ".join(f"`{name}`" for name in columns)
    cast = ", ".join(f"CAST(`{name}` AS {type_}) AS `{name}`" for name, type_ in columns.items())
    return spark.sql(f"SELECT {cast} FROM VALUES {values} AS t({names})")


def few_rows(spark: SparkSession) -> AbstractContextManager[None]:
    """Lets Spark do with one task for each step of a query, which is enough for rows that fit on a page."""
    settings = {
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.adaptive.enabled": "false",
        # Code is compiled for many rows.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    }
    return having(spark, settings)


def _literal(value: Any) -> str:
    return "NULL" if value is None else f"'{value}'"
