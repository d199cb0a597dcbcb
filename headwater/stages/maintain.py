"""Maintain: small files become large ones (OPTIMIZE), and files that only old versions need are deleted (VACUUM).

No row changes: readers, change feeds and transaction ids go on as if nothing had happened. Before, while every version is there, a
sample of each gold table is held to what its definition computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import randrange
from typing import TYPE_CHECKING

from headwater.config import Project
from headwater.errors import BooksError, LedgerError
from headwater.lake.delta import Table
from headwater.lake.session import having
from headwater.log import get_logger
from headwater.stages.compared import hold_to_definition

if TYPE_CHECKING:
    from headwater.job import Job

FULL_BYTES = 256 * 1024**2
"""Size of a full file. One that has half of it is never rewritten, so the cost grows with what is new and not with the table."""

log = get_logger(__name__)


def maintain_tables(job: Job) -> None:
    """Maintains every table that exists.

    Once all others are done, LedgerError names those that another run held, and BooksError those of gold that are not what their
    definitions compute, which stay as they are.
    """
    # Gold reads silver's change feed from the version it last used, and publishes gold's from the version it last published.
    # Old versions are kept as long as old objects: a failed Gold must still find its change feed.
    days = job.project.environment.retention.version_days
    failed = []
    with having(job.spark, _settings()):
        for lease, paths in _paths_by_lease(job.project).items():
            tables = [table for path in paths if (table := Table(job.spark, f"{job.lake.root}/{path}")).exists()]
            try:
                _maintain_group(job, lease, tables, days)
            except (LedgerError, BooksError) as error:
                log.warning("failed", lease=lease, error=str(error))
                failed.append(error)
    if failed:
        raise type(failed[0])("; ".join(map(str, failed)))


def _settings() -> dict[str, str]:
    return {
        "spark.databricks.delta.optimize.minFileSize": str(FULL_BYTES // 2),
        "spark.databricks.delta.optimize.maxFileSize": str(FULL_BYTES),
        # Two commits for each table and night, which say nothing that the log of this job does not.
        "spark.databricks.delta.vacuum.logging.enabled": "false",
        # VACUUM spreads a table's list of files over this many tasks; the default is ten thousand.
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "8",
    }


def _paths_by_lease(project: Project) -> dict[str, list[str]]:
    """Lists the tables by the lease that their writer holds: one writes a silver table and its quarantine."""
    bronze = [f"bronze/{table}" for table in project.table_paths("bronze")]
    gold = [f"gold/{table}" for table in project.table_paths("gold")]
    silver = {f"silver/{table}": [f"silver/{table}", f"quarantine/{table}"] for table in project.table_paths("silver")}
    return {path: [path] for path in bronze} | silver | {path: [path] for path in gold}


def _maintain_group(job: Job, lease: str, tables: Sequence[Table], days: int) -> None:
    """Maintains the tables that are written under one lease."""
    if not tables:
        return
    with job.lease(lease):
        if lease.startswith("gold/"):
            hold_to_definition(job, lease.removeprefix("gold/"), randrange(2**31))
        for table in tables:
            _maintain(table, days)


def _maintain(table: Table, days: int) -> None:
    delta = table.delta()
    [compacted] = delta.optimize().executeCompaction().collect()
    delta.vacuum(days * 24)
    files = compacted.metrics
    log.info("maintained", table=table.path, files_removed=files.numFilesRemoved, files_added=files.numFilesAdded)
