"""What is held back: the streams whose batches do not get to silver, and the gold tables that are stale for that or other reasons.

_held/streams.json   by stream, written `source.stream`, and stage: why it is held back
_held/gold.json      by gold table: why it is stale

Both say how things are now, whichever run brought that about, and are written by the run that has its turn: a run that begins at Gold
or at Load finds what the one before has left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter

from headwater.config import Project
from headwater.config.definition import feeding
from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import Held

MOST_CHARACTERS = 1000
"""Of a cause: an alert has room for those of all streams and tables, and the job's log has the whole."""
Streams = dict[str, dict[str, Held]]
"""By stream and stage."""
_STREAMS = TypeAdapter(Streams)
_TABLES = TypeAdapter(dict[str, Held])


@dataclass(frozen=True)
class Holds:
    """The documents below `_held/` in the raw bucket."""

    bucket: Bucket

    def streams(self) -> Streams:
        """Reads which streams are held back, and in which stage."""
        return _STREAMS.validate_json(self.bucket.read("_held/streams.json") or b"{}")

    def tables(self) -> dict[str, Held]:
        """Reads which gold tables are stale."""
        return _TABLES.validate_json(self.bucket.read("_held/gold.json") or b"{}")

    def hold_streams(self, held: Streams) -> None:
        """Says which streams are held back, and that no other is."""
        self.bucket.write("_held/streams.json", _STREAMS.dump_json(held, indent=1))

    def hold_tables(self, held: dict[str, Held]) -> None:
        """Says which gold tables are stale, and that no other is."""
        self.bucket.write("_held/gold.json", _TABLES.dump_json(held, indent=1))


def waiting_tables(project: Project, held: Mapping[str, Mapping[str, Held]]) -> dict[str, list[str]]:
    """Lists the gold tables and those of who is whom that wait, each with the held streams that feed what it cannot do without.

    Gold waits for no optional source.
    """
    reads = {name: [member.table for member in one.members.values()] for name, one in project.identities.items()}
    reads |= {
        name: [read for table in gold.inputs if table not in gold.optional for read in reads.get(table, [table])]
        for name, gold in project.gold.items()
    }
    waits = {
        name: [
            f"{source}.{stream}"
            for table in tables
            for source, stream, _ in feeding(project, table)
            if f"{source}.{stream}" in held and not project.source(source).optional
        ]
        for name, tables in reads.items()
    }
    return {name: streams for name, streams in waits.items() if streams}
