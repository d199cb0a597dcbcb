"""What becomes of the sources of a run between Extract and Gold: whose batches wait for which stage, and which have failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from headwater.ledger.failures import Failures
from headwater.ledger.stream import StreamLedger
from headwater.log import shortened
from headwater.open_project import OpenProject
from headwater.run.alert import cause_of

_MOST_CHARACTERS = 1000
"""Of a cause in the state, which has to hold those of all sources; the job's log has the whole."""

Stage = Literal["Extract", "Check", "Silver"]


@dataclass(frozen=True)
class _Waiting:
    """What waits of a source: whether bronze has batches without a verdict, whether a batch may pass, and what is halted."""

    unjudged: bool
    passing: bool
    halted: str


def read_verdicts(
    opened: OpenProject,
    run_id: str,
    after: Stage,
    sources: Sequence[Mapping[str, Any]],
    outcomes: Iterable[Mapping[str, Any]],
    error: Mapping[str, str],
    start_from: str = "Extract",
) -> dict[str, Any]:
    """Sorts the sources of a run once the stage `after` has had its turn.

    Returns `outcomes`, one for each source that has come to its end; `check` and `silver`, the sources that wait for these, joined by
    commas; and `failures`, whether the run has to `stop` before Gold and whether it fails at least `in_part`. `error` is what
    failed the job run of the stage, empty when nothing did: only then has a source failed whose batches still wait for it. Where a
    run starts from Check or Silver, every source is given to that stage, whether or not the ledger knows of anything that waits: of a
    table that was restored it does not.
    """
    failures = Failures(opened.ledger.bucket, run_id)
    known = {outcome["source"]: outcome for outcome in outcomes}
    ended: list[dict[str, Any]] = []
    waiting: dict[str, list[str]] = {"check": [], "silver": []}
    for item in sources:
        name = str(item["source"])
        before = known.get(name, {"status": "waits"})
        if before["status"] == "succeeded":
            ended.append(dict(before))
            continue
        if "error" in before:
            ended.append(_failed(item, before["stage"], before["error"]))
            continue
        if after == "Extract" and start_from.lower() in waiting:
            waiting[start_from.lower()].append(name)
            continue
        found = _waiting(opened.streams(name))
        # A table that could not be made anew has failed its source, though no batch of it waits.
        told = failures.read(after, name) if error and after == "Silver" else None
        step = "failed" if told else _next_step(found, after, failed=bool(error))
        if step in waiting:
            waiting[step].append(name)
        elif step == "halted":
            ended.append(_failed(item, "Check", {"Error": "QualityHalt", "Cause": found.halted}))
        elif step == "failed":
            ended.append(_failed(item, after, told or failures.read(after, name) or error))
        else:
            ended.append({"source": name, "status": "succeeded"})
    statuses = {outcome["status"] for outcome in ended}
    return {
        "outcomes": ended,
        **{stage: ",".join(names) for stage, names in waiting.items()},
        "failures": {"stop": "failed" in statuses, "in_part": "failed_in_part" in statuses},
    }


def _failed(item: Mapping[str, Any], stage: str, error: Mapping[str, str]) -> dict[str, Any]:
    cause = shortened(cause_of(error["Cause"]), _MOST_CHARACTERS)
    return {
        "source": item["source"],
        "status": "failed_in_part" if item["optional"] else "failed",
        "stage": stage,
        "error": {"Error": error["Error"], "Cause": cause},
    }


def _waiting(streams: Iterable[StreamLedger]) -> _Waiting:
    """Looks at the first batch that waits of each stream, which is what holds back those behind it: however many they are."""
    unjudged = passing = False
    halted = []
    for ledger in streams:
        first, judged = ledger.closed_up_to() + 1, ledger.judged_up_to()
        unjudged = unjudged or judged < ledger.carried_up_to()
        verdict = ledger.verdict(first) if first <= judged else None
        if verdict is None:
            continue
        if verdict.verdict == "halt" and ledger.decision(first) is None:
            failed = ", ".join(f"{check.check} {check.message}".strip() for check in verdict.checks if not check.passed)
            behind = ledger.extracted_up_to() - first
            waits = f"; {behind} more wait behind it" if behind else ""
            halted.append(f"{ledger.source}.{ledger.stream} batch {first}: {failed}{waits}")
        else:
            # A batch that a person has decided on is no longer held back.
            passing = True
    return _Waiting(unjudged, passing, "; ".join(halted))


def _next_step(found: _Waiting, after: Stage, *, failed: bool) -> str:
    if found.unjudged and after == "Extract":
        return "check"
    # Where the job did not fail, what has no verdict was extracted since, by another run, which will see to it.
    if found.unjudged and after == "Check" and failed:
        return "failed"
    # What is halted holds back its own stream: the others go on to silver first.
    if found.passing and after != "Silver":
        return "silver"
    if found.passing and failed:
        return "failed"
    return "halted" if found.halted else "succeeded"
