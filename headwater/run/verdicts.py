"""What becomes of the streams of a run between Extract and Gold: whose batches wait for which stage, and which are held back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from headwater.ledger.entries import Held, Verdict
from headwater.ledger.failures import Failures
from headwater.ledger.held import MOST_CHARACTERS, Holds, Streams
from headwater.ledger.stream import StreamLedger
from headwater.log import shortened
from headwater.open_project import OpenProject
from headwater.run.alert import cause_of

Stage = Literal["Extract", "Check", "Silver"]


@dataclass(frozen=True)
class _Waiting:
    """What waits of a stream: whether bronze has batches without a verdict, and what its first batch waits for."""

    unjudged: bool
    passing: bool = False
    halted: Held | None = None


def read_verdicts(
    opened: OpenProject,
    run_id: str,
    after: Stage,
    sources: Sequence[Mapping[str, Any]],
    outcomes: Iterable[Mapping[str, Any]],
    error: Mapping[str, str],
    start_from: str = "Extract",
) -> dict[str, Any]:
    """Sorts the streams of a run once the stage `after` has had its turn, and writes down which are held back.

    Returns `check` and `silver`, the sources of which a stream waits for these, joined by commas. `outcomes` are what became of the
    job runs of Extract; `error` is what failed the job run of the stage, empty when nothing did: only then has a stream failed whose
    batches still wait for it. Where a run starts from Check or Silver, every source is given to that stage, whether or not the
    ledger knows of anything that waits: of a table that was restored it does not.
    """
    run = _Run(opened, run_id, Failures(opened.ledger.bucket, run_id))
    holds = Holds(opened.ledger.bucket)
    before = holds.streams()
    declared = {name_of(ledger) for ledger in opened.streams()}
    held: Streams = {name: dict(stages) for name, stages in before.items() if name in declared}
    waiting: dict[str, dict[str, None]] = {"check": {}, "silver": {}}
    extracted = {outcome["source"]: outcome.get("error", {}) for outcome in outcomes} if after == "Extract" else {}
    for item in sources:
        source = str(item["source"])
        if source in extracted:
            run.extracted(source, extracted[source], held)
        if after == "Extract" and start_from.lower() in waiting:
            waiting[start_from.lower()][source] = None
            continue
        failed = run.failed(after, source, error) if after != "Extract" else {}
        for ledger in opened.streams(source):
            step = run.step(ledger, after, failed.get(ledger.stream), held.setdefault(name_of(ledger), {}))
            if step:
                waiting[step][source] = None
    held = {name: stages for name, stages in held.items() if stages}
    if held != before:
        holds.hold_streams(held)
    return {stage: ",".join(names) for stage, names in waiting.items()}


def name_of(ledger: StreamLedger) -> str:
    """Names a stream as people write it."""
    return f"{ledger.source}.{ledger.stream}"


@dataclass(frozen=True)
class _Run:
    opened: OpenProject
    run_id: str
    failures: Failures

    def failed(self, stage: Stage, source: str, error: Mapping[str, str]) -> dict[str, Held]:
        """The streams that a job run has failed, by what it said of them; all of the source that wait for it where it could not say.

        What it said counts though no batch waits: a table that could not be made anew has failed.
        """
        if not error:
            return {}
        told = self.failures.read(stage, source, _job_run_of(error["Cause"]))
        if told is None:
            streams = [ledger for ledger in self.opened.streams(source) if self._waits_for(stage, ledger)]
            told = {ledger.stream: dict(error) for ledger in streams}
        return {stream: self._held(stage, said["Error"], said["Cause"]) for stream, said in told.items()}

    def _held(self, stage: str, error: str, cause: str, batch: int | None = None) -> Held:
        short = shortened(cause_of(cause), MOST_CHARACTERS)
        return Held(run_id=self.run_id, stage=stage, error=error, cause=short, batch=batch)

    def extracted(self, source: str, error: Mapping[str, str], held: Streams) -> None:
        """Notes which streams could not be extracted, and that the others could."""
        failed = self.failed("Extract", source, error)
        for ledger in self.opened.streams(source):
            own = held.setdefault(name_of(ledger), {})
            own.pop("Extract", None)
            if ledger.stream in failed:
                own["Extract"] = failed[ledger.stream]

    def step(self, ledger: StreamLedger, after: Stage, failed: Held | None, held: dict[str, Held]) -> str | None:
        """Decides for which stage a stream waits, if it does, and notes what holds it back, if anything does."""
        found = self._waiting(ledger)
        if found.unjudged and after == "Extract":
            return "check"
        # Where the job did not fail, what still waits for it was extracted since, by another run, which will see to it.
        if failed:
            held[after] = failed
        if found.passing and after != "Silver":
            return "silver"
        if found.halted:
            held["Check"] = found.halted
        # What held it back before this run does so no more, unless it could not be extracted then and has not been since.
        for stage in [name for name, why in held.items() if name != "Extract" and why.run_id != self.run_id]:
            del held[stage]
        return None

    def _waits_for(self, stage: Stage, ledger: StreamLedger) -> bool:
        if stage == "Extract":
            return True
        found = self._waiting(ledger)
        return found.unjudged if stage == "Check" else found.passing

    def _waiting(self, ledger: StreamLedger) -> _Waiting:
        """Looks at the first batch that waits, which is what holds back those behind it: however many they are."""
        first, judged = ledger.closed_up_to() + 1, ledger.judged_up_to()
        unjudged = judged < ledger.carried_up_to()
        verdict = ledger.verdict(first) if first <= judged else None
        if verdict is None:
            return _Waiting(unjudged)
        # A batch that a person has decided on is no longer held back.
        if verdict.verdict != "halt" or ledger.decision(first) is not None:
            return _Waiting(unjudged, passing=True)
        return _Waiting(unjudged, halted=self._halted(verdict, ledger.extracted_up_to() - first))

    def _halted(self, verdict: Verdict, behind: int) -> Held:
        failed = ", ".join(f"{check.check} {check.message}".strip() for check in verdict.checks if not check.passed)
        waits = f"; {behind} more wait behind it" if behind else ""
        return self._held("Check", "QualityHalt", f"batch {verdict.batch}: {failed}{waits}", verdict.batch)


def _job_run_of(cause: str) -> str | None:
    """Finds in a failed job run's cause, which is that run as JSON, its id."""
    try:
        run = json.loads(cause)
    except ValueError:
        return None
    return run.get("Id") if isinstance(run, dict) else None
