"""What the Lambda `start_on_drop` decides: which dropped files start a run, and what the run's Extract must look at.

Each file is registered once, by a small document beside the stream's manifests that the Extract job's bookmark finds. S3's event
comes when an upload is complete, while its modification time is when it began: the registration finds what a listing by time misses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from headwater.config import DropEntrance, FilesSource
from headwater.ledger.landing import ARRIVALS, is_data
from headwater.ledger.untrusted import read_json, read_object
from headwater.log import get_logger
from headwater.open_project import OpenProject

log = get_logger(__name__)


class Arrival(BaseModel):
    """One version of a dropped file, as S3's event has it."""

    model_config = ConfigDict(frozen=True)

    key: str
    etag: str
    size: int
    version: str | None = None

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Arrival:
        """Takes S3's event out of a queue's message."""
        found = read_json(message["body"])["detail"]["object"]
        return cls(key=found["key"], etag=found["etag"], size=found["size"], version=found.get("version-id"))

    @property
    def name(self) -> str:
        """A name for just this version of the file."""
        return hashlib.sha256(f"{self.key}\n{self.version or self.etag}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Starter:
    """Starts runs of one environment's state machine."""

    opened: OpenProject
    states: Any
    state_machine_arn: str

    def start(self, event: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
        """Starts one run for each source whose files are new; returns the partial batch response.

        A message that holds no S3 event is reported as failed, and is dead-lettered.
        """
        failed = []
        arrivals: dict[str, dict[str, Arrival]] = {}
        for message in event["Records"]:
            try:
                arrival = Arrival.of(message)
                name = arrival.name
            except (ValueError, LookupError, TypeError, AttributeError):
                failed.append(str(message["messageId"]))
                continue
            place = self._place(arrival)
            if place is not None and is_data(arrival.key, arrival.size):
                source, stream = place
                arrivals.setdefault(source, {})[f"{source}/{stream}/{ARRIVALS}/{name}.json"] = arrival
        for source, found in arrivals.items():
            self._start(source, found)
        return {"batchItemFailures": [{"itemIdentifier": item} for item in failed]}

    def _place(self, arrival: Arrival) -> tuple[str, str] | None:
        for source in self.opened.project.sources.values():
            if isinstance(source, FilesSource) and isinstance(source.entrance, DropEntrance):
                for name, stream in source.streams.items():
                    if arrival.key.startswith(stream.prefix):
                        return source.name, name
        return None

    def _start(self, source: str, arrivals: Mapping[str, Arrival]) -> None:
        raw = self.opened.ledger.bucket
        new = {key: arrival for key, arrival in arrivals.items() if raw.read(key) is None}
        if not new:
            log.info("known already", source=source, files=len(arrivals))
            return
        going_on = self._going_on(source)
        if going_on is None:
            self._execute(source, new)
        else:
            # What this run does not find any more, the next one does: the listing goes by time, not by event.
            log.info("a run is going on", source=source, run_id=going_on, files=len(new))
        # Last: should this function die before, the message comes again, and the run's name keeps it from starting twice.
        for key, arrival in new.items():
            raw.create(key, arrival.model_dump_json().encode())

    def _going_on(self, source: str) -> str | None:
        pages = self.states.get_paginator("list_executions").paginate(
            stateMachineArn=self.state_machine_arn, statusFilter="RUNNING"
        )
        for page in pages:
            for execution in page["executions"]:
                described = self.states.describe_execution(executionArn=execution["executionArn"])
                sources = read_object(described.get("input") or "{}")[0].get("sources")
                if not sources or source in sources:
                    return str(execution["name"])
        return None

    def _execute(self, source: str, arrivals: Mapping[str, Arrival]) -> None:
        versions = "\n".join(sorted(arrival.name for arrival in arrivals.values()))
        run_id = f"drop-{source}-{hashlib.sha256(versions.encode()).hexdigest()[:24]}"[:80]
        try:
            self.states.start_execution(
                stateMachineArn=self.state_machine_arn, name=run_id, input=json.dumps({"sources": [source]})
            )
        except self.states.exceptions.ExecutionAlreadyExists:
            log.info("started before", source=source, run_id=run_id)
        else:
            log.info("started", source=source, run_id=run_id, files=len(arrivals))
