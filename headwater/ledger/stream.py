"""The ledger: what has been extracted, how far, and who may write, kept in S3 beside the raw data it speaks of.

A batch exists once its manifest does. Manifests, verdicts, decisions and leases are created with `If-None-Match: *`, so of two
writers one wins and the other is told. The newest entry of a kind sorts first (keys count down), so finding it costs
one request however long the history is.

    <source>/<stream>/data/<batch>/<attempt>/part-*      raw files, invisible until a manifest names them
    <source>/<stream>/manifests/<countdown>.json         one batch
    <source>/<stream>/verdicts/<countdown>.json          what Check said of it
    <source>/<stream>/decisions/<countdown>.json         release or discard, by a person, of a batch that was halted
    <source>/<stream>/books/<countdown>.json             what became of its rows in silver
    _leases/<name>/<countdown>.json (+ .released)        who may write a table, by fencing number
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict

from headwater.errors import LedgerError, SchemaDriftError
from headwater.ledger.raw import FieldChange, Fields, Learned, RowFile

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FIRST_BATCH = 1
_COUNTDOWN_FROM = 999_999_999
_ORPHAN_AGE_SECONDS = 24 * 3600

Position = dict[str, Any]
VerdictName = Literal["pass", "warn", "halt"]


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


class Manifest(Entry):
    """One batch of one stream: its files and the positions before and after it.

    `window` are the first and the last day of a backfill's batch; `fields` is what all batches so far taught of the rows,
    `drift` how this one's rows differ from those before, `taken` the files of the landing bucket that it holds.
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
    window: tuple[date, date] | None = None
    fields: dict[str, str] = {}
    drift: tuple[FieldChange, ...] = ()
    taken: tuple[TakenFile, ...] = ()


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
    """What became of every row of a batch; `balances` says that none is missing."""

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
    deleted: int = 0
    discarded: int = 0
    reasons: dict[str, int] = {}

    @property
    def balances(self) -> bool:
        """Tells whether the rows extracted equal the rows accounted for."""
        accounted = self.silver_inserted + self.silver_updated + self.unchanged + self.quarantined + self.duplicates
        return self.extracted == accounted + self.discarded


class LeaseHolder(Entry):
    """Who holds a lease: a Glue job run, until it ends."""

    number: int
    job_name: str
    job_run_id: str
    taken_at: datetime


def countdown(number: int) -> str:
    """Writes a number so that the newest sorts first among S3 keys."""
    return f"{_COUNTDOWN_FROM - number:09d}"


def counted_down(key: str) -> int:
    """Reads the number back from a key that ends in its countdown."""
    return _COUNTDOWN_FROM - int(key.rsplit("/", 1)[-1].partition(".")[0])


@dataclass(frozen=True)
class Bucket:
    """The few S3 calls the ledger needs, on one bucket."""

    s3: S3Client
    name: str

    def create(self, key: str, body: bytes) -> bool:
        """Creates an object; False when it is there already."""
        try:
            self.s3.put_object(Bucket=self.name, Key=key, Body=body, IfNoneMatch="*")
        except ClientError as error:
            # 409 is S3's answer to two conditional writes at the same moment: the other one is about to exist.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in {409, 412}:
                return False
            raise
        return True

    def read(self, key: str) -> bytes | None:
        """Reads an object; None when it is not there."""
        try:
            return self.s3.get_object(Bucket=self.name, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
                return None
            raise

    def upload(self, path: Path, key: str) -> None:
        """Uploads a local file."""
        self.s3.upload_file(str(path), self.name, key)

    def keys(self, prefix: str, page: int = 1000) -> Iterator[tuple[str, datetime, int]]:
        """Lists (key, modified, bytes) below a prefix in key order, asking for `page` at a time."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix, PaginationConfig={"PageSize": page}
        )
        for answer in pages:
            for item in answer.get("Contents", []):
                yield item["Key"], item["LastModified"], item["Size"]


@dataclass(frozen=True)
class StreamLedger:
    """The batches of one stream."""

    bucket: Bucket
    source: str
    stream: str

    @property
    def prefix(self) -> str:
        """Key prefix of everything about the stream."""
        return f"{self.source}/{self.stream}"

    @property
    def manifests_uri(self) -> str:
        """Where the stream's manifests are, for a bookmarked read."""
        return f"s3://{self.bucket.name}/{self.prefix}/manifests/"

    def _key(self, kind: str, batch: int) -> str:
        return f"{self.prefix}/{kind}/{countdown(batch)}.json"

    def _newest(self, kind: str) -> int | None:
        for key, _, _ in self.bucket.keys(f"{self.prefix}/{kind}/", page=1):
            return counted_down(key)
        return None

    def latest(self) -> Manifest | None:
        """Reads the newest manifest; None before the first batch."""
        newest = self._newest("manifests")
        return None if newest is None else self.manifest(newest)

    def position(self) -> Position | None:
        """Finds how far the stream has been extracted: the newest incremental batch's position."""
        newest = self.latest()
        return None if newest is None else newest.position_after

    def manifest(self, batch: int) -> Manifest:
        """Reads one manifest; LedgerError when the batch does not exist."""
        body = self.bucket.read(self._key("manifests", batch))
        if body is None:
            raise LedgerError(f"{self.prefix}: batch {batch} has no manifest. hint: list them with `headwater history`")
        return Manifest.model_validate_json(body)

    def of_run(self, run_id: str) -> list[Manifest]:
        """Reads the manifests that one run has just made, newest first."""
        made = []
        for batch in range(self._newest("manifests") or 0, 0, -1):
            manifest = self.manifest(batch)
            if manifest.run_id != run_id:
                break
            made.append(manifest)
        return made

    def since(self, batch: int) -> list[Manifest]:
        """Reads the manifests after a batch, oldest first; costs as much as there are."""
        newer = []
        for key, _, _ in self.bucket.keys(f"{self.prefix}/manifests/", page=100):
            number = counted_down(key)
            if number <= batch:
                break
            newer.append(number)
        return [self.manifest(number) for number in reversed(newer)]

    def commit(self, manifest: Manifest) -> None:
        """Makes a batch exist; LedgerError when another writer made this batch first."""
        body = manifest.model_dump_json(indent=1).encode()
        if not self.bucket.create(self._key("manifests", manifest.batch), body):
            raise LedgerError(
                f"{self.prefix}: batch {manifest.batch} was committed by another writer; nothing of this one counts. "
                "hint: run again"
            )

    def verdict(self, batch: int) -> Verdict | None:
        """Reads what Check said of a batch."""
        body = self.bucket.read(self._key("verdicts", batch))
        return None if body is None else Verdict.model_validate_json(body)

    def judge(self, verdict: Verdict) -> Verdict:
        """Records a verdict; an earlier one of the same batch stands."""
        self.bucket.create(self._key("verdicts", verdict.batch), verdict.model_dump_json(indent=1).encode())
        recorded = self.verdict(verdict.batch)
        assert recorded is not None  # noqa: S101 - just created, and verdicts are never deleted
        return recorded

    def judged_up_to(self) -> int:
        """Finds the newest batch that has a verdict; 0 before the first."""
        return self._newest("verdicts") or 0

    def decision(self, batch: int) -> Decision | None:
        """Reads what a person decided about a halted batch."""
        body = self.bucket.read(self._key("decisions", batch))
        return None if body is None else Decision.model_validate_json(body)

    def decide(self, decision: Decision) -> None:
        """Records a release or discard; LedgerError when the batch is not halted or was decided before."""
        verdict = self.verdict(decision.batch)
        if verdict is None or verdict.verdict != "halt":
            said = "has no verdict" if verdict is None else f"has verdict {verdict.verdict}"
            raise LedgerError(f"{self.prefix}: batch {decision.batch} {said}; only a halted batch can be decided about")
        if not self.bucket.create(self._key("decisions", decision.batch), decision.model_dump_json(indent=1).encode()):
            raise LedgerError(f"{self.prefix}: batch {decision.batch} has been decided about before")

    def book(self, batch: int) -> Book | None:
        """Reads what became of a batch's rows."""
        body = self.bucket.read(self._key("books", batch))
        return None if body is None else Book.model_validate_json(body)

    def close(self, book: Book) -> None:
        """Records what became of a batch's rows; the first record stands."""
        self.bucket.create(self._key("books", book.batch), book.model_dump_json(indent=1).encode())

    def closed_up_to(self) -> int:
        """Finds the newest batch that has reached silver; 0 before the first."""
        return self._newest("books") or 0

    def sweep(self, now: datetime) -> int:
        """Deletes raw files of attempts that no manifest names, once a day old; returns how many."""
        swept = 0
        newest = self._newest("manifests") or 0
        attempts: dict[int, str] = {}
        # Batches far behind were swept by earlier runs: only what is near the newest can be new.
        for batch in range(max(FIRST_BATCH, newest - 2), newest + 2):
            for key, modified, _ in self.bucket.keys(f"{self.prefix}/data/{batch:09d}/"):
                if (now - modified).total_seconds() < _ORPHAN_AGE_SECONDS:
                    continue
                if batch <= newest and batch not in attempts:
                    attempts[batch] = self.manifest(batch).attempt
                if key.split("/")[4] != attempts.get(batch):
                    self.bucket.s3.delete_object(Bucket=self.bucket.name, Key=key)
                    swept += 1
        return swept


@dataclass
class BatchWriter:
    """Collects the raw files of the batch that is being extracted; nothing exists until `commit`.

    `known` is what earlier batches taught of the rows' fields, `learned` what this one's do, `declared` are the fields that config
    names, and with `flag` rows of another shape are marked for quarantine.
    """

    ledger: StreamLedger
    batch: int
    run_id: str
    attempt: str
    format: Literal["jsonl", "parquet"]
    position_before: Position | None
    window: tuple[date, date] | None = None
    known: Fields = field(default_factory=dict)
    declared: frozenset[str] = frozenset()
    flag: bool = False
    learned: Learned = field(default_factory=Learned)
    files: list[DataFile] = field(default_factory=list)
    taken: list[TakenFile] = field(default_factory=list)

    @property
    def data_prefix(self) -> str:
        """Key prefix of this attempt's raw files."""
        return f"{self.ledger.prefix}/data/{self.batch:09d}/{self.attempt}"

    @property
    def data_uri(self) -> str:
        """S3 URI of this attempt's raw files, for Spark."""
        return f"s3://{self.ledger.bucket.name}/{self.data_prefix}"

    def add(self, path: Path, rows: int) -> None:
        """Uploads one finished raw file."""
        key = f"{self.data_prefix}/part-{len(self.files):05d}{''.join(path.suffixes)}"
        self.ledger.bucket.upload(path, key)
        self.files.append(DataFile(key=key, rows=rows, bytes=path.stat().st_size))

    def adopt(self, rows: int, subfolder: str = "") -> None:
        """Lists the files that Spark wrote below `data_uri`/`subfolder`; `rows` is their number of rows together."""
        listed = [
            (key, size)
            for key, _, size in self.ledger.bucket.keys(f"{self.data_prefix}/{subfolder}")
            if not key.rsplit("/", 1)[-1].startswith(("_", "."))
        ]
        # Spark tells the rows of all files, not of each: the first stands for all.
        self.files += [
            DataFile(key=key, rows=rows if index == 0 else 0, bytes=size) for index, (key, size) in enumerate(listed)
        ]

    def open_rows(self, path: Path) -> RowFile:
        """Opens a file for JSON rows, to be given to `add` when it is closed."""
        return RowFile(path, self.known, self.declared, self.flag)

    def commit(self, position_after: Position | None, slices: tuple[dict[str, str], ...] | None = None) -> Manifest:
        """Writes the manifest, last and create-only: from here on the batch exists.

        SchemaDriftError when a typed column has become of another type, which no table could take.
        """
        drift = self.learned.changes(self.known, self.declared)
        retyped = [str(change) for change in drift if change.change == "retyped"]
        if self.format == "parquet" and retyped:
            raise SchemaDriftError(
                f"{self.ledger.prefix}: {'; '.join(retyped)}; nothing of this batch counts. hint: have the source changed "
                "back, or declare the stream under another name, with its history read anew"
            )
        manifest = Manifest(
            source=self.ledger.source,
            stream=self.ledger.stream,
            batch=self.batch,
            run_id=self.run_id,
            attempt=self.attempt,
            created_at=datetime.now(UTC),
            mode="backfill" if self.window else "incremental",
            format=self.format,
            files=tuple(self.files),
            rows=sum(file.rows for file in self.files),
            position_before=self.position_before,
            position_after=self.position_before if self.window else position_after,
            slices=slices,
            window=self.window,
            fields=self.learned.fields(self.known),
            drift=drift,
            taken=tuple(self.taken),
        )
        self.ledger.commit(manifest)
        return manifest


@dataclass(frozen=True)
class Ledger:
    """The ledger of a whole environment, on its raw bucket."""

    bucket: Bucket

    def stream(self, source: str, stream: str) -> StreamLedger:
        """Opens one stream's part."""
        return StreamLedger(self.bucket, source, stream)

    def holder(self, name: str) -> LeaseHolder | None:
        """Finds who took a lease last; None before the first."""
        for key, _, _ in self.bucket.keys(f"_leases/{name}/", page=1):
            # The newest number sorts first; its release, `….json.released`, right after it.
            body = self.bucket.read(key)
            return None if body is None else LeaseHolder.model_validate_json(body)
        return None

    def _released(self, name: str, number: int) -> bool:
        return self.bucket.read(f"_leases/{name}/{countdown(number)}.json.released") is not None

    @contextmanager
    def lease(
        self,
        name: str,
        job_name: str,
        job_run_id: str,
        ended: Callable[[str, str], bool],
        wait_seconds: float = 900,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Iterator[Lease]:
        """Holds the right to write `name`, waiting for its holder; a holder whose job run has `ended` holds nothing.

        The fencing number grows with every holder, so a writer that was thought dead finds out before it commits.
        """
        waited = 0.0
        while True:
            holder = self.holder(name)
            free = holder is None or self._released(name, holder.number) or ended(holder.job_name, holder.job_run_id)
            if free or (holder is not None and holder.job_run_id == job_run_id):
                number = 1 if holder is None else holder.number + 1
                taken = LeaseHolder(number=number, job_name=job_name, job_run_id=job_run_id, taken_at=datetime.now(UTC))
                if self.bucket.create(f"_leases/{name}/{countdown(number)}.json", taken.model_dump_json().encode()):
                    break
                continue
            assert holder is not None  # noqa: S101 - a free lease was handled above
            if waited >= wait_seconds:
                raise LedgerError(
                    f"{name}: still written by run {holder.job_run_id} of {holder.job_name} after {waited:.0f} s. "
                    "hint: wait for it, or stop it"
                )
            sleep(1.0)
            waited += 1.0
        lease = Lease(self, name, number)
        try:
            yield lease
        finally:
            self.bucket.create(f"_leases/{name}/{countdown(number)}.json.released", b"")


@dataclass(frozen=True)
class Lease:
    """The right to write one table, as long as no one holds a higher fencing number."""

    ledger: Ledger
    name: str
    number: int

    def check(self) -> None:
        """Raises LedgerError when another writer has taken over."""
        holder = self.ledger.holder(self.name)
        if holder is None or holder.number != self.number:
            raise LedgerError(f"{self.name}: lease {self.number} was taken over; this writer stops. hint: run again")


def to_json(value: object) -> str:
    """Writes a value as compact JSON with sorted keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
