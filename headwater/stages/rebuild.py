"""Rebuild: a silver table is made anew of bronze, in one commit, where it was computed by another definition than is declared.

Readers see the table as it was until the commit, and the streams go on from where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame

from headwater import config
from headwater.config import Scd2Write
from headwater.config.definition import Definition, Difference, feeding, spelled, stored
from headwater.config.table import SCD2_COLUMNS
from headwater.errors import ConfigError
from headwater.lake.delta import Table
from headwater.lake.silver import OPERATION, carry_out, compared, hold_to_commit
from headwater.ledger.lease import Lease
from headwater.log import get_logger
from headwater.stages.remade import remade

if TYPE_CHECKING:
    from headwater.job import Job

log = get_logger(__name__)

_APP = "rebuild"


def definition_in(silver: Table, now: Definition) -> Definition:
    """Reads by which definition a table's rows were computed; what an earlier version of Headwater has written is taken for today's."""
    told = silver.latest_metadata().get("definition")
    if told is not None:
        return Definition.model_validate(told)
    there = {name.lower(): spelled(type_) for name, type_ in silver.types().items()}
    return now.of_table(there)


def is_due(job: Job, stream: str, silver: Table, table: config.Table) -> bool:
    """True when a table has to be made anew: since somebody has asked for it, or for what its declaration has become."""
    if not silver.exists():
        return False
    now = Definition.of(job.project, table)
    return _is_asked(job, stream, table) or _rebuilds(definition_in(silver, now).differences(now))


def _is_asked(job: Job, stream: str, table: config.Table) -> bool:
    """True for the first of the streams that feed a table whose rebuild was asked for: one rebuild does for all."""
    return table.table in job.rebuild and feeding(job.project, table.table)[0][:2] == (job.source_name, stream)


def _rebuilds(differences: Sequence[Difference]) -> bool:
    return any(difference.rebuilds for difference in differences)


def follow(job: Job, stream: str, silver: Table, table: config.Table, lease: Lease) -> Definition:
    """Brings a table to what is declared; returns the definition that the next commits of its streams carry.

    Columns that are new are added, and are NULL in the rows that are there until the table is rebuilt; what is declared no more is
    kept. Whatever else differs is a rebuild. ConfigError where one that nobody has asked for would take something away.
    """
    now = Definition.of(job.project, table)
    if not silver.exists():
        return now
    before = definition_in(silver, now)
    differences = before.differences(now)
    if _is_asked(job, stream, table) or _rebuilds(differences):
        _rebuild(job, silver, table, before, now, lease, asked=table.table in job.rebuild)
        return now
    if any(name not in before.columns for name in now.columns):
        _add_columns(silver, table)
    return before.carried_on(now)


def _add_columns(silver: Table, table: config.Table) -> None:
    there = {name.lower() for name in silver.types()}
    if new := {name: type_ for name, type_ in table.types.items() if name.lower() not in there}:
        silver.add_columns(new)


def _rebuild(
    job: Job, silver: Table, table: config.Table, before: Definition, now: Definition, lease: Lease, *, asked: bool
) -> None:
    why = [difference.what for difference in before.differences(now) if difference.rebuilds]
    log.info("rebuilds", table=table.table, asked=asked, why=why)
    lost = _losses(silver, before, now, table)
    rows, emptied = remade(job, silver, table, before, now)
    if lost or emptied:
        _refuse_or_tell(table, [*lost, *emptied], asked=asked)
    lease.check()
    _write(job, silver, table, rows, before, now, asked=asked)
    job.note_schema("silver", silver)


def _losses(silver: Table, before: Definition, now: Definition, table: config.Table) -> list[str]:
    """What of the table is there by no declaration, and would not be after a rebuild."""
    gone = [f"the rows of stream {stream}, which is declared no more" for stream in before.gone(now)]
    if _fits(before, now):
        return gone
    wanted = {name.lower() for name in (*table.types, *SCD2_COLUMNS)}
    return gone + [f"column {name}, which is declared no more" for name in silver.types() if name.lower() not in wanted]


def _fits(before: Definition, now: Definition) -> bool:
    """True where rows can be compared with those that are there: by the same key, in columns of the same types."""
    versions = [isinstance(told.write, Scd2Write) for told in (before, now)]
    types = all(
        stored(before.columns[name]) == stored(type_) for name, type_ in now.columns.items() if name in before.columns
    )
    return before.key == now.key and versions[0] == versions[1] and types


def _refuse_or_tell(table: config.Table, lost: Sequence[str], *, asked: bool) -> None:
    if asked:
        log.warning("a rebuild takes away", table=table.table, lost=list(lost))
        return
    raise ConfigError(
        f"table {table.table} has to be made anew, which would take away {'; '.join(lost)}. hint: have the expressions read every "
        "shape that bronze has, such as coalesce(new, old), or declare again what is missing; where it may go: "
        f"headwater rebuild {table.table}"
    )


def _write(
    job: Job, silver: Table, table: config.Table, made: DataFrame, before: Definition, now: Definition, *, asked: bool
) -> None:
    """Makes of the table what was made, in one commit: by what differs where rows can be compared, else whole."""
    told = {"run_id": job.run_id, "definition": now.model_dump(mode="json")}
    transaction = silver.version() + 2
    undeclared = {name.lower() for name in silver.types()} - {name.lower() for name in table.types}
    if not _fits(before, now) or (asked and undeclared):
        silver.overwrite(made, _APP, transaction, **told)
        log.info("rebuilt", table=table.table, whole=True)
        return
    _add_columns(silver, table)
    key = [*table.key, "valid_from"] if isinstance(table.write, Scd2Write) else table.key
    operations = compared(silver.read(), made, key, list(table.types)).persist()
    try:
        counts = {row[OPERATION]: row["count"] for row in operations.groupBy(OPERATION).count().collect()}
        with silver.transact(_APP, transaction, **told):
            carry_out(silver, table, operations, counts, {})
    finally:
        operations.unpersist()
    hold_to_commit(silver, silver.commit_of(_APP, transaction).metrics, counts)
    log.info("rebuilt", table=table.table, whole=False, **counts)
