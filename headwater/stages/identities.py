"""Identities: who is whom, brought up to date with the silver tables that say it, before gold reads it.

It is computed whole whenever one of these has changed, and what differs is written, in one commit with the versions that were read: so
an increment is a rebuild, but for the times since when something has been known.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from headwater.lake.silver import OPERATION, carry_out, compared, hold_to_commit
from headwater.ledger.lease import Lease
from headwater.log import get_logger
from headwater.stages.linked import history, linked, records

if TYPE_CHECKING:
    from headwater.job import Job

log = get_logger(__name__)


def build_identities(job: Job, name: str, lease: Lease) -> None:
    """Brings a table of who is whom up to date, in one commit; does nothing when nothing changed and nobody asked for a rebuild.

    A member whose table is not there yet has no records. LedgerError when another run has taken the `lease` over.
    """
    declared = job.project.identities[name]
    table, target = declared.table, job.lake.table("silver", name)
    built = target.latest_metadata()
    used: dict[str, int] = built.get("silver", {})
    silver = {member.table: job.lake.table("silver", member.table) for member in declared.members.values()}
    versions = {read: source.data_version(used.get(read, -1)) for read, source in silver.items()}
    there = {read: source.read() for read, source in silver.items() if versions[read] >= 0}
    same = used == versions and built.get("definition") == declared.definition
    if not there or (same and name not in job.rebuild):
        log.info("unchanged", table=name)
        return
    found = records(declared, job.project.tables, there).localCheckpoint()
    with job.sized(found.count()):
        now = linked(found, declared.links)
        before = target.read() if target.exists() else job.spark.createDataFrame([], _schema(table.types))
        wanted = history(before, now, F.lit(datetime.now(UTC)).cast("timestamp"))
        operations = compared(before, wanted, table.key, list(table.types)).localCheckpoint()
        counts = {row[OPERATION]: row["count"] for row in operations.groupBy(OPERATION).count().collect()}
        lease.check()
        transaction = target.version() + 2
        told = {"silver": versions, "definition": declared.definition, "run_id": job.run_id}
        with target.transact(f"identities.{name}", transaction, **told):
            carry_out(target, table, operations, counts, {})
        hold_to_commit(target, target.commit_of(f"identities.{name}", transaction).metrics, counts)
    job.note_schema("silver", target)
    log.info("built", table=name, silver=versions, **counts)


def _schema(types: dict[str, str]) -> str:
    return ", ".join(f"`{name}` {type_}" for name, type_ in types.items())
