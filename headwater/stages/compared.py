"""Gold held to its definition: groups that are drawn anew each time are computed once more, of the silver that they came of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config.definition import definition_of, gold_values
from headwater.errors import BooksError
from headwater.log import get_logger
from headwater.stages.gold import computed

if TYPE_CHECKING:
    from headwater.config import GoldTable
    from headwater.job import Job

MOST_GROUPS = 200
"""Drawn of what a table has, and as many of what rows of silver are of: a group that is missing is in none of the table's."""

log = get_logger(__name__)


def hold_to_definition(job: Job, table: str, seed: int) -> None:
    """BooksError when groups of a gold table, drawn by `seed`, are not what its definition computes of silver.

    A table that another definition has made, or that silver has gone on from, is left for Gold to compute.
    """
    declared = job.project.gold[table]
    gold = job.lake.table("gold", table)
    values = gold_values(job.project.environment)
    built = gold.latest_metadata()
    if built.get("definition") != definition_of(declared, values):
        log.info("not compared", table=table, why="its definition has changed since it was built")
        return
    inputs = {name: job.lake.table("silver", name) for name in declared.inputs}
    # Pinned before it is asked whether they are what gold has used: none of what is committed meanwhile is read.
    silver = {name: source.read(source.version()) for name, source in inputs.items()}
    if any(source.data_version(built["silver"][name]) != built["silver"][name] for name, source in inputs.items()):
        log.info("not compared", table=table, why="silver has gone on")
        return
    rows_there = gold.read().select(*declared.columns)

    def drawn(affected: DataFrame) -> DataFrame:
        there = _some(rows_there.select(*affected.columns).distinct(), seed)
        return _some(affected, seed).unionByName(there).distinct()

    some = {name: _some(rows, seed) for name, rows in silver.items()}
    with computed(job.spark, table, declared, silver, some, values, increment=True, drawn=drawn) as (groups, rows):
        wanted = rows.select(*_comparable(declared))
        there = rows_there.join(F.broadcast(groups), groups.columns, "left_semi").select(*_comparable(declared))
        number, lacking, wrong = groups.count(), wanted.exceptAll(there).count(), there.exceptAll(wanted).count()
    if lacking or wrong:
        raise BooksError(
            f"gold table {table}: of {number} groups that were drawn (seed {seed}) {lacking} rows are not there as they are computed "
            f"today, and {wrong} are there that are not. hint: headwater rebuild {table} computes the table anew"
        )
    log.info("compared", table=table, groups=number, seed=seed)


def _some(rows: DataFrame, seed: int) -> DataFrame:
    return rows.orderBy(F.rand(seed)).limit(MOST_GROUPS)


def _comparable(declared: GoldTable) -> list[Column]:
    """The columns of a table; the last digits of a sum of floating point go by the order in which it was added up."""
    return [
        F.format_string("%.9g", name).alias(name) if column.spark_type == "double" else F.col(f"`{name}`")
        for name, column in declared.columns.items()
    ]
