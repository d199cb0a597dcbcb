"""Gold by increments is gold computed anew, after whatever has changed; and another definition computes all anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config import GoldTable
from headwater.deploy.gold_sql import gold_table
from headwater.lake.tables import Lake
from headwater.stages.gold import build_gold
from tests.support import declared
from tests.support.gold_cases import TABLES, THOUSANDS, VALUES, Gold, few_rows

SEEDS = 300
"""Histories that share a world; each has keys and days of its own, so one that differs is told by them."""
CURRENCIES = ["EUR", "GBP", "USD"]
Row = dict[str, str | None]
World = dict[str, list[Row]]


@pytest.fixture(scope="module", autouse=True)
def quick(spark: SparkSession) -> Iterator[None]:
    with few_rows(spark):
        yield


class Drawn:
    """Random rows of a gold table's inputs, in which few values meet often."""

    def __init__(self, gold: Gold, seed: int) -> None:
        self.gold, self.random = gold, Random(seed)
        self.words = {
            "currency": CURRENCIES,
            "base": ["EUR"],
            "quote": CURRENCIES,
            "status": ["completed", "cancelled"],
        }
        self.others = [f"{seed}-a", f"{seed}-b"]
        self.numbers = [seed * 3 + n for n in range(3)]
        # Whose record something is, is found by the text of its key.
        self.words |= {
            "record_id": [str(number) for number in self.numbers],
            "source": ["shop", "hubspot", "snowflake"],
            "event_name": ["Charged", "UTM Visited"],
        }
        # The day after the last of a month, and minutes around midnight, are where sums go astray.
        first = date(1900, 1, 31) + timedelta(days=70 * seed)
        self.days = [first + timedelta(days=days) for days in (0, 1, 11, 29)]
        self.keys = {name: table.key for name, table in declared.project().silver.items()}

    def row(self, name: str) -> Row:
        key = [*self.keys[name], *self.gold.declared.grain]
        told = {column: self.value(column, type_) for column, type_ in self.gold.silver[name].items()}
        missing = {"deleted_at": 0.8, "valid_from": 0.0} | dict.fromkeys(key, 0.0)
        return {c: None if self.random.random() < missing.get(c, 0.05) else value for c, value in told.items()}

    def value(self, column: str, type_: str) -> str:
        match type_.partition("(")[0]:
            case "string":
                return self.random.choice(self.words.get(column, self.others))
            case "boolean":
                return self.random.choice(["true", "false"])
            case "date":
                return str(self.random.choice(self.days))
            case "timestamp":
                return f"{self.random.choice(self.days)} {self.random.choice(['00:01', '12:00', '23:59'])}:00"
            case "decimal":
                return self.random.choice(["0.50", "1.25", "7.75"])
            case _:
                return str(self.random.choice(self.numbers))

    def one_of_each_key(self, name: str, rows: list[Row]) -> list[Row]:
        key = [*self.keys[name], *(["valid_from"] if "valid_from" in self.gold.silver[name] else [])]
        return list({tuple(row[column] for column in key): row for row in rows}.values())

    def before_and_after(self) -> tuple[World, World]:
        """A world, and what becomes of it: rows that are new, gone, or have another value in one column."""
        before, after = {}, {}
        for name in self.gold.silver:
            rows = self.one_of_each_key(name, [self.row(name) for _ in range(self.random.randint(1, 5))])
            then = [row for row in rows if self.random.random() < 0.8]
            for row in then:
                if self.random.random() < 0.4:
                    column = self.random.choice(list(row))
                    if column not in self.keys[name]:
                        then[then.index(row)] = row | {column: self.value(column, self.gold.silver[name][column])}
            then += [self.row(name) for _ in range(self.random.randint(0, 1))]
            before[name], after[name] = rows, self.one_of_each_key(name, then)
        return before, after


def frames(gold: Gold, world: World) -> dict[str, DataFrame]:
    made = {}
    for name, columns in gold.silver.items():
        texts = T.StructType([T.StructField(column, T.StringType()) for column in columns])
        rows = gold.spark.createDataFrame([tuple(row[column] for column in columns) for row in world[name]], texts)
        made[name] = rows.select(*[_typed(column, type_).alias(column) for column, type_ in columns.items()]).cache()
    return made


def _typed(column: str, type_: str) -> Column:
    """A text as a value of a type; of what has parts, as the notes of a row, only JSON is one."""
    return F.from_json(column, type_) if "<" in type_ else F.col(column).cast(type_)


@pytest.mark.parametrize("table", TABLES)
def test_an_increment_comes_to_what_computing_all_anew_does(table: str, spark: SparkSession) -> None:
    gold = Gold(spark, table)
    before: World = {name: [] for name in gold.silver}
    after: World = {name: [] for name in gold.silver}
    for seed in range(SEEDS):
        for world, drawn in zip((before, after), Drawn(gold, seed).before_and_after(), strict=True):
            for name, rows in drawn.items():
                world[name] += rows
    was = {name: {tuple(row.items()) for row in rows} for name, rows in before.items()}
    now = {name: {tuple(row.items()) for row in rows} for name, rows in after.items()}
    changed = {name: [dict(row) for row in was[name] ^ now[name]] for name in gold.silver}
    told = [frames(gold, world) for world in (before, after, changed)]
    old, _ = gold._compute(gold.declared, told[0], told[0], increment=False)
    new, _ = gold._compute(gold.declared, told[1], told[1], increment=False)
    increment, affected = gold._compute(gold.declared, told[1], told[2], increment=True)
    names = list(gold.columns)
    place = [names.index(name) for name in affected[0]]
    gone = {tuple(row.values()) for row in affected}
    kept = Counter({row: n for row, n in old.items() if tuple(row[i] for i in place) not in gone})
    assert len(old) > SEEDS / 20
    assert kept + increment == new


class Built:
    """A gold table over one silver table, built by whatever THOUSANDS it is given."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.gold, self.silver = lake.table("gold", "thousands"), lake.table("silver", "fx_rates")

    def put(self, *ids: int) -> None:
        self.lake.spark.createDataFrame([(id_,) for id_ in ids], "id bigint").write.format("delta").mode("append").save(
            self.silver.path
        )

    def build(self, sql: str = THOUSANDS, *, asked: bool = False) -> list[tuple[Any, ...]]:
        definition: GoldTable = gold_table("thousands", sql)
        environment = SimpleNamespace(**VALUES)
        project = SimpleNamespace(gold={"thousands": definition}, environment=environment)
        job: Any = SimpleNamespace(
            project=project,
            lake=self.lake,
            spark=self.lake.spark,
            run_id="r",
            rebuild=frozenset(("thousands",) if asked else ()),
        )
        lease: Any = SimpleNamespace(check=lambda: None)
        build_gold(job, "thousands", lease)
        return sorted(map(tuple, self.gold.read().collect()))


@pytest.fixture
def built(lake: Lake) -> Built:
    built = Built(lake)
    built.put(1, 2, 1001)
    assert built.build() == [(0, 2), (1, 1)]
    return built


def test_another_formula_is_that_of_every_row_and_not_of_what_changes_next_alone(built: Built) -> None:
    tenfold = THOUSANDS.replace("count(*)", "count(*) * 10")
    assert built.build(tenfold) == [(0, 20), (1, 10)]
    version = built.gold.version()
    assert built.build(tenfold) == [(0, 20), (1, 10)]
    assert built.gold.version() == version
    built.put(1002)
    assert built.build(tenfold) == [(0, 20), (1, 20)]


def test_another_word_about_a_column_computes_nothing(built: Built) -> None:
    version = built.gold.version()
    built.build(THOUSANDS.replace("how many\n", "how many there are\n"))
    assert built.gold.version() == version


def test_rows_that_another_definition_does_not_have_go(built: Built) -> None:
    few = THOUSANDS.replace("GROUP BY ALL", "AND id < 1000 GROUP BY ALL")
    assert built.build(few) == [(0, 2)]


def test_a_column_that_is_new_is_there_for_every_row_in_one_commit(built: Built) -> None:
    version = built.gold.version()
    wider = THOUSANDS.replace("-- affected", "-- greatest BIGINT: the greatest\n-- affected").replace(
        "count(*) AS rates", "count(*) AS rates, max(id) AS greatest"
    )
    assert built.build(wider) == [(0, 2, 2), (1, 1, 1001)]
    assert built.gold.version() == version + 1
    assert built.build(THOUSANDS) == [(0, 2), (1, 1)]


def test_a_silver_table_that_was_dropped_and_made_anew_is_read_anew(built: Built, spark: SparkSession) -> None:
    built.put(3)
    built.build()
    jvm: Any = spark._jvm
    path = jvm.org.apache.hadoop.fs.Path(built.silver.path)
    path.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf()).delete(path, True)
    jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
    built.put(5000)
    assert built.build() == [(5, 1)]


def test_a_silver_table_that_was_written_whole_with_other_types_is_read_anew(built: Built, spark: SparkSession) -> None:
    rows = spark.createDataFrame([(1,), (3001,)], "id int")
    built.silver.overwrite(rows, "rebuild", 9)
    version = built.gold.version()
    assert built.build() == [(0, 1), (3, 1)]
    # As one commit, which says no more than what differs.
    assert built.gold.version() == version + 1
    assert built.build() == [(0, 1), (3, 1)]
    assert built.gold.version() == version + 1


def test_a_rebuild_that_was_asked_for_computes_every_row(built: Built) -> None:
    built.gold.delta().update(set={"rates": "99L"})
    assert built.build() == [(0, 99), (1, 99)]
    assert built.build(asked=True) == [(0, 2), (1, 1)]


def test_gold_that_was_restored_goes_on_from_what_it_has(built: Built) -> None:
    built.put(2001)
    built.build()
    built.put(3001)
    assert built.build() == [(0, 2), (1, 1), (2, 1), (3, 1)]
    built.gold.delta().restoreToVersion(0)
    assert built.build() == [(0, 2), (1, 1), (2, 1), (3, 1)]
    built.put(2002)
    assert built.build() == [(0, 2), (1, 1), (2, 2), (3, 1)]
