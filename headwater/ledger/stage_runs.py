"""What the stages of runs have done and no audit has entered yet, as each job run says it when it is through with a source.

    _stages/<run>/<stage>/<source or table>/<job run>.json    what one job run of a stage did, a StageRun for each stream or table
    _stages/<run>/end.json                                    the end of a run that failed before its audit

An audit enters what is there of a run that has ended, and then removes it: what waits is what there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import RunEnd, StageRun

_PREFIX = "_stages/"
_END = "end.json"
_STAGE_RUNS = TypeAdapter(tuple[StageRun, ...])


@dataclass(frozen=True)
class Waiting:
    """What waits of one run: the keys of what its stages have said, whether its end is among them, and the newest's time."""

    run_id: str
    keys: tuple[str, ...]
    newest: datetime

    @property
    def has_end(self) -> bool:
        """True where the run has failed before its audit, and has said so."""
        return any(key.endswith(f"/{_END}") for key in self.keys)


@dataclass(frozen=True)
class StageRuns:
    """The stage runs of all runs, below `_stages/` in the raw bucket."""

    bucket: Bucket

    def write(self, name: str, stage_runs: Sequence[StageRun]) -> None:
        """Says what a job run has done; `name` is the source or the table that it was for."""
        first = stage_runs[0]
        key = f"{_PREFIX}{first.run_id}/{first.stage}/{name}/{first.job_run_id}.json"
        self.bucket.write(key, _STAGE_RUNS.dump_json(tuple(stage_runs)))

    def end(self, end: RunEnd) -> None:
        """Says that a run has failed before its audit."""
        self.bucket.write(f"{_PREFIX}{end.run_id}/{_END}", end.model_dump_json().encode())

    def waiting(self) -> list[Waiting]:
        """Lists what waits, by run: one request for a thousand of them."""
        found: dict[str, list[tuple[str, datetime]]] = {}
        for key, modified, _ in self.bucket.keys(_PREFIX):
            found.setdefault(key.split("/")[1], []).append((key, modified))
        return [
            Waiting(run_id, tuple(key for key, _ in keys), max(modified for _, modified in keys))
            for run_id, keys in found.items()
        ]

    def read(self, waiting: Waiting) -> tuple[list[StageRun], RunEnd | None]:
        """Reads what waits of a run."""
        stage_runs: list[StageRun] = []
        end = None
        for key in waiting.keys:
            body = self.bucket.read(key) or b"[]"
            if key.endswith(f"/{_END}"):
                end = RunEnd.model_validate_json(body)
            else:
                stage_runs += _STAGE_RUNS.validate_json(body)
        return sorted(stage_runs, key=lambda one: one.started_at), end

    def remove(self, keys: Iterable[str]) -> None:
        """Removes what was entered."""
        for key in keys:
            self.bucket.s3.delete_object(Bucket=self.bucket.name, Key=key)
