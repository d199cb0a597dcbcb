"""What a stage counts while it goes through a stream or a table: rows where they are read and written, and what is to be told.

The counts are for the audit and for lineage: nothing is decided by them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime

from headwater.ledger.entries import CheckResult, StageRun
from headwater.log import shortened

_MOST_MESSAGES = 20
_MOST_CHARACTERS = 500
_MOST_REASONS = 50


@dataclass
class Tally:
    """The counts of one stream or table in one job run."""

    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    rows: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)
    checks: dict[str, CheckResult] = field(default_factory=dict)

    def stage_run(
        self,
        run_id: str,
        stage: str,
        job_run_id: str,
        error: str | None,
        *,
        source: str | None = None,
        stream: str | None = None,
        table: str | None = None,
    ) -> StageRun:
        """What is to be written down; `error` is why it failed, if it did."""
        messages = [*self.messages[:_MOST_MESSAGES], *([error] if error else [])]
        return StageRun(
            run_id=run_id,
            stage=stage,
            job_run_id=job_run_id,
            source=source,
            stream=stream,
            table=table,
            started_at=self.started_at,
            ended_at=datetime.now(UTC),
            succeeded=error is None,
            **{f"rows_{name}": number for name, number in self.rows.items()},
            rejected=dict(self.rejected.most_common(_MOST_REASONS)),
            messages=tuple(shortened(message, _MOST_CHARACTERS) for message in messages),
            checks=tuple(self.checks.values()),
        )


_open: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def tallied() -> Iterator[Tally]:
    """Counts what the stage does inside the block."""
    tally = Tally()
    token = _open.set(tally)
    try:
        yield tally
    finally:
        _open.reset(token)


def count(
    *,
    read: int = 0,
    inserted: int = 0,
    changed: int = 0,
    deleted: int = 0,
    rejected: int = 0,
    reasons: Mapping[str, int] | None = None,
    messages: Iterable[str] = (),
) -> None:
    """Adds rows, and what is to be told, to what is counted now; to nothing where nobody counts."""
    tally = _open.get()
    if tally is None:
        return
    counted = {"read": read, "inserted": inserted, "changed": changed, "deleted": deleted, "rejected": rejected}
    tally.rows.update({name: number for name, number in counted.items() if number})
    tally.rejected.update(reasons or {})
    tally.messages += messages


def count_checks(checks: Iterable[CheckResult]) -> None:
    """Adds a batch's check results: a check has passed where it has for each batch, and its rows that failed are added up."""
    tally = _open.get()
    if tally is None:
        return
    for check in checks:
        before = tally.checks.get(check.check)
        if before is None:
            tally.checks[check.check] = check
            continue
        failed = [rows for rows in (before.failed_rows, check.failed_rows) if rows is not None]
        worse = before if before.passed < check.passed else check
        tally.checks[check.check] = worse.model_copy(update={"failed_rows": sum(failed) if failed else None})
