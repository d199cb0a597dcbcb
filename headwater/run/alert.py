"""The words of the alert about a failed run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from headwater.ledger.entries import Held
from headwater.log import shortened
from headwater.run.undone import Undone

_MOST_CHARACTERS = 60_000
"""Of a message: SNS takes 256 KB."""
IN_PART = "FailedInPart"
"""The error of a run that left something undone, and nothing else."""


def alert_of(environment_name: str, failure: Mapping[str, Any], undone: Undone | None) -> tuple[str, str]:
    """Subject and message of one failed run's alert: what failed it, and all that it leaves undone, secrets struck out.

    `undone` is None where that could not be read.
    """
    in_part = failure["error"]["Error"] == IN_PART
    lines = [f"run: {failure['run_id']}", f"environment: {environment_name}", f"started: {failure['started_at']}"]
    if not in_part:
        lines += _failed("-", failure["stage"], failure["error"])
    for outcome in failure.get("outcomes", ()):
        if "error" in outcome:
            lines += _failed(outcome["source"], outcome["stage"], outcome["error"])
    lines += ["", "what else is undone could not be read"] if undone is None else _undone(undone)
    lines += ["", "hint: fix the cause, then run again; every stage is safe to repeat."]
    subject = f"[headwater {environment_name}] run {failure['run_id']} {'failed in part' if in_part else 'failed'}"
    return subject[:100], shortened("\n".join(lines), _MOST_CHARACTERS)


def _failed(source: str, stage: str, error: Mapping[str, str]) -> list[str]:
    told = {"source": source, "stage": stage, "error": error["Error"], "cause": cause_of(error["Cause"])}
    return ["", *(f"{name}: {value}" for name, value in told.items())]


def _undone(undone: Undone) -> Iterator[str]:
    for table, why in undone.tables.items():
        yield from ("", f"stale: {table}", f"error: {why.error}", f"cause: {why.cause}")
    for (source, reasons), names in _alike(undone.streams).items():
        for why in reasons:
            yield from ("", f"source: {source}", f"held back: {', '.join(names)}", f"stage: {why.stage}")
            yield from (f"error: {why.error}", f"cause: {why.cause}", f"hint: {_next_step(names[0], why)}")
    for file in undone.files:
        yield from ("", f"set aside: {file.key}", f"error: {file.problem}", f"cause: {file.message}")
        yield "hint: have it put right and sent again under whatever name; nothing else waits for it"


def _alike(streams: Mapping[str, tuple[Held, ...]]) -> dict[tuple[str, tuple[Held, ...]], list[str]]:
    """Puts the streams of a source together that are held back for the same: what fails a whole source is told once."""
    alike: dict[tuple[str, tuple[Held, ...]], list[str]] = {}
    for name, reasons in streams.items():
        alike.setdefault((name.partition(".")[0], reasons), []).append(name)
    return alike


def _next_step(stream: str, why: Held) -> str:
    if why.batch is not None:
        return f"headwater release {stream} {why.batch} --reason … (or --discard), then headwater run"
    return f"fix the cause, then headwater run --source {stream.partition('.')[0]}"


def cause_of(cause: str) -> str:
    """Finds what a person needs in a cause: of a failed Glue run or Lambda, which comes as JSON, its message."""
    try:
        run = json.loads(cause)
    except ValueError:
        return cause
    return str(run.get("ErrorMessage") or run.get("errorMessage") or cause) if isinstance(run, dict) else cause
