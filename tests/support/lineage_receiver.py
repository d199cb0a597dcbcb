"""A receiver of OpenLineage events, as Marquez is one, which reads each with the client's own classes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attr
from openlineage.client import facet_v2
from openlineage.client.event_v2 import RunEvent
from openlineage.client.serde import Serde

from headwater.run.lineage_events import RowsRunFacet

FACETS: dict[str, Any] = {
    "columnLineage": facet_v2.column_lineage_dataset.ColumnLineageDatasetFacet,
    "dataQualityAssertions": facet_v2.data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet,
    "documentation": facet_v2.documentation_dataset.DocumentationDatasetFacet,
    "errorMessage": facet_v2.error_message_run.ErrorMessageRunFacet,
    "headwater_rows": RowsRunFacet,
    "inputStatistics": facet_v2.input_statistics_input_dataset.InputStatisticsInputDatasetFacet,
    "jobType": facet_v2.job_type_job.JobTypeJobFacet,
    "outputStatistics": facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
    "ownership": facet_v2.ownership_dataset.OwnershipDatasetFacet,
    "parent": facet_v2.parent_run.ParentRunFacet,
    "schema": facet_v2.schema_dataset.SchemaDatasetFacet,
}
_TOLD_BY_THE_CLASS = ("_producer", "_schemaURL", "producer", "schemaURL")


def read_event(text: str | bytes) -> RunEvent:
    """Reads an event with the client's classes; TypeError or ValueError where they cannot hold it, or would write it otherwise."""
    told = json.loads(text)
    event: RunEvent = _structured(RunEvent, told)
    written = json.loads(Serde.to_json(event))
    if written != told:
        raise ValueError(f"the client writes {written}")
    return event


def _structured(kind: Any, value: Any) -> Any:
    """A value as an object of the client's classes, by the types of their fields."""
    of = get_args(kind)
    if get_origin(kind) in {Union, UnionType}:
        [kind] = [inner for inner in of if inner is not NoneType]
        return _structured(kind, value)
    if get_origin(kind) is list:
        return [_structured(of[0], item) for item in value]
    if get_origin(kind) is dict:
        return {name: _structured(of[1], inner) for name, inner in value.items()}
    if attr.has(kind):
        hints = get_type_hints(kind)
        told = {name: inner for name, inner in value.items() if name not in _TOLD_BY_THE_CLASS}
        return kind(
            **{
                name: _facets(inner) if name.lower().endswith("facets") else _structured(hints[name], inner)
                for name, inner in told.items()
            }
        )
    return kind(value) if isinstance(kind, type) and issubclass(kind, Enum) else value


def _facets(told: dict[str, Any]) -> dict[str, Any]:
    return {name: _structured(FACETS[name], facet) for name, facet in told.items()}


@dataclass
class Receiver:
    """What a receiver has taken, and with which keys; `answers` is its status, and a `slow` one answers byte by byte."""

    url: str = ""
    answers: int = 201
    slow: bool = False
    taken: list[RunEvent] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


@contextmanager
def receiving(**told: Any) -> Iterator[Receiver]:
    """Runs a receiver on this machine for the length of the block."""
    receiver = Receiver(**told)
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.keys.add(self.headers["Authorization"])
            status = receiver.answers
            try:
                event = read_event(body)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it is told
                receiver.wrong.append(f"{type(error).__name__}: {error}")
                status = 422
            if status == 201:
                # Before the answer: whoever gets it may look.
                receiver.taken.append(event)
            self.send_response(status)
            self.send_header("Content-Length", "40" if receiver.slow else "0")
            self.end_headers()
            for _ in range(40 if receiver.slow else 0):
                self.wfile.write(b".")
                over.wait(0.05)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        over.set()
        server.shutdown()
        server.server_close()
