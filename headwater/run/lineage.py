"""The OpenLineage events of runs go to a file, to a receiver over HTTP, or to both; what a receiver does not take fails no run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from headwater.ledger.entries import StageRun
from headwater.log import LINEAGE_LOST, error_text, get_logger, shortened
from headwater.open_project import OpenProject
from headwater.run.stages import Told

STAGE = "Lineage"
_DEADLINE_SECONDS = 30.0
"""How long a receiver has for all events of an audit; what it has not taken by then is lost to it."""
_MOST_FAILURES = 3
_MOST_CHARACTERS = 500

log = get_logger(__name__)
Send = Callable[[Any], object]


class _Sending:
    """The sending of events by a thread of its own, since a receiver may answer byte by byte for ever."""

    def __init__(self, send: Send, events: Sequence[Any]) -> None:
        self._send = send
        self._events = events
        self.taken = 0
        self.errors: list[str] = []

    def wait(self, seconds: float) -> None:
        """Sends, as long as that takes no longer, and the receiver takes any."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            self.errors.append(f"no answer within {seconds:.0f} s")

    def _run(self) -> None:
        for event in self._events:
            try:
                self._send(event)
            except Exception as error:  # noqa: BLE001 - whatever it was, the run goes on
                self.errors.append(error_text(error))
                if len(self.errors) == _MOST_FAILURES:
                    return
            else:
                self.taken += 1


def tell_lineage(opened: OpenProject, runs: Sequence[tuple[Told, Sequence[StageRun]]]) -> StageRun | None:
    """Tells of runs, of which the first is the one whose audit this is; what came of it, as a stage run of that. None where nobody is
    to be told.
    """
    to = opened.project.environment.lineage
    if to is None or not runs:
        return None
    own, started = runs[0][0], datetime.now(UTC)
    told, errors = 0, []
    events: list[Any] = []
    try:
        from headwater.run.lineage_events import as_lines, events_of, receiver

        events = [event for run, stage_runs in runs for event in events_of(opened.project, run, stage_runs)]
        if to.file:
            key = f"lineage/{datetime.now(UTC):%Y-%m-%d}/{own.run_id}.jsonl"
            opened.lake.write(key, as_lines(events).encode())
            told = len(events)
        if to.http:
            secret = opened.secret(to.http.secret)
            sending = _Sending(receiver(to.http, secret.get("api_key")), events)
            sending.wait(_DEADLINE_SECONDS)
            told, errors = sending.taken, sending.errors
    except Exception as error:  # noqa: BLE001 - lineage tells of a run, and decides nothing of it
        told, errors = 0, [error_text(error)]
    lost = len(events) - told
    if lost or errors:
        log.warning(LINEAGE_LOST, run_id=own.run_id, events=len(events), lost=lost, errors=errors[:_MOST_FAILURES])
    return StageRun(
        run_id=own.run_id,
        stage=STAGE,
        job_run_id=f"{own.run_id}/lineage",
        started_at=started,
        ended_at=datetime.now(UTC),
        succeeded=not errors,
        rows_read=len(events),
        rows_inserted=told,
        rows_rejected=lost,
        messages=tuple(shortened(error, _MOST_CHARACTERS) for error in errors),
    )
