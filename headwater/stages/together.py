"""Which batches of a stream go through a stage together: as many as wait, within bounds, so that a run costs by its rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame

from headwater.errors import BooksError
from headwater.ledger.entries import Manifest
from headwater.ledger.stream import StreamLedger
from headwater.quality.predicates import judge_rows, refused_before, row_predicates
from headwater.quality.typed import typed

if TYPE_CHECKING:
    from headwater.job import Job

MOST_BATCHES = 300
MOST_ROWS = 2_000_000
"""Beyond these a group ends: what a job that dies has to do again stays small."""


def together(ledger: StreamLedger, after: int, up_to: int, *, alone: bool = False) -> Iterator[list[Manifest]]:
    """Reads the manifests after a batch, oldest first, in the groups that go together; each by itself where they go `alone`.

    A batch that replays another, or has files of another, goes alone.
    """
    group: list[Manifest] = []
    for first in range(after + 1, up_to + 1, MOST_BATCHES):
        for manifest in ledger.manifests(first, min(first + MOST_BATCHES - 1, up_to)):
            full = len(group) == MOST_BATCHES or sum(m.rows for m in group) + manifest.rows > MOST_ROWS
            if group and (
                full or alone or _goes_alone(manifest) or _goes_alone(group[-1]) or manifest.format != group[-1].format
            ):
                yield group
                group = []
            group.append(manifest)
    if group:
        yield group


def _goes_alone(manifest: Manifest) -> bool:
    return manifest.replays is not None or any(
        f"/data/{manifest.batch:09d}/" not in file.key for file in manifest.files
    )


def typed_rows(job: Job, stream: str, group: list[Manifest]) -> DataFrame:
    """Reads the rows of a group from bronze, with the typed columns of their table; of a replay, those that are in quarantine."""
    declared = job.source.streams[stream]
    table = job.project.tables[declared.table]
    rows = typed(declared, table, job.lake.batches(group, declared))
    replayed = group[-1].replays
    if replayed is None:
        return rows
    quarantined = job.lake.quarantined(table, job.source_name, stream, (replayed, replayed))
    return refused_before(rows, quarantined)


def judged_now(job: Job, stream: str, rows: DataFrame) -> DataFrame:
    """Adds to typed rows of a stream the reasons that the policy of today and the tables of now have against them."""
    declared = job.source.streams[stream]
    table, policy = job.project.tables[declared.table], job.project.quality.get(declared.table)
    known = {
        check: job.lake.table("silver", check.table).read().select(check.column)
        for check in (policy.known if policy else ())
    }
    return judge_rows(rows, row_predicates(declared, table, policy), known)


def hold_to_manifests(group: list[Manifest], counted: dict[int, int]) -> None:
    """BooksError when other rows were read than the batches have; `counted` are the rows by batch."""
    for manifest in group:
        read = counted.get(manifest.replays or manifest.batch, 0)
        if read != manifest.rows:
            raise BooksError(
                f"{manifest.source}.{manifest.stream}: batch {manifest.batch} has {manifest.rows} rows, and bronze has {read}. "
                "hint: nothing of it is in silver; look at what was deleted or doubled in bronze, RESTORE it and run again"
            )
