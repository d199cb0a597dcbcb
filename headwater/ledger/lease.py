"""Leases: who may write a table, by a fencing number that grows with every holder.

A lease is free once it is released, or once the job run that took it has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from headwater.errors import LedgerError
from headwater.ledger.bucket import Bucket, countdown
from headwater.ledger.entries import LeaseHolder

Ended = Callable[[str, str], bool]
"""True when the job run of this job name and run id has ended."""


@dataclass(frozen=True)
class Lease:
    """The right to write one table, as long as no one holds a higher fencing number."""

    bucket: Bucket
    name: str
    number: int

    def check(self) -> None:
        """Raises LedgerError when another writer has taken over."""
        holder = _holder(self.bucket, self.name)
        if holder is None or holder.number != self.number:
            raise LedgerError(f"{self.name}: lease {self.number} was taken over; this writer stops. hint: run again")


@contextmanager
def hold_lease(
    bucket: Bucket,
    name: str,
    job_name: str,
    job_run_id: str,
    ended: Ended,
    wait_seconds: float = 900,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Lease]:
    """Holds the right to write `name`, waiting for its holder; a holder whose job run has `ended` holds nothing.

    The fencing number grows with every holder, so a writer that was thought dead finds out before it commits.
    """
    waited = 0.0
    while isinstance(lease := take_lease(bucket, name, job_name, job_run_id, ended), LeaseHolder):
        if waited >= wait_seconds:
            raise LedgerError(
                f"{name}: still written by run {lease.job_run_id} of {lease.job_name} after {waited:.0f} s. "
                "hint: wait for it, or stop it"
            )
        sleep(1.0)
        waited += 1.0
    try:
        yield lease
    finally:
        bucket.create(f"{_key(name, lease.number)}.released", b"")


def take_lease(bucket: Bucket, name: str, job_name: str, job_run_id: str, ended: Ended) -> Lease | LeaseHolder:
    """Takes the right to write `name` if it is free, and returns who holds it if it is not."""
    while True:
        holder = _holder(bucket, name)
        mine = holder is None or holder.job_run_id == job_run_id
        if holder and not (mine or _released(bucket, name, holder) or ended(holder.job_name, holder.job_run_id)):
            return holder
        number = 1 if holder is None else holder.number + 1
        taken = LeaseHolder(number=number, job_name=job_name, job_run_id=job_run_id, taken_at=datetime.now(UTC))
        if bucket.create(_key(name, number), taken.model_dump_json().encode()):
            return Lease(bucket, name, number)


def _key(name: str, number: int) -> str:
    return f"_leases/{name}/{countdown(number)}.json"


def _holder(bucket: Bucket, name: str) -> LeaseHolder | None:
    """Finds who took a lease last; None before the first."""
    for key, _, _ in bucket.keys(f"_leases/{name}/", page=1):
        # The newest number sorts first; its release, `….json.released`, right after it.
        body = bucket.read(key)
        return None if body is None else LeaseHolder.model_validate_json(body)
    return None


def _released(bucket: Bucket, name: str, holder: LeaseHolder) -> bool:
    return bucket.read(f"{_key(name, holder.number)}.released") is not None
