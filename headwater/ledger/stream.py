"""The ledger: what has been extracted, how far, and who may write, kept in S3 beside the raw data.

A batch exists once its manifest does. Manifests, verdicts, decisions and leases are created with `If-None-Match: *`, so of two
writers one wins and the other gets an error. Whose bytes are there has won, however many replies were lost: what a writer creates
bears something that is no other writer's, or means the same whoever wrote it. The newest entry of a kind sorts first (keys count
down), so finding it costs one request however long the history is.

    <source>/<stream>/data/<batch>/<attempt>/part-*      raw files, invisible until a manifest names them
    <source>/<stream>/manifests/<countdown>.json         one batch
    <source>/<stream>/bronze/<countdown>.json            up to which batch bronze has them
    <source>/<stream>/verdicts/<countdown>.json          what Check said of it
    <source>/<stream>/decisions/<countdown>.json         release or discard, by a person, of a batch that was halted
    <source>/<stream>/books/<countdown>.json             what became of its rows in silver
    _leases/<name>/<countdown>.json (+ .released)        who may write a table, by fencing number
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from headwater.errors import LedgerError, TakenError
from headwater.ledger.bucket import Bucket, countdown, counted_down
from headwater.ledger.entries import Book, Carried, Decision, Manifest, Verdict
from headwater.ledger.positions import Position

FIRST_BATCH = 1
_READ_AT_ONCE = 16
_Read = TypeVar("_Read")
_ORPHAN_AGE_SECONDS = 24 * 3600


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
        return f"{self.bucket.uri}/{self.prefix}/manifests/"

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
            raise LedgerError(
                f"{self.prefix}: batch {batch} has no manifest. hint: `headwater status` shows the newest of each stream"
            )
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
        return self.manifests(newer[-1], newer[0]) if newer else []

    def manifests(self, first: int, last: int) -> list[Manifest]:
        """Reads the manifests of batches that follow each other, oldest first, several at once."""
        return self._side_by_side(self.manifest, first, last)

    def verdicts(self, first: int, last: int) -> list[Verdict | None]:
        """Reads what Check said of batches that follow each other, several at once."""
        return self._side_by_side(self.verdict, first, last)

    def books(self, first: int, last: int) -> list[Book | None]:
        """Reads what became of the rows of batches that follow each other, several at once."""
        return self._side_by_side(self.book, first, last)

    def _side_by_side(self, read: Callable[[int], _Read], first: int, last: int) -> list[_Read]:
        with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
            return list(pool.map(read, range(first, last + 1)))

    def first_since(self, moment: datetime, below: int) -> int:
        """Finds the first batch below one that was committed since a moment; that one itself where none was."""
        return bisect_left(range(below), True, FIRST_BATCH, key=lambda batch: self.manifest(batch).created_at >= moment)

    def extracted_up_to(self) -> int:
        """Finds the newest batch; 0 before the first."""
        return self._newest("manifests") or 0

    def carry(self, carried: Carried) -> None:
        """Records that bronze has the batches up to one; what was recorded before stands."""
        self.bucket.create(self._key("bronze", carried.batch), carried.model_dump_json(indent=1).encode())

    def carried_up_to(self) -> int:
        """Finds the newest batch that bronze has; 0 before the first."""
        return self._newest("bronze") or 0

    def commit(self, manifest: Manifest) -> None:
        """Makes a batch exist; TakenError when another writer made this batch first, whose manifest is there."""
        body = manifest.model_dump_json(indent=1).encode()
        if not self.bucket.create(self._key("manifests", manifest.batch), body):
            raise TakenError(
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


@dataclass(frozen=True)
class Ledger:
    """The ledger of a whole environment, on its raw bucket."""

    bucket: Bucket

    def stream(self, source: str, stream: str) -> StreamLedger:
        """Opens one stream's part."""
        return StreamLedger(self.bucket, source, stream)
