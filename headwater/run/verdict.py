"""The verdict on a source: the worst verdict on its batches that wait for silver."""

from __future__ import annotations

from headwater.open_project import OpenProject

_WORST_FIRST = ("missing", "halt", "warn", "pass", "none")


def read_verdict(opened: OpenProject, source: str) -> dict[str, str]:
    """Returns the worst verdict on the batches of a source that wait for silver, and which of them halt.

    Worst first: missing (Check has not seen them all), halt, warn, pass; none when no batch waits.
    """
    halted = []
    found = {"none"}
    for ledger in opened.streams(source):
        for manifest in ledger.since(ledger.closed_up_to()):
            verdict = ledger.verdict(manifest.batch)
            if verdict is None:
                found.add("missing")
            elif verdict.verdict == "halt" and ledger.decision(manifest.batch) is None:
                failed = ", ".join(
                    f"{check.check} {check.message}".strip() for check in verdict.checks if not check.passed
                )
                halted.append(f"{source}.{ledger.stream} batch {manifest.batch}: {failed}")
                found.add("halt")
            else:
                # A batch that a person has decided on is no longer held back.
                found.add("pass" if verdict.verdict == "pass" else "warn")
    return {"verdict": min(found, key=_WORST_FIRST.index), "halted": "; ".join(halted)}
