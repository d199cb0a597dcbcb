"""fakesnow's server with one database folder for all sessions: `python -m local.counterparts.snowflake_server FOLDER PORT…`.

fakesnow's own command keeps databases in memory, and forgets them with the process. Of the ports it takes the first that is free (0
is any), and writes it to `port` in the folder once it has it: so two stacks that start at one time never share a server.
"""

from __future__ import annotations

import importlib
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import uvicorn
from fakesnow.instance import FakeSnow

from local.visitors import Door

# The package has a function of the same name as its module `server`.
_server: Any = importlib.import_module("fakesnow.server")
_arrow: Any = importlib.import_module("fakesnow.arrow")
_struct_of = _arrow.timestamp_to_sf_struct


def timestamps(column: pa.ChunkedArray) -> pa.Array:
    """Writes timestamps as Snowflake does; fakesnow 0.12.1 marks the parts of a missing one, and clients then read 1970."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    struct = _struct_of(whole)
    parts = [part.fill_null(0) for part in struct.flatten()]
    return pa.StructArray.from_arrays(parts, fields=list(struct.type), mask=whole.is_null())


def main(folder: Path, ports: Sequence[int]) -> None:
    """Serves until it is stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    bound = _bind(ports)
    (folder / "port").write_text(str(bound.getsockname()[1]))
    _arrow.timestamp_to_sf_struct = timestamps
    _server.shared_fs = FakeSnow(db_path=folder)
    uvicorn.Server(uvicorn.Config(Door(_server.app), log_level="warning")).run(sockets=[bound])


def _bind(ports: Sequence[int]) -> socket.socket:
    for port in ports:
        bound = socket.socket()
        # A port that was left a moment ago is free; one on which somebody listens is not.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(("127.0.0.1", port))
        except OSError:
            bound.close()
        else:
            bound.listen()
            return bound
    raise SystemExit(f"ports {', '.join(map(str, ports))} are taken. hint: HEADWATER_SNOWFLAKE_PORT")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(port) for port in sys.argv[2:]])
