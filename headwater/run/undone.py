"""What a run leaves undone: gold tables that are stale, streams that are held back, files that were set aside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.config import FilesSource
from headwater.ledger.entries import Held, SetAside
from headwater.ledger.held import Holds, waiting_tables
from headwater.log import error_text, get_logger, shortened
from headwater.open_project import OpenProject

_MOST_CHARACTERS = 1000
"""Of what goes through the state machine; the alert has the whole."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Undone:
    """What is not as it should be after a run: why each gold table is stale, and why each stream is held back.

    `streams` are those that the run itself has met, and those that keep a gold table from being brought up to date.
    """

    tables: Mapping[str, Held]
    streams: Mapping[str, tuple[Held, ...]]
    files: tuple[SetAside, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tables or self.streams or self.files)

    def __str__(self) -> str:
        told = {
            "stale": ", ".join(self.tables),
            "held back": ", ".join(self.streams),
            "set aside": ", ".join(file.key for file in self.files),
        }
        return shortened("; ".join(f"{what}: {names}" for what, names in told.items() if names), _MOST_CHARACTERS)


def left_undone(opened: OpenProject, run_id: str, started_at: str, gold: Mapping[str, str]) -> Undone:
    """Reads what a run leaves undone; `gold` is what failed the job run of Gold, empty when nothing did."""
    holds = Holds(opened.ledger.bucket)
    held, tables = holds.streams(), holds.tables()
    if gold and not any(why.run_id == run_id for why in tables.values()):
        # The job did not even begin.
        why = Held(run_id=run_id, stage="Gold", error=gold["Error"], cause="Gold could not be started")
        tables = dict.fromkeys(opened.project.gold, why)
    waited_for = {stream for streams in waiting_tables(opened.project, held).values() for stream in streams}
    streams = {
        name: tuple(stages.values())
        for name, stages in held.items()
        if name in waited_for or any(why.run_id == run_id for why in stages.values())
    }
    declared = {name: why for name, why in tables.items() if name in opened.project.gold}
    return Undone(declared, streams, tuple(_set_aside(opened, run_id, datetime.fromisoformat(started_at))))


def undone_if_readable(failure: Mapping[str, Any]) -> Undone | None:
    """Reads what a failed run leaves undone; None where that fails: the alert goes out whatever else is broken."""
    try:
        return left_undone(OpenProject.deployed(), failure["run_id"], failure["started_at"], {})
    except Exception as error:  # noqa: BLE001 - most likely what failed the run, of which the alert tells
        log.warning("what is undone cannot be read", error=error_text(error))
        return None


def _set_aside(opened: OpenProject, run_id: str, started: datetime) -> Iterator[SetAside]:
    """Reads which files the batches of a run have set aside; other runs may have made batches since it started."""
    for ledger in opened.streams():
        if isinstance(opened.project.source(ledger.source), FilesSource):
            for batch in range(ledger.extracted_up_to(), 0, -1):
                manifest = ledger.manifest(batch)
                if manifest.created_at < started:
                    break
                yield from manifest.set_aside if manifest.run_id == run_id else ()
