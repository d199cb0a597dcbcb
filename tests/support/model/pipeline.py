"""The runs of a pipeline in memory: what the stages decide is their own code, what Spark would do to rows is done to lists."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from headwater.config import MergeWrite
from headwater.errors import HeadwaterError, LedgerError
from headwater.lake.silver import hold_to_commit
from headwater.ledger.batch import BatchWriter
from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import Book, CheckResult, DataFile, Decision, Manifest
from headwater.ledger.lease import Lease, hold_lease
from headwater.ledger.positions import RecordsPosition
from headwater.ledger.stream import Ledger
from headwater.run.load import load_changes
from headwater.run.turn import take_turn
from headwater.stages import silver as silver_stage
from headwater.stages.check import check_stream
from headwater.stages.extract import extract_stream
from headwater.stages.silver import silver_stream
from headwater.stages.together import hold_to_manifests
from headwater.warehouse.changes import FIRST, ChangeFile, ChangeLog
from tests.support.faulty_s3 import FaultyS3
from tests.support.model.tables import MemoryTable, Row
from tests.support.model.warehouse import Warehouse
from tests.support.model.world import Killed, Process, World

SOURCE, STREAM, TABLE = "shop", "orders", "orders"
APP_ID = f"{SOURCE}.{STREAM}"
_EXECUTION = "arn:aws:states:eu-west-1:000000000000:execution:model"
_TRIES = 3
_LOOKS = 30
_SENT_RATE = 0.02
_DEPLOYED_RATE = 0.02


class StageFailedError(Exception):
    """A stage of a run that could not be carried out, as often as the state machine tries."""


@dataclass
class MemoryLake:
    """The tables of the lake, and the rows of raw files."""

    tables: dict[str, MemoryTable]
    s3: FaultyS3
    world: World

    def table(self, zone: str, name: str) -> MemoryTable:
        """A table of a zone."""
        return self.tables.setdefault(f"{zone}/{name}", MemoryTable(f"{zone}/{name}", self.world))

    def bronze(self, source: str, stream: str) -> MemoryTable:
        """A stream's bronze table."""
        return self.table("bronze", f"{source}/{stream}")

    def append_bronze(self, _raw: str, group: Sequence[Manifest], _declared: Any, *, evolves: bool) -> int:
        """Appends the rows of raw files, once."""
        bronze, last = self.bronze(SOURCE, STREAM), group[-1]
        rows = [
            {**row, "batch": manifest.batch, "place": place}
            for manifest in group
            for place, row in enumerate(row for file in manifest.files for row in json.loads(self.s3.objects[file.key]))
        ]
        with bronze.transact(APP_ID, last.batch):
            bronze.commit("WRITE", [*bronze.rows, *rows], numOutputRows=len(rows))
        return bronze.commit_of(APP_ID, last.batch).version

    def rows_of(self, group: Sequence[Manifest]) -> list[Row]:
        """The rows of batches; LedgerError where bronze has not all of them."""
        bronze = self.bronze(SOURCE, STREAM)
        if bronze.transaction(APP_ID) < group[-1].batch:
            raise LedgerError(f"{APP_ID}: bronze has not batch {group[-1].batch}")
        batches = {manifest.batch for manifest in group}
        return [row for row in bronze.rows if row["batch"] in batches]

    def write_quarantine(self, _table: Any, group: Sequence[Manifest], refused: list[Row]) -> int:
        """Appends refused rows, once."""
        quarantine = self.table("quarantine", TABLE)
        with quarantine.transact(APP_ID, group[-1].batch):
            quarantine.commit("WRITE", [*quarantine.rows, *refused], numOutputRows=len(refused))
        return quarantine.commit_of(APP_ID, group[-1].batch).metrics["numOutputRows"]


@dataclass
class MemoryJob:
    """What the stages use of a job."""

    pipeline: Pipeline
    process: Process
    run_id: str
    source_name: str = SOURCE
    days: None = None

    def __post_init__(self) -> None:
        self.project, self.ledger, self.lake = self.pipeline.project, self.pipeline.ledger, self.pipeline.lake
        self.source = self.project.sources[SOURCE]
        self.strict = self.pipeline.strict

    def arrived(self, stream: str) -> list[Manifest]:
        """The manifests beyond the bookmark."""
        return self.ledger.stream(SOURCE, stream).since(self.pipeline.bookmark)

    @contextmanager
    def lease(self, name: str) -> Iterator[Lease]:
        """Holds a lease, as a job does."""
        job, ended, rest = self.process.name, self.pipeline.has_ended, self.pipeline.world.rest
        with hold_lease(self.ledger.bucket, name, job, job, ended, sleep=rest) as lease:
            yield lease

    def sized(self, _rows: int) -> AbstractContextManager[None]:
        """Changes nothing."""
        return nullcontext()

    def note_schema(self, _zone: str, _table: MemoryTable) -> None:
        """Notes nothing: no column ever changes."""


class Pipeline:
    """One source with one stream, from what it has sent to what a reader of the warehouse finds."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.s3 = FaultyS3(self.world)
        bucket = Bucket(self.s3, "raw")  # type: ignore[arg-type]
        self.ledger = Ledger(bucket)
        self.lake = MemoryLake({}, self.s3, self.world)
        self.warehouse = Warehouse(self.world, self.s3.objects, TABLE)
        self.world.meanwhile = self._meanwhile
        self.stream = self.ledger.stream(SOURCE, STREAM)
        self.changes = ChangeLog(bucket, TABLE)
        self.sent: list[Row] = []
        self.strict = False
        """Whether the policy that is deployed refuses doubtful rows too."""
        self.deploys = False
        """Whether another policy may be deployed at any moment."""
        self.busy = False
        """Whether the source makes rows at any moment."""
        self.bookmark = 0
        self.executions: dict[str, str] = {}
        self.processes: dict[str, Process] = {}
        source = SimpleNamespace(streams={STREAM: SimpleNamespace(table=TABLE, raw_fields=None)})
        table = SimpleNamespace(table=TABLE, write=MergeWrite())
        warehouse = SimpleNamespace(workgroup="w", database="d", copy_role="arn:aws:iam::000000000000:role/copy")
        environment = SimpleNamespace(warehouse=warehouse, bucket=lambda name: name)
        self.project = SimpleNamespace(
            sources={SOURCE: source},
            tables={TABLE: table},
            gold={TABLE: None},
            quality={},
            environment=environment,
            drift_of=lambda _source, _stream: "warn",
        )
        self.opened: Any = SimpleNamespace(project=self.project, ledger=self.ledger, lake=bucket)

    # What happens at the source, and what people do.

    def send(self, rows: int) -> None:
        """Has the source make rows: some are never taken, some doubtful, some halt their batch."""
        draw = self.world.random
        for _ in range(rows):
            row = {"number": len(self.sent), "id": draw.randrange(6), "value": draw.randrange(3)}
            kind = draw.choices(("good", "bad", "doubtful", "halting"), (10, 2, 4, 1))[0]
            self.sent.append({**row, "kind": kind})

    def _meanwhile(self) -> None:
        self.warehouse.end_one()
        if self.busy and self.world.random.random() < _SENT_RATE:
            self.send(1)
        if self.deploys and self.world.random.random() < _DEPLOYED_RATE:
            self.strict = not self.strict

    def decide(self, decision: Any) -> bool:
        """Has a person decide on the batch that is held back, if one is."""
        first = self.stream.closed_up_to() + 1
        verdict = self.stream.verdict(first)
        if verdict is None or verdict.verdict != "halt" or self.stream.decision(first):
            return False
        self.stream.decide(Decision(batch=first, decision=decision, reason="r", by="me", at=datetime.now(UTC)))
        return True

    def restore(self, zone: str) -> None:
        """Has a person put a table back to one of its versions, and for bronze rewind the bookmark, as the runbook says."""
        name = f"{SOURCE}/{STREAM}" if zone == "bronze" else TABLE
        table = self.lake.table(zone, name)  # type: ignore[arg-type]
        if table.versions:
            table.restore(self.world.random.randrange(len(table.versions)))
            self.bookmark = 0

    # The state machine.

    def run(self, run_id: str) -> None:
        """Runs once; how it ended is in `executions`."""
        self.executions[run_id] = "RUNNING"
        try:
            went_well = self._stages(run_id)
        except StageFailedError:
            went_well = False
        self.executions[run_id] = "SUCCEEDED" if went_well else "FAILED"

    def _stages(self, run_id: str) -> bool:
        """Goes through the stages of a run; False where a batch is held back, or a load has no end."""
        self._job("extract", run_id, self._extract)
        while not self._call(lambda: take_turn(self.opened, self, f"{_EXECUTION}:{run_id}", {}))["taken"]:
            self.world.rest()
        self._job("check", run_id, lambda job: check_stream(job, STREAM))
        self._job("silver", run_id, lambda job: silver_stream(job, STREAM))
        if self._call(lambda: self.stream.closed_up_to() < self.stream.judged_up_to()):
            return False
        self._job("gold", run_id, self._gold)
        load: Mapping[str, Any] = {}
        for _ in range(_LOOKS):
            load = self._call(lambda last=load: self._load(run_id, last))
            if load["done"]:
                return True
        # A person has stopped it; what the warehouse has begun goes on.
        return False

    class exceptions:  # noqa: N801 - boto3's own name
        """The errors of Step Functions."""

        class ExecutionDoesNotExist(Exception):  # noqa: N818
            """No such execution."""

    def describe_execution(self, *, executionArn: str) -> dict[str, str]:  # noqa: N803
        """Tells of a run, as Step Functions does."""
        return {"status": self.executions[executionArn.rpartition(":")[2]]}

    def has_ended(self, _job_name: str, job_run_id: str) -> bool:
        """Tells of a job run, as Glue does."""
        return self.processes[job_run_id].ended

    def _job(self, name: str, run_id: str, stage: Any) -> None:
        for attempt in range(2):
            process = self.processes[f"{run_id}-{name}-{attempt}"] = Process(f"{run_id}-{name}-{attempt}")
            went_well: list[bool] = []

            def work(process: Process = process, went_well: list[bool] = went_well) -> None:
                with suppress(Killed, ClientError, HeadwaterError):
                    stage(MemoryJob(self, process, run_id))
                    went_well.append(True)

            self.world.wait_for(process, work)
            if went_well:
                return
        raise StageFailedError(name)

    def _call(self, function: Any) -> Any:
        for _ in range(_TRIES):
            self.world.begin("function")
            with suppress(Killed, ClientError, HeadwaterError):
                return function()
        raise StageFailedError("function")

    def _load(self, run_id: str, last: Mapping[str, Any]) -> dict[str, Any]:
        return load_changes(self.opened, self.warehouse, run_id, last, self.world.rest)

    # What the jobs do: glue_jobs, less Glue.

    def _extract(self, job: Any) -> None:
        newest = self.stream.extracted_up_to()
        extract_stream(job, STREAM)
        self.bookmark = newest

    def _gold(self, job: Any) -> None:
        with job.lease(f"gold/{TABLE}") as lease:
            self._build(job, lease)
            self._publish()

    def _build(self, job: Any, lease: Lease) -> None:
        gold, silver = self.lake.table("gold", TABLE), self.lake.table("silver", TABLE)
        version = silver.data_version(-1)
        if version < 0 or gold.latest_metadata().get("silver") == version:
            return
        rows = [{"id": row["id"], "value": row["value"]} for row in silver.rows]
        lease.check()
        with gold.transact(f"gold.{TABLE}", gold.version() + 2, silver=version, run_id=job.run_id):
            gold.commit("MERGE", rows)

    def _publish(self) -> None:
        gold, last = self.lake.table("gold", TABLE), self.changes.latest_version()
        version = gold.data_version(last)
        if version <= last:
            return
        since, number = self.changes.next_since(last, ("id", "value"))
        before = {} if since == FIRST else {row["id"]: row["value"] for row in gold.versions[since].rows}
        now = {row["id"]: row["value"] for row in gold.rows}
        rows = [[key, value, "upsert", version] for key, value in now.items() if before.get(key) != value]
        rows += [[key, None, "delete", version] for key in before.keys() - now.keys()]
        folder = self.changes.folder(version)
        self.s3.put_object(Key=f"{folder}/part.parquet", Body=json.dumps(rows).encode())
        entries = self.changes.entries(folder)
        self.changes.publish(ChangeFile(TABLE, ("id",), ("id", "value"), version, entries, since, len(rows), number))


# What Spark does, to lists.


def read(job: MemoryJob, _source: Any, _stream: str, writer: BatchWriter, _days: None) -> Manifest | None:
    """Reads what the source has sent since the position into a batch."""
    before = writer.before(RecordsPosition)
    first = before.records if before else 0
    rows = job.pipeline.sent[first : first + job.pipeline.world.random.randint(1, 3)]
    if not rows:
        return None
    key = f"{writer.data_prefix}/part-00000.jsonl"
    job.pipeline.s3.put_object(Key=key, Body=json.dumps(rows).encode())
    writer.files.append(DataFile(key=key, rows=len(rows), bytes=1))
    return writer.commit(RecordsPosition(records=first + len(rows)))


def checks(job: MemoryJob, _stream: str, group: list[Manifest]) -> dict[int, tuple[CheckResult, ...]]:
    """Judges batches: one with a halting row halts."""
    rows = job.lake.rows_of(group) if group else []
    hold_to_manifests(group, Counter(row["batch"] for row in rows))
    halted = {row["batch"] for row in rows if row["kind"] == "halting"}
    results = {manifest.batch: manifest.batch not in halted for manifest in group}
    return {batch: (CheckResult(check="c", level="halt", passed=passed),) for batch, passed in results.items()}


def write(
    job: Any,
    _stream: str,
    group: list[Manifest],
    discarded: set[int],
    _definition: None,
    lease: Lease,
    *,
    refused: int,
    written: int,
) -> list[Book]:
    """Writes what a group has to quarantine and to silver, in the order of headwater/stages/silver.py."""
    table, last = job.project.tables[TABLE], group[-1]
    silver, quarantine = job.lake.table("silver", TABLE), job.lake.table("quarantine", TABLE)
    carried = [manifest for manifest in group if manifest.batch not in discarded]
    rows = job.lake.rows_of(carried) if carried else []
    hold_to_manifests(carried, Counter(row["batch"] for row in rows))
    if last.batch <= refused:
        there = {row["number"] for row in quarantine.rows}
    else:
        kinds = {"bad", "doubtful"} if job.strict else {"bad"}
        there = {row["number"] for row in rows if row["kind"] in kinds}
    bad: Any = [row for row in rows if row["number"] in there]
    if bad and last.batch > refused:
        silver_stage._quarantine(job, table, group, bad, len(bad), lease, written)
    fates: dict[int, Counter[str]] = {manifest.batch: Counter() for manifest in group}
    before = {row["id"]: row for row in silver.rows}
    newest = {row["id"]: row for row in rows if row["number"] not in there}
    operations: Counter[str] = Counter()
    for row in rows:
        fates[row["batch"]][_fate(row, there, newest, before)] += 1
    for row in newest.values():
        operations.update({_fate(row, there, newest, before): 1})
    changed = {key: row for key, row in newest.items() if _fate(row, there, newest, before) != "unchanged"}
    books = [_book(job, manifest, fates[manifest.batch], manifest.batch in discarded) for manifest in group]
    silver_stage._hold_to_balance(books)
    lease.check()
    if last.batch > refused and not bad:
        silver_stage._hold_undecided(job, table, group, written)
    counts = {kind: operations[kind] for kind in ("insert", "update")}
    if last.batch > written:
        told = {"books": [book.model_dump(mode="json") for book in books], "operations": counts}
        with silver.transact(APP_ID, last.batch, run_id=job.run_id, **told):
            metrics = {"numTargetRowsInserted": counts["insert"], "numTargetRowsUpdated": counts["update"]}
            silver.commit("MERGE", list({**before, **changed}.values()), **metrics)
        hold_to_commit(silver, silver.commit_of(APP_ID, last.batch).metrics, counts)  # type: ignore[arg-type]
    return books


def _fate(row: Row, refused: set[int], newest: Mapping[int, Row], before: Mapping[int, Row]) -> str:
    if row["number"] in refused:
        return "refused"
    if newest[row["id"]] is not row:
        return "duplicate"
    if row["id"] not in before:
        return "insert"
    return "unchanged" if before[row["id"]]["value"] == row["value"] else "update"


def _book(job: MemoryJob, manifest: Manifest, fates: Counter[str], discarded: bool) -> Book:
    return Book(
        source=SOURCE,
        stream=STREAM,
        batch=manifest.batch,
        run_id=job.run_id,
        extracted=manifest.rows,
        silver_inserted=fates["insert"],
        silver_updated=fates["update"],
        unchanged=fates["unchanged"],
        quarantined=fates["refused"],
        duplicates=fates["duplicate"],
        discarded=manifest.rows if discarded else 0,
    )
