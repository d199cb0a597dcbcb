"""The documents that the ledger holds: manifests, verdicts, decisions, books and leases, each frozen once it is written."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from headwater.ledger.positions import Position
from headwater.ledger.shape import FieldChange

VerdictName = Literal["pass", "warn", "halt"]


Days = tuple[date, date]
"""The first and the last day of a backfill."""


class Entry(BaseModel):
    """A frozen ledger document."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataFile(Entry):
    """One raw file of a batch: S3 key, rows, bytes."""

    key: str
    rows: int
    bytes: int


class TakenFile(Entry):
    """A version of a file in the landing bucket: its key and ETag."""

    key: str
    etag: str


class SetAside(Entry):
    """A file of which nothing could be read: its key, and what is wrong with it."""

    key: str
    problem: str
    message: str


class SourceRead(Entry):
    """One question to the source, such as a query, a request's pages or a file: the rows that answered it, and its seconds."""

    what: str
    rows: int
    seconds: float


class Manifest(Entry):
    """One batch of one stream: its files and the positions before and after it.

    `window` are the first and the last day of a backfill's batch; `fields` is what all batches so far taught of the rows,
    `drift` how this one's rows differ from those before, `relation` all columns that a database's relation has, by their type
    there, `beside` how those that are not read differ from those before, `left_out` how often rows had a field for which there was
    no room, `taken` the files of the landing bucket that it holds, and `set_aside` those of them that could not be read. `seconds`
    is how long the batch took from its beginning to this manifest, and `reads` what of it the source took. A batch that
    `replays` another has no files: its rows are those of the other that are in quarantine.
    """

    source: str
    stream: str
    batch: int
    run_id: str
    attempt: str
    created_at: datetime
    mode: Literal["incremental", "backfill"] = "incremental"
    format: Literal["jsonl", "parquet"]
    files: tuple[DataFile, ...]
    rows: int
    position_before: Position | None
    position_after: Position | None
    slices: tuple[dict[str, str], ...] | None = None
    window: Days | None = None
    fields: dict[str, str] = {}
    drift: tuple[FieldChange, ...] = ()
    relation: dict[str, str] | None = None
    beside: tuple[FieldChange, ...] = ()
    left_out: int = 0
    taken: tuple[TakenFile, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    seconds: float | None = None
    reads: tuple[SourceRead, ...] = ()
    replays: int | None = None


class Carried(Entry):
    """The batches up to one are in bronze, since a version of the table."""

    batch: int
    version: int


class CheckResult(Entry):
    """What one check found in a batch."""

    check: str
    level: str
    passed: bool
    failed_rows: int | None = None
    value: float | None = None
    message: str = ""


class Verdict(Entry):
    """Whether a batch may go on to silver."""

    source: str
    stream: str
    batch: int
    run_id: str
    verdict: VerdictName
    rows: int
    checks: tuple[CheckResult, ...]


class Decision(Entry):
    """What a person decided about a halted batch, and why."""

    batch: int
    decision: Literal["release", "discard"]
    reason: str
    by: str
    at: datetime


class Book(Entry):
    """What became of every row of a batch, each number counted where it happens; `balances` says that none is missing.

    `stale` rows are older than what silver has. `recovered` are rows of earlier batches that were refused for what was not known
    then, and have gone to silver with this one. `deleted` are rows of silver that the batch no longer has.
    """

    source: str
    stream: str
    batch: int
    run_id: str
    extracted: int
    silver_inserted: int
    silver_updated: int
    unchanged: int
    quarantined: int
    duplicates: int
    stale: int = 0
    recovered: int = 0
    deleted: int = 0
    discarded: int = 0
    reasons: dict[str, int] = {}

    @property
    def balances(self) -> bool:
        """True when the rows extracted equal the rows accounted for."""
        accounted = self.silver_inserted + self.silver_updated + self.unchanged + self.quarantined + self.duplicates
        return self.extracted == accounted + self.stale + self.discarded


class StageRun(Entry):
    """What one job run of a stage did for one stream, or for one table of gold or of the warehouse.

    `table` is that of Gold and Load, which have no stream.
    Rows are counted where they are read and written; `rejected` are those that were refused, by reason, of which a row may have
    several. `checks` are the results of Check, one for each check, over all the batches that were judged.
    """

    run_id: str
    stage: str
    job_run_id: str
    source: str | None = None
    stream: str | None = None
    table: str | None = None
    started_at: datetime
    ended_at: datetime
    succeeded: bool
    rows_read: int = 0
    rows_inserted: int = 0
    rows_changed: int = 0
    rows_deleted: int = 0
    rows_rejected: int = 0
    rejected: dict[str, int] = {}
    messages: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()

    @property
    def did_something(self) -> bool:
        """True where rows were read or written, or where it failed."""
        rows = self.rows_read + self.rows_inserted + self.rows_changed + self.rows_deleted + self.rows_rejected
        return rows > 0 or not self.succeeded


class RunEnd(Entry):
    """The end of a run that failed before its audit: when, in which stage, and of what."""

    run_id: str
    started_at: datetime
    ended_at: datetime
    stage: str
    error: str
    cause: str


class Held(Entry):
    """Why a stream is held back or a gold table is stale: the stage, what happened there, and the newest run that met it.

    `batch` is the one that waits for a person's decision.
    """

    run_id: str
    stage: str
    error: str
    cause: str
    batch: int | None = None


class LeaseHolder(Entry):
    """Who holds a lease: a Glue job run, until it ends."""

    number: int
    job_name: str
    job_run_id: str
    taken_at: datetime
